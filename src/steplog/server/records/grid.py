"""Curves on a grid: points and summaries of one series, placed in buckets. Pure.

Bucket ``n`` of a grid of ``width`` holds what lies in [n × width, (n + 1) × width) on the axis: steps, or times in
nanoseconds. The width is a power of two and the grid begins at 0, so curves share their buckets, and these seldom move
while a run goes on.

- A bucket's last number is that of its last point in order of arrival; its range is that of its finite numbers; a bool
  is 0 or 1. What is no number only counts.
- Points are placed exactly.
- An entry of a summary that lies in one bucket is placed exactly. One that reaches into more is spread as if its points
  were evenly spaced: each bucket with some of them gets its range. Its first and last number stay where they are; a
  bucket between them that has no other gets one from the line between them, and is *approximate*. So is every bucket
  of an entry wider than two.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from steplog.journal import slot
from steplog.server.records.chunk import Number, Points
from steplog.server.records.summary import Entries

__all__ = ["Axis", "Bucket", "Curve", "width_for"]

_LOW, _HIGH, _LAST, _COUNT, _STEP, _TIME, _NANS, _INFS, _NINFS, _APPROXIMATE = range(10)


class Axis(NamedTuple):
    """What a curve is drawn over: steps, or nanoseconds from ``origin`` on."""

    is_time: bool = False
    origin: int = 0


class Bucket(msgspec.Struct, frozen=True):
    """A bucket that holds points; ``low``, ``high`` and ``last`` are NaN without a number of their kind.

    ``step`` is that of the last number, ``time`` the latest, in ns since the epoch.
    """

    place: int
    low: Number
    high: Number
    last: Number
    count: int
    step: int
    time: int
    nans: int
    infs: int
    ninfs: int
    approximate: bool

    @property
    def has_number(self) -> bool:
        """Whether one of its points is a number."""
        return self.low == self.low or self.nans + self.infs + self.ninfs > 0


def width_for(low: int, high: int, buckets: int) -> int:
    """The smallest width on which [low, high] has at most that many buckets, two at least where it crosses 0."""
    width = 1 << max(0, (high - low) // max(1, buckets)).bit_length()
    width = max(1, width >> 1)
    while (high // width) - (low // width) >= max(buckets, 2 if low < 0 <= high else 1):
        width <<= 1
    return width


class Curve:
    """The buckets of one series; add its parts in order of arrival."""

    def __init__(self, width: int, axis: Axis, low: int, high: int) -> None:
        """A grid of this width; of points outside of [low, high] on the axis nothing is kept."""
        self._shift = width.bit_length() - 1
        self._axis = axis
        self._low, self._high = low, high
        self._cells: dict[int, list[Number]] = {}

    def columns(self) -> list[tuple[Any, ...]]:
        """The fields of ``Bucket``, a column each, of the buckets with points, in order; empty if there are none."""
        places = sorted(self._cells)
        return [tuple(places), *zip(*map(self._cells.__getitem__, places), strict=True)] if places else []

    def buckets(self) -> list[Bucket]:
        """The buckets with points, in order."""
        return [Bucket(*(*row[:-1], row[-1] > 0)) for row in zip(*self.columns(), strict=True)]

    def add_points(self, points: Points) -> None:
        """Place points."""
        xs = self._on_axis(points.times) if self._axis.is_time else points.steps
        numbers = points.numbers()
        if isinstance(numbers, array):
            numbers = numbers.tolist()
        if not len(xs):
            return
        if _is_ascending(xs):
            first, end = bisect_left(xs, self._low), bisect_left(xs, self._high + 1)
            is_plain = points.kind in (slot.KIND_INT, slot.KIND_BOOL) or (
                points.kind == slot.KIND_FLOAT and math.isfinite(sum(numbers))
            )
            while first < end:
                place = xs[first] >> self._shift
                stop = bisect_left(xs, place + 1 << self._shift, first, end)
                self._add(place, points, numbers, first, stop, is_plain)
                first = stop
            return
        for at, x in enumerate(xs):
            if self._low <= x <= self._high:
                self._add(x >> self._shift, points, numbers, at, at + 1, False)

    def add_entries(self, entries: Entries) -> None:
        """Place entries of a summary."""
        is_time, shift, bottom, top = self._axis.is_time, self._shift, self._low, self._high
        cells, known = self._cells, self._cells.get
        lows = self._on_axis(entries.min_times) if is_time else entries.min_steps
        highs = self._on_axis(entries.max_times) if is_time else entries.max_steps
        firsts, lasts = (lows, highs) if is_time else (entries.first_steps, entries.last_steps)
        values = (entries.lows, entries.highs, entries.lasts, entries.counts, entries.last_steps, entries.max_times)
        columns = zip(lows, highs, firsts, lasts, *values, entries.nans, entries.infs, entries.ninfs, strict=True)
        for at, (start, end, first_x, last_x, *cell) in enumerate(columns):
            place, last_place = start >> shift, end >> shift
            if start < bottom or end > top:
                if end >= bottom and start <= top:
                    self._spread(start, end, entries, at, cell)
            elif place == last_place:
                if known(place) is None:
                    cell.append(0)
                    cells[place] = cell
                else:
                    self._merge(place, cell)
            elif last_place - place == 1 and first_x >> shift == place and last_x >> shift == last_place:
                # As ``_spread`` would, without its loop: most of what is not exact is of this kind.
                low, high, _, count, _, until, *_ = cell
                below = _below(last_place << shift, start, end - start, count)
                cell[3] = count - below
                begun = entries.min_times[at]
                time = begun + (until - begun) * below // count
                before = [low, high, entries.firsts[at], below, entries.first_steps[at], time, 0, 0, 0]
                for where, part in ((place, before), (last_place, cell)):
                    if known(where) is None:
                        part.append(0)
                        cells[where] = part
                    else:
                        self._merge(where, part)
            else:
                self._spread(start, end, entries, at, cell)

    def _on_axis(self, times: Sequence[int]) -> Sequence[int]:
        origin = self._axis.origin
        return [time - origin for time in times] if origin else times

    def _add(
        self, place: int, points: Points, numbers: Sequence[Number | None], first: int, end: int, is_plain: bool
    ) -> None:
        count = end - first
        if is_plain:
            here = numbers[first:end]
            low, high = min(here), max(here)  # type: ignore[type-var]
            time = points.times[first] if count == 1 else max(points.times[first:end])
            self._merge(place, [low, high, here[-1], count, points.steps[end - 1], time, 0, 0, 0])  # type: ignore[list-item]
            return
        for at in range(first, end):
            number, low, high, counted = numbers[at], math.nan, math.nan, [0, 0, 0]
            if number is None:
                number = math.nan
            elif number != number:
                counted[0] = 1
            elif number in (math.inf, -math.inf):
                counted[1 if number > 0 else 2] = 1
            else:
                low = high = number
            self._merge(place, [low, high, number, 1, points.steps[at], points.times[at], *counted])

    def _merge(self, place: int, more: list[Number]) -> None:
        cell = self._cells.get(place)
        if cell is None:
            self._cells[place] = [*more, 0]
            return
        low, high, last, count, step, time, nans, infs, ninfs = more
        if low < cell[_LOW] or cell[_LOW] != cell[_LOW]:
            cell[_LOW] = low
        if high > cell[_HIGH] or cell[_HIGH] != cell[_HIGH]:
            cell[_HIGH] = high
        if last == last or nans or not _has_number(cell):
            cell[_LAST], cell[_STEP] = last, step
        cell[_COUNT] += count
        if time > cell[_TIME]:
            cell[_TIME] = time
        if nans or infs or ninfs:
            cell[_NANS] += nans
            cell[_INFS] += infs
            cell[_NINFS] += ninfs

    def _spread(self, start: int, end: int, entries: Entries, at: int, cell: list[Number]) -> None:
        """Place an entry that reaches from ``start`` to ``end``, and into several buckets or beyond the ends."""
        shift, count, span = self._shift, entries.counts[at], max(1, end - start)
        low, high, last, _, step, time, *unusual = cell
        first_x, last_x = self._ends(start, end, entries, at)
        first_place, last_place = first_x >> shift, last_x >> shift
        begun, lasting = entries.min_times[at], entries.max_times[at] - entries.min_times[at]
        is_wide = span >> shift >= 2
        below = _below(max(start, self._low), start, span, count)
        place, stop = max(start, self._low) >> shift, min(end, self._high)
        while place << shift <= stop:
            beyond = _below(min(place + 1 << shift, self._high + 1), start, span, count)
            counted, below = beyond - below, beyond
            if not counted:  # nothing is in the buckets before the next point
                place = max(place + 1, start + span * below // max(1, count - 1) >> shift if below < count else 0)
                continue
            known, approximate = self._cells.get(place), is_wide
            if place == last_place:
                self._merge(place, [low, high, last, counted, step, time, *unusual])
            else:
                until = begun + lasting * beyond // count
                if place == first_place:
                    number, at_step = entries.firsts[at], entries.first_steps[at]
                elif known is not None:
                    number, at_step = known[_LAST], int(known[_STEP])
                else:
                    number, at_step = self._between(place, entries, at, first_x, last_x)
                    approximate = True
                self._merge(place, [low, high, number, counted, at_step, until, 0, 0, 0])
            if approximate:
                self._cells[place][_APPROXIMATE] = 1
            place += 1

    def _ends(self, start: int, end: int, entries: Entries, at: int) -> tuple[int, int]:
        """Where the first and the last number of an entry are on the axis."""
        return (start, end) if self._axis.is_time else (entries.first_steps[at], entries.last_steps[at])

    def _between(self, place: int, entries: Entries, at: int, first_x: int, last_x: int) -> tuple[Number, int]:
        """A number and a step in a bucket, on the line from the first to the last number of an entry."""
        x = (place << self._shift) + (1 << self._shift) // 2
        part = min(1.0, max(0.0, (x - first_x) / ((last_x - first_x) or 1)))
        first, last = entries.firsts[at], entries.lasts[at]
        steps = entries.first_steps[at], entries.last_steps[at]
        return first * (1 - part) + last * part, x if not self._axis.is_time else round(
            steps[0] * (1 - part) + steps[1] * part
        )


def _below(x: int, start: int, span: int, count: int) -> int:
    """How many of ``count`` points, spaced evenly from ``start`` on, are below ``x``."""
    if x <= start:
        return 0
    return min(count, (x - 1 - start) * (count - 1) // span + 1)


def _has_number(cell: list[Number]) -> bool:
    return cell[_LAST] == cell[_LAST] or cell[_NANS] > 0


def _is_ascending(xs: Sequence[int]) -> bool:
    if isinstance(xs, range):
        return xs.step > 0
    listed = xs if isinstance(xs, list) else list(xs)
    return listed == sorted(listed)
