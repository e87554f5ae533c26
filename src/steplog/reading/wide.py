"""Tables of points: wide, a column a metric, joined by step; long, a row a point. Pure.

1. Numbers are copied once into a wide table, and not at all into a long one, where they come as buffers and in large
   stretches.
2. An integer is a number of float64 only where that holds it exactly.
3. The texts "NaN", "Infinity" and "-Infinity" are numbers among JSON values, as everywhere in the API; a text that was
   logged so begins with an escape (``column_format.json_text``), and is one.

Fast where the steps of a metric are ascending, and equal or evenly spaced among metrics; right elsewhere.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import msgspec

from steplog.column_format import json_text, json_value
from steplog.reading.arrow_data import Repeated
from steplog.reading.arrow_table import ArrowColumn, ArrowTable
from steplog.reading.joining import Placement, join
from steplog.reading.points import SeriesPoints

__all__ = ["long", "wide"]

_TYPECODES = {"f8": "d", "i8": "q"}
_FORMATS = {
    "d": ("d",),
    "q": ("q", "l") if array("l").itemsize == 8 else ("q",),
}  # of the views that are as an array is
_EMPTY: Mapping[str, Any] = {"f8": array("d", [0.0]), "i8": array("q", [0]), "json": [b""]}
_EXACT = 2**53  # all integers up to here are numbers of float64
_INT64 = range(-(2**63), 2**63)
_NEVER = array("q", [-(2**63)])  # the time of a point that has none
_NOT_FINITE: Mapping[Any, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NOT_FINITE_TEXTS = {f'"{name}"'.encode(): value for name, value in _NOT_FINITE.items()}
_BATCH_ROWS = 65_536  # of small stretches in one batch of a long table
_OWN_BATCH_ROWS = 4096  # a stretch of so many is a batch of its own
_JOIN = ("step", "time")
_FLIPPED = bytes((1, 0, *range(2, 256)))
_Numbers = Sequence[Any]


def wide(points: Iterable[SeriesPoints], names: Sequence[str] | None = None) -> ArrowTable:
    """A row a step, ascending: ``step``, ``time`` (the latest of the points in it), and a column a metric.

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
    steps, placements = join([group.steps for group in groups])
    rows = len(steps)
    columns = {}
    times = []
    for group, placement in zip(groups, placements, strict=True):
        count = len(placement.rows)
        valid = None if count == rows else bytes(placement.spread(b"\1" * count, rows, bytearray(1)))
        for name, (kind, values) in group.values.items():
            spread = placement.spread(placement.pick(values), rows, _EMPTY[kind])
            columns[name] = ArrowColumn(name, kind, spread, valid)
        times.append(_latest([placement.pick(each) for each in group.times]))
    if len(columns) < len(metrics):
        nothing = ArrowColumn("", "f8", _EMPTY["f8"] * rows, bytes(rows))
        columns = dict.fromkeys(metrics, nothing) | columns
    made = [
        ArrowColumn("step", "i8", steps),
        _time_column(_row_times(times, placements, rows), all(metric.timed for metric in metrics.values())),
    ]
    taken = {*_JOIN, *metrics}
    for name in metrics:
        free = name
        while free in _JOIN or (free != name and free in taken):
            free += "_"
        taken.add(free)
        made.append(columns[name]._replace(name=free))
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
    steps: Sequence[int]
    if len(parts) == 1:
        steps, ((numbers, valid, texts),) = parts[0].steps, values
    else:
        steps = _concatenated("q", (part.steps for part in parts))
        numbers = _concatenated("d", (each for each, _, _ in values))
        valid = b"".join(each for _, each, _ in values)
        texts = list(chain(*(each for _, _, each in values)))
    timed = [_NEVER * len(part.steps) if part.times is None else part.times for part in parts]
    times = timed[0] if len(parts) == 1 else _concatenated("q", timed)
    if len({part.name for part in parts}) == 1:
        names = Repeated(parts[0].name, len(steps))
    else:
        names = list(chain(*(repeat(part.name, len(part.steps)) for part in parts)))
    return [
        ArrowColumn("name", "text", names),
        ArrowColumn("step", "i8", steps),
        _time_column(times, all(part.times is not None for part in parts)),
        ArrowColumn("value", "f8", numbers, valid if 0 in valid else None),
        ArrowColumn("json", "json", texts, valid.translate(_FLIPPED)),
    ]


def _time_column(times: Sequence[int], all_there: bool) -> ArrowColumn:
    valid = None if all_there else bytes(map(_NEVER[0].__ne__, times))
    return ArrowColumn("time", "time", times, valid)


def _long_values(part: SeriesPoints) -> tuple[_Numbers, bytes, Sequence[bytes]]:
    """The numbers of a stretch, 1 for each that is one, and the JSON texts for the others."""
    rows = len(part.steps)
    if part.kind == "f8":
        return part.values, b"\1" * rows, Repeated(b"", rows)
    found = _listed(part.values) if part.kind == "i8" else _decoded(part.values)
    if part.kind == "i8" and _are_exact(found):
        return array("d", found), b"\1" * rows, Repeated(b"", rows)
    valid = bytes(map(_is_float, found))
    numbers = array("d", (value if there else 0.0 for value, there in zip(found, valid, strict=True)))
    texts: Iterable[Any] = map(json_text, found) if part.kind == "i8" else part.values
    return numbers, valid, [b"" if there else bytes(text) for text, there in zip(texts, valid, strict=True)]


