"""The buckets of a curve match their points: none lost, none counted twice."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from server.batches import range_of
from steplog.server.records.chunk import Chunk, decode, pack
from steplog.server.records.curve import Bucket, downsample
from steplog.server.records.log_row import points_by_name


def chunks_of(values: list[Any], steps: list[int], size: int) -> list[Chunk]:
    chunks, first = [], 0
    while first < len(values):
        records = [("a", v, s) for v, s in zip(values[first : first + size], steps[first : first + size], strict=True)]
        chunks += pack(points_by_name(range_of(records), first)["a"])
        first += size
    return chunks


def reduced(chunks: list[Chunk], points: int, low: int | None = None, high: int | None = None) -> list[Bucket]:
    def last(chunk: Chunk) -> Any:
        return decode(chunk).values()[-1]

    return downsample(chunks, points, low, high, decode, last)


def check(buckets: list[Bucket], values: list[float], steps: list[int], points: int) -> None:
    """Compare each bucket with its points."""
    assert len(buckets) <= points
    first = 0
    for bucket in buckets:
        end = first + bucket.count
        real = [value for value in values[first:end] if not math.isnan(value)]
        assert (bucket.low, bucket.high) == ((min(real), max(real)) if real else (None, None))
        assert bucket.step == steps[end - 1]
        assert bucket.last == values[end - 1] or math.isnan(values[end - 1])
        first = end
    assert first == len(values)


@pytest.mark.parametrize(
    ("count", "size", "points"),
    [
        (1, 1, 1),
        (999, 100, 1000),
        (1000, 7, 1000),
        (1001, 300, 1000),
        (20_000, 4096, 1000),
        (20_000, 50, 1000),
        (5_000, 3, 10),
        (4097, 4096, 2),
        (300, 1, 299),
    ],
)
def test_a_curve_equals_its_points_bucket_by_bucket(count, size, points):
    randomness = random.Random(count)
    values = [math.nan if randomness.random() < 0.02 else randomness.gauss(0, 1) for _ in range(count)]
    steps = [randomness.randrange(10**6) for _ in range(count)]
    buckets = reduced(chunks_of(values, steps, size), points)
    check(buckets, values, steps, points)
    assert len(buckets) >= min(count, points * 0.2)


def test_a_curve_that_fits_is_exact():
    values = [float(at) for at in range(500)]
    buckets = reduced(chunks_of(values, list(range(500)), 64), 500)
    assert buckets == [Bucket(at, at, at, at, 1) for at in range(500)]


@pytest.mark.parametrize("size", [1, 10, 333])
@pytest.mark.parametrize(("low", "high"), [(None, 50), (17, None), (101, 202), (5000, 6000), (40, 39)])
def test_only_points_in_the_wanted_steps_are_in_a_curve(size, low, high):
    randomness = random.Random(size)
    steps = [at // 3 + randomness.randrange(40) for at in range(2000)]
    values = [randomness.random() for _ in steps]
    inside = [
        (v, s) for v, s in zip(values, steps, strict=True) if (low is None or s >= low) and (high is None or s <= high)
    ]
    for points in (20, 5000):
        buckets = reduced(chunks_of(values, steps, size), points, low, high)
        check(buckets, [v for v, _ in inside], [s for _, s in inside], points)


def test_many_chunks_are_drawn_from_their_summaries_alone():
    chunks = chunks_of([float(at) for at in range(3000)], list(range(3000)), 2)

    def never(_: Chunk) -> Any:
        raise AssertionError("a point was read")

    buckets = downsample(chunks, 1000, None, None, never, lambda chunk: chunk.last)
    check(buckets, [float(at) for at in range(3000)], list(range(3000)), 1000)


def test_what_is_no_number_has_a_last_value_and_no_range():
    (bucket,) = reduced(chunks_of([b'"x"', b"[1]"], [0, 1], 2), 1)
    assert (bucket.low, bucket.high, bytes(bucket.last), bucket.count) == (None, None, b"[1]", 2)
