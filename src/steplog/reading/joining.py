"""Which row of a wide table each point of its metrics is in. Pure.

1. Rows are ascending by step, a step each. Of several points at one step the one that came last counts.
2. A placement is of all metrics whose points have the same steps, in the same order: it is found once.
3. It is ranges and slices, which copy whole stretches, where the steps are evenly spaced, or where a resumed run went
   over some of them again.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, compress, count
from operator import lt, ne
from typing import Any, NamedTuple

__all__ = ["Placement", "join"]

_FIELDS = 4096  # steps that are compared at once
_ONES = int.from_bytes((b"\1" + bytes(7)) * _FIELDS, "little")
_TOPS = _ONES << 63
_PIECES_PART = 8  # points are chosen by slices where there is at most one for so many points


class Placement(NamedTuple):
    """Where points go.

    Attributes:
        chosen: which of them count, by ascending step: slices, or places one by one; None: all, as they are.
        rows: the row of each that counts.
    """

    chosen: list[slice] | list[int] | None
    rows: Sequence[int]

    def pick(self, values: Any) -> Any:
        """Those that count, of an array or a list."""
        if self.chosen is None:
            return values
        made: Any = array(values.typecode) if isinstance(values, array) else []
        for each in self.chosen:
            if not isinstance(each, slice):
                made.extend(map(values.__getitem__, self.chosen))
                break
            made.extend(values[each])
        return made

    def get(self, column: array[int]) -> array[int]:
        """What a column has in the rows."""
        if isinstance(self.rows, range):
            return column[_slice_of(self.rows)]
        return array("q", map(column.__getitem__, self.rows))

    def put(self, values: Any, column: Any) -> None:
        """Put a value in each row of a column."""
        if isinstance(self.rows, range):
            column[_slice_of(self.rows)] = values
        else:
            for row, value in zip(self.rows, values, strict=True):
                column[row] = value

    def spread(self, values: Any, rows: int, empty: Any) -> Any:
        """A column of so many rows, with ``empty``, of one value, elsewhere; the values as they are if they fill it."""
        if len(self.rows) == rows:
            return values
        column = empty * rows
        self.put(values, column)
        return column


def join(each_steps: Sequence[array[int]]) -> tuple[array[int], list[Placement]]:
    """The steps of all rows, and where the points go that have the steps of each; those are of one point at least."""
    if not each_steps:
        return array("q"), []
    sets = list(each_steps)
    chosen: list[list[slice] | list[int] | None] = [None] * len(sets)
    ranges = [_range_of(steps) if len(sets) > 1 else None for steps in sets]
    for at, found in enumerate(ranges):
        if found is None:
            sets[at], chosen[at] = _ascending(sets[at])
            ranges[at] = _range_of(sets[at])
    whole = _union([found for found in ranges if found is not None]) if len(sets) > 1 else None
    if whole is not None:
        rows = array("q", whole)
        places = [_places(steps, found, whole, rows) for steps, found in zip(sets, ranges, strict=True)]
        there = [place for place in places if place is not None]
        if len(there) == len(places):
            return rows, list(map(Placement, chosen, there))
    for at, found in enumerate(ranges):
        if found is not None and chosen[at] is None:  # it only looked like a range
            sets[at], chosen[at] = _ascending(sets[at])
    if all(steps == sets[0] for steps in sets):
        return sets[0], [Placement(each, range(len(sets[0]))) for each in chosen]
    union = dict.fromkeys(sorted(chain(*sets)))
    index = dict(zip(union, range(len(union)), strict=True))
    return array("q", union), [
        Placement(each, list(map(index.__getitem__, steps))) for each, steps in zip(chosen, sets, strict=True)
    ]


def _slice_of(rows: range) -> slice:
    return slice(rows.start, rows.stop, rows.step)


def _range_of(steps: array[int]) -> range | None:
    """The range that they may be: some are looked at. Of a single one, a range by 1."""
    length = len(steps)
    by = steps[1] - steps[0] if length > 1 else 1
    if by <= 0 or steps[-1] - steps[0] != by * (length - 1):
        return None
    if any(steps[at] - steps[0] != by * at for at in range(0, length, length // 16 + 1)):
        return None
    return range(steps[0], steps[-1] + 1, by)


def _union(ranges: Sequence[range]) -> range | None:
    """All that is in any of them, if that is a range too."""
    if not ranges:
        return None
    by = min((each.step for each in ranges if len(each) > 1), default=1)
    finest = sorted((each[0], each[-1]) for each in ranges if each.step == by or len(each) == 1)
    start, end = finest[0]
    for first, last in finest:
        if first > end + by:
            return None
        end = max(end, last)
    whole = range(start, end + 1, by)
    fits = (each[0] in whole and each[-1] in whole and (len(each) == 1 or each.step % by == 0) for each in ranges)
    return whole if all(fits) else None


def _places(steps: array[int], found: range | None, whole: range, rows: array[int]) -> Sequence[int] | None:
    """The rows of some steps, which may be the range ``found``, among those of ``whole``; None if one has no row."""
    by = whole.step
    if found is not None:
        places = range((found[0] - whole[0]) // by, (found[-1] - whole[0]) // by + 1, max(1, found.step // by))
        return places if (rows if len(places) == len(rows) else rows[_slice_of(places)]) == steps else None
    if steps[0] not in whole or steps[-1] not in whole:
        return None
    try:
        return list(map(whole.index, steps))
    except ValueError:
        return None


def _ascending(steps: array[int]) -> tuple[array[int], list[slice] | list[int] | None]:
    """The steps, each once, and where each came last; None where they are ascending as they are."""
    if _ascends(steps):
        return steps, None
    last = dict(zip(steps, range(len(steps)), strict=True))
    ascending = sorted(last)
    places = list(map(last.__getitem__, ascending))
    pieces = list(_pieces(places))
    return array("q", ascending), pieces if len(pieces) * _PIECES_PART <= len(places) else places


def _ascends(steps: array[int]) -> bool:
    """Whether each is greater than the one before it; many are compared at once, as the fields of a large integer.

    Of a step below 2**63, plus 2**63 - 1, less another one the top bit is set if it is the greater one of the two, and
    nothing is borrowed from the next field.
    """
    view = memoryview(steps)
    content, ends = view.cast("B"), range(_FIELDS, len(steps), _FIELDS)
    for end in ends:
        lower = int.from_bytes(content[8 * (end - _FIELDS) : 8 * end], sys.byteorder)
        upper = int.from_bytes(content[8 * (end - _FIELDS + 1) : 8 * (end + 1)], sys.byteorder)
        if (lower | upper) & _TOPS:  # there are negative ones
            if not all(map(lt, view[end - _FIELDS : end], view[end - _FIELDS + 1 : end + 1])):
                return False
        elif (upper + _TOPS - _ONES - lower) & _TOPS != _TOPS:
            return False
    rest = view[len(ends) * _FIELDS :]
    return all(map(lt, rest, rest[1:]))


def _pieces(places: list[int]) -> Iterator[slice]:
    """The places that follow one another, as slices."""
    start = 0
    for end in chain(compress(count(1), map(ne, map((1).__add__, places), places[1:])), (len(places),)):
        yield slice(places[start], places[end - 1] + 1)
        start = end
