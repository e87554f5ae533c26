"""A batch holds the records of its range, by name, in order of position."""

from __future__ import annotations

import json
import re
from itertools import accumulate

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.batches import NONE, range_of
from steplog.delivery import wire
from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range
from steplog.records.by_name import points_by_name
from steplog.records.run_fields import changes_of
from steplog.server.records.batch import Batch, check_json, from_range
from steplog.server.records.log_row import decode_row
from strategies import RANGES

NOT_STORED = ("steplog/run", "steplog/status", "steplog/files")


def expected(records: Range) -> dict[str, list[tuple[int, object, int | None, int]]]:
    by_name: dict[str, list[tuple[int, object, int | None, int]]] = {}
    for arrival, record in enumerate(wire.records(records)):
        value = repr(record.value)
        by_name.setdefault(record.name, []).append((arrival, value, record.step, record.time_ns))
    return by_name


def found(batch: Batch) -> dict[str, list[tuple[int, object, int | None, int]]]:
    """What the batch's log row gives back."""
    by_name = {}
    for name, points in points_by_name(decode_row(batch.body), 0).items():
        values = [repr(bytes(value) if isinstance(value, msgspec.Raw) else value) for value in points.values()]
        steps = [None if step == slot.NO_STEP else step for step in points.steps]
        by_name[name] = list(zip(points.arrivals, values, steps, points.times, strict=True))
    return by_name


@given(RANGES)
def test_every_record_of_a_range_is_in_its_batch_once(records):
    assume(set(NOT_STORED).isdisjoint(records.names.values()))
    batch = from_range(records)
    assert found(batch) == expected(records)
    assert batch.records == records.records


@given(RANGES, st.randoms(use_true_random=False))
def test_what_records_say_about_the_run_is_taken_out_of_the_batch(records, chance):
    names = [*NOT_STORED, "steplog/config", "steplog/config/removed"]
    given = {number: chance.choice([*names, f"name {number}"]) for number in records.names}
    records = replace(records, names=given, deflated=None)
    batch = from_range(records)
    texts = [
        (each.name, each.time_ns, each.position, each.value)
        for each in wire.records(records)
        if isinstance(each.value, bytes) and each.name in names
    ]
    assert (batch.changes or changes_of([])) == changes_of(texts)
    places = {index for index, each in enumerate(_by_position(records)) if each in NOT_STORED}
    stored = records
    for index in places:
        stored = stored.without(records.first + index)
    assert found(batch) == expected(stored)
    assert (batch.source, batch.records, batch.applied) == (records, stored.records, len(places))


def _by_position(records: Range) -> list[str | None]:
    names = {each.position - records.first: each.name for each in wire.records(records)}
    return [names.get(index) for index in range(records.end - records.first)]


@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 8), st.booleans())
def test_names_that_come_around_with_a_period_are_split_like_any_others(period, rounds, cut, steps):
    entries = [(f"m{at % period}", at * 0.5, at // period if steps else None) for at in range(period * rounds + cut)]
    records = range_of(entries)
    assert found(from_range(records)) == expected(records)


def test_a_name_declared_under_two_numbers_stays_one_metric():
    records = range_of([("a", 1.0), ("b", 2.0)] * 3)
    twice = Range("w", 0, 6, {0: "a", 1: "a"}, records.slots, b"")
    ((name, rows),) = found(from_range(twice)).items()
    assert (name, [row[0] for row in rows]) == ("a", [0, 1, 2, 3, 4, 5])


def test_arrivals_count_records_not_positions():
    batch = from_range(range_of([("a", 1.0), NONE, ("a", 2.0), NONE, ("b", 3.0)]))
    assert {name: [row[0] for row in rows] for name, rows in found(batch).items()} == {"a": [0, 1], "b": [2]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nul",
        b"NaN",
        b"[1,]",
        b'{"a"}',
        b'"\xff"',
        b"[1] 2",
        b"[" * 501 + b"]" * 501,
        b"[" * 100_000,
        b"1" * 5000,
        b"[" * 600 + b'"' + b'\\"' * 100_000,
    ],
)
def test_a_payload_that_is_not_json_is_refused_with_a_reason(text):
    with pytest.raises(FormatError, match="record 1 of the range: "):
        from_range(range_of([("a", 1.0), ("b", text)]))


@pytest.mark.parametrize(
    "text",
    [
        b"null",
        b'"[[[["',
        b'"' + b"[" * 600 + b'"',
        b"[" * 500 + b"]" * 500,
        str(2**100).encode(),
        b"1e400",
        b' {"a": [1, {}]} ',
    ],
)
def test_json_of_every_size_and_shape_that_readers_take_is_accepted(text):
    check_json(text)


PIECES = st.one_of(
    st.sampled_from([3, 4300, 4301, 9000]).map(lambda digits: b"-1.5e" + b"7" * digits),
    st.sampled_from([4300, 4301]).map(lambda digits: b"8" * digits),
    st.sampled_from([3, 4301]).map(lambda digits: json.dumps('\\"' + "9" * digits + "\\").encode()),
    st.sampled_from([1, 250, 499, 500]).map(lambda deep: b"[" * deep + b"{}" + b"]" * deep),
    st.text('"\\[]{}0', max_size=600).map(lambda text: json.dumps(text).encode()),
    st.just(b'{"a\\"{": {}}'),
)


@given(st.lists(PIECES, max_size=6).map(lambda pieces: b"[" + b",".join(pieces) + b"]"))
def test_json_is_refused_for_its_depth_and_its_digits_outside_strings(text):
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b'"', text)
    deepest = max(accumulate((byte in b"[{") - (byte in b"]}") for byte in bare), default=0)
    longest = max(map(len, re.findall(rb"[0-9]+", bare)), default=0)
    if deepest > 500 or longest > 4300:
        with pytest.raises(FormatError, match=r"nested deeper|more than 4300 digits|out of range"):
            check_json(text)
    else:
        check_json(text)


def test_a_bool_that_is_neither_true_nor_false_is_refused():
    records = range_of([("a", True), ("a", 7)])
    forged = records.slots[:32] + records.slots[32:62] + bytes((slot.KIND_BOOL, 0))
    with pytest.raises(FormatError, match="bool"):
        from_range(Range("w", 0, 2, records.names, forged, b""))
