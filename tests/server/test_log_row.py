"""A log row gives back what its batch had: by name, in order, with arrivals in the run."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from server.batches import BEGAN_NS, NONE, range_of
from steplog.errors import FormatError
from steplog.journal.range import encode
from steplog.journal.slot import NO_STEP
from steplog.records.by_name import points_by_name
from steplog.server.records.log_row import decode_row, join_rows

VALUES = [0.25, float("-inf"), -7, True, False, b'{"at": [1, 2]}', b'"text"', b"null"]
FIELDS = ("steplog/run", b'{"name": "n"}')


def expected(records: list[Any], first: int) -> dict[str, list[Any]]:
    """By name: (arrival, value, step, time) of each record that is stored."""
    found: dict[str, list[Any]] = {}
    arrival = first
    for at, record in enumerate(records):
        if record is NONE or record[0] == FIELDS[0]:
            continue
        name, value, *step = record
        found.setdefault(name, []).append((arrival, value, step[0] if step else NO_STEP, BEGAN_NS + at))
        arrival += 1
    return found


def read(records: list[Any], first: int = 0, names: set[str] | None = None) -> dict[str, list[Any]]:
    rows = points_by_name(decode_row(encode(range_of(records, first=5))), first, names)
    return {
        name: [
            (arrival, bytes(value) if isinstance(value, msgspec.Raw) else value, step, time)
            for arrival, value, step, time in zip(
                points.arrivals, points.values(), points.steps, points.times, strict=True
            )
        ]
        for name, points in rows.items()
    }


def in_turn(count: int, names: int, *values: Any) -> list[Any]:
    return [(f"m{at % names}", values[at % names % len(values)], at // names) for at in range(count)]


ROWS = {
    "one": [("a", 1.5, 3)],
    "in turn": in_turn(24, 3, 0.5),
    "in turn, cut": in_turn(25, 3, 0.5),
    "in turn, with texts": in_turn(24, 3, 0.5, b'{"a": 1}', b"[]"),
    "each name once": in_turn(7, 7, 0.5, 1),
    "without steps": [("a", 1.0), ("b", 2), ("a", 3.0), ("b", 4)],
    "kinds that differ": [("a", 1.0, 0), ("b", 1, 0), ("a", 1, 1), ("b", True, 1)],
    "with holes": [NONE, ("a", 1.0, 0), NONE, ("b", b"[1]", 0), ("a", 1.0, 1), NONE],
    "about the run": [FIELDS, ("a", b'"x"', 0), FIELDS, NONE, ("b", 2, 0), ("a", b'"yy"', 1)],
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("first", [0, 1000])
def test_a_log_row_gives_back_each_record_by_name(kind, first):
    assert read(ROWS[kind], first) == expected(ROWS[kind], first)
    assert list(read(ROWS[kind], first)) == list(expected(ROWS[kind], first)), "in order of first arrival"


@pytest.mark.parametrize("kind", ROWS)
def test_the_names_asked_for_come_out_as_with_all(kind):
    of_all = expected(ROWS[kind], 7)
    for name in of_all:
        assert read(ROWS[kind], 7, {name, "missing"}) == {name: of_all[name]}
    assert read(ROWS[kind], 7, {"missing"}) == {}


def test_any_mixture_comes_out_as_it_came():
    for seed in range(200):
        source = random.Random(seed)
        names = [f"m{number}" for number in range(source.randint(1, 6))]
        records: list[Any] = []
        while len(records) < source.randint(1, 60):
            record = (source.choice(names), source.choice(VALUES), source.choice([NO_STEP, 0, -5, 2**63 - 1]))
            records += [record] * source.choice([1, 1, 3]) + [NONE, FIELDS][: source.choice([0, 0, 1, 2])]
        assert read(records, seed) == expected(records, seed)


def test_two_numbers_of_one_name_are_one_metric():
    records = range_of([("a", 1.0, 0), ("b", 2.0, 0), ("c", 3.0, 0), ("a", 4.0, 1), ("b", 5.0, 1), ("c", 6.0, 1)])
    records.names[2] = "a"
    rows = points_by_name(decode_row(encode(records)), 10)
    assert {name: (list(points.arrivals), points.values()) for name, points in rows.items()} == {
        "a": ([10, 12, 13, 15], [1.0, 3.0, 4.0, 6.0]),
        "b": ([11, 14], [2.0, 5.0]),
    }


def test_a_row_without_a_stored_record_has_no_points():
    assert read([NONE, FIELDS, NONE]) == {}


def test_a_damaged_row_is_a_format_error():
    body = encode(range_of(ROWS["in turn"]))
    with pytest.raises(FormatError):
        decode_row(body[:-1])


def test_rows_are_joined_whatever_numbers_their_writers_give_to_names():
    one = [("a", 1.0, 0), ("b", b'"x"', 0)]
    two = [("c", 3.0, 0), ("b", b'"yy"', 1), ("a", 2.0, 1)]
    rows = [range_of(one), range_of(two), range_of(one), range_of([("d", 1), ("c", 2)])]
    joined = points_by_name(join_rows(rows), 10)
    assert {name: list(points.arrivals) for name, points in joined.items()} == {
        "a": [10, 14, 15],
        "b": [11, 13, 16],
        "c": [12, 18],
        "d": [17],
    }
    assert joined["b"].payloads == b'"x""yy""x"'
    assert joined["a"].floats().tolist() == [1.0, 2.0, 1.0]
