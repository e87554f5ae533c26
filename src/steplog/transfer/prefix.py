"""Whether a source begins with the records that a run has. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from steplog.formats.imported import RecordBatch
from steplog.transfer.planes import OWN_PREFIX, Encoder

__all__ = ["Prefix", "Summary"]


class Summary(msgspec.Struct):
    """What a server tells of a metric: how many points, and the step and value of the last."""

    name: str
    count: int
    last_step: int
    last: Any


class Prefix:
    """The first ``count`` records of a source, as ``encoder`` would send them: what they come to."""

    def __init__(self, encoder: Encoder, count: int) -> None:
        self._encoder = encoder
        self._left = count
        self._counts: Counter[str] = Counter()
        self._last: dict[str, tuple[int | None, Any]] = {}

    def add(self, batch: RecordBatch) -> None:
        """The next records; those beyond ``count`` are not looked at."""
        names, steps, _, values = self._encoder.kept(batch.part(0, self._left))
        self._left -= len(names)
        self._counts.update(names)
        self._last.update(zip(names, zip(steps, values, strict=True), strict=True))

    def is_as(self, rows: Sequence[Summary]) -> bool:
        """Whether a run with these metrics can have come of it."""
        told = {row.name: row for row in rows if not row.name.startswith(OWN_PREFIX)}
        counts = {name: count for name, count in self._counts.items() if name and not name.startswith(OWN_PREFIX)}
        return counts == {name: row.count for name, row in told.items()} and all(
            self._ends(name, row) for name, row in told.items()
        )

    def _ends(self, name: str, row: Summary) -> bool:
        step, value = self._last[name]
        if isinstance(value, float) and not math.isfinite(value):
            value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        same = value == row.last if isinstance(value, (bool, int, float, str)) else True
        return same and step in (None, row.last_step)
