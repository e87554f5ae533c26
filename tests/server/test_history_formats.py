"""A history's bytes say every point exactly, wherever its parts were cut."""

from __future__ import annotations

import csv
import io
import json
import math
from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.batches import range_of, shown
from steplog import column_format
from steplog.records.by_name import points_by_name, stored_part
from steplog.records.points import Points
from steplog.server.records.history_formats import FORMATS, gathered

COLUMNS = column_format.MEDIA_TYPE
VALUES = [
    0.1,
    -0.0,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    2**62,
    -(2**63),
    True,
    False,
    b'"a,\\"b\\r\\n"',
    b"[1, null]",
]


def points_of(values: list[Any], name: str = "m") -> Points:
    """Points with the steps 0, 1, …"""
    records = [(name, value, at) for at, value in enumerate(values)]
    return points_by_name(stored_part(range_of(records)), 0)[name]


def encoded(media_type: str, parts: list[tuple[str, Points]]) -> bytes:
    return b"".join(FORMATS[media_type](parts))


def expected(points: Points) -> list[Any]:
    return [
        json.loads(bytes(value)) if isinstance(value, (bytes, bytearray)) else shown(value) for value in raw(points)
    ]


def raw(points: Points) -> list[Any]:
    return [value if isinstance(value, (int, float)) else bytes(value) for value in points.values()]


@pytest.mark.parametrize("media_type", FORMATS)
@given(cuts=st.lists(st.integers(0, 12), max_size=4), more=st.booleans())
def test_where_parts_are_cut_does_not_show(media_type, cuts, more):
    points = points_of(VALUES)
    bounds = [0, *sorted(cuts), len(VALUES)]
    pieces = [("m", points.part(a, b)) for a, b in pairwise(bounds) if b > a or more]
    other = ("n", points_of([1.5], "n"))
    assert encoded(media_type, [*pieces, other]) == encoded(media_type, [("m", points), other])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, math.nan], "f8"),
        ([1, -(2**63)], "i8"),
        ([1, 0.5], "json"),
        ([True], "json"),
        ([b"{}"], "json"),
        ([], "f8"),
    ],
)
def test_a_column_of_values_has_the_type_that_all_of_them_have(values, kind):
    points = points_of(values) if values else Points(b"", array("q"), (), (), ())
    (table,) = column_format.decode(encoded(COLUMNS, [("m", points)]))
    column = table.columns["value"]
    assert (column.type, column.count, table.about) == (kind, len(values), {"name": "m"})
    found = [json.loads(bytes(value)) if kind == "json" else shown(value) for value in column.values()]
    assert found == expected(points)
    assert list(table.columns["step"].values()) == list(range(len(values)))
    assert list(table.columns["time"].values()) == list(points.times)


def test_nan_among_other_values_is_told_from_the_text_of_its_name():
    values = [1, math.nan, b'"NaN"', -math.inf, b'"-Infinity"']
    (table,) = column_format.decode(encoded(COLUMNS, [("m", points_of(values))]))
    found = [column_format.json_value(bytes(value)) for value in table.columns["value"].values()]
    assert repr(found) == repr([1, math.nan, "NaN", -math.inf, "-Infinity"])


def test_the_bits_of_floats_travel_as_they_are():
    words = array("q", [0x7FF8_0000_0000_0ABC, -(2**63), 1])
    points = Points(bytes((1,)) * 3, words, range(3), range(3), range(3))
    (table,) = column_format.decode(encoded(COLUMNS, [("m", points)]))
    assert table.columns["value"].content == words.tobytes()


def test_a_long_history_comes_in_tables_of_65536_points():
    points = points_of([0.5] * 1000)
    sizes = [65_536, 65_536, 8_928]
    tables = list(column_format.decode(encoded(COLUMNS, [("m", points)] * 140)))
    assert [table.columns["step"].count for table in tables] == sizes


def test_texts_make_tables_of_about_a_mebibyte():
    """And one text that is longer has one of its own."""
    text = b'"' + b"x" * 300_000 + b'"'
    tables = list(column_format.decode(encoded(COLUMNS, [("m", points_of([text] * 9 + [0.5]))])))
    assert [table.columns["step"].count for table in tables] == [4, 4, 2]


def test_json_and_its_lines_have_a_row_a_point():
    points = points_of(VALUES)
    rows = json.loads(encoded("application/json", [("m", points), ("none", points.part(0, 0))]))
    lines = encoded("application/x-ndjson", [("m", points)]).decode().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert [row["value"] for row in rows] == expected(points)
    assert [type(row["value"]) for row in rows[6:10]] == [int, int, bool, bool]
    assert rows[1] == {"name": "m", "step": 1, "time": "2023-11-14T22:13:20.000000001Z", "value": 0}


def test_a_history_without_points_is_still_a_document():
    none = [("m", points_of(VALUES).part(0, 0))]
    found = {media_type: encoded(media_type, none) for media_type in FORMATS if media_type != COLUMNS}
    assert found == {
        "application/json": b"[]",
        "application/x-ndjson": b"",
        "text/csv": b"name,step,time,value\r\n",
    }


def test_csv_is_read_back_by_its_rules():
    name = 'a "name", in\r\ntwo lines'
    points = points_of(VALUES, name)
    text = encoded("text/csv", [(name, points)]).decode()
    header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert header == ["name", "step", "time", "value"]
    assert {row[0] for row in rows} == {name}
    values = [row[3] for row in rows]
    assert values[3:6] == ["NaN", "Infinity", "-Infinity"]
    assert [shown(float(value)) for value in values[:6]] == expected(points)[:6]
    assert [json.loads(value) for value in values[6:]] == expected(points)[6:]


@given(st.lists(st.binary(max_size=300_000), max_size=4))
def test_gathered_pieces_are_the_same_bytes(pieces):
    found = list(gathered(pieces))
    assert b"".join(found) == b"".join(pieces)
    assert all(len(piece) >= 256 * 1024 for piece in found[:-1])
    assert b"" not in found
