"""Printing: whole plain lines if stdout is not a terminal, and never what a terminal would obey.

What comes from a server or another program passes ``printable``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.text import Text

from steplog.cli.media_text import media_text
from steplog.cli.run_times import as_date
from steplog.cli.table import Table
from steplog.printable import printable as one_line
from steplog.report import losses_in_words

__all__ = [
    "add_row",
    "console",
    "is_unicode",
    "json_option",
    "local_time",
    "losses",
    "note",
    "plural",
    "print_json",
    "printable",
    "size",
    "status",
    "table",
    "text",
    "value",
    "write",
]

_PLAIN_WIDTH = 200  # of what is laid out; lines and tables are not cut at all
_STATUS_STYLES = {"RUNNING": "cyan", "COMPLETED": "green", "CRASHED": "red", "FAILED": "yellow"}

_Command = TypeVar("_Command", bound=Callable[..., Any])


def console() -> Console:
    """Standard output; without escape codes if not a terminal, or if NO_COLOR is set."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation, ValueError):
            sys.stdout.reconfigure(errors="replace")
    if not sys.stdout.isatty():  # also if FORCE_COLOR is set: a file, or another program
        return Console(highlight=False, width=_PLAIN_WIDTH, color_system=None, force_terminal=False)
    return Console(highlight=False, soft_wrap=False, color_system=None if os.environ.get("NO_COLOR") else "auto")


def is_unicode(to: Console) -> bool:
    """Whether lines and dots beyond ASCII come out as they are."""
    return to.encoding.lower().replace("-", "") == "utf8"


def write(to: Console, *renderables: RenderableType) -> None:
    """Print, each from a new line. If not a terminal: nothing is cut, and no line has blanks at its end."""
    if to.is_terminal:
        to.print(*renderables, sep="\n")
        return
    lines: list[str] = []
    for each in renderables:
        if isinstance(each, Table):
            lines += each.plain()
        elif isinstance(each, (str, Text)):
            lines.append(str(each))
        else:
            with to.capture() as captured:
                to.print(each)
            lines += captured.get().splitlines()
    click.echo("\n".join(line.rstrip() for line in lines))


def printable(value: object, characters_max: int | None = 200) -> str:
    """Replace control characters and those that change text direction."""
    return one_line(str(value), characters_max, "\N{REPLACEMENT CHARACTER}")


def text(value: object, style: str = "", characters_max: int | None = 200) -> Text:
    """A printable value, without markup."""
    return Text(printable(value, characters_max), style)


def json_option(function: _Command) -> _Command:
    """The option ``as_json``, for ``print_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def print_json(document: Any) -> None:
    """Print as ASCII, which needs no ``printable``."""
    click.echo(json.dumps(document, indent=2))


def note(words: str) -> None:
    """Print a line on standard error, for people."""
    click.echo(f"steplog: {printable(words, None)}", err=True)


def plural(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def losses(counts: object, logged: int = 0) -> str:
    """What is lost, from a run or from the ``report`` in a run's JSON; "" if nothing is, or it is no such report."""
    told = counts.get if isinstance(counts, dict) else partial(getattr, counts)
    dropped, abandoned, lost = told("dropped", {}), told("abandoned", 0), told("lost", 0)
    if not isinstance(dropped, Mapping) or not all(
        isinstance(number, int) for number in (*dropped.values(), abandoned)
    ):
        return ""
    reasons = {printable(reason, 40): number for reason, number in dropped.items()}
    return losses_in_words(reasons, abandoned, lost if isinstance(lost, int) else None, logged)


def size(size_bytes: int) -> str:
    """Bytes, in a fitting unit."""
    for unit, unit_bytes in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return f"{size_bytes} byte{'s' * (size_bytes != 1)}"


def value(value: Any, characters_max: int | None = 60) -> str:
    """A short form of a metric's or setting's value; of media what they are (``media_text``)."""
    if isinstance(value, (dict, list)) and (words := media_text(value)):
        return printable(words, characters_max)
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return ""
    shown = value if isinstance(value, str) else json.dumps(value, separators=(", ", ": "))
    return printable(shown, characters_max)


def local_time(date: object) -> str:
    """An ISO date in local time."""
    parsed = as_date(date)
    return printable(date) if parsed is None else parsed.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def status(words: str) -> Text:
    """A run's status, coloured; the status is what is before a comma."""
    return text(words, _STATUS_STYLES.get(words.partition(",")[0], ""))


def table(
    *columns: str, right: Sequence[str] = (), drop: Sequence[str] = (), cut: str = "", wrap: Sequence[str] = ()
) -> Table:
    """A table without lines; ``right`` names the number columns, ``drop`` and ``cut`` what gives way on a terminal."""
    return Table(*columns, right=right, drop=drop, cut=cut, wrap=wrap)


def add_row(to: Table, *cells: object, style: str | None = None) -> None:
    """Add a row of printable cells, whole."""
    to.add([cell if isinstance(cell, Text) else Text(printable(cell, None)) for cell in cells], style or "")
