"""A curve on a grid shows its points as they are; where it is drawn from summaries, it is off by a bucket at most."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.test_summary import SECOND, STEPS, VALUES, points_of
from steplog.records.points import Number, Points
from steplog.server.records.grid import Axis, Bucket, Curve, width_for
from steplog.server.records.summary import coarser, summarize

END = 2**63 - 1


def exact(points: Points, width: int, low: int = -END, high: int = END, xs: Sequence[int] | None = None) -> list[Any]:
    """Every bucket, the obvious way: place, range, last number, count, step, and what is not finite."""
    cells: dict[int, list[tuple[Number | None, int]]] = {}
    for number, step, x in zip(points.numbers(), points.steps, points.steps if xs is None else xs, strict=True):
        if low <= x <= high:
            cells.setdefault(x // width, []).append((number, step))
    found: list[Any] = []
    for place, inside in sorted(cells.items()):
        known = [(number, step) for number, step in inside if number is not None]
        finite = [number for number, _ in known if math.isfinite(number)] or [math.nan]
        last, step = known[-1] if known else (math.nan, inside[-1][1])
        unusual = [len([n for n, _ in known if repr(float(n)) == text]) for text in ("nan", "inf", "-inf")]
        found.append((place, min(finite), max(finite), last, len(inside), step, *unusual))
    return found


def shown(buckets: Sequence[Bucket]) -> list[Any]:
    return [(b.place, b.low, b.high, b.last, b.count, b.step, b.nans, b.infs, b.ninfs) for b in buckets]


def drawn(points: Points, width: int, size: int = 1024, levels: int = 0) -> list[Bucket]:
    """The curve of summaries of this level; of points themselves for 0."""
    curve = Curve(width, Axis(), -END, END)
    for first in range(0, len(points.kinds), size):
        part = points.part(first, first + size)
        if not levels:
            curve.add_points(part)
            continue
        entries = summarize(part)
        for _ in range(levels - 1):
            entries = coarser(entries)
        curve.add_entries(entries)
    return list(curve.buckets())


@given(
    st.lists(st.tuples(VALUES, STEPS), min_size=1, max_size=60),
    st.integers(0, 64),
    st.booleans(),
    st.tuples(STEPS, STEPS),
)
def test_points_are_placed_exactly(records, shift, is_sorted, ends):
    if is_sorted:
        records.sort(key=lambda record: record[1])
    values, steps = zip(*records, strict=True)
    points = points_of(values, array("q", steps))
    curve = Curve(1 << shift, Axis(), *ends)
    curve.add_points(points)
    assert repr(shown(list(curve.buckets()))) == repr(exact(points, 1 << shift, *ends))


NEAR = st.integers(-3000, 3000)


@given(NEAR, st.sampled_from([1, 2, 3, 8, 10, 64, 1000]), st.integers(1, 900), st.integers(0, 9), st.tuples(NEAR, NEAR))
def test_evenly_spaced_points_are_placed_exactly(start, stride, count, shift, ends):
    values = [(number * 7919 % 1009) / 8 for number in range(count)]
    for steps in (
        range(start, start + count * stride, stride),
        array("q", range(start, start + count * stride, stride)),
    ):
        points = points_of(values, steps)
        curve = Curve(1 << shift, Axis(), *ends)
        curve.add_points(points)
        assert repr(shown(list(curve.buckets()))) == repr(exact(points, 1 << shift, *ends))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64), st.integers(1, 2000))
def test_the_width_is_the_least_power_of_two_that_fits(low, span, buckets):
    high, width = low + span, width_for(low, low + span, buckets)
    least = 2 if low < 0 <= high else 1

    def fits(width: int) -> bool:
        return high // width - low // width + 1 <= max(buckets, least)

    assert width & (width - 1) == 0
    assert fits(width)
    assert width == 1 or not fits(width // 2)


ALIKE = [st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.just(b'"x"')]
RECORDS = [st.lists(st.tuples(values, st.integers(0, 100)), min_size=1, max_size=100) for values in ALIKE]


@given(st.one_of(RECORDS))
def test_summaries_that_lie_in_a_bucket_are_exact(records):
    values, steps = zip(*records, strict=True)
    points = points_of(values, array("q", steps))
    (bucket,) = drawn(points, 128, levels=1)
    assert repr(shown([bucket])) == repr([tuple(map(plain, row)) for row in exact(points, 128)])
    assert not bucket.approximate


def plain(number: Number) -> Number:
    return int(number) if isinstance(number, bool) else number


def steps_of(kind: str, count: int) -> list[int]:
    source = random.Random(kind)
    return {
        "monotone": lambda: list(range(count)),
        "sparse": lambda: list(range(0, 1000 * count, 1000)),
        "eight ranks": lambda: [
            s for first in range(0, count // 8, 50) for _ in range(8) for s in range(first, first + 50)
        ],
        "jitter": lambda: [max(0, at // 8 + source.randrange(-5, 6)) for at in range(count)],
        "late worker": lambda: [*range(count // 2), *range(count // 2)],
        "resets": lambda: [*range(count // 4)] * 4,
        "two workers": lambda: [step for at in range(count // 2) for step in (at, at + 10 * count)],
        "gap": lambda: [*range(count // 2), *range(8 * count, 8 * count + count // 2)],
        "stray": lambda: [3 if at % 999 == 500 else at for at in range(count)],
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    ["monotone", "sparse", "eight ranks", "jitter", "late worker", "resets", "two workers", "gap", "stray"],
)
@pytest.mark.parametrize("level", [1, 2])
def test_summaries_reach_a_bucket_too_far_at_most(kind, level):
    steps = steps_of(kind, 16_384)
    source = random.Random(kind)
    points = points_of([math.sin(step / 999) + source.gauss(0, 0.1) for step in steps], array("q", steps))
    entries_wide = 64 * 8 ** (level - 1) * (1000 if kind == "sparse" else 1)
    width = 1 << (2 * entries_wide).bit_length()
    truth = {row[0]: row for row in exact(points, width)}
    buckets = drawn(points, width, levels=level)
    assert sum(bucket.count for bucket in buckets) == len(steps)
    for bucket in buckets:
        near = [truth[place] for place in range(bucket.place - 1, bucket.place + 2) if place in truth]
        assert min(row[1] for row in near) <= bucket.low <= bucket.high <= max(row[2] for row in near), bucket
        if bucket.place in truth:
            assert bucket.low <= truth[bucket.place][1]
            assert bucket.high >= truth[bucket.place][2]
    assert {bucket.place for bucket in buckets} == set(truth)
    if kind in ("monotone", "sparse", "late worker", "resets"):
        assert repr(shown(buckets)) == repr(list(truth.values()))


def test_a_bucket_without_an_end_of_an_entry_gets_a_number_on_the_line_between():
    points = points_of([float(step) for step in range(64)], range(64))
    curve = Curve(16, Axis(), -END, END)
    curve.add_entries(summarize(points))
    assert [(b.place, b.count, b.last, b.step) for b in curve.buckets()] == [
        (0, 16, 0.0, 0),
        (1, 16, 24.0, 24),
        (2, 16, 40.0, 40),
        (3, 16, 63.0, 63),
    ]
    assert all(bucket.approximate for bucket in curve.buckets())  # four buckets wide


def test_an_entry_that_is_partly_wanted_counts_in_part():
    points = points_of([float(step) for step in range(64)], range(64))
    curve = Curve(64, Axis(), 16, 31)
    curve.add_entries(summarize(points))
    (bucket,) = curve.buckets()
    assert bucket.count == 16


def test_a_curve_over_time_begins_where_its_run_began():
    points = points_of([1.0, 2.0, 3.0], [5, 6, 7], [100 * SECOND, 101 * SECOND, 103 * SECOND])
    curve = Curve(1 << 30, Axis(is_time=True, origin=100 * SECOND), -END, END)
    curve.add_points(points)
    buckets = list(curve.buckets())
    assert [bucket.place for bucket in buckets] == [0, 2]
    assert [bucket.time for bucket in buckets] == [101 * SECOND, 103 * SECOND]
