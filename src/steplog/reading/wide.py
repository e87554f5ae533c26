"""Tables of points: wide, a column a metric, joined by step; long, a row a point. Pure.

1. Numbers are copied once into a wide table, and not at all into a long one, where they come as buffers and in large
   stretches.
2. An integer is a number of float64 only where that holds it exactly.
3. The texts "NaN", "Infinity" and "-Infinity" are numbers among JSON values, as everywhere in the API.

Fast where the steps of a metric are ascending, and equal or evenly spaced among metrics; right elsewhere.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import lt
from typing import Any

import msgspec

from steplog.reading.arrow_data import Repeated
from steplog.reading.arrow_table import ArrowColumn, ArrowTable
from steplog.reading.points import SeriesPoints

__all__ = ["long", "wide"]

_TYPECODES = {"f8": "d", "i8": "q"}
_FORMATS = {
    "d": ("d",),
    "q": ("q", "l") if array("l").itemsize == 8 else ("q",),
}  # of the views that are as an array is
_EXACT = 2**53  # all integers up to here are numbers of float64
_INT64 = range(-(2**63), 2**63)
_NOT_FINITE: Mapping[Any, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BATCH_ROWS = 65_536  # of small stretches in one batch of a long table
_OWN_BATCH_ROWS = 4096  # a stretch of so many is a batch of its own
_JOIN = ("step", "time")
_FLIPPED = bytes((1, 0, *range(2, 256)))
_encode = msgspec.json.Encoder().encode
_Numbers = Sequence[Any]


def wide(points: Iterable[SeriesPoints], names: Sequence[str] | None = None) -> ArrowTable:
    """A row a step, ascending: ``step``, ``time`` (the latest of the row's points), and a column a metric.

    Of several values of one metric at one step the one that came last counts. A metric is float64 if all its values
    are floats, or integers that float64 holds among floats; int64 if all are integers; else JSON. One that is called
    step or time is the column ``step_`` or ``time_``.

    Args:
        points: of any metrics.
        names: the columns, in this order; of what has no points all values are missing. None: the metrics in the order
            in which they come.
    """
    metrics = {name: _Metric() for name in names or ()}
    for each in points:
        if names is None and each.name not in metrics:
            metrics[each.name] = _Metric()
        if each.name in metrics:
            metrics[each.name].add(each)
    groups = _grouped(metrics)
    steps, places = _joined([group.steps for group in groups])
    rows = len(steps)
    columns = {}
    times = array("q", [_INT64[0]]) * rows if len(groups) > 1 else array("q")
    for group, place in zip(groups, places, strict=True):
        valid = _valid(place, rows)
        for name, kind, values in group.metrics:
            columns[name] = ArrowColumn(name, kind, _placed(values, place, rows), valid)
        times = _latest(group.times) if len(groups) == 1 else _later(times, place, _latest(group.times))
    nothing = ArrowColumn("", "f8", array("d", bytes(8 * rows)), bytes(rows))
    taken = {*_JOIN, *metrics}
    made = [ArrowColumn("step", "i8", steps), ArrowColumn("time", "time", times)]
    for name in metrics:
        free = name
        while free in _JOIN or (free != name and free in taken):
            free += "_"
        taken.add(free)
        made.append(columns.get(name, nothing)._replace(name=free))
    return ArrowTable(made)


def long(points: Iterable[SeriesPoints]) -> ArrowTable:
    """A row a point, in the order in which they come: ``name``, ``step``, ``time``, ``value`` and ``json``.

    ``value`` is a float64, missing where a value is no number, or an integer that float64 does not hold; ``json`` is
    the value's JSON text there, and missing elsewhere.
    """
    batches: list[list[ArrowColumn]] = []
    small: list[SeriesPoints] = []
    held = 0
    for each in points:
        rows = len(each.steps)
        if small and (rows >= _OWN_BATCH_ROWS or held >= _BATCH_ROWS):
            batches.append(_batch(small))
            small, held = [], 0
        if rows >= _OWN_BATCH_ROWS:
            batches.append(_batch([each]))
        elif rows:
            small.append(each)
            held += rows
    if small or not batches:
        batches.append(_batch(small))
    return ArrowTable(*batches)


def _batch(parts: Sequence[SeriesPoints]) -> list[ArrowColumn]:
    values = [_long_values(part) for part in parts]
    names: Sequence[str]
    if len(parts) == 1:
        steps, times, ((numbers, valid, texts),) = parts[0].steps, parts[0].times, values
    else:
        steps = _concatenated("q", (part.steps for part in parts))
        times = _concatenated("q", (part.times for part in parts))
        numbers = _concatenated("d", (each for each, _, _ in values))
        valid = b"".join(each for _, each, _ in values)
        texts = list(chain(*(each for _, _, each in values)))
    if len({part.name for part in parts}) == 1:
        names = Repeated(parts[0].name, len(steps))
    else:
        names = list(chain(*(repeat(part.name, len(part.steps)) for part in parts)))
    return [
        ArrowColumn("name", "text", names),
        ArrowColumn("step", "i8", steps),
        ArrowColumn("time", "time", times),
        ArrowColumn("value", "f8", numbers, valid if 0 in valid else None),
        ArrowColumn("json", "json", texts, valid.translate(_FLIPPED)),
    ]


def _long_values(part: SeriesPoints) -> tuple[_Numbers, bytes, Sequence[bytes]]:
    """The numbers of a stretch, 1 for each that is one, and the JSON texts for the others."""
    rows = len(part.steps)
    if part.kind == "f8":
        return part.values, b"\1" * rows, Repeated(b"", rows)
    found = _listed(part.values) if part.kind == "i8" else _decoded(part.values)
    if part.kind == "i8" and (not found or (min(found) >= -_EXACT and max(found) <= _EXACT)):
        return array("d", found), b"\1" * rows, Repeated(b"", rows)
    valid = bytes(map(_is_number, found))
    numbers = array("d", (value if there else 0.0 for value, there in zip(found, valid, strict=True)))
    texts: Iterable[Any] = map(_text, found) if part.kind == "i8" else part.values
    return numbers, valid, [b"" if there else bytes(text) for text, there in zip(texts, valid, strict=True)]


class _Metric:
    """The points of a metric, as they come; of its values one sequence for each stretch of one kind."""

    __slots__ = ("parts", "steps", "times")

    def __init__(self) -> None:
        self.steps = array("q")
        self.times = array("q")
        self.parts: list[tuple[str, Any]] = []

    def add(self, points: SeriesPoints) -> None:
        if not len(points.steps):
            return
        if not self.parts or self.parts[-1][0] != points.kind:
            typecode = _TYPECODES.get(points.kind)
            self.parts.append((points.kind, [] if typecode is None else array(typecode)))
        _extend(self.steps, points.steps)
        _extend(self.times, points.times)
        _extend(self.parts[-1][1], points.values)

    def values(self) -> tuple[str, Any]:
        """Their kind in a wide table, and all of them."""
        if {kind for kind, _ in self.parts} in ({"f8"}, {"i8"}):
            return self.parts[0]
        found: list[Any] = []
        for kind, values in self.parts:
            found += _decoded(values) if kind == "json" else values
        if all(type(value) is int and value in _INT64 for value in found):
            return "i8", array("q", found)
        if all(map(_is_number, found)):
            return "f8", array("d", found)
        texts: list[bytes] = []
        for kind, values in self.parts:
            texts += map(bytes if kind == "json" else _text, values)
        return "json", texts


class _Group:
    """Metrics whose points have the same steps, ascending."""

    __slots__ = ("metrics", "steps", "times")

    def __init__(self, steps: array[int]) -> None:
        self.steps = steps
        self.times: list[array[int]] = []
        self.metrics: list[tuple[str, str, Any]] = []


def _grouped(metrics: Mapping[str, _Metric]) -> list[_Group]:
    alike: dict[tuple[int, int, int], list[_Group]] = {}
    groups: list[_Group] = []
    for name, metric in metrics.items():
        if not metric.parts:
            continue
        kind, values = metric.values()
        steps, times = metric.steps, metric.times
        candidates = alike.setdefault((len(steps), steps[0], steps[-1]), [])
        group = next((each for each in candidates if each.steps == steps), None)
        if group is None:
            ascending, chosen = _ascending(steps)
            if chosen is not None:
                steps, times, values = ascending, _chosen(times, chosen), _chosen(values, chosen)
                candidates = alike.setdefault((len(steps), steps[0], steps[-1]), [])
                group = next((each for each in candidates if each.steps == steps), None)
        if group is None:
            group = _Group(steps)
            groups.append(group)
            candidates.append(group)
        group.times.append(times)
        group.metrics.append((name, kind, values))
    return groups


def _ascending(steps: array[int]) -> tuple[array[int], list[int] | None]:
    """The steps, each once, and where each was last; None where they were ascending."""
    view = memoryview(steps)
    if all(map(lt, view, view[1:])):
        return steps, None
    last = dict(zip(steps, range(len(steps)), strict=True))
    ascending = sorted(last)
    return array("q", ascending), list(map(last.__getitem__, ascending))


def _chosen(values: Any, chosen: Sequence[int]) -> Any:
    found = map(values.__getitem__, chosen)
    return array(values.typecode, found) if isinstance(values, array) else list(found)


def _joined(steps: Sequence[array[int]]) -> tuple[array[int], list[Sequence[int]]]:
    """All steps of several ascending ones, each once; and the row of each step of each."""
    if len(steps) < 2:
        return (steps[0] if steps else array("q")), [range(len(each)) for each in steps]
    even = [found for each in steps if (found := _even(each)) is not None]
    whole = _union(even) if len(even) == len(steps) else None
    if whole is not None:
        start, by = whole[0], whole.step
        places = [
            range((each[0] - start) // by, (each[-1] - start) // by + 1, max(1, each.step // by)) for each in even
        ]
        return array("q", whole), list(places)
    union = dict.fromkeys(sorted(chain(*steps)))
    index = dict(zip(union, range(len(union)), strict=True))
    return array("q", union), [list(map(index.__getitem__, each)) for each in steps]


def _even(steps: array[int]) -> range | None:
    """The steps as a range, if they are one; of a single one, a range by 1."""
    by = steps[1] - steps[0] if len(steps) > 1 else 1
    if steps[-1] - steps[0] != by * (len(steps) - 1):
        return None
    found = range(steps[0], steps[-1] + 1, by)
    return found if array("q", found) == steps else None


def _union(ranges: Sequence[range]) -> range | None:
    """All that is in any of them, if that is a range too."""
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


def _valid(place: Sequence[int], rows: int) -> bytes | None:
    """A byte a row, 1 in its place; None if that is all rows."""
    if len(place) == rows:
        return None
    valid = bytearray(rows)
    if isinstance(place, range):
        valid[place.start : place.stop : place.step] = b"\1" * len(place)
    else:
        for row in place:
            valid[row] = 1
    return bytes(valid)


def _placed(values: Any, place: Sequence[int], rows: int) -> Any:
    """The values, each in its row."""
    if len(place) == rows:
        return values
    column: Any = array(values.typecode, bytes(8 * rows)) if isinstance(values, array) else [b""] * rows
    if isinstance(place, range):
        column[place.start : place.stop : place.step] = values
    else:
        for row, value in zip(place, values, strict=True):
            column[row] = value
    return column


def _latest(times: Sequence[array[int]]) -> array[int]:
    """The latest in each place."""
    first, *others = times
    others = [each for each in others if each != first]
    return array("q", map(max, first, *others)) if others else first


def _later(times: array[int], place: Sequence[int], others: array[int]) -> array[int]:
    """The times, or what comes into their places if that is later."""
    if isinstance(place, range):
        taken = slice(place.start, place.stop, place.step)
        times[taken] = array("q", map(max, times[taken], others))
    else:
        for row, time in zip(place, others, strict=True):
            if time > times[row]:
                times[row] = time
    return times


def _extend(target: Any, values: Any) -> None:
    if isinstance(target, array) and isinstance(values, memoryview) and values.format in _FORMATS[target.typecode]:
        target.frombytes(values.cast("B"))
    else:
        target.extend(values)


def _concatenated(typecode: str, parts: Iterable[Any]) -> array[Any]:
    made = array(typecode)
    for part in parts:
        _extend(made, part)
    return made


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, (memoryview, array)) else list(values)


def _decoded(texts: Sequence[Any]) -> list[Any]:
    """JSON values."""
    found = msgspec.json.decode(b"".join((b"[", b",".join(texts), b"]")))
    return [_NOT_FINITE.get(value, value) if isinstance(value, str) else value for value in found]


def _is_number(value: Any) -> bool:
    """Whether float64 holds it as it is."""
    if type(value) is float:
        return True
    if type(value) is not int:
        return False
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _text(value: Any) -> bytes:
    """A number as JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return b'"NaN"' if math.isnan(value) else b'"Infinity"' if value > 0 else b'"-Infinity"'
    return _encode(value)
