"""Whether a source begins with the records that a run has. Pure.

Another import of it may be under way: it has stored more since the run was asked for, so that of each metric as many
records are compared as the run had then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steplog.formats.imported import RecordBatch
from steplog.reading.source import SeriesRow
from steplog.records.finite import finite
from steplog.transfer.planes import OWN_PREFIX

__all__ = ["Prefix"]


class Prefix:
    """What the records of a source that a server has come to, which tells ``rows`` of them."""

    def __init__(self, rows: Sequence[SeriesRow]) -> None:
        self._series = {row.name: _Series(row) for row in rows if not row.name.startswith(OWN_PREFIX)}

    def add(self, batch: RecordBatch) -> None:
        """More of them; those called "" are none."""
        names, steps, _, values = batch
        found: dict[str, list[int]] = {}
        for at, name in enumerate(names):
            found.setdefault(name, []).append(at)
        for name, places in found.items():
            if name in self._series:
                self._series[name].add([steps[at] for at in places], [values[at] for at in places])

    def is_there(self) -> bool:
        """Whether the run can have come of it."""
        return all(series.is_there() for series in self._series.values())


class _Series:
    """A metric of a prefix."""

    def __init__(self, row: SeriesRow) -> None:
        self._row = row
        self._count = 0
        self._first: int | None = None
        self._last: int | None = None
        self._value: Any = None
        self._low, self._high = math.inf, -math.inf
        self._are_numbers = True

    def add(self, steps: Sequence[int | None], values: Sequence[Any]) -> None:
        """The next records."""
        steps, values = steps[: self._row.count - self._count], values[: self._row.count - self._count]
        if not values:
            return
        self._first = self._first if self._count else steps[0]
        self._last, self._value = steps[-1], values[-1]
        self._count += len(values)
        self._are_numbers = self._are_numbers and {type(value) for value in values} <= {int, float}
        if self._are_numbers and not any(map(math.isnan, values)):
            self._low, self._high = min(self._low, *values), max(self._high, *values)
        else:
            self._are_numbers = False

    def is_there(self) -> bool:
        """Whether a server tells the same. Of NaN, bools and JSON it tells no range."""
        row = self._row
        steps = self._first in (None, row.first_step) and self._last in (None, row.last_step)
        value = finite(self._value)
        last = value == row.last if isinstance(value, (bool, int, float, str)) else True
        return row.count == self._count and steps and last and self._has_range(row.min, row.max)

    def _has_range(self, low: Any, high: Any) -> bool:
        told, own = (low, high), (self._low, self._high)
        numbers = all(isinstance(each, (int, float)) for each in told)
        return not (numbers and self._are_numbers and all(map(math.isfinite, own))) or own == told