class _Metric:
    """The points of a metric, as they come; of its values one sequence for each stretch of one kind."""

    __slots__ = ("parts", "steps", "timed", "times")

    def __init__(self) -> None:
        self.steps = array("q")
        self.times = array("q")
        self.timed = True  # all of them
        self.parts: list[tuple[str, Any]] = []

    def add(self, points: SeriesPoints) -> None:
        if not len(points.steps):
            return
        if not self.parts or self.parts[-1][0] != points.kind:
            typecode = _TYPECODES.get(points.kind)
            self.parts.append((points.kind, [] if typecode is None else array(typecode)))
        _extend(self.steps, points.steps)
        self.timed = self.timed and points.times is not None
        _extend(self.times, _NEVER * len(points.steps) if points.times is None else points.times)
        _extend(self.parts[-1][1], points.values)

    def values(self) -> tuple[str, Any]:
        """Their kind in a wide table, and all of them."""
        if {kind for kind, _ in self.parts} in ({"f8"}, {"i8"}):
            return self.parts[0]
        found = [_decoded(values) if kind == "json" else values for kind, values in self.parts]
        if all(map(_are_integers, found)):
            return "i8", _concatenated("q", found)
        if all(map(_are_floats, found)):
            return "f8", _concatenated("d", found)
        texts: list[bytes] = []
        for kind, values in self.parts:
            texts += map(bytes if kind == "json" else json_text, values)
        return "json", texts


class _Group:
    """Metrics whose points have the same steps, in the same order."""

    __slots__ = ("steps", "times", "values")

    def __init__(self, steps: array[int]) -> None:
        self.steps = steps
        self.times: list[array[int]] = []
        self.values: dict[str, tuple[str, Any]] = {}


def _grouped(metrics: Mapping[str, _Metric]) -> list[_Group]:
    alike: dict[tuple[int, int, int], list[_Group]] = {}
    for name, metric in metrics.items():
        if not metric.parts:
            continue
        steps = metric.steps
        candidates = alike.setdefault((len(steps), steps[0], steps[-1]), [])
        group = next((each for each in candidates if each.steps == steps), None)
        if group is None:
            group = _Group(steps)
            candidates.append(group)
        group.times.append(metric.times)
        group.values[name] = metric.values()
    return list(chain(*alike.values()))


def _latest(times: Sequence[array[int]]) -> array[int]:
    """The latest in each place."""
    first, *others = times
    others = [each for each in others if each != first]
    return array("q", map(max, first, *others)) if others else first


def _row_times(times: Sequence[array[int]], placements: Sequence[Placement], rows: int) -> array[int]:
    """The latest of each row."""
    if len(times) < 2:
        return times[0] if times else array("q")
    if 2 * sum(map(len, times)) >= rows * len(times):
        return _latest(
            [placement.spread(each, rows, _NEVER) for each, placement in zip(times, placements, strict=True)]
        )
    (first, placement), *others = sorted(zip(times, placements, strict=True), key=lambda each: -len(each[0]))
    found: array[int] = placement.spread(first, rows, _NEVER)
    for each, placement in others:
        placement.put(_latest([placement.get(found), each]), found)
    return found


def _extend(target: Any, values: Any) -> None:
    if isinstance(target, array) and isinstance(values, memoryview) and values.format in _FORMATS[target.typecode]:
        target.frombytes(values.cast("B"))
    else:
        alike = getattr(values, "typecode", None) == getattr(target, "typecode", None)
        target.extend(values if alike else _listed(values))


def _concatenated(typecode: str, parts: Iterable[Any]) -> array[Any]:
    made = array(typecode)
    for part in parts:
        _extend(made, part)
    return made


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, (memoryview, array)) else list(values)


def _decoded(texts: Sequence[Any]) -> list[Any]:
    """JSON values."""
    try:
        found: list[Any] = msgspec.json.decode(b"".join((b"[", b",".join(texts), b"]")))
    except (msgspec.MsgspecError, RecursionError):  # 1e400, say
        return [json_value(bytes(text)) for text in texts]
    if _NOT_FINITE.keys().isdisjoint(value for value in found if isinstance(value, str)):
        return found
    return [_NOT_FINITE_TEXTS.get(bytes(text), value) for value, text in zip(found, texts, strict=True)]


def _are_integers(values: array[Any] | list[Any]) -> bool:
    if isinstance(values, array):
        return values.typecode == "q"
    return all(type(value) is int and value in _INT64 for value in values)


def _are_floats(values: array[Any] | list[Any]) -> bool:
    """Whether float64 holds all of them as they are."""
    if isinstance(values, array):
        return values.typecode == "d" or _are_exact(values)
    return all(map(_is_float, values))


def _are_exact(integers: Sequence[int]) -> bool:
    return (min(integers) >= -_EXACT and max(integers) <= _EXACT) or all(map(_is_float, integers))


def _is_float(value: Any) -> bool:
    """Whether float64 holds it as it is."""
    if type(value) is float:
        return True
    if type(value) is not int:
        return False
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
