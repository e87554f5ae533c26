"""Wide and long tables are those that a naive reading of the points gives."""

from __future__ import annotations

import json
import math
import struct
from array import array
from collections.abc import Iterator
from typing import Any

import nanoarrow
from hypothesis import given
from hypothesis import strategies as st

from reading.arrays import read
from steplog.reading.arrow_table import ArrowTable
from steplog.reading.points import SeriesPoints
from steplog.reading.wide import long, wide
from strategies import INT64

NAMES = ["loss", "acc", "step", "step_", "time"]
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
SMALL = st.integers(0, 12) | INT64
NUMBERS = st.integers(-3, 3) | st.floats() | INT64 | st.sampled_from([2**53 + 1, 2**64, 2**64 + 1])
JSON = st.one_of(NUMBERS, st.booleans(), st.none(), st.sampled_from(["NaN", "text", [1], {"a": 2}])).map(
    lambda value: (
        json.dumps(str(value) if isinstance(value, float) and not math.isfinite(value) else value)
        .replace('"inf"', '"Infinity"')
        .replace('"-inf"', '"-Infinity"')
        .replace('"nan"', '"NaN"')
        .encode()
    )
)


def buffer(typecode: str, values: list[Any], as_view: bool) -> Any:
    made = array(typecode, values)
    return memoryview(bytes(made)).cast(typecode) if as_view else made


@st.composite
def stretch(draw: st.DrawFn) -> SeriesPoints:
    kind = draw(st.sampled_from(["f8", "f8", "i8", "json"]))
    rows = draw(st.integers(0, 6))
    steps = draw(
        st.lists(SMALL, min_size=rows, max_size=rows)
        | st.builds(lambda start, by: [start + by * at for at in range(rows)], st.integers(0, 4), st.integers(1, 3))
    )
    times = draw(st.lists(st.integers(0, 9) | INT64, min_size=rows, max_size=rows))
    values = draw(
        st.lists(
            {"f8": st.floats(), "i8": st.integers(-3, 3) | INT64, "json": JSON}[kind], min_size=rows, max_size=rows
        )
    )
    as_view = draw(st.booleans())
    made = values if kind == "json" else buffer({"f8": "d", "i8": "q"}[kind], values, as_view)
    return SeriesPoints(
        draw(st.sampled_from(NAMES)), kind, buffer("q", steps, as_view), buffer("q", times, as_view), made
    )


def plain(each: SeriesPoints) -> Iterator[tuple[int, int, Any]]:
    for step, time, value in zip(each.steps, each.times, each.values, strict=True):
        value = json.loads(value) if each.kind == "json" else value
        yield step, time, NOT_FINITE.get(value, value) if isinstance(value, str) else value


def is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or (abs(value) < 2**1000 and int(float(value)) == value)


def column_kind(values: list[Any]) -> str:
    if values and all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return "i8"
    return "f8" if all(map(is_number, values)) else "json"


def as_json(value: Any) -> Any:
    """A value that came out of a json column, or goes there."""
    return (
        str(value).replace("inf", "Infinity").replace("nan", "NaN")
        if isinstance(value, float) and not math.isfinite(value)
        else value
    )


def same(value: Any) -> Any:
    """With types, and NaN equal to itself."""
    return (type(value), struct.pack("d", value) if isinstance(value, float) and value == value else str(value))


def naive_wide(points: list[SeriesPoints], names: list[str]) -> tuple[list[str], list[list[Any]]]:
    of = {name: [point for each in points if each.name == name for point in plain(each)] for name in names}
    kinds = {name: column_kind([value for _, _, value in of[name]]) for name in names}
    last = {name: {step: (time, value) for step, time, value in of[name]} for name in names}
    rows = []
    for step in sorted({step for each in last.values() for step in each}):
        row: list[Any] = [step, max(each[step][0] for each in last.values() if step in each)]
        for name in names:
            value = last[name][step][1] if step in last[name] else None
            if value is not None:
                value = float(value) if kinds[name] == "f8" else as_json(value) if kinds[name] == "json" else value
            row.append(value)
        rows.append(row)
    return [kinds[name] for name in names], rows


def contents(table: ArrowTable) -> list[list[Any]]:
    """The rows, as Arrow data have them."""
    json_columns = {field.name for field in nanoarrow.Schema(table).fields if field.metadata}
    lists = [
        [json.loads(value) if value is not None and name in json_columns else value for value in values]
        for name, values in read(table).items()
    ]
    return [list(row) for row in zip(*lists, strict=True)]


def kinds_of(table: ArrowTable) -> list[str]:
    names = {nanoarrow.Type.DOUBLE: "f8", nanoarrow.Type.INT64: "i8", nanoarrow.Type.TIMESTAMP: "time"}
    return [names.get(field.type, "json" if field.metadata else "text") for field in nanoarrow.Schema(table).fields]


@given(
    st.lists(stretch(), max_size=6),
    st.none() | st.lists(st.sampled_from([*NAMES, "none of it"]), min_size=1, unique=True),
)
def test_a_wide_table_is_what_a_naive_join_gives(points, names):
    table = wide(points, names)
    wanted = names or list(dict.fromkeys(each.name for each in points))
    kinds, rows = naive_wide(points, wanted)
    assert kinds_of(table) == ["i8", "time", *kinds]
    assert [[same(value) for value in row] for row in contents(table)] == [
        [same(value) for value in row] for row in rows
    ]


@given(st.lists(stretch(), max_size=6))
def test_a_long_table_has_every_point_as_it_came(points):
    rows = []
    for each in points:
        for (step, time, value), raw in zip(plain(each), each.values, strict=True):
            number = is_number(value)
            text = None if number else json.loads(raw) if each.kind == "json" else value
            rows.append([each.name, step, time, float(value) if number else None, text])
    table = long(points)
    assert table.columns == ("name", "step", "time", "value", "json")
    assert kinds_of(table) == ["text", "i8", "time", "f8", "json"]
    assert [[same(value) for value in row] for row in contents(table)] == [
        [same(value) for value in row] for row in rows
    ]
