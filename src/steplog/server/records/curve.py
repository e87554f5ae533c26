"""A curve: one metric, downsampled to buckets for drawing.

Pure. A bucket is a stretch of points in order of arrival. A curve that fits has one point a bucket.

With ``_CHUNKS_A_BUCKET`` chunks a bucket, summaries alone are used. With fewer, points are read: at most 820,000 for
1,000 buckets. A chunk partly outside the range of steps is always read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from steplog.journal import slot
from steplog.server.records.chunk import Chunk, Points, number_range

__all__ = ["Bucket", "downsample"]

_CHUNKS_A_BUCKET = 0.2


class Bucket(msgspec.Struct, frozen=True):
    """Consecutive points: last step, minimum, maximum, last value, count."""

    step: int
    low: int | float | None
    high: int | float | None
    last: Any
    count: int


def downsample(
    chunks: Sequence[Chunk],
    points: int,
    low: int | None,
    high: int | None,
    read: Callable[[Chunk], Points],
    last: Callable[[Chunk], Any],
) -> list[Bucket]:
    """At most ``points`` buckets of the points with a step in [low, high].

    ``chunks`` may lack their data: ``read`` gives a chunk's points, ``last`` its last value.
    """
    low = slot.NO_STEP if low is None else low
    high = slot.STEP_MAX if high is None else high
    wanted = [chunk for chunk in chunks if chunk.max_step >= low and chunk.min_step <= high]
    total = sum(chunk.count for chunk in wanted)
    if total > points and len(wanted) >= points * _CHUNKS_A_BUCKET:
        return _merged(list(_summaries(wanted, low, high, read, last)), points)
    inside = [_clip(chunk, read(chunk), low, high) for chunk in wanted]
    total = sum(len(part.kinds) for part in inside)
    # Each chunk may end in a partial bucket.
    size = 1 if total <= points else -(-total // (points - len(inside)))
    return [bucket for part in inside for bucket in _cut(part, size)]


def _clip(chunk: Chunk, points: Points, low: int, high: int) -> Points:
    if low <= chunk.min_step and chunk.max_step <= high:
        return points
    return points.select([low <= step <= high for step in points.steps])


def _summaries(
    chunks: Iterable[Chunk], low: int, high: int, read: Callable[[Chunk], Points], last: Callable[[Chunk], Any]
) -> Iterator[Bucket]:
    for chunk in chunks:
        if low <= chunk.min_step and chunk.max_step <= high:
            yield Bucket(chunk.last_step, chunk.low, chunk.high, last(chunk), chunk.count)
        else:
            part = _clip(chunk, read(chunk), low, high)
            if part.kinds:
                yield from _cut(part, len(part.kinds))


def _cut(points: Points, size: int) -> Iterator[Bucket]:
    numbers, count = points.numbers(), len(points.kinds)
    values = numbers if points.kind in (slot.KIND_FLOAT, slot.KIND_INT) else points.values()
    for first in range(0, count, size):
        end = min(first + size, count)
        low, high = number_range(numbers[first:end])
        yield Bucket(points.steps[end - 1], low, high, values[end - 1], end - first)


def _merged(buckets: Sequence[Bucket], points: int) -> list[Bucket]:
    """Neighbours merged into at most ``points`` buckets."""
    if len(buckets) <= points:
        return list(buckets)
    size = -(-len(buckets) // points)
    merged = []
    for first in range(0, len(buckets), size):
        group = buckets[first : first + size]
        low = min((bucket.low for bucket in group if bucket.low is not None), default=None)
        high = max((bucket.high for bucket in group if bucket.high is not None), default=None)
        merged.append(Bucket(group[-1].step, low, high, group[-1].last, sum(bucket.count for bucket in group)))
    return merged
