"""Whether a source begins with the records that a run has. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from steplog.formats.imported import RecordBatch
from steplog.records.finite import finite
from steplog.transfer.planes import OWN_PREFIX

__all__ = ["Prefix", "Summary"]


class Summary(msgspec.Struct):
    """What a server tells of a metric (``docs/api.md``); of what it stores as numbers the least and the greatest."""

    name: str
    count: int
    first_step: int
    last_step: int
    last: Any
    min: Any
    max: Any


class Prefix:
    """What the records of a source that a server has come to."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}

    def add(self, batch: RecordBatch) -> None:
        """More of them; those called "" are none."""
        names, steps, _, values = batch
        found: dict[str, list[int]] = {}
        for at, name in enumerate(names):
            found.setdefault(name, []).append(at)
        for name, places in found.items():
            if name and not name.startswith(OWN_PREFIX):
                self._series.setdefault(name, _Series()).add(
                    [steps[at] for at in places], [values[at] for at in places]
                )

    def is_as(self, rows: Sequence[Summary]) -> bool:
        """Whether a run with these metrics can have come of it."""
        told = {row.name: row for row in rows if not row.name.startswith(OWN_PREFIX)}
        return told.keys() == self._series.keys() and all(self._series[name].is_as(row) for name, row in told.items())


class _Series:
    """A metric of a prefix."""

    def __init__(self) -> None:
        self._count = 0
        self._first: int | None = None
        self._last: int | None = None
        self._value: Any = None
        self._low, self._high = math.inf, -math.inf
        self._are_numbers = True

    def add(self, steps: Sequence[int | None], values: Sequence[Any]) -> None:
        """The next records."""
        self._first = self._first if self._count else steps[0]
        self._last, self._value = steps[-1], values[-1]
        self._count += len(values)
        self._are_numbers = self._are_numbers and {type(value) for value in values} <= {int, float}
        if self._are_numbers and not any(map(math.isnan, values)):
            self._low, self._high = min(self._low, *values), max(self._high, *values)
        else:
            self._are_numbers = False

    def is_as(self, row: Summary) -> bool:
        """Whether a server tells the same. Of NaN, bools and JSON it tells no range."""
        steps = self._first in (None, row.first_step) and self._last in (None, row.last_step)
        value = finite(self._value)
        last = value == row.last if isinstance(value, (bool, int, float, str)) else True
        return row.count == self._count and steps and last and self._has_range(row.min, row.max)

    def _has_range(self, low: Any, high: Any) -> bool:
        told, own = (low, high), (self._low, self._high)
        numbers = all(isinstance(each, (int, float)) for each in told)
        return not (numbers and self._are_numbers and all(map(math.isfinite, own))) or own == told
