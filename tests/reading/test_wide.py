"""Wide and long tables are those that a naive reading of the points gives."""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reading.arrays import nanoarrow, read
from steplog.column_format import json_text, json_value
from steplog.reading.arrow_table import ArrowTable
from steplog.reading.points import SeriesPoints
from steplog.reading.wide import long, wide
from strategies import INT64

NAMES = ["loss", "acc", "step", "step_", "time"]
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
INTEGERS = st.integers(-3, 3) | INT64
JSON = st.one_of(
    st.sampled_from(["NaN", "Infinity", "-Infinity", "text", True, None, [1], {"a": 2}, 2**53 + 1, 2**64, 2**64 + 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    INTEGERS,
).map(lambda value: json.dumps(value).encode())
VALUES: dict[str, st.SearchStrategy[Any]] = {"f8": st.floats(), "i8": INTEGERS, "json": JSON}


def buffer(typecode: str, values: list[Any], as_view: bool) -> Any:
    made = array(typecode, values)
    return memoryview(bytes(made)).cast(typecode) if as_view else made


@st.composite
def stretches(draw: st.DrawFn) -> SeriesPoints:
    kind, as_view, rows = (
        draw(st.sampled_from(["f8", "f8", "i8", "json"])),
        draw(st.booleans()),
        draw(st.integers(0, 6)),
    )
    start, by = draw(st.integers(0, 4) | INT64), draw(st.integers(1, 3))
    even = [start + by * at for at in range(rows)]
    if draw(st.booleans()) or (even and even[-1] >= 2**63):
        steps = draw(st.lists(st.integers(0, 12) | INT64, min_size=rows, max_size=rows))
    else:
        steps = even
    times = draw(
        st.none() | st.lists(st.integers(0, 9) | INT64.filter((-(2**63)).__ne__), min_size=rows, max_size=rows)
    )
    values = draw(st.lists(VALUES[kind], min_size=rows, max_size=rows))
    return SeriesPoints(
        draw(st.sampled_from(NAMES)),
        kind,
        buffer("q", steps, as_view),
        None if times is None else buffer("q", times, as_view),
        values if kind == "json" else buffer({"f8": "d", "i8": "q"}[kind], values, as_view),
    )


def plain(each: SeriesPoints) -> Iterator[tuple[int, int | None, Any]]:
    for at, value in enumerate(each.values):
        read_value = json.loads(value) if each.kind == "json" else value
        if isinstance(read_value, str):
            read_value = NOT_FINITE.get(read_value, read_value)
        yield each.steps[at], None if each.times is None else each.times[at], read_value


def is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and int(float(value)) == value)


def kind_of(values: list[Any]) -> str:
    if values and all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return "i8"
    return "f8" if all(map(is_number, values)) else "json"


def cell(value: Any, kind: str) -> Any:
    if kind == "json":
        wide_number = isinstance(value, float) and not math.isfinite(value)
        return "json", json.dumps(
            {value: name for name, value in NOT_FINITE.items()}.get(value, "NaN") if wide_number else value
        )
    return float(value) if kind == "f8" else value


def naive_wide(points: list[SeriesPoints], names: list[str]) -> tuple[list[str], list[list[Any]]]:
    of = {name: [point for each in points if each.name == name for point in plain(each)] for name in names}
    kinds = {name: kind_of([value for _, _, value in of[name]]) for name in names}
    last = {name: {step: (time, value) for step, time, value in of[name]} for name in names}
    rows = []
    for step in sorted({step for each in last.values() for step in each}):
        there = {name: each[step] for name, each in last.items() if step in each}
        times = [time for time, _ in there.values() if time is not None]
        cells = [cell(there[name][1], kinds[name]) if name in there else None for name in names]
        rows.append([step, max(times, default=None), *cells])
    return [kinds[name] for name in names], rows


def contents(table: ArrowTable) -> list[list[Any]]:
    """The rows, as Arrow data have them; a JSON text as a pair, so that null is not missing."""
    fields = {field.name: bool(field.metadata) for field in nanoarrow.Schema(table).fields}
    lists = [
        [("json", json.dumps(json.loads(value))) if is_json and value is not None else value for value in values]
        for is_json, values in zip(fields.values(), read(table).values(), strict=True)
    ]
    return [list(row) for row in zip(*lists, strict=True)]


def kinds_of(table: ArrowTable) -> list[str]:
    names = {nanoarrow.Type.DOUBLE: "f8", nanoarrow.Type.INT64: "i8", nanoarrow.Type.TIMESTAMP: "time"}
    return [names.get(field.type, "json" if field.metadata else "text") for field in nanoarrow.Schema(table).fields]


def exact(rows: list[list[Any]]) -> list[list[Any]]:
    """With floats as their bits and types beside values, so that 1 is not 1.0, and NaN is equal to itself."""
    return [
        [struct.pack("d", each) if isinstance(each, float) and each == each else repr(each) for each in row]
        for row in rows
    ]


@given(
    st.lists(stretches(), max_size=6), st.none() | st.lists(st.sampled_from([*NAMES, "none"]), min_size=1, unique=True)
)
def test_a_wide_table_is_what_a_naive_join_gives(points, names):
    table = wide(points, names)
    kinds, rows = naive_wide(points, names or list(dict.fromkeys(each.name for each in points)))
    assert kinds_of(table) == ["i8", "time", *kinds]
    assert exact(contents(table)) == exact(rows)


@given(st.lists(stretches(), max_size=6))
def test_a_long_table_has_every_point_as_it_came(points):
    rows = []
    for each in points:
        for step, time, value in plain(each):
            number = is_number(value)
            rows.append(
                [each.name, step, time, float(value) if number else None, None if number else cell(value, "json")]
            )
    table = long(points)
    assert table.columns == ("name", "step", "time", "value", "json")
    assert kinds_of(table) == ["text", "i8", "time", "f8", "json"]
    assert exact(contents(table)) == exact(rows)


def floats(name: str, steps: list[int] | range, *, first: float = 0.0) -> SeriesPoints:
    """A stretch in which a value says which one it is, and the time too."""
    values = [first + at for at in range(len(steps))]
    return SeriesPoints(name, "f8", array("q", steps), array("q", map(int, values)), array("d", values))


def test_columns_are_in_the_order_asked_for_and_what_has_no_points_is_missing():
    table = wide([floats("loss", [1, 2]), floats("acc", [2])], ["acc", "none", "loss"])
    assert table.columns == ("step", "time", "acc", "none", "loss")
    assert [table[name] for name in table.columns[2:]] == [[None, 0.0], [None, None], [0.0, 1.0]]


def test_a_metric_called_step_or_time_has_a_column_that_is_free():
    table = wide([floats(name, [7]) for name in ("step", "time", "step_", "loss")])
    assert table.columns == ("step", "time", "step__", "time_", "step_", "loss")
    assert table["step"] == [7]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ([b"0", b"0.5"], [0.0, 0.5]),
        ([b"1e400", b"1"], [math.inf, 1.0]),
        ([b"0", b"9007199254740993"], [0, 2**53 + 1]),
        ([b"0.5", b"9007199254740993"], [0.5, 2**53 + 1]),
        ([b"0.5", b"true"], [0.5, True]),
        ([b"1", b"18446744073709551616"], [1.0, 2.0**64]),
        ([b"1", b"18446744073709551617"], [1, 2**64 + 1]),
    ],
    ids=["integer first", "beyond float64", "integers", "too exact for a float", "a bool", "2**64", "2**64 + 1"],
)
def test_a_metric_of_mixed_values_is_numbers_where_they_are_held_exactly(texts, wanted):
    points = [SeriesPoints("m", "json", [0, 1], None, texts)]
    assert wide(points)["m"] == wanted
    assert list(map(type, wide(points)["m"])) == list(map(type, wanted))
    assert [
        value if json is None else json for value, json in zip(long(points)["value"], long(points)["json"], strict=True)
    ] == wanted


