"""Summaries of points are true of their points, whatever these are, and come back from their rows as they were."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.journal import slot
from steplog.records.points import Points
from steplog.server.records.summary import Entries, coarser, concatenate, decode, encode, summarize

SECOND = 10**9
STEPS = st.one_of(st.integers(-3, 40), st.integers(-(2**63) + 1, 2**63 - 1))
VALUES = st.one_of(
    st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.sampled_from([b'"x"', b"[1, 2]", b"null"])
)


def points_of(values: Sequence[Any], steps: Sequence[int], times: Sequence[int] | None = None) -> Points:
    kinds, words, payloads = bytearray(), array("q"), b""
    for value in values:
        if isinstance(value, bytes):
            kinds.append(slot.KIND_JSON)
            words.append(len(value))
            payloads += value
        elif isinstance(value, float):
            kinds.append(slot.KIND_FLOAT)
            words.frombytes(array("d", [value]).tobytes())
        else:
            kinds.append(slot.KIND_BOOL if isinstance(value, bool) else slot.KIND_INT)
            words.append(value)
    count = len(values)
    times = array("q", times or [SECOND * at for at in range(count)])
    return Points(bytes(kinds), words, steps, times, range(count), payloads)


def rows_of(entries: Entries) -> list[tuple[Any, ...]]:
    """Comparable, though NaN is not itself."""
    return [tuple(map(repr, row)) for row in zip(*(list(column) for column in entries.columns()), strict=True)]


def check(entries: Entries, points: Points) -> None:
    """Each entry is true of as many points, and all of them together of all."""
    numbers = [number for number in points.numbers() if number is not None]
    if isinstance(entries.lows[0], float):
        numbers = list(map(float, numbers))  # not every integer beside others
    finite = [number for number in numbers if math.isfinite(number)]
    assert sum(entries.counts) == len(points.kinds)
    assert min(entries.min_steps) == min(points.steps)
    assert max(entries.max_steps) == max(points.steps)
    assert (min(entries.min_times), max(entries.max_times)) == (min(points.times), max(points.times))
    lows, highs = ([number for number in column if number == number] for column in (entries.lows, entries.highs))
    assert (min(lows, default=None), max(highs, default=None)) == (min(finite, default=None), max(finite, default=None))
    counted = [sum(column) for column in (entries.nans, entries.infs, entries.ninfs)]
    assert counted == [sum(map(math.isnan, numbers)), numbers.count(math.inf), numbers.count(-math.inf)]
    for first, last, low, high in zip(
        entries.first_steps, entries.last_steps, entries.min_steps, entries.max_steps, strict=True
    ):
        assert low <= first <= high
        assert low <= last <= high


@given(st.lists(st.tuples(VALUES, STEPS, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=200))
def test_entries_are_true_of_their_points_and_survive_their_row(records):
    values, steps, times = zip(*records, strict=True)
    points = points_of(values, array("q", steps), times)
    entries = summarize(points)
    check(entries, points)
    assert rows_of(decode([encode(entries)])) == rows_of(entries)
    while len(entries) > 1:
        fewer = coarser(entries)
        check(fewer, points)
        assert rows_of(decode([encode(fewer)])) == rows_of(fewer)
        if len(fewer) == len(entries):
            break
        entries = fewer


def test_rows_of_few_and_of_many_entries_are_read_as_one():
    source = random.Random(1)
    parts = [
        summarize(points_of([source.gauss(0, 1) for _ in range(count)], range(first, first + count)))
        for first, count in ((0, 20_000), (20_000, 100), (20_100, 1), (20_101, 40_000))
    ]
    integers = summarize(points_of([2**60 + at for at in range(3)], range(70_000, 70_003)))
    for wanted in (parts, [*parts, integers], [integers]):
        assert rows_of(decode(map(encode, wanted))) == rows_of(concatenate(wanted))
    assert list(decode([encode(integers)]).lows) == [2**60]


@given(st.integers(-(10**6), 10**12), st.integers(1, 200), st.integers(1, 1000))
def test_steps_of_a_range_make_the_entries_of_their_numbers(first, stride, count):
    steps = range(first, first + stride * count, stride)
    values = [step % 7 / 4 for step in steps]
    listed = summarize(points_of(values, array("q", steps)))
    assert rows_of(summarize(points_of(values, steps))) == rows_of(listed)


def test_entries_of_ascending_steps_lie_in_the_buckets_of_a_grid():
    for stride in (1, 3, 10, 100, 524_288):
        points = points_of([0.5] * 4000, range(7, 7 + 4000 * stride, stride))
        entries = summarize(points)
        for level in range(3):
            width = 1 << (stride * 64 * 8**level).bit_length()
            crossing = [low // width != high // width for low, high in zip(*ranges(entries), strict=True)]
            assert not any(crossing)
            assert len(entries) <= 2 + 2 * 4000 / (64 * 8**level)
            entries = coarser(entries)


def ranges(entries: Entries) -> tuple[Sequence[int], Sequence[int]]:
    return entries.min_steps, entries.max_steps


@pytest.mark.parametrize(
    ("steps", "widest"),
    [
        ([*range(5000, 5100), *range(100)], 100),
        ([*range(100), *range(9000, 9100)], 100),
        ([*range(1000, 1090), 3, *range(1090, 1190)], 70),
        ([step for at in range(100) for step in (at, at + 10**6)], 70),
        ([-(2**63) + 1, 2**63 - 1] * 50, 0),
    ],
    ids=["back", "gap", "stray", "two workers", "extremes"],
)
def test_no_entry_covers_steps_between_which_nothing_was_logged(steps, widest):
    entries = summarize(points_of([0.5] * len(steps), array("q", steps)))
    assert entries.widest[0] <= widest
    assert coarser(entries).widest[0] <= 200


def test_no_entry_covers_the_night_between_two_days():
    times = [at * SECOND for at in range(500)] + [(10**6 + at) * SECOND for at in range(500)]
    entries = summarize(points_of([0.5] * 1000, range(1000), times))
    assert entries.widest[1] < 100 * SECOND


def test_steps_that_cannot_be_told_apart_make_no_more_entries():
    source = random.Random(3)
    steps = array("q", [source.randrange(10**6) for _ in range(4096)])
    assert len(summarize(points_of([0.5] * 4096, steps))) == 64
