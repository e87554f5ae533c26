"""What the demo prints: events, progress on terminals, and the result."""

from __future__ import annotations

import contextlib
import shlex
import time
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from steplog.cli import printing
from steplog.cli.table import Table

__all__ = ["Output", "duration"]

_PHASES = {"before": "server up", "during": "server down", "after": "server back"}
_TIMES = ("p50", "p99", "max")
_COUNTS = ("calls", "delivered", "lost", "twice", "wrong")


class Output:
    """``as_json``: only one document, at the end. ``live`` is the context in which progress shows."""

    def __init__(self, as_json: bool) -> None:
        self._as_json, self._console, self._begin = as_json, printing.console(), time.monotonic()
        shows = self._console.is_terminal and not as_json
        self.live = Live(console=self._console, transient=True) if shows else contextlib.nullcontext()

    def event(self, text: str) -> None:
        """Print a line with its time."""
        if not self._as_json:
            seconds = f"{time.monotonic() - self._begin:5.1f} s  "
            printing.write(self._console, Text.assemble((seconds, "dim"), printing.printable(text)))

    def progress(self, up: bool, stored: int, waiting: int) -> None:
        """Show how many calls are stored, and how many are not yet."""
        text = ("server up", "green") if up else ("server down", "red")
        if isinstance(self.live, Live):
            line = Text.assemble(text, f": {stored:,} delivered, {max(0, waiting):,} waiting")
            self.live.update(Padding(Spinner("dots", line), (0, 0, 0, 2)))

    def result(self, document: dict[str, Any], kept: Path | None) -> None:
        """Print the outcome. Times in ns, except ``seconds``."""
        if self._as_json:
            printing.print_json(document | {"database": None if kept is None else str(kept)})
            return
        parts = (_calls(document), Text(), _runs(document), Text(), _verdict(document), Text(), _next(kept))
        printing.write(self._console, Padding(Group(*parts), (1, 0, 0, 2)))


def duration(nanoseconds: int) -> str:
    """Nanoseconds, in a fitting unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds} ns"


def _calls(document: dict[str, Any]) -> Table:
    table = printing.table("log()", "calls", *_TIMES, right=("calls", *_TIMES))
    for phase, latency in document["log"].items():
        printing.add_row(table, _PHASES[phase], f"{latency['calls']:,}", *(duration(latency[name]) for name in _TIMES))
    return table


def _runs(document: dict[str, Any]) -> Table:
    table = printing.table("run", "status", *_COUNTS, right=_COUNTS)
    for run in (*document["runs"], {"name": "all", "killed": False, "status": "", **document["total"]}):
        styles = ["", "", *("bold red" if run[name] else "green" for name in _COUNTS[2:])]
        cells = [Text(f"{run[name]:,}", style) for name, style in zip(_COUNTS, styles, strict=True)]
        printing.add_row(table, run["name"] + (" (killed)" if run["killed"] else ""), run["status"], *cells)
    return table


def _verdict(document: dict[str, Any]) -> Text:
    good = "Every call is in the server's database, once."
    bad = "Not every call is in the server's database once, or a run has the wrong status."
    verdict = (good, "bold green") if document["good"] else (bad, "bold red")
    language = "compiled" if document["append"] == "c" else "pure Python"
    notes = f"\nCounted after the server stopped. Times include {duration(document['timer'])} for the timer itself. "
    return Text.assemble(verdict, (f"{notes}log() is {language} here.", "dim"))


def _next(kept: Path | None) -> Text:
    serve = "steplog serve" if kept is None else f"steplog serve --db {shlex.quote(str(kept))}"
    left = "Nothing is left on this machine." if kept is None else f"Kept: {kept.parent}"
    return Text.assemble(
        ("Next\n", "dim"),
        (f"  {serve:30} ", "bold"),
        "a server on this machine\n",
        ('  steplog.init(project="mnist")  ', "bold"),
        "a run on it, from your program\n\n",
        (left, "dim"),
    )