def test_of_a_resumed_run_the_later_value_counts_at_a_step():
    first, second = (
        [floats(name, range(1000)) for name in "ab"],
        [floats(name, range(900, 1200), first=5000) for name in "ab"],
    )
    table = wide([first[0], second[0], first[1], second[1]])
    assert table["step"] == list(range(1200))
    assert table["a"] == table["b"] == [float(at) if at < 900 else 4100.0 + at for at in range(1200)]
    assert len(long([first[0], second[0]])) == 1300


@pytest.mark.parametrize(
    "steps",
    [
        {"a": range(10), "b": range(0, 10, 3)},
        {"a": range(0, 20, 2), "b": range(4, 40, 2), "c": range(8, 20, 4)},
        {"a": range(5), "b": range(7, 9), "c": [6], "d": range(5, 8)},
        {"a": range(0, 20, 2), "b": range(1, 20, 2)},
        {"a": range(5), "b": range(7, 9)},
        {"a": [0, 1, 2, 3, 4, 5, 6, 7, 9, 8, *range(10, 40)], "b": range(40)},
        {"a": [-(2**63), 2**63 - 1], "b": [2**63 - 1]},
        {"a": [3], "b": [1], "c": [2**40]},
        {"a": range(20), "b": [3, 4, 9, 17]},
        {"a": range(0, 40, 2), "b": [0, 1, 38]},
        {"a": range(20), "b": [3, 4, 30]},
        {"a": range(20), "b": [5, 5]},
    ],
    ids=[
        "every third",
        "overlapping",
        "one after the other",
        "odd and even",
        "a gap",
        "two swapped",
        "far",
        "single",
        "some",
        "some between",
        "some beyond",
        "one, twice",
    ],
)
def test_metrics_of_different_steps_are_joined_by_step(steps):
    points = [floats(name, each, first=at / 10) for at, (name, each) in enumerate(steps.items())]
    _, rows = naive_wide(points, list(steps))
    assert exact(contents(wide(points))) == exact(rows)


