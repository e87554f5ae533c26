"""How the commands print: a console that is plain where nobody looks, and texts that cannot move the cursor.

Names, values and messages come from servers and from other programs. ``plain`` takes out of them what a terminal
would obey: control characters, and those that turn the direction of text (https://trojansource.codes).
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import unicodedata
from datetime import datetime
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["console", "number", "plain", "print_json", "row", "show", "size", "status", "table", "value", "when"]

_PLAIN_WIDTH = 200  # where the output is no terminal: nothing is cut at 80
_STATUS_STYLES = {"RUNNING": "cyan", "COMPLETED": "green", "CRASHED": "red", "FAILED": "yellow"}
_CONTROL = frozenset(("Cc", "Cf", "Co", "Cs", "Zl", "Zp"))


def console() -> Console:
    """Where to print. Without colours and of a fixed width where it is no terminal."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation, ValueError):
            sys.stdout.reconfigure(errors="replace")
    shown = Console(highlight=False, soft_wrap=False)
    if not shown.is_terminal:
        shown = Console(highlight=False, width=_PLAIN_WIDTH, color_system=None)
    return shown


def show(where: Console, what: RenderableType) -> None:
    """Print it; where nobody looks, without the blanks that fill up a line."""
    if where.is_terminal:
        where.print(what)
        return
    with where.capture() as captured:
        where.print(what)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plain(text: object, most: int = 200) -> str:
    """The text without what a terminal would obey, at most so long."""
    kept = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _CONTROL else c for c in str(text))
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def print_json(what: Any) -> None:
    """One JSON document on stdout, in ASCII: a terminal obeys none of it."""
    click.echo(json.dumps(what, indent=2))


def number(count: int, of: str) -> str:
    """So many of them, in words."""
    return f"{count:,} {of}" if count == 1 else f"{count:,} {of}s"


def size(number: int) -> str:
    """A number of bytes, in the unit that suits it."""
    for unit, bytes_of_it in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= bytes_of_it:
            return f"{number / bytes_of_it:.1f} {unit}"
    return f"{number} bytes"


def value(what: Any, most: int = 60) -> str:
    """A metric's value or a config's, short."""
    if isinstance(what, str):
        return plain(what, most)
    if isinstance(what, float):
        return f"{what:.6g}"
    return "" if what is None else plain(json.dumps(what, separators=(", ", ": ")), most)


def when(date: object) -> str:
    """A date of the server's, in the time of this place."""
    try:
        told = datetime.fromisoformat(str(date).replace("Z", "+00:00"))
    except ValueError:
        return plain(date)
    return told.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def status(name: object) -> Text:
    """A run's status, in its colour."""
    return Text(plain(name), _STATUS_STYLES.get(str(name), ""))


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines; the columns named in ``right`` are numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def row(made: Table, *cells: object, style: str | None = None) -> None:
    """Add a row of texts, none of which is taken for markup."""
    made.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in cells), style=style)
