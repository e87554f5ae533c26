"""What the demo prints of an outcome: the sums, the times in their units, and no good news where there is none."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from steplog.cli.demo.output import Output, duration
from steplog.cli.demo.scenario import Scenario
from steplog.cli.demo.verify import Calls, Counts

FIRST, SECOND = Counts(10, 10), Counts(5, 3, 2)
LATENCY = {"calls": 7, "p50": 800, "p99": 1_500, "max": 2_000_000}
STRANGE = -1  # the fingerprint of a record that nobody logged


def calls_of(counts: Counts) -> Calls:
    return Calls(range(1, 1 + counts.calls), [0] * counts.calls, [0] * counts.calls, in_flight=0)


def stored_of(counts: Counts) -> list[int]:
    return [*range(1, 1 + counts.delivered), *[1] * counts.twice, *[STRANGE] * counts.wrong]


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """The document of a demo of two runs, after 19.96 s, that became this."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Scenario(2.0, False, Output(as_json=True), tmp_path) as scenario:

        def verified(first: Counts = FIRST, second: Counts = FIRST, killed: str = "CRASHED") -> dict[str, Any]:
            became = {"first": (first, "COMPLETED"), "second": (second, killed)}
            for name, (counts, _) in became.items():
                child, ledger = SimpleNamespace(name=name), SimpleNamespace(calls=lambda it=counts: calls_of(it))
                worker = SimpleNamespace(child=child, ledger=ledger, uuid=name, killed=name == "second")
                scenario._workers.append(worker)  # type: ignore[arg-type]
            scenario._database = SimpleNamespace(  # type: ignore[assignment]
                run=lambda uuid: (became[uuid][1], 0), fingerprints=lambda uuid: stored_of(became[uuid][0])
            )
            with monkeypatch.context() as patch:
                patch.setattr(time, "monotonic", lambda: scenario._begin + 19.96)
                document = scenario._verify([0, 1, 2, 3])
            return document | {"log": {"before": LATENCY}, "timer": 40, "append": "c", "waited": 3}

        yield verified


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def printed(document: dict[str, Any], kept: Path | None = None, as_json: bool = False) -> str:
        Output(as_json).result(document, kept)
        return capsys.readouterr().out

    return printed


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
    assert duration(nanoseconds) == words


def test_the_total_is_the_sum_of_the_runs(outcome, printed):
    assert Counts(calls=15, delivered=13, lost=2, twice=0, wrong=0) == FIRST + SECOND
    told = json.loads(printed(outcome(FIRST, SECOND), Path("kept.db"), as_json=True))
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
        ({}, True),
        ({"second": SECOND}, False),
        ({"second": Counts(10, 10, twice=1)}, False),
        ({"second": Counts(10, 10, wrong=1)}, False),
        ({"killed": "COMPLETED"}, False),
        ({"killed": "RUNNING"}, False),
    ],
)
def test_only_where_all_arrived_once_and_each_status_is_right_is_it_good(outcome, printed, seen, good):
    document = outcome(**seen)
    assert json.loads(printed(document, as_json=True))["good"] is good
    words = printed(document)
    assert ("Every call is in the server's database, once." in words) is good
    assert ("Not every call is in the server's database once, or a run has the wrong status." in words) is not good
    assert "Nothing is left on this machine." in words


def test_the_tables_have_a_row_a_phase_and_a_row_a_run_with_their_sum(outcome, printed):
    lines = [line.split() for line in printed(outcome(FIRST, SECOND)).splitlines() if line.strip()]
    assert lines[:6] == [
        ["log()", "calls", "p50", "p99", "max"],
        ["server", "up", "7", "800", "ns", "1.5", "µs", "2", "ms"],
        ["run", "status", "calls", "delivered", "lost", "twice", "wrong"],
        ["first", "COMPLETED", "10", "10", "0", "0", "0"],
        ["second", "(killed)", "CRASHED", "5", "3", "2", "0", "0"],
        ["all", "15", "13", "2", "0", "0"],
    ]
    assert lines[6][:3] == ["Not", "every", "call"]


def test_what_is_kept_is_named_with_what_to_type(outcome, printed):
    words = printed(outcome(), Path("/tmp/a demo/server.db"))
    assert "steplog serve --db '/tmp/a demo/server.db'" in words
    assert "Kept: /tmp/a demo\n" in words
    assert "Times include 40 ns for the timer itself. log() is compiled here." in words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ((True, 1000, 500), "server up: 1,000 delivered, 500 waiting"),
        ((False, 1000, 500), "server down: 1,000 delivered, 500 waiting"),
        ((True, 2, -1), "server up: 2 delivered, 0 waiting"),
    ],
)
def test_the_line_that_moves_says_whether_the_server_is_up_and_what_waits(seen, words):
    output, file = Output(as_json=False), io.StringIO()
    console = Console(file=file, width=200, color_system=None)
    output.live = Live(console=console)
    output.progress(*seen)
    console.print(output.live.get_renderable())
    assert file.getvalue().strip().endswith(words)
