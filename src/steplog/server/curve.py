"""A curve: one metric reduced to buckets that a page can draw.

Pure. Points are taken in the order of arrival and cut into stretches, each drawn as one bucket: the step and
the value of its last point, its least and greatest value, and how many points it stands for. A curve that fits
has a bucket a point and is exact.

Where the chunks alone are fine enough, a bucket is made of whole chunks' summaries and no point is read. That
is at ``_CHUNKS_A_POINT`` chunks for each bucket wanted; below it the points are read, for a thousand buckets 820,000
at most. Points outside of the wanted steps are left out exactly: a chunk that is only partly inside is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from steplog.journal import slot
from steplog.server.chunk import Chunk, Points, number_range

__all__ = ["Bucket", "reduce_chunks"]

_CHUNKS_A_POINT = 0.2


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of points: the step of its last, its least, greatest and last value, how many there are."""

    step: int
    low: int | float | None
    high: int | float | None
    last: Any
    count: int


def reduce_chunks(
    chunks: Sequence[Chunk],
    points: int,
    low: int | None,
    high: int | None,
    read: Callable[[Chunk], Points],
    last: Callable[[Chunk], Any],
) -> list[Bucket]:
    """The buckets of chunks that follow each other; their data is needed only by ``read`` and ``last``."""
    wanted = [chunk for chunk in chunks if _overlaps(chunk, low, high)]
    total = sum(chunk.count for chunk in wanted)
    if total > points and len(wanted) >= points * _CHUNKS_A_POINT:
        return _folded(list(_summaries(wanted, low, high, read, last)), points)
    inside = [_inside(chunk, read(chunk), low, high) for chunk in wanted]
    total = sum(len(part.kinds) for part in inside)
    # Each chunk may end in a bucket that is not full.
    size = 1 if total <= points else -(-total // (points - len(inside)))
    return [bucket for part in inside for bucket in _cut(part, size)]


def _overlaps(chunk: Chunk, low: int | None, high: int | None) -> bool:
    return (low is None or chunk.max_step >= low) and (high is None or chunk.min_step <= high)


def _is_inside(chunk: Chunk, low: int | None, high: int | None) -> bool:
    return (low is None or chunk.min_step >= low) and (high is None or chunk.max_step <= high)


def _inside(chunk: Chunk, points: Points, low: int | None, high: int | None) -> Points:
    """The points of a chunk whose step is in [low, high]."""
    if _is_inside(chunk, low, high):
        return points
    return points.only([(low is None or step >= low) and (high is None or step <= high) for step in points.steps])


def _summaries(
    chunks: Iterable[Chunk],
    low: int | None,
    high: int | None,
    read: Callable[[Chunk], Points],
    last: Callable[[Chunk], Any],
) -> Iterator[Bucket]:
    for chunk in chunks:
        if _is_inside(chunk, low, high):
            yield Bucket(chunk.last_step, chunk.low, chunk.high, last(chunk), chunk.count)
        else:
            part = _inside(chunk, read(chunk), low, high)
            if part.kinds:
                yield from _cut(part, len(part.kinds))


def _cut(points: Points, size: int) -> Iterator[Bucket]:
    """Buckets of ``size`` points each, the last one smaller."""
    numbers, count = points.numbers(), len(points.kinds)
    values = numbers if points.kind in (slot.KIND_FLOAT, slot.KIND_INT) else points.values()
    for first in range(0, count, size):
        end = min(first + size, count)
        low, high = number_range(numbers[first:end])
        yield Bucket(points.steps[end - 1], low, high, values[end - 1], end - first)


def _folded(buckets: Sequence[Bucket], points: int) -> list[Bucket]:
    """At most ``points`` buckets, neighbours put together."""
    if len(buckets) <= points:
        return list(buckets)
    size = -(-len(buckets) // points)
    source = iter(buckets)
    folded = []
    while group := list(islice(source, size)):
        lows = [bucket.low for bucket in group if bucket.low is not None]
        highs = [bucket.high for bucket in group if bucket.high is not None]
        folded.append(
            Bucket(
                group[-1].step,
                min(lows, default=None),
                max(highs, default=None),
                group[-1].last,
                sum(bucket.count for bucket in group),
            )
        )
    return folded
