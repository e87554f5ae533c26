"""Chunks restore every point bit by bit, and their summaries match."""

from __future__ import annotations

import math
import random
from array import array

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steplog.journal import slot
from steplog.records.points import Points, concatenate, number_range
from steplog.server.records.chunk import Encoding, decode, encode, pieces
from steplog.server.records.columns import array_of
from strategies import INT64, JSON_TEXTS

FLOATS = st.floats(width=64)
TIMES = st.one_of(INT64, st.integers(1_700_000_000_000_000_000, 1_700_000_000_000_100_000))
POINT = st.one_of(
    st.tuples(st.just(slot.KIND_FLOAT), FLOATS),
    st.tuples(st.just(slot.KIND_INT), INT64),
    st.tuples(st.just(slot.KIND_BOOL), st.booleans()),
    st.tuples(st.just(slot.KIND_JSON), JSON_TEXTS),
)
ROWS = st.lists(st.tuples(POINT, INT64.filter(lambda step: step != slot.NO_STEP), TIMES), min_size=1, max_size=40)


def points_of(rows: list[tuple[tuple[int, object], int, int]]) -> Points:
    words = array("q")
    for (kind, value), _, _ in rows:
        if kind == slot.KIND_FLOAT:
            words.frombytes(array("d", [value]).tobytes())
        else:
            words.append(len(value) if isinstance(value, bytes) else int(value))  # type: ignore[call-overload]
    return Points(
        bytes(kind for (kind, _), _, _ in rows),
        words,
        array("q", [step for _, step, _ in rows]),
        array("q", [time for _, _, time in rows]),
        range(len(rows)),
        b"".join(value for (_, value), _, _ in rows if isinstance(value, bytes)),
    )


def as_rows(points: Points) -> list[tuple[int, object, int, int, int]]:
    values = [bytes(value) if isinstance(value, msgspec.Raw) else value for value in points.values()]
    bits = [array("d", [value]).tobytes() if isinstance(value, float) else value for value in values]
    return list(zip(points.kinds, bits, points.steps, points.times, points.arrivals, strict=True))


@given(ROWS)
@example([((slot.KIND_FLOAT, math.nan), 0, 0), ((slot.KIND_FLOAT, -0.0), 2**63 - 1, -(2**63))])
@example([((slot.KIND_INT, 2**62), step, step) for step in (2**63 - 1, -(2**63) + 1, -1, 0, 2**62, -(2**63) + 2**61)])
def test_what_is_packed_comes_back_as_it_was(rows):
    points = points_of(rows)
    chunk = encode(points)
    assert as_rows(decode(chunk)) == as_rows(points)
    assert chunk.count == len(rows)
    assert (chunk.min_step, chunk.max_step) == (min(points.steps), max(points.steps))
    assert (chunk.first_step, chunk.last_step) == (points.steps[0], points.steps[-1])


@pytest.mark.parametrize("count", [2, 127, 128, 129, 1000, 4096])
@pytest.mark.parametrize("kind", ["noise", "constant", "counter", "falling"])
def test_columns_of_every_form_come_back(count, kind):
    randomness = random.Random(count)
    values = {
        "noise": [randomness.gauss(0, 1) for _ in range(count)],
        "constant": [0.001] * count,
        "counter": list(range(5, 5 + count)),
        "falling": [count - i for i in range(count)],
    }[kind]
    slot_kind = slot.KIND_FLOAT if isinstance(values[0], float) else slot.KIND_INT
    steps = sorted(randomness.randrange(10**6) for _ in range(count))
    points = points_of([((slot_kind, value), step, step * 999) for value, step in zip(values, steps, strict=True)])
    assert as_rows(decode(encode(points))) == as_rows(points)
    assert decode(encode(points), values_only=True).values() == values


def test_numbers_that_rise_to_the_largest_come_back():
    randomness = random.Random(7)
    steps = sorted(randomness.randrange(2**63) for _ in range(4094))
    steps = [0, *steps, 2**63 - 1]
    points = points_of([((slot.KIND_INT, step), step, step) for step in steps])
    assert as_rows(decode(encode(points))) == as_rows(points)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize(("start", "stride"), [(0, 1), (7, 50), (2**62, 2**48), (5, -1), (-9, 3), (-(2**63), 2**50)])
