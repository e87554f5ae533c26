"""A table without lines, a row a line: whole where no terminal is, else fitted to the terminal's width.

Where it is too wide for a terminal, in this order:

1. the names of the columns ``wrap`` are written in several lines, if their cells are narrower
2. the columns ``drop`` are left out, the first first (``left_out``)
3. the column ``cut`` is cut, with "…"
4. the last column goes on below, as wide as it was, or if that is too narrow, below its whole row
5. lines are cut
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

__all__ = ["Table"]

_GAP, _GAP_IF_NARROW, _NARROW = 3, 2, 60  # columns of a terminal
_CUT_MIN, _LAST_MIN = 16, 24  # what is left to these columns before others are left out
_OTHER_MAX = 40  # of a column that should be short; what a server says may not be
_INDENT = "  "
_PARTS = re.compile(r"[^/._]+[/._]*|[/._]+")  # of a name


class _Layout(NamedTuple):
    """The columns beside each other, their widths, the gap between them, and the last one if that goes below.

    Attributes:
        heads: the lines of each column's name.
    """

    beside: list[int]
    widths: list[int]
    gap: int
    below: int | None
    heads: list[list[str]]

    def head_lines(self) -> Iterator[list[str]]:
        """A line of all names after the other; they end with the last."""
        most = max((len(self.heads[at]) for at in self.beside), default=1)
        for back in range(most, 0, -1):
            yield ["".join(words[-back : len(words) - back + 1]) for words in self.heads]


class Table:
    """Columns by name; ``right`` are those of numbers. Cells are printable already."""

    def __init__(
        self,
        *columns: str,
        right: Sequence[str] = (),
        drop: Sequence[str] = (),
        cut: str = "",
        wrap: Sequence[str] = (),
    ) -> None:
        self._columns = columns
        self._right = {at for at, name in enumerate(columns) if name in right}
        self._drop = [columns.index(name) for name in drop if name in columns]
        self._cut = columns.index(cut) if cut else None
        self._wrap = {at for at, name in enumerate(columns) if name in wrap}
        self._rows: list[tuple[Sequence[Text], str]] = []

    def add(self, cells: Sequence[Text], style: str = "") -> None:
        """Add a row, with a cell for each column; the last may have several lines."""
        self._rows.append((cells, style))

    def plain(self) -> Iterator[str]:
        """The whole table."""
        natural = self._natural()
        for cells, _ in self._lines():
            for parts in zip_longest(*(cell.plain.split("\n") for cell in cells), fillvalue=""):
                padded = [_padded(Text(part), natural[at], at in self._right) for at, part in enumerate(parts)]
                yield Text(" " * _GAP).join(padded).plain.rstrip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        layout = self._fitted(options.max_width)
        for words in layout.head_lines() if any(self._columns) else ():
            for line in self._row(console, options.max_width, layout, [Text(word) for word in words]):
                line.stylize_before("dim")
                yield line
                if layout.below is not None:
                    break  # what goes below has no head
        for cells, style in self._rows:
            for line in self._row(console, options.max_width, layout, cells):
                line.stylize_before(style)
                yield line

    def left_out(self, width: int) -> list[str]:
        """The columns for which a terminal has no room."""
        layout = self._fitted(width)
        return [name for at, name in enumerate(self._columns) if at not in (*layout.beside, layout.below)]

    def _lines(self) -> list[tuple[Sequence[Text], str]]:
        head = [Text(name) for name in self._columns]
        return [(head, "dim"), *self._rows] if any(self._columns) else self._rows

    def _natural(self) -> list[int]:
        return [max((_width(cells[at]) for cells, _ in self._lines()), default=0) for at in self._all()]

    def _all(self) -> range:
        return range(len(self._columns))

    def _fitted(self, width: int) -> _Layout:
        gap, last = _GAP if width > _NARROW else _GAP_IF_NARROW, len(self._columns) - 1
        natural, bounds = self._natural(), {self._cut: _CUT_MIN, last: _LAST_MIN}
        heads = [[name] for name in self._columns]
        if _total(natural, gap) > width:
            of_cells = [max((_width(cells[at]) for cells, _ in self._rows), default=0) for at in self._all()]
            heads = [
                _pieces(name, of_cells[at] if at in self._wrap else width) for at, name in enumerate(self._columns)
            ]
            natural = [max(of_cells[at], *map(cell_len, heads[at])) for at in self._all()]
        widths = [min(size, bounds.get(at, _OTHER_MAX)) for at, size in enumerate(natural)]
        beside = list(self._all())
        for at in self._drop:
            if _total((widths[each] for each in beside), gap) > width:
                beside.remove(at)
        below = None
        if last in beside and _total((widths[each] for each in beside), gap) > width:
            beside.remove(last)
            below = last
        spare = width - _total((widths[each] for each in beside), gap)
        for at in beside:
            if at in (self._cut, last) and spare > 0:  # the one to be cut comes before the last
                more = min(spare, natural[at] - widths[at])
                widths[at], spare = widths[at] + more, spare - more
        return _Layout(beside, widths, gap, below, heads)

    def _row(self, console: Console, width: int, layout: _Layout, cells: Sequence[Text]) -> Iterator[Text]:
        """A row on a terminal: one line, and those on which its last cell goes on."""
        beside, last = layout.beside, len(self._columns) - 1
        shown = [cells[at] for at in beside]
        indent, more = _INDENT, []
        if layout.below is not None:
            more = _wrapped(console, cells[last], width - len(indent)) if cells[last] else []
        elif last in beside:
            indent = " " * _total([*(layout.widths[at] for at in beside[:-1]), 0], layout.gap)
            shown[-1], *more = _wrapped(console, cells[last], layout.widths[last])
        padded = (_padded(cell, layout.widths[at], at in self._right) for at, cell in zip(beside, shown, strict=True))
        line = Text(" " * layout.gap).join(padded)
        for each in (line, *(Text.assemble(indent, text) for text in more)):
            each.rstrip()
            each.truncate(width, overflow="ellipsis")
            yield each


def _pieces(name: str, width: int) -> list[str]:
    """The lines of a name, parted after "/", "." and "_", each at most so wide if its parts are."""
    lines = [""]
    for part in _PARTS.findall(name):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return lines


def _total(widths: Iterable[int], gap: int) -> int:
    every = list(widths)
    return sum(every) + gap * max(0, len(every) - 1)


def _width(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split("\n")))


def _wrapped(console: Console, cell: Text, width: int) -> list[Text]:
    return list(cell.wrap(console, max(1, width))) or [Text()]


def _padded(cell: Text, width: int, right: bool) -> Text:
    fitted = cell.copy()
    fitted.truncate(width, overflow="ellipsis")
    fitted.align("right" if right else "left", width)
    return fitted
