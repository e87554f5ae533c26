"""What of a metric or a config stands in a table of runs."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.filters import parse_field
from steplog.records.cells import CELL_BYTES_MAX, ENTRIES_MAX, cell_of, entries, json_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("last", "cell", "shown"),
    [
        (0.5, 0.5, 0.5),
        (7, 7, 7),
        (math.inf, math.inf, "Infinity"),
        ('"NaN"', b"NaN", "NaN"),
        ('"-Infinity"', -math.inf, "-Infinity"),
        ('"a text"', "a text", "a text"),
        ("true", b"true", msgspec.Raw(b"true")),
        ("null", b"null", None),
        ('{"a": [1]}', b'{"a":[1]}', msgspec.Raw(b'{"a":[1]}')),
        ("12345678901234567890", 12345678901234567890.0, 12345678901234567890.0),
        (f"1{'0' * 400}", math.inf, "Infinity"),
        ("1e999", b"1e999", msgspec.Raw(b"1e999")),
        (None, b"", None),
        (f'"{"a" * 2000}"', b"", None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_last_value_is_one_value_of_the_database(last, cell, shown):
    assert (type(cell_of(last)), cell_of(last)) == (type(cell), cell)
    assert json_value(cell) == shown


def test_nested_entries_are_named_by_their_path_as_a_filter_names_them():
    found = entries("optim", '{"name": "adam", "betas": [0.9, 0.99], "a.b": {"c d": true}, "none": {}}')
    assert found == {
        "optim.name": "adam",
        "optim.betas": b"[0.9,0.99]",
        'optim."a.b"."c d"': b"true",
        "optim.none": b"{}",
    }
    assert [parse_field(f"config.{name}").path for name in found][2] == ("optim", "a.b", "c d")


def test_a_config_has_bounded_cells():
    many = json.dumps({f"k{number}": number for number in range(ENTRIES_MAX + 5)})
    assert list(entries("a", many)) == [f"a.k{number}" for number in range(ENTRIES_MAX)]
    assert entries("k" * CELL_BYTES_MAX, "1") == {"k" * CELL_BYTES_MAX: 1}
    assert entries("k" * (CELL_BYTES_MAX + 1), "1") == {}
    deep = '{"a":' * 400 + "1" + "}" * 400
    assert list(entries("d", deep).values()) == [1]


@given(JSON)
def test_every_leaf_of_a_config_is_a_cell_that_a_database_keeps(value):
    found = entries("top", json.dumps(value))
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for name, cell in found.items():
            kept = connection.execute("SELECT ?, typeof(?)", (cell, cell)).fetchone()
            assert kept == (cell, {int: "integer", float: "real", str: "text", bytes: "blob"}[type(cell)])
            inner = value
            for key in parse_field(f"config.{name}").path[1:]:
                inner = inner[key]
            if isinstance(inner, (str, float)) or inner is None:
                assert json_value(cell) == inner
