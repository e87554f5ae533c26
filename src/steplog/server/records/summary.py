"""Summaries: what a long curve is drawn from, without its points. Pure.

An *entry* sums up some points of one series: their range of steps and of times, their lowest, highest, first and last
number, how many they are, and how many are NaN or infinite. Entries are made by arrival and never corrected::

    level 1    some ``POINTS_AN_ENTRY`` points of one chunk
    level n    some ``FANOUT`` entries of level n - 1

- Where steps do not decrease, entries end at multiples of a power of two, as buckets of a curve do (``grid``), so that
  no entry of them reaches into two buckets that are at least as wide.
- Elsewhere an entry has the points of a stretch that lie close to each other: one that goes back, repeats steps beside
  others or leaves a gap makes several entries, none of which covers what is between them.
- ``low`` and ``high`` are of finite numbers, ``first`` and ``last`` of any, a bool as 0 or 1; NaN where there is none.
  They are integers (typecode q) while all values are, else float64.

A *row* has the entries of consecutive chunks, as a MessagePack array of columns: count, lowest step, from there to the
highest, from the lowest to the first, from the last to the highest, first time, from there to the last, and the others.
A column is [first, stride, count], or a typecode (B, H, I, q or d) with little-endian words. Deflating what can be
would save a quarter, and decoding would take twice as long.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import chain, pairwise
from operator import add, sub
from typing import Any

import msgspec

from steplog.journal import slot
from steplog.records.points import Number, Points

__all__ = ["FANOUT", "POINTS_AN_ENTRY", "Entries", "coarser", "concatenate", "decode", "encode", "summarize"]

POINTS_AN_ENTRY = 64
FANOUT = 8
_CLUSTERS_MAX = 8  # entries made of one stretch
_GAP = 8  # times as wide as the median group
_ROOT = 181  # 128 times the square root of 2
_WRAP = 1 << 64
_HALF = 1 << 63
_INTEGERS = slot.KIND_INT, slot.KIND_BOOL

_Numbers = Sequence[Number]
_Groups = list[Sequence[int]]  # the places of what makes an entry, ascending


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries in order of arrival, as columns."""

    counts: Sequence[int]
    min_steps: Sequence[int]
    max_steps: Sequence[int]
    first_steps: Sequence[int]  # of ``firsts``
    last_steps: Sequence[int]
    min_times: Sequence[int]
    max_times: Sequence[int]
    lows: _Numbers
    highs: _Numbers
    firsts: _Numbers
    lasts: _Numbers
    nans: Sequence[int]
    infs: Sequence[int]
    ninfs: Sequence[int]

    def __len__(self) -> int:
        return len(self.counts)

    def part(self, first: int, end: int) -> Entries:
        """The entries ``[first, end)``."""
        return Entries(*(column[first:end] for column in self.columns()))

    def columns(self) -> list[Sequence[Any]]:
        """Every field."""
        return [getattr(self, name) for name in self.__slots__]

    @property
    def number_range(self) -> tuple[Number, Number] | None:
        """The least and greatest number; None where some are not finite."""
        if any(self.nans) or any(self.infs) or any(self.ninfs) or math.isnan(sum(self.lows)):
            return None
        return min(self.lows), max(self.highs)

    @property
    def widest(self) -> tuple[int, int]:
        """The largest range of steps, and of times, that an entry has."""
        return max(map(sub, self.max_steps, self.min_steps)), max(map(sub, self.max_times, self.min_times))


