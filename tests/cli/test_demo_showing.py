"""What the demo prints of an outcome: the sums, the times in their units, and no good news where there is none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from steplog.cli.demo.counting import Counted, Latency, Outcome, RunOutcome
from steplog.cli.demo.play import Seen
from steplog.cli.demo.showing import as_json, conclusion, moving, report, time_of

FIRST, SECOND = Counted(10, 10), Counted(5, 3, 2)


def outcome(first: Counted = FIRST, second: Counted = FIRST, killed: str = "CRASHED") -> Outcome:
    runs = [RunOutcome("first", False, "COMPLETED", first), RunOutcome("second", True, killed, second)]
    return Outcome(runs, {"before": Latency(7, 800, 1_500, 2_000_000)}, 40, "c", 3, 19.96)


def printed(what: RenderableType) -> str:
    file = io.StringIO()
    Console(file=file, width=200, color_system=None).print(what)
    return file.getvalue()


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (1_234_567, "1.23 ms"),
        (999_999_999, "1e+03 ms"),
        (1_000_000_000, "1 s"),
    ],
)
def test_a_duration_is_in_the_unit_that_suits_it(nanoseconds, words):
    assert time_of(nanoseconds) == words


def test_the_total_is_the_sum_of_the_runs():
    assert outcome(FIRST, SECOND).total == Counted(calls=15, delivered=13, lost=2, twice=0, wrong=0)
    told = as_json(outcome(FIRST, SECOND), Path("kept.db"))
    assert told["total"] == {"calls": 15, "delivered": 13, "lost": 2, "twice": 0, "wrong": 0}
    assert told["runs"][1] == {
        "name": "second",
        "killed": True,
        "status": "CRASHED",
        "calls": 5,
        "delivered": 3,
        "lost": 2,
        "twice": 0,
        "wrong": 0,
    }
    assert (told["seconds"], told["waited"], told["database"]) == (20.0, 3, "kept.db")


@pytest.mark.parametrize(
    ("seen", "good"),
    [
        (outcome(), True),
        (outcome(second=SECOND), False),
        (outcome(second=Counted(10, 10, twice=1)), False),
        (outcome(second=Counted(10, 10, wrong=1)), False),
        (outcome(killed="COMPLETED"), False),
        (outcome(killed="RUNNING"), False),
    ],
)
def test_only_where_all_arrived_once_and_each_status_is_right_is_it_good(seen, good):
    assert as_json(seen, None)["good"] is good
    words = printed(conclusion(seen, None))
    assert ("Every call is in the server's database, once." in words) is good
    assert ("Not as it should be: lost" in words) is not good
    assert "Nothing is left behind." in words


def test_the_tables_have_a_row_a_phase_and_a_row_a_run_with_their_sum():
    lines = [line.split() for line in printed(report(outcome(FIRST, SECOND))).splitlines() if line.strip()]
    assert lines == [
        ["log()", "calls", "p50", "p99", "max"],
        ["server", "up", "7", "800", "ns", "1.5", "µs", "2", "ms"],
        ["run", "status", "calls", "delivered", "lost", "twice", "wrong"],
        ["first", "COMPLETED", "10", "10", "0", "0", "0"],
        ["second", "(killed)", "CRASHED", "5", "3", "2", "0", "0"],
        ["all", "15", "13", "2", "0", "0"],
    ]


def test_what_is_kept_is_named_with_what_to_type():
    words = printed(conclusion(outcome(), Path("/tmp/a demo/server.db")))
    assert "steplog serve --db '/tmp/a demo/server.db'" in words
    assert "Kept, because of --keep: /tmp/a demo" in words
    assert "40 ns of the timer's own. log() is compiled here." in words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen(True, 0, 0), "starting"),
        (Seen(True, 1500, 1000, [0.5, None]), "server up: 1,000 delivered, 500 on their way   loss 0.500  killed"),
        (Seen(False, 1500, 1000, [0.5]), "server down: 500 waiting   loss 0.500"),
        (Seen(True, 1, 2, [0.5]), "server up: 2 delivered, 0 on their way   loss 0.500"),
    ],
)
def test_the_line_that_moves_says_whether_the_server_is_up_and_what_waits(seen, words):
    assert printed(moving(seen)).strip().endswith(words)
