"""The totals of a series, kept while points arrive. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from steplog.records.numbering import assign
from steplog.records.points import Number, Points
from steplog.server.records.chunk import last_value
from steplog.server.records.columns import ramp_of

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """Of points in order of arrival; ``low``, ``high`` and ``last`` as a chunk has them."""

    count: int = 0
    next_step: int = 0
    first_step: int = 0
    last_step: int = 0
    max_step: int = 0
    low: Number | None = None
    high: Number | None = None
    last: Number | str | None = None
    last_time: int | None = None

    def add(self, points: Points) -> Points:
        """Count at least one point, but for its range; returns them with their steps, missing ones assigned."""
        steps, self.next_step = assign(ramp_of(points.steps), self.next_step)
        largest = steps[-1] if isinstance(steps, range) else max(steps)
        if self.count:
            self.max_step = max(self.max_step, largest)
        else:
            self.first_step, self.max_step = steps[0], largest
        self.last_step = steps[-1]
        self.count += len(steps)
        self.last = last_value(points)
        self.last_time = points.times[-1]
        return points if steps is points.steps else replace(points, steps=steps)

    def cover(self, low: Number | None, high: Number | None) -> None:
        """Count the range of some points."""
        if low is not None and high is not None:
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)
