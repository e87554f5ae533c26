"""Columns of records as ranges: what the server reads is what the columns say, and what is left out is counted."""

from __future__ import annotations

import math
from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.delivery.wire import records
from steplog.formats.imported import RecordBatch
from steplog.journal.range import RANGE_BYTES_MAX, decode
from steplog.transfer.planes import VALUE_BYTES_MAX, Encoder, Piece

INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
JSON = st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))
VALUES = st.floats(width=64) | INT64 | st.booleans() | JSON | st.integers(2**63, 2**70)
NAMES = st.sampled_from(["loss", "acc", "Ω", "a/b"])
ROWS = st.lists(st.tuples(NAMES, st.none() | INT64, INT64, VALUES), min_size=1, max_size=20)


def batch_of(rows: list[tuple[Any, ...]]) -> RecordBatch:
    names, steps, times, values = map(list, zip(*rows, strict=True))
    return RecordBatch(names, steps, times, values)


def read(pieces: list[Piece]) -> list[tuple[Any, ...]]:
    """The records as a server has them, JSON decoded."""
    found = []
    for piece in pieces:
        for record in records(decode(piece.body)):
            value = msgspec.json.decode(record.value) if isinstance(record.value, bytes) else record.value
            found.append((record.name, record.step, record.time_ns, value))
    return found


def same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """With NaN as itself, and a bool as no int."""
    return repr(left) == repr(right)


@given(ROWS)
def test_a_batch_arrives_as_it_was(rows):
    pieces = Encoder("writer").encode(7, batch_of(rows))
    found = read(pieces)
    assert len(found) == len(rows)
    assert all(map(same, found, rows))
    assert (pieces[0].first, pieces[-1].end) == (7, 7 + len(rows))


@pytest.mark.parametrize(
    ("typecode", "values"), [("d", [0.5, math.nan, -0.0]), ("q", [1, -1, 2**63 - 1])], ids=["floats", "integers"]
)
def test_columns_may_be_buffers(typecode, values):
    steps, times = array("q", [3, 2, 1]), array("q", [10, 20, 30])
    column = array(typecode, values)
    for given_values in (column, memoryview(column)):
        found = read(Encoder("writer").encode(0, RecordBatch(["loss"] * 3, steps, memoryview(times), given_values)))
        assert repr([row[3] for row in found]) == repr(values)
        assert [row[1:3] for row in found] == [(3, 10), (2, 20), (1, 30)]


def test_what_a_record_cannot_be_is_left_out_and_the_others_are_not():
    rows = [
        ("loss", 1, 5, 0.5),
        ("", 1, 5, 0.5),
        ("n" * 257, 1, 5, 0.5),
        ("Ω" * 128, 1, 5, 0.25),
        ("steplog/config", 1, 5, 0.5),
        ("steplog/exception", 1, 5, {"type": "ValueError"}),
        ("loss", 2**63, 5, 0.5),
        ("loss", -(2**63), 5, 0.5),
        ("loss", None, 5, "x" * VALUE_BYTES_MAX),
        ("loss", 2, 5, None),
    ]
    pieces = Encoder("writer").encode(0, batch_of(rows))
    kept = [rows[at] for at in (0, 3, 5, 9)]
    assert read(pieces) == kept
    assert [decode(piece.body).records for piece in pieces] == [len(kept)]
    (left_out,) = [piece.left_out for piece in pieces]
    assert left_out.total() == len(rows) - len(kept)
    assert left_out["with a step beyond 64 bits"] == 2
    assert left_out["of steplog/config: names under steplog/ are steplog's own"] == 1


def test_a_time_beyond_64_bits_is_the_nearest_within():
    found = read(Encoder("writer").encode(0, batch_of([("loss", 1, -(2**70), 0.5), ("loss", 2, 2**70, 0.5)])))
    assert [time_ns for _, _, time_ns, _ in found] == [-(2**63) + 1, 2**63 - 1]


def test_json_that_is_given_as_text_stays_as_it_is():
    text = b'{"a" : 1.50, "b":"\\u004eaN"}'
    (piece,) = Encoder("writer").encode(0, batch_of([("note", 1, 5, msgspec.Raw(text))]))
    assert [record.value for record in records(decode(piece.body))] == [text]


def test_a_batch_that_is_too_large_for_a_range_comes_in_several():
    rows = [("note", step, 5, "x" * 1000 if step % 7 else "") for step in range(3000)]
    rows[2000] = ("steplog/x", 0, 5, 1.0)
    pieces = Encoder("writer").encode(100, batch_of(rows))
    assert [piece.first for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert (pieces[0].first, pieces[-1].end) == (100, 3100)
    ranges = [decode(piece.body) for piece in pieces]
    assert all(len(each.slots) + len(each.payloads) <= RANGE_BYTES_MAX for each in ranges)
    assert read(pieces) == rows[:2000] + rows[2001:]
    assert sum(piece.left_out.total() for piece in pieces) == 1


def test_many_long_names_do_not_make_a_range_too_large():
    rows = [(f"{number:0256}", 1, 5, 0.5) for number in range(8192)]
    assert read(Encoder("writer").encode(0, batch_of(rows))) == rows


def test_a_batch_of_nothing_but_what_is_left_out_has_no_record():
    pieces = Encoder("writer").encode(0, batch_of([("steplog/x", 1, 5, 0.5)] * 3))
    assert read(pieces) == []
    assert (pieces[0].first, pieces[-1].end) == (0, 3)
    assert pieces[0].left_out.total() == 3
