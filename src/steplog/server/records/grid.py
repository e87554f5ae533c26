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
from itertools import accumulate, chain, compress, islice, pairwise
from operator import add, le, sub
from typing import Any, NamedTuple

import msgspec

from steplog.journal import slot
from steplog.records.points import Number, Points
from steplog.server.records.summary import Entries

__all__ = ["Axis", "Bucket", "Curve", "width_for"]

_EVEN_MAX = 256
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
    """The buckets of one series; add its parts in order of arrival.

    What is added in order of the axis goes to *stretches*, columns of buckets, the rest to *cells*, a list a bucket.
    No bucket is in both, and no cell between those of a stretch.
    """

    def __init__(self, width: int, axis: Axis, low: int, high: int) -> None:
        """A grid of this width; of points outside of [low, high] on the axis nothing is kept."""
        self._shift = width.bit_length() - 1
        self._axis = axis
        self._low, self._high = low, high
        self._cells: dict[int, list[Number]] = {}
        self._stretches: list[list[Sequence[Any]]] = []
        self._top = -math.inf  # the highest place

    def columns(self) -> list[Sequence[Any]]:
        """The fields of ``Bucket``, a column each, of the buckets with points, in order; empty if there are none."""
        parts: list[list[Sequence[Any]]] = [*self._stretches]
        parts += [[(place,), *((value,) for value in cell)] for place, cell in self._cells.items()]
        if len(parts) > 2 * len(self._stretches) + 2:  # mostly cells
            self._dissolve()
            places = sorted(self._cells)
            return [places, *zip(*map(self._cells.__getitem__, places), strict=True)]
        parts.sort(key=lambda part: int(part[0][0]))
        return [list(chain.from_iterable(columns)) for columns in zip(*parts, strict=True)]

    def buckets(self) -> list[Bucket]:
        """The buckets with points, in order."""
        return [Bucket(*(*row[:-1], row[-1] > 0)) for row in zip(*self.columns(), strict=True)]

    def add_points(self, points: Points) -> None:
        """Place points."""
        xs = self._on_axis(points.times) if self._axis.is_time else points.steps
        if not len(xs):
            return
        numbers = points.numbers()
        if isinstance(numbers, array):
            numbers = numbers.tolist()
        is_plain = points.kind in (slot.KIND_INT, slot.KIND_BOOL) or (
            points.kind == slot.KIND_FLOAT and math.isfinite(sum(numbers))
        )
        if is_plain and _is_ascending(xs):
            columns = self._point_columns(points, xs, numbers)  # type: ignore[arg-type]
            if not columns or self._extend(columns):
                return
        self._dissolve()
        for at, x in enumerate(xs):
            if self._low <= x <= self._high:
                self._add(x >> self._shift, points, numbers[at], at)

    def add_entries(self, entries: Entries) -> None:
        """Place entries of a summary."""
        is_time = self._axis.is_time
        lows = self._on_axis(entries.min_times) if is_time else entries.min_steps
        highs = self._on_axis(entries.max_times) if is_time else entries.max_steps
        columns = self._entry_columns(entries, list(lows), list(highs))
        if columns is not None and self._extend(columns):
            return
        self._dissolve()
        values = (entries.lows, entries.highs, entries.lasts, entries.counts, entries.last_steps, entries.max_times)
        rows = zip(lows, highs, *values, entries.nans, entries.infs, entries.ninfs, strict=True)
        for at, (start, end, *cell) in enumerate(rows):
            if start >> self._shift == end >> self._shift and start >= self._low and end <= self._high:
                self._merge(start >> self._shift, cell)
            elif end >= self._low and start <= self._high:
                self._spread(start, end, entries, at, cell)

    def _point_columns(self, points: Points, xs: Sequence[int], numbers: Sequence[Number]) -> list[Sequence[Any]]:
        """Points in order, all numbers and finite, as columns; empty if none of them is wanted."""
        first, end = bisect_left(xs, self._low), bisect_left(xs, self._high + 1)
        if first >= end:
            return []
        size = self._points_a_bucket(xs, first, end)
        head, tail = first, first  # between them each bucket has as many points
        if size > 1:
            head = min(end, first + (-xs[first] % (1 << self._shift)) // (xs[first + 1] - xs[first]))
        if size:
            tail = max(head, end - (end - head) % size)
        parts = [
            self._uneven_columns(points, xs, numbers, first, head) if first < head else [],
            self._even_columns(points, xs, numbers, head, tail, size) if head < tail else [],
            self._uneven_columns(points, xs, numbers, tail, end) if tail < end else [],
        ]
        columns = [list(chain.from_iterable(each)) for each in zip(*filter(None, parts), strict=True)]
        zeros = [0] * len(columns[0])
        return [*columns, zeros, zeros, zeros, zeros]

    def _points_a_bucket(self, xs: Sequence[int], first: int, end: int) -> int:
        """How many points a bucket has that is full; 0 if they are not evenly spaced, or that differs."""
        if end - first < 3:
            return 0
        stride, width = xs[first + 1] - xs[first], 1 << self._shift
        if stride <= 0 or (stride < width and (width % stride or xs[first] % stride or width // stride > _EVEN_MAX)):
            return 0
        if xs[end - 1] - xs[first] != stride * (end - first - 1):
            return 0
        spaced = range(xs[first], xs[end - 1] + 1, stride)
        found = xs[first:end]
        is_even = found == spaced if isinstance(found, range) else list(found) == list(spaced)
        return max(1, width // stride) if is_even else 0

    def _even_columns(
        self, points: Points, xs: Sequence[int], numbers: Sequence[Number], first: int, end: int, size: int
    ) -> list[Sequence[Any]]:
        """Buckets of as many points each."""
        last = first + size - 1
        rows = [numbers[first + at : end : size] for at in range(size)]
        count = len(rows[0])
        times = points.times[first:end]
        latest = [points.times[first + at : end : size] for at in range(size)]
        is_single = size == 1
        return [
            [x >> self._shift for x in xs[last:end:size]],
            rows[0] if is_single else list(map(min, *rows)),
            rows[0] if is_single else list(map(max, *rows)),
            rows[-1],
            [size] * count,
            points.steps[last:end:size],
            latest[-1] if is_single or _is_ascending(times) else list(map(max, *latest)),
        ]

    def _uneven_columns(
        self, points: Points, xs: Sequence[int], numbers: Sequence[Number], first: int, end: int
    ) -> list[Sequence[Any]]:
        shift = self._shift
        places, bounds = [], [first]
        while first < end:
            places.append(xs[first] >> shift)
            first = bisect_left(xs, places[-1] + 1 << shift, first, end)
            bounds.append(first)
        steps, times = points.steps, points.times
        parts = [numbers[a:b] for a, b in pairwise(bounds)]
        return [
            places,
            list(map(min, parts)),
            list(map(max, parts)),
            [part[-1] for part in parts],
            list(map(len, parts)),
            [steps[b - 1] for b in bounds[1:]],
            [max(times[a:b]) for a, b in pairwise(bounds)],
        ]

    def _entry_columns(self, entries: Entries, lows: list[int], highs: list[int]) -> list[Sequence[Any]] | None:
        """Entries in order, of two buckets at most, as ``_spread`` would place them; None if they are not so."""
        shift = self._shift
        if lows[0] < self._low or highs[-1] > self._high or not all(map(le, highs, islice(lows, 1, None))):
            return None
        places = [low >> shift for low in lows]
        crossing = [(high >> shift) - place for high, place in zip(highs, places, strict=True)]
        if max(crossing) > 1 or any(entries.nans) or any(entries.infs) or any(entries.ninfs):
            return None
        if not self._axis.is_time and (list(entries.first_steps) != lows or list(entries.last_steps) != highs):
            return None
        if math.isnan(sum(entries.lows)):
            return None
        ends: list[Sequence[Any]] = [entries.lasts, entries.counts, entries.last_steps, entries.max_times]
        columns: list[Sequence[Any]] = [places, entries.lows, entries.highs, *ends]
        if any(crossing):
            spans = zip(lows, highs, places, entries.counts, crossing, strict=True)
            below = [((p + 1 << shift) - 1 - a) * (n - 1) // (b - a) + 1 if two else 0 for a, b, p, n, two in spans]
            rows = zip(entries.min_times, entries.max_times, below, entries.counts, strict=True)
            times = [begun + (ended - begun) * part // n for begun, ended, part, n in rows]
            counts = list(map(sub, entries.counts, below))
            pairs = (
                (places, list(map(add, places, crossing))),
                *((column, column) for column in (entries.lows, entries.highs)),
                (entries.firsts, entries.lasts),
                (below, counts),
                (entries.first_steps, entries.last_steps),
                (times, entries.max_times),
            )
            # Both where an entry crosses into a second bucket, and else what it has in its only one.
            kept = list(chain.from_iterable((two, 1) for two in crossing))
            columns = [_interleaved(*pair, kept) for pair in pairs]
        return _joined(columns)

    def _extend(self, columns: list[Sequence[Any]]) -> bool:
        """Add buckets in order, if they are the highest. The last one goes to the cells: what comes may add to it."""
        places = columns[0]
        if places[0] < self._top:
            return False
        first = 1 if places[0] == self._top else 0
        for at in range(first):
            self._merge(places[at], [column[at] for column in columns[1:-1]])
        if len(places) - first > 1:
            self._stretches.append([column[first:-1] for column in columns])
        if len(places) > first:
            self._merge(places[-1], [column[-1] for column in columns[1:-1]])
        return True

    def _dissolve(self) -> None:
        """Make cells of all stretches."""
        for places, *columns in self._stretches:
            self._cells.update(zip(places, map(list, zip(*columns, strict=True)), strict=True))
        self._stretches.clear()

    def _on_axis(self, times: Sequence[int]) -> Sequence[int]:
        origin = self._axis.origin
        return [time - origin for time in times] if origin else times

    def _add(self, place: int, points: Points, number: Number | None, at: int) -> None:
        low, high, counted = math.nan, math.nan, [0, 0, 0]
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
            self._top = max(self._top, place)
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


def _interleaved(firsts: Sequence[Any], seconds: Sequence[Any], kept: Sequence[int]) -> list[Any]:
    """One of each in turn, as far as they are kept."""
    return list(compress(chain.from_iterable(zip(firsts, seconds, strict=True)), kept))


def _joined(columns: list[Sequence[Any]]) -> list[Sequence[Any]]:
    """Columns of buckets in order, those of one place joined; with what there is not of, and approximate ones."""
    places = columns[0]
    again = [at for at, (before, place) in enumerate(pairwise(places), 1) if place == before]
    if again:
        columns = _few_joined(columns, again) if len(again) * 8 < len(places) else _many_joined(columns)
    zeros = [0] * len(columns[0])
    return [*columns, zeros, zeros, zeros, zeros]


def _few_joined(columns: Sequence[Sequence[Any]], again: Sequence[int]) -> list[Sequence[Any]]:
    places, lows, highs, lasts, counts, steps, times = lists = [list(column) for column in columns]
    for at in reversed(again):
        lows[at] = min(lows[at], lows[at - 1])
        highs[at] = max(highs[at], highs[at - 1])
        counts[at] += counts[at - 1]
        times[at] = max(times[at], times[at - 1])
        for column in (places, lows, highs, lasts, counts, steps, times):
            del column[at - 1]
    return [*lists]


def _many_joined(columns: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    places, lows, highs, lasts, counts, steps, times = columns
    bounds = [0, *(at for at, (a, b) in enumerate(pairwise(places), 1) if a != b), len(places)]
    cuts, ends = [slice(a, b) for a, b in pairwise(bounds)], [b - 1 for b in bounds[1:]]
    below = list(accumulate(counts, initial=0))
    return [
        [places[end] for end in ends],
        [min(lows[cut]) for cut in cuts],
        [max(highs[cut]) for cut in cuts],
        [lasts[end] for end in ends],
        [below[b] - below[a] for a, b in pairwise(bounds)],
        [steps[end] for end in ends],
        [times[end] for end in ends] if _is_ascending(times) else [max(times[cut]) for cut in cuts],
    ]


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