def test_a_range_becomes_the_array_of_its_numbers(count, start, stride):
    numbers = range(start, start + stride * count, stride)
    assert array_of(numbers) == array("q", list(numbers))
    assert array_of(list(numbers)) == array_of(array_of(numbers))


@pytest.mark.parametrize("count", [3, 4096])
@pytest.mark.parametrize(
    ("times", "is_ascending"),
    [([5, 5, 9], True), ([5, 6, 7], True), ([9, 5, 5], False), ([5, -(2**62), 2**62], False), ([9, 8, 7], False)],
)
def test_times_are_said_to_be_ascending_where_they_are(times, is_ascending, count):
    times = [*times, *(times[-1] + at * at for at in range(1, count - 2))]
    points = points_of([((slot.KIND_INT, 1), 0, time) for time in times])
    encoding = Encoding(points)
    assert encoding.is_ascending == is_ascending
    assert as_rows(decode(encoding.chunk(1, 1))) == as_rows(points)


@given(ROWS, ROWS)
def test_chunks_that_are_merged_hold_what_both_held(rows, others):
    one, other = points_of(rows), points_of(others)
    merged = concatenate([decode(encode(one)), decode(encode(other))])
    assert [row[:4] for row in as_rows(merged)] == [row[:4] for row in [*as_rows(one), *as_rows(other)]]


def test_a_long_metric_is_cut_into_chunks_of_about_one_size():
    points = points_of([((slot.KIND_INT, at), at, at) for at in range(10_000)])
    chunks = [encode(part) for part in pieces(points)]
    assert [chunk.count for chunk in chunks] == [3333, 3333, 3334]
    assert as_rows(concatenate([decode(chunk) for chunk in chunks])) == as_rows(points)


@given(ROWS, st.data())
def test_parts_and_choices_of_points_keep_their_payloads(rows, data):
    points = points_of(rows)
    first = data.draw(st.integers(0, len(rows)))
    wanted = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    assert as_rows(points.part(first, len(rows))) == as_rows(points)[first:]
    kept = [row for row, want in zip(as_rows(points), wanted, strict=True) if want]
    assert as_rows(points.select(wanted)) == kept


@given(st.lists(FLOATS, min_size=1))
@example([math.nan, 1.0, math.nan])
@example([math.inf, -math.inf, 0.5])
def test_nan_does_not_poison_the_least_and_the_greatest(values):
    real = [value for value in values if not math.isnan(value)]
    assert number_range(array("d", values)) == ((min(real), max(real)) if real else (None, None))


def test_the_last_value_of_a_summary_is_the_value_or_its_text():
    for value, kept in [(1.5, 1.5), (math.nan, '"NaN"'), (math.inf, math.inf), (2**62, 2**62)]:
        kind = slot.KIND_INT if isinstance(value, int) else slot.KIND_FLOAT
        assert encode(points_of([((kind, value), 0, 0)])).last == kept
    assert encode(points_of([((slot.KIND_BOOL, True), 0, 0)])).last == "true"
    assert encode(points_of([((slot.KIND_JSON, b'{"a":1}'), 0, 0)])).last == '{"a":1}'
    assert encode(points_of([((slot.KIND_JSON, b'"' + b"x" * 300 + b'"'), 0, 0)])).last is None


def test_a_noisy_training_curve_takes_less_than_nine_and_a_half_bytes_a_point():
    randomness = random.Random(0)
    time, rows = 1_700_000_000_000_000_000, []
    for step in range(4096):
        time += 1_000_000 + int(abs(randomness.gauss(0, 20_000)))
        rows.append(((slot.KIND_FLOAT, 2.5 * math.exp(-step / 9000) + randomness.gauss(0, 0.05)), step, time))
    assert len(encode(points_of(rows)).data) / len(rows) < 9.5
