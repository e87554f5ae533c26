"""A table without lines, a row a line: whole where no terminal is, else fitted to the terminal's width.

Where it is too wide for a terminal, in this order:

1. the columns ``drop`` are left out, the first first
2. the column ``cut`` is cut, with "…"
3. the last column goes on below, as wide as it was, or if that is too narrow, below its whole row
4. lines are cut
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

__all__ = ["Table"]

_GAP, _GAP_IF_NARROW, _NARROW = 3, 2, 60  # columns of a terminal
_CUT_MIN, _LAST_MIN = 16, 24  # what is left to these columns before others are left out
_OTHER_MAX = 40  # of a column that should be short; what a server says may not be
_INDENT = "  "


class _Layout(NamedTuple):
    """The columns beside each other, their widths, the gap between them, and the last one if that goes below."""

    beside: list[int]
    widths: list[int]
    gap: int
    below: int | None


class Table:
    """Columns by name; ``right`` are those of numbers. Cells are printable already."""

    def __init__(self, *columns: str, right: Sequence[str] = (), drop: Sequence[str] = (), cut: str = "") -> None:
        self._columns = columns
        self._right = {at for at, name in enumerate(columns) if name in right}
        self._drop = [columns.index(name) for name in drop if name in columns]
        self._cut = columns.index(cut) if cut else None
        self._rows: list[tuple[Sequence[Text], str]] = []

    def add(self, cells: Sequence[Text], style: str = "") -> None:
        """Add a row, with a cell for each column."""
        self._rows.append((cells, style))

    def plain(self) -> Iterator[str]:
        """The whole table."""
        natural = self._natural()
        for cells, _ in self._lines():
            padded = [_padded(cell, natural[at], at in self._right) for at, cell in enumerate(cells)]
            yield Text(" " * _GAP).join(padded).plain.rstrip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        layout, head = self._fitted(options.max_width), len(self._lines()) - len(self._rows)
        for number, (cells, style) in enumerate(self._lines()):
            for line in self._row(console, options.max_width, layout, cells):
                line.stylize_before(style)
                yield line
                if number < head and layout.below is not None:
                    break  # what goes below has no head

    def _lines(self) -> list[tuple[Sequence[Text], str]]:
        head = [Text(name) for name in self._columns]
        return [(head, "dim"), *self._rows] if any(self._columns) else self._rows

    def _natural(self) -> list[int]:
        return [max((cell_len(cells[at].plain) for cells, _ in self._lines()), default=0) for at in self._all()]

    def _all(self) -> range:
        return range(len(self._columns))

    def _fitted(self, width: int) -> _Layout:
        gap, last = _GAP if width > _NARROW else _GAP_IF_NARROW, len(self._columns) - 1
        natural, bounds = self._natural(), {self._cut: _CUT_MIN, last: _LAST_MIN}
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
        return _Layout(beside, widths, gap, below)

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


def _total(widths: Iterable[int], gap: int) -> int:
    every = list(widths)
    return sum(every) + gap * max(0, len(every) - 1)


def _wrapped(console: Console, cell: Text, width: int) -> list[Text]:
    return list(cell.wrap(console, max(1, width))) or [Text()]


def _padded(cell: Text, width: int, right: bool) -> Text:
    fitted = cell.copy()
    fitted.truncate(width, overflow="ellipsis")
    fitted.align("right" if right else "left", width)
    return fitted
