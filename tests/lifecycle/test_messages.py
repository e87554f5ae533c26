"""The line at the end of a run: what is delivered, what is kept and where, and what is lost."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from delivery.parts import Book
from steplog.delivery.deferred_log import deferred_log
from steplog.lifecycle.open_run import OpenRun
from steplog.report import Stats

LOST = "lost, which neither shared memory nor the disk takes"


class Ended(OpenRun):
    """A run of five records at its end, of which so many are on disk, with what ``say_ended`` looks at."""

    def __init__(
        self,
        pending: int,
        durable: int = 0,
        *,
        memory: bool = False,
        sent: bool = False,
        transport: Any = "one",
        mode: str = "online",
        gone: bool = False,
        kept: Any = None,
        **more: Any,
    ) -> None:
        book = Book().write(5)
        book.journal.set_cursor(replace(book.journal.cursor, durable=durable, delivered=5 - pending))
        at_risk = 0 if memory else 5 - max(durable, 5 - pending)
        self.seen = Stats(logged=5, delivered=5 - pending, pending=pending, at_risk=at_risk, **more)
        fields = {
            "settings": SimpleNamespace(quiet=False),
            "process": None,
            "lease": SimpleNamespace(
                manifest=SimpleNamespace(owner="own"),
                kept=kept,
                outbox=SimpleNamespace(status_sent=sent, gone=gone, journals={"own": book.journal}),
            ),
            "opened": SimpleNamespace(journal=book.journal, at_risk=lambda: at_risk, private=lambda: at_risk),
            "paths": SimpleNamespace(memory=Path("/memory") if memory else None, spool=Path("/spool"), local_id="ab12"),
            "manifest": SimpleNamespace(mode=mode),
            "transport": transport,
            "takeover": None,
        }
        vars(self).update(fields)

    def name(self) -> str:
        return "brave"

    def stats(self, silent_s: float = 1.0) -> Stats:
        return self.seen


SYNC = "the next run on this machine sends it; or type: steplog sync"


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (Ended(0, sent=True), "5 delivered"),
        (Ended(0), f"5 delivered; its status is kept in /spool; {SYNC}"),
        (Ended(5), f"5 records are {LOST}; set STEPLOG_DIR"),
        (Ended(5, 5), f"5 records are kept in /spool; {SYNC}"),
        (Ended(5, 3), f"3 records are kept in /spool; {SYNC}; 2 records are {LOST}; set STEPLOG_DIR"),
        (Ended(4, 2), f"1 delivered; 1 record is kept in /spool; {SYNC}; 3 records are {LOST}; set STEPLOG_DIR"),
        (Ended(1), f"4 delivered; 1 record is {LOST}; set STEPLOG_DIR"),
        (Ended(5, memory=True), f"5 records are kept in /memory; {SYNC}"),
        (Ended(5, 5, memory=True), f"5 records are kept in /spool; {SYNC}"),
        (Ended(5, 3, memory=True), f"5 records are kept in /memory and /spool; {SYNC}"),
        (Ended(5, memory=True, last_error="refused"), f"5 records are kept in /memory (refused); {SYNC}"),
        (
            Ended(5, memory=True, gone=True),
            "5 records are kept in /memory; it is not on the server any more; to make it there again, type: "
            "steplog sync --recreate ab12",
        ),
        (Ended(5, memory=True, mode="offline"), "5 records are kept in /memory; to send it, type: steplog sync"),
    ],
)
def test_what_is_left_is_said_to_be_kept_only_where_it_outlives_the_process(run, words, caplog):
    with caplog.at_level(logging.INFO, "steplog"):
        run.say_ended()
    assert [record.message for record in caplog.records] == [f"steplog: run brave: {words}"]


@pytest.mark.parametrize(
    ("run", "level"),
    [(Ended(0, sent=True), "INFO"), (Ended(5, 5), "WARNING"), (Ended(5, 5, transport=None, mode="offline"), "INFO")],
)
def test_records_that_stay_behind_are_a_warning_unless_the_run_goes_nowhere(run, level, caplog):
    with caplog.at_level(logging.INFO, "steplog"):
        run.say_ended()
    assert [record.levelname for record in caplog.records] == [level]


def test_a_run_without_a_lease_whose_records_are_delivered_says_just_that(caplog):
    run = Ended(0)
    run.lease = None
    with caplog.at_level(logging.INFO, "steplog"):
        run.say_ended()
    assert [record.message for record in caplog.records] == ["steplog: run brave: 5 delivered"]


def test_what_waits_to_be_logged_is_logged_before_the_line_at_the_end(caplog: pytest.LogCaptureFixture):
    """As that the run is gone: who waits for the end is woken first, and the program may end there."""
    deferred_log.error("steplog: the server does not have the run")
    with caplog.at_level(logging.INFO, "steplog"):
        Ended(0, sent=True).say_ended()
    first, last = (record.message for record in caplog.records)
    assert first == "steplog: the server does not have the run"
    assert "5 delivered" in last


def test_files_that_are_left_are_told_with_the_records_and_without(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "steplog")
    Ended(2, 5, memory=True, files=7, files_pending=3).say_ended()
    assert "2 records and 3 files are kept in /spool" in caplog.messages[-1]
    Ended(0, sent=True, files=7, files_pending=1).say_ended()
    assert caplog.messages[-1] == (
        "steplog: run brave: 5 delivered, 6 files; 1 file is kept in /spool; "
        "the next run on this machine sends it; or type: steplog sync"
    )


def test_files_that_a_server_does_not_keep_are_told_with_their_place(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "steplog")
    Ended(0, sent=True, files=2, kept=(2, Path("/kept-files/demo/brave"))).say_ended()
    assert caplog.messages[-1] == (
        "steplog: run brave: 5 delivered; its server keeps no files: 2 files are in /kept-files/demo/brave"
    )


def test_files_that_are_lost_are_told(caplog: pytest.LogCaptureFixture):
    Ended(0, sent=True, files=2, files_lost=1).say_ended()
    assert caplog.messages[-1] == "steplog: run brave: 5 delivered, 1 file; 1 file was lost"
    assert caplog.records[-1].levelno == logging.WARNING
