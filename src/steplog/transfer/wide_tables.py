"""The points of a run as wide tables, of one stretch of steps after the other.

1. At most ``2 * POINTS_MAX`` points are held, and ``4 * CELLS_MAX`` cells, or one step: a stretch that turns out to
   have more is read again in two.
2. A run of few points is one stretch, as of the start. Of a longer one what arrives meanwhile, of steps that were there
   at the start, may be in it or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from steplog.reading.arrow_table import ArrowTable
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.source import RunSource
from steplog.reading.wide import wide
from steplog.transfer.run_points import Snapshot, points_of

__all__ = ["CELLS_MAX", "POINTS_MAX", "Kinds", "WideTable", "wide_tables"]

POINTS_MAX = 1024 * 1024
CELLS_MAX = 4 * 1024 * 1024
_STEP_MIN = -(2**63) + 1
_EXACT = 2**53


class WideTable(NamedTuple):
    """A table, and of how many points it is made."""

    table: ArrowTable
    points: int


def wide_tables(source: RunSource, found: Snapshot, names: Sequence[str]) -> Iterator[WideTable]:
    """Tables with the columns step, time, and one for each of these metrics, in this order; their steps ascend."""
    wanted = {name: found.counts[name] for name in names if found.counts.get(name)}
    total, (low, high) = sum(wanted.values()), found.steps
    rows = min(total, high - low + 1)
    count = max(1, -(-total // POINTS_MAX), -(-rows * len(names) // CELLS_MAX))
    if count == 1 and _is_small(total, (low, high), len(names)):
        yield WideTable(wide(points_of(source, wanted, tuple(wanted)), names), total)
        return
    each = max(1, (high - low + 1) // count)
    ends = [low + each * at - 1 for at in range(1, count)]
    bounds = [*zip([_STEP_MIN, *(end + 1 for end in ends)], [*ends, high], strict=True)]
    while bounds:
        first, last = bounds.pop(0)
        if first <= last:
            held = _read(source, tuple(wanted), first, last, len(names))
            if isinstance(held, int):
                bounds[:0] = [(first, held), (held + 1, last)]
            else:
                yield WideTable(wide(held, names), sum(len(each.steps) for each in held))


def _read(source: RunSource, names: tuple[str, ...], first: int, last: int, columns: int) -> list[SeriesPoints] | int:
    """The points of these steps; of too many, a step in between."""
    held: list[SeriesPoints] = []
    count = 0
    for stretch in source.points(Selection(names=names, start=first, end=last)):
        held.append(stretch)
        count += len(stretch.steps)
        if first < last and not _is_small(count, (first, last), columns):
            steps = sorted(max(held, key=lambda each: len(each.steps)).steps)
            return max(first, min(steps[len(steps) // 2], last - 1))
    return held


def _is_small(points: int, steps: tuple[int, int], columns: int) -> bool:
    return points <= 2 * POINTS_MAX and min(points, steps[1] - steps[0] + 1) * columns <= 4 * CELLS_MAX


class Kinds:
    """What the values of metrics are, as ``wide`` has it of all of them: "f8", "i8" or "json"."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = {}

    def note(self, table: ArrowTable) -> None:
        """A table of some of the rows."""
        for batch in table.batches():
            for column in batch[2:]:
                found = self._found.setdefault(column.name, set())
                if column.valid is None or any(column.valid):
                    is_large = column.kind == "i8" and not all(-_EXACT <= value <= _EXACT for value in column.values)
                    found.add("large" if is_large else column.kind)

    def all(self) -> dict[str, str]:
        """The kinds, by the names of the columns."""
        return {name: _kind(found) for name, found in self._found.items()}


def _kind(found: set[str]) -> str:
    if not found or found == {"f8"}:
        return "f8"
    if found <= {"i8", "large"}:
        return "i8"
    return "json" if found & {"json", "large"} else "f8"
