"""What is shown while somebody waits, and when a silent server is not waited for any longer."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from steplog.delivery.agent import Progress
from steplog.lifecycle.exit_progress import LOG_INTERVAL_S, SILENT_EXIT_S, SILENT_S, ExitProgress


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Watched:
    """A run that somebody waits for, at its server, with a clock of its own."""

    def __init__(self, screen: io.StringIO | None = None, *, whatever: bool = False, quiet: bool = False) -> None:
        self.now = 1000.0
        self.progress = Progress(1000, None, 0.0)
        self.exit_progress = ExitProgress(whatever=whatever, clock=lambda: self.now, screen=screen or io.StringIO())
        self.goes_on = self.watch("http://127.0.0.1:9", quiet)

    def watch(self, server: str, quiet: bool = False) -> Any:
        return self.exit_progress.watch("brave\n\x1b[2Jpasta", server, quiet, lambda: self.progress)

    def after(self, seconds: float, left: int, trouble: str | None = None, silent_s: float = 0.0) -> bool:
        self.now += seconds
        self.progress = Progress(left, trouble, silent_s, "http://127.0.0.1:9")
        return bool(self.goes_on())


def test_a_terminal_shows_one_line_with_what_is_left_the_speed_and_the_last_error(monkeypatch, caplog):
    monkeypatch.setenv("COLUMNS", "200")
    screen = Screen()
    watched = Watched(screen)
    watched.after(0.5, 900)
    assert screen.getvalue() == ""
    watched.after(1.5, 400, "connection refused")
    assert screen.getvalue() == (
        "\r\x1b[Ksteplog: run brave  [2Jpasta: 400 records left, 300 a second; connection refused"
    )
    watched.exit_progress.clear()
    watched.exit_progress.clear()
    assert screen.getvalue().endswith("refused\r\x1b[K")
    assert "\n" not in screen.getvalue()
    assert caplog.text == ""


def test_where_no_record_is_left_the_status_is_said_to_be(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    screen = Screen()
    Watched(screen).after(1.5, 0)
    assert screen.getvalue().endswith("pasta: all records are sent, its status is not yet")


def test_a_server_that_hangs_is_named_with_how_long_it_has_been_waited_for(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    screen = Screen()
    watched = Watched(screen)
    for silent_s, told in ((0.9, "left, 0 a second"), (1.5, "answer of http://127.0.0.1:9 for 1.5 s"), (12.4, "12 s")):
        watched.after(2.0, 1000, silent_s=silent_s)
        assert screen.getvalue().endswith(told)
    watched.after(2.0, 1000, "refused", silent_s=20.0)
    assert screen.getvalue().endswith("; refused")


def test_a_line_is_never_longer_than_the_terminal_is_wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    Watched(screen).after(2, 10, "words " * 100)
    assert len(screen.getvalue()) == len("\r\x1b[K") + 39


def test_elsewhere_there_is_one_line_in_ten_seconds(caplog):
    screen = io.StringIO()
    watched = Watched(screen)
    with caplog.at_level(logging.WARNING, "steplog"):
        for _ in range(100):
            watched.after(0.25, 500)
        assert len(caplog.records) == int(25 / LOG_INTERVAL_S)
    assert "500 records left" in caplog.text
    assert screen.getvalue() == ""


def test_quiet_means_that_nothing_is_shown(caplog):
    screen = Screen()
    watched = Watched(screen, quiet=True)
    assert watched.after(100, 1)
    assert (screen.getvalue(), caplog.text) == ("", "")


def test_a_silent_server_is_waited_for_five_seconds_more_and_no_longer():
    watched = Watched()
    assert watched.after(9, 1000, silent_s=9)
    assert watched.after(1, 1000, silent_s=SILENT_S)
    assert watched.after(SILENT_EXIT_S - 0.1, 1000, silent_s=15)
    assert not watched.after(0.2, 1000, silent_s=15)


def test_ten_seconds_of_silence_and_five_more_are_what_it_waits():
    watched = Watched()
    assert watched.after(1, 1000, silent_s=9.9)
    assert watched.after(10, 1000, silent_s=9.9)
    assert watched.after(1, 1000, silent_s=10.0)
    assert watched.after(4.9, 1000, silent_s=14.9)
    assert not watched.after(0.1, 1000, silent_s=15.0)


def test_a_single_record_is_one_record():
    screen = Screen()
    Watched(screen).after(1, 1)
    assert "brave  [2Jpasta: 1 record left, " in screen.getvalue()


def test_after_a_second_a_terminal_shows_it_and_after_ten_the_log(caplog):
    screen = Screen()
    watched = Watched(screen)
    watched.after(0.9, 10)
    assert screen.getvalue() == ""
    watched.after(0.1, 10)
    assert "10 records left" in screen.getvalue()
    elsewhere = Watched()
    with caplog.at_level(logging.WARNING, "steplog"):
        for seconds, lines in ((9.9, 0), (0.1, 1), (9.9, 1), (0.1, 2)):
            elsewhere.after(seconds, 10)
            assert len(caplog.records) == lines


def test_a_server_that_answers_meanwhile_is_waited_for_again():
    watched = Watched()
    assert watched.after(1, 1000, silent_s=SILENT_S)
    assert watched.after(4, 900, silent_s=0)
    assert watched.after(20, 900, silent_s=SILENT_S)
    assert watched.after(4, 900, silent_s=14)


def test_all_runs_of_a_silent_server_share_the_five_seconds():
    watched = Watched()
    assert watched.after(1, 1000, silent_s=SILENT_S)
    assert not watched.after(6, 1000, silent_s=16)
    assert not watched.watch("http://127.0.0.1:9")()
    assert watched.watch("http://127.0.0.1:10")()


def test_who_says_how_long_to_wait_gets_that():
    watched = Watched(whatever=True)
    assert watched.after(1, 1000, silent_s=SILENT_S)
    assert watched.after(100, 1000, silent_s=100)


@pytest.mark.parametrize("close", [True, False])
def test_a_screen_that_is_gone_stops_nothing(close):
    screen = Screen()
    watched = Watched(screen)
    if close:
        screen.close()
    else:
        screen.write = lambda text: (_ for _ in ()).throw(BrokenPipeError())  # type: ignore[assignment,method-assign]
    assert watched.after(2, 10)
    watched.exit_progress.clear()


def test_files_that_are_left_are_shown_with_their_bytes_and_speed():
    mib, screen = 1024 * 1024, Screen()
    watched = Watched(screen)
    watched.progress = Progress(0, None, 0.0, "", 3, 30 * mib)
    watched.goes_on = watched.watch("http://127.0.0.1:9")
    watched.now += 5.0
    watched.progress = Progress(0, None, 0.0, "", 2, 20 * mib)
    watched.goes_on()
    assert screen.getvalue().endswith(": 2 files left, 20.0 MiB, 2.0 MiB a second")
    watched.now += 1.0
    watched.progress = Progress(10, None, 0.0, "", 1, 0)
    watched.goes_on()
    assert "10 records and 1 file left" in screen.getvalue()