def summarize(points: Points, is_ascending: bool = False) -> Entries:
    """Level 1 of one chunk's points, at least one; ``is_ascending``: their times are known to be."""
    steps, times, numbers, kind = points.steps, points.times, points.numbers(), points.kind
    if isinstance(numbers, array):
        numbers = numbers.tolist()
    are_floats = kind == slot.KIND_FLOAT
    are_integers = kind in _INTEGERS or (not are_floats and all(isinstance(number, int) for number in numbers))
    is_plain = are_integers or (are_floats and math.isfinite(sum(numbers)))
    are_ordered = _is_ascending(steps), is_ascending or _is_ascending(times)
    groups = _groups(steps, steps, POINTS_AN_ENTRY, POINTS_AN_ENTRY * 3 // 2, are_ordered[0])
    if not isinstance(steps, range):
        groups = _split(groups, steps)
    groups = _split(groups, times)
    if is_plain and all(are_ordered) and set(map(type, groups)) == {range}:
        return _plain_entries(groups, steps, times, numbers, "q" if are_integers else "d")
    rows = []
    for group in groups:
        here, when, what = (_taken(column, group) for column in (steps, times, numbers))
        low, high = (here[0], here[-1]) if are_ordered[0] else (min(here), max(here))
        begun, ended = (when[0], when[-1]) if are_ordered[1] else (min(when), max(when))
        if is_plain:
            ends: Any = (here[0], here[-1], begun, ended, min(what), max(what), what[0], what[-1], 0, 0, 0)
        else:
            ends = _unusual(here, begun, ended, what)
        rows.append((len(here), low, high, *ends))
    return _entries(zip(*rows, strict=True), are_integers)


def _plain_entries(
    groups: _Groups, steps: Sequence[int], times: Sequence[int], numbers: Sequence[Any], typecode: str
) -> Entries:
    """Entries of stretches, all in order and of finite numbers."""
    firsts = [group[0] for group in groups]
    ends = [*firsts[1:], len(numbers)]
    lasts = [end - 1 for end in ends]
    parts = list(map(numbers.__getitem__, map(slice, firsts, ends)))
    low, high, begun, ended = (
        array("q", map(column.__getitem__, places)) for column in (steps, times) for places in (firsts, lasts)
    )
    values = (map(min, parts), map(max, parts), *(map(numbers.__getitem__, places) for places in (firsts, lasts)))
    nothing = array("q", [0]) * len(firsts)
    counts = array("q", map(sub, ends, firsts))
    least, most, first, last = (array(typecode, column) for column in values)
    return Entries(counts, low, high, low, high, begun, ended, least, most, first, last, nothing, nothing, nothing)


def coarser(entries: Entries) -> Entries:
    """The next level of at least one entry."""
    lows, highs = entries.min_steps, entries.max_steps
    are_ascending = _is_ascending(lows) and _is_ascending(highs)
    groups = _groups(lows, highs, FANOUT, 2 * FANOUT, are_ascending)
    groups = [part for group in groups for part in _clusters(group, lows, highs)]
    merged: list[tuple[Any, ...]] = []
    for group in groups:
        taken = [_taken(column, group) for column in entries.columns()]
        counts, min_steps, max_steps, first_steps, last_steps, min_times, max_times, *numbers = taken
        low, high = _least(numbers[0], min), _least(numbers[1], max)
        firsts, lasts, nans, infs, ninfs = numbers[2:]
        first, last = _first_number(taken), _last_number(taken)
        ends = first_steps[first], last_steps[last], min(min_times), max(max_times), low, high
        counted = firsts[first], lasts[last], sum(nans), sum(infs), sum(ninfs)
        merged.append((sum(counts), min(min_steps), max(max_steps), *ends, *counted))
    return _entries(zip(*merged, strict=True), _are_integers(entries.lows))


def concatenate(parts: Sequence[Entries]) -> Entries:
    """Entries one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Entries(*map(_chained, zip(*(part.columns() for part in parts), strict=True)))


def encode(entries: Entries) -> bytes:
    """The data of a row."""
    counts, low, high, first, last, begun, ended, *values = entries.columns()
    spans = [_spans(*pair) for pair in ((high, low), (first, low), (high, last), (ended, begun))]
    typecode = "q" if all(map(_are_integers, values[:4])) else "d"
    columns = [counts, low, *spans[:3], begun, spans[3], *(_array(typecode, column) for column in values[:4])]
    return msgspec.msgpack.encode([_packed(column) for column in (*columns, *values[4:])])


def decode(rows: Iterable[bytes]) -> Entries:
    """The entries of rows, of at least one."""
    columns: list[list[Any]] = [[] for _ in _TYPECODES]
    for data in rows:
        for found, (first, *rest) in zip(columns, msgspec.msgpack.decode(data), strict=True):
            if isinstance(first, str):
                found.extend(_unpacked(first, *rest))
            else:
                stride, count = rest
                found.extend(range(first, first + stride * count, stride) if stride else [first] * count)
    counts, low, width, head, tail, begun, lasting, *values = columns
    high = _added(low, width)
    steps = low, high, _added(low, head), _added(high, tail, -1)
    return Entries(counts, *steps, begun, _added(begun, lasting), *values)


_TYPECODES = "qqqqqqqddddqqq"
_UNSIGNED = ("B", 1 << 8), ("H", 1 << 16), ("I", 1 << 32)


def _groups(lows: Sequence[int], highs: Sequence[int], size: int, size_max: int, are_ascending: bool) -> _Groups:
    """What makes an entry each, of places with these lowest and highest steps."""
    count = len(lows)
    if are_ascending:
        return _windows(lows, highs, size, size_max)
    groups = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return [part for group in groups for part in _clusters(group, lows, highs)] if lows is highs else [*groups]


def _is_ascending(steps: Sequence[int]) -> bool:
    if isinstance(steps, range):
        return steps.step > 0
    listed = list(steps)
    return listed == sorted(listed)


def _windows(lows: Sequence[int], highs: Sequence[int], size: int, size_max: int) -> _Groups:
    """_Groups that end at multiples of a power of two, the one that comes next to ``size`` places each."""
    count = len(lows)
    shift = max(1, (highs[-1] - lows[0] + 1) * size * _ROOT // (count << 7)).bit_length() - 1
    if isinstance(lows, range) and lows is highs and lows.step <= 1 << shift <= lows.step * size_max:
        edges = range(((lows[0] >> shift) + 1) << shift, lows[-1] + 1, 1 << shift)
        places = [-((lows[0] - edge) // lows.step) for edge in edges]
        return list(map(range, [0, *places], [*places, count]))
    groups: _Groups = []
    first = 0
    while first < count:
        end = min(first + size_max, count)
        if lows[end - 1] >> shift != lows[first] >> shift:
            end = bisect_left(lows, ((lows[first] >> shift) + 1) << shift, first, end)
        groups.append(range(first, end))
        first = end
    return groups


def _clusters(places: Sequence[int], lows: Sequence[int], highs: Sequence[int]) -> _Groups:
    """The places, apart where most of the range that they cover is empty."""
    order = sorted(places, key=lows.__getitem__)
    if highs[order[-1]] - lows[order[0]] < 2 * len(order):
        return [places]
    gaps: list[tuple[int, int]] = []
    top = highs[order[0]]
    for index, place in enumerate(order[1:], 1):
        gaps.append((max(0, lows[place] - top), index))
        top = max(top, highs[place])
    width = top - lows[order[0]]
    cuts = [gap for gap in nlargest(_CLUSTERS_MAX - 1, gaps) if gap[0] > 1]
    if not cuts or 2 * sum(gap for gap, _ in cuts) < width:
        return [places]
    bounds = [0, *sorted(index for gap, index in cuts if 16 * gap > width), len(order)]
    return sorted((sorted(order[a:b]) for a, b in pairwise(bounds)), key=lambda cluster: cluster[-1])


def _split(groups: _Groups, numbers: Sequence[int]) -> _Groups:
    """The groups, those apart whose steps or times have a gap, as where a program went on the next day."""
    widths = [numbers[group[-1]] - numbers[group[0]] for group in groups]
    limit = _GAP * sorted(widths)[len(widths) // 2]
    if max(widths) <= limit:
        return groups
    split: _Groups = []
    for group, width in zip(groups, widths, strict=True):
        split += _clusters(group, numbers, numbers) if width > limit else [group]
    return split


def _taken(column: Sequence[Any], group: Sequence[int]) -> Sequence[Any]:
    if isinstance(group, range):
        return column[group.start : group.stop]
    return [column[place] for place in group]


def _unusual(steps: Sequence[int], begun: int, ended: int, numbers: Sequence[Number | None]) -> tuple[Any, ...]:
    """As ``summarize`` has it, where some are no number, NaN or infinite."""
    places = [place for place, number in enumerate(numbers) if number is not None]
    first, last = (places[0], places[-1]) if places else (0, -1)
    known = [number for number in numbers if number is not None]
    finite = [number for number in known if isinstance(number, int) or math.isfinite(number)]
    infs, ninfs = known.count(math.inf), known.count(-math.inf)
    low, high = (min(finite), max(finite)) if finite else (math.nan, math.nan)
    ends = (known[0], known[-1]) if known else (math.nan, math.nan)
    nans = len(known) - len(finite) - infs - ninfs
    return steps[first], steps[last], begun, ended, low, high, *ends, nans, infs, ninfs


def _least(numbers: _Numbers, of: Callable[[Iterable[Number]], Number]) -> Number:
    total = sum(numbers)
    if total == total:  # no NaN
        return of(numbers)
    finite = [number for number in numbers if number == number]
    return of(finite) if finite else math.nan


def _has_number(taken: Sequence[Sequence[Any]], place: int) -> bool:
    return taken[7][place] == taken[7][place] or any(column[place] for column in taken[11:])


def _first_number(taken: Sequence[Sequence[Any]]) -> int:
    return next((place for place in range(len(taken[0])) if _has_number(taken, place)), 0)


def _last_number(taken: Sequence[Sequence[Any]]) -> int:
    return next((place for place in reversed(range(len(taken[0]))) if _has_number(taken, place)), -1)


def _entries(columns: Iterable[Sequence[Any]], are_integers: bool) -> Entries:
    typecodes = _TYPECODES if not are_integers else "q" * len(_TYPECODES)
    return Entries(*(array(typecode, column) for typecode, column in zip(typecodes, columns, strict=True)))


def _chained(columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
    arrays = [column for column in columns if isinstance(column, array)]
    if len(arrays) == len(columns) and len({column.typecode for column in arrays}) == 1:
        return array(arrays[0].typecode, b"".join(arrays))
    return list(chain.from_iterable(columns))


def _are_integers(numbers: _Numbers) -> bool:
    if isinstance(numbers, array):
        return numbers.typecode == "q"
    return all(isinstance(number, int) for number in numbers)


def _array(typecode: str, column: Sequence[Any]) -> array[Any]:
    return column if isinstance(column, array) and column.typecode == typecode else array(typecode, column)


def _spans(numbers: Sequence[int], others: Sequence[int]) -> array[int]:
    """The differences, modulo 2 ** 64."""
    if numbers == others:
        return array("q", [0]) * len(numbers)
    listed = list(map(sub, numbers, others))
    return array("q", listed if max(listed) < _HALF else [n - _WRAP if n >= _HALF else n for n in listed])


def _added(numbers: Sequence[int], spans: Sequence[int], sign: int = 1) -> Sequence[int]:
    if not any(spans):
        return numbers
    if min(spans) < 0:
        spans = [span % _WRAP for span in spans]
    return list(map(add if sign > 0 else sub, numbers, spans))


def _packed(column: Sequence[Any]) -> tuple[Any, ...]:
    first, count = column[0], len(column)
    if isinstance(column, array):
        content = column.tobytes()
        if content[: -column.itemsize] == content[column.itemsize :]:
            return first, 0, count
        if column.typecode == "d":
            return "d", _little(column)
    stride = column[1] - first if count > 1 else 0
    if column[-1] == first + stride * (count - 1) and -_HALF <= stride < _HALF:
        ramp = range(first, first + stride * count, stride) if stride else [first] * count
        if _array("q", column) == array("q", ramp):
            return first, stride, count
    least, most = min(column), max(column)
    typecode = next((code for code, end in _UNSIGNED if least >= 0 and most < end), "q")
    return typecode, _little(_array(typecode, column))


def _unpacked(typecode: str, content: bytes) -> Iterable[Any]:
    if sys.byteorder == "big":
        words = array(typecode, content)
        words.byteswap()
        return words
    return memoryview(content).cast(typecode)  # type: ignore[call-overload, no-any-return]


def _little(words: array[Any]) -> bytes:
    if sys.byteorder == "big":
        words = words[:]
        words.byteswap()
    return words.tobytes()
