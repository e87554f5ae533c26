"""Points for tests of formats: one of each kind of value, and what a writer makes of them."""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from steplog.column_format import json_text
from steplog.formats.run_info import RunInfo
from steplog.formats.run_writer import RunWriter
from steplog.reading.points import SeriesPoints

BEGAN_NS = 1_700_000_000_000_000_001
VALUES = [
    0.1,
    -0.0,
    5e-324,
    1e-05,
    1e16,
    math.nan,
    math.inf,
    -math.inf,
    0,
    -(2**63),
    2**53 + 1,
    2**70,
    True,
    False,
    None,
    'a "text", in\r\ntwo lines',
    "NaN",
    "-Infinity",
    "=1+1",
    "é\u2028\x00",
    [1, None, 0.5, "NaN"],
    {"a": {"b": []}},
]
INFO = RunInfo(id="first", name="the first", project="mnist", tags=["a"], config={"lr": 0.1})


def stretch(name: str, values: Sequence[Any], first: int = 0) -> SeriesPoints:
    """The points of these values, as a server sends them; the steps begin at ``first``, a nanosecond apart."""
    count = len(values)
    steps = memoryview(array("q", range(first, first + count)))
    times = memoryview(array("q", range(BEGAN_NS + first, BEGAN_NS + first + count)))
    if all(type(value) is float for value in values):
        return SeriesPoints(name, "f8", steps, times, memoryview(array("d", values)))
    if all(type(value) is int and abs(value) < 2**63 for value in values):
        return SeriesPoints(name, "i8", steps, times, memoryview(array("q", values)))
    return SeriesPoints(name, "json", steps, times, [json_text(value) for value in values])


def cut(name: str, values: Sequence[Any], cuts: Iterable[int]) -> list[SeriesPoints]:
    """The same in stretches."""
    bounds = [0, *sorted(cuts), len(values)]
    return [stretch(name, values[a:b], a) for a, b in pairwise(bounds) if b > a]


def written(make: Callable[[io.BytesIO], RunWriter], *runs: tuple[RunInfo, Sequence[SeriesPoints]]) -> bytes:
    """The file of these runs."""
    file = io.BytesIO()
    writer = make(file)
    for info, stretches in runs:
        writer.begin(info)
        for points in stretches:
            writer.points(points)
        writer.end()
    writer.close()
    return file.getvalue()
