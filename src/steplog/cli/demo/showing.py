"""What the demo prints: lines while it runs, a table at the end. In a terminal also one line that moves."""

from __future__ import annotations

import dataclasses
import shlex
import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from steplog.cli.demo.counting import Counted, Outcome
from steplog.cli.demo.play import Seen
from steplog.cli.printing import row, table

__all__ = ["Story", "as_json", "conclusion", "moving", "report", "time_of"]

_PHASES = {"before": "server up", "during": "server away", "after": "server back"}


class Story:
    """Says what happens, with the seconds since the beginning."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin = time.monotonic()

    def say(self, line: str) -> None:
        """One event."""
        self._console.print(f"[dim]{time.monotonic() - self._begin:5.1f} s[/]  {line}", highlight=False)


def moving(seen: Seen) -> RenderableType:
    """How things are, in a line."""
    if not seen.logged:
        text = Text("starting")
    elif seen.up:
        text = Text.assemble(("server up", "green"), f": {seen.stored:,} delivered, {seen.waiting:,} on their way")
    else:
        text = Text.assemble(("server down", "red"), f": {seen.waiting:,} waiting")
    losses = "  ".join("killed" if loss is None else f"{loss:.3f}" for loss in seen.losses)
    if seen.logged:
        text.append(f"   loss {losses}", "dim")
    return Padding(Spinner("dots", text), (0, 0, 0, 2))


def time_of(nanoseconds: int) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds} ns"


def report(outcome: Outcome) -> RenderableType:
    """The tables."""
    calls = table("log()", "calls", "p50", "p99", "max", right=("calls", "p50", "p99", "max"))
    for phase, latency in outcome.latencies.items():
        row(calls, _PHASES[phase], f"{latency.calls:,}", *map(time_of, (latency.p50, latency.p99, latency.max)))
    counts = ("calls", "delivered", "lost", "twice", "wrong")
    runs = table("run", "status", *counts, right=counts)
    for run in outcome.runs:
        row(runs, f"{run.name} (killed)" if run.killed else run.name, run.status, *_numbers(run.counted))
    row(runs, "all", "", *_numbers(outcome.total), style="bold")
    return Padding(Group(calls, Text(), runs), (1, 0, 1, 2))


def _numbers(counted: Counted) -> list[Text]:
    faults = (counted.lost, counted.twice, counted.wrong)
    return [
        *(Text(f"{number:,}") for number in (counted.calls, counted.delivered)),
        *(Text(f"{number:,}", "bold red" if number else "green") for number in faults),
    ]


def conclusion(outcome: Outcome, kept: Path | None) -> RenderableType:
    """What it comes to, and what to type next."""
    total = outcome.total
    if total.good and outcome.settled:
        result = Text("Every call is in the server's database, once.", "bold green")
    else:
        result = Text(f"Not as it should be: lost {total.lost}, twice {total.twice}, wrong {total.wrong}.", "bold red")
    notes = Text(
        f"Counted in the database after the server had stopped. Most values are numbers, a few dicts\n"
        f"and texts. Times include {time_of(outcome.timer_ns)} of the timer's own. "
        f"log() is {'compiled' if outcome.append == 'c' else 'pure Python'} here.",
        "dim",
    )
    following = Text.assemble(
        ("Next\n", "dim"),
        ("  steplog serve                  ", "bold"),
        "a server on this machine\n",
        ('  steplog.init(project="mnist")  ', "bold"),
        "a run on it, from your program: nothing to configure",
    )
    if kept is not None:
        following.append(f"\n  steplog serve --db {shlex.quote(str(kept))}", "bold")
    where = f"Kept, because of --keep: {kept.parent}" if kept is not None else "Nothing is left behind."
    return Padding(Group(result, notes, Text(), following, Text(), Text(where, "dim")), (0, 0, 0, 2))


def as_json(outcome: Outcome, kept: Path | None) -> dict[str, Any]:
    """Everything, as numbers. Times are in nanoseconds but ``seconds``."""
    return {
        "good": outcome.total.good and outcome.settled,
        "log": {name: dataclasses.asdict(latency) for name, latency in outcome.latencies.items()},
        "timer": outcome.timer_ns,
        "append": outcome.append,
        "waited": outcome.waited,
        "runs": [
            {"name": run.name, "killed": run.killed, "status": run.status} | dataclasses.asdict(run.counted)
            for run in outcome.runs
        ],
        "total": dataclasses.asdict(outcome.total),
        "seconds": round(outcome.seconds, 1),
        "database": None if kept is None else str(kept),
    }