@pytest.mark.parametrize("at", [1, 4095, 4096, 4097, 8191, 8192, 8999, 9999])
@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "from below zero"])
def test_a_single_step_that_goes_back_is_found_in_a_long_metric(at, sign):
    uneven = [step * 3 + step % 2 - (5000 if sign < 0 else 0) for step in range(10_000)]
    for value in (uneven[at - 1], uneven[at - 1] - 1):
        steps = [*uneven[:at], value, *uneven[at + 1 :]]
        table = wide([floats("a", steps)])
        last = {step: float(place) for place, step in enumerate(steps)}
        assert dict(zip(table["step"], table["a"], strict=True)) == last
        assert table["step"] == sorted(last)
    assert wide([floats("a", uneven)])["step"] == uneven


@pytest.mark.parametrize("form", [wide, long])
def test_numbers_are_in_memory_once(form):
    """At the most while the table is made: what it holds, one stretch, and what an array takes to grow."""
    rows, stretch = 200_000, 5000

    def points() -> Iterator[SeriesPoints]:
        for start in range(0, rows, stretch):
            numbers = [bytes(array(code, range(start, start + stretch))) for code in "qqd"]
            steps, times, values = (memoryview(each).cast(code) for each, code in zip(numbers, "qqd", strict=True))
            yield SeriesPoints("loss", "f8", steps, times, values)

    tracemalloc.start()
    try:
        table = form(points())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == rows
    assert peak < 24 * rows * 1.3  # a second copy of one column would be a third more


def test_small_stretches_of_a_long_table_share_batches_and_large_ones_are_not_copied():
    large = floats("large", range(5000))
    table = long([*(floats(f"small/{at}", [at]) for at in range(3000)), large, floats("small", [1])])
    chunks = list(nanoarrow.ArrayStream(table))
    assert [len(chunk) for chunk in chunks] == [3000, 5000, 1]
    large.values[0] = -1.0  # seen where nothing was copied
    assert chunks[1].child(3)[0].as_py() == -1.0
    assert chunks[0].child(0)[2999].as_py() == "small/2999"


def test_a_text_that_is_called_as_a_number_is_stays_a_text():
    points = SeriesPoints("m", "json", [0, 1], [0, 0], [json_text("NaN"), json_text(math.nan)])
    (column,) = wide([points]).batches()[0][2:]
    assert (column.kind, json_value(bytes(column.values[0]))) == ("json", "NaN")
    assert str(long([points])["value"]) == "[None, nan]"
