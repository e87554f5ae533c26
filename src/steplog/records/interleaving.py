"""The points of one metric that several writers have logged, in one order. Pure.

A server numbers points as they arrive. Where they have arrived nowhere yet, they are in order of time, those of each
writer in the order in which it logged them: a point counts as not before the writer's points before it, so that a clock
that is set back changes nothing of that. Of two at the same time that of the earlier writer comes first.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise

from steplog.journal import slot
from steplog.records.points import NO_POINTS, Points, concatenate

__all__ = ["interleave"]


def interleave(writers: Sequence[Points]) -> Points:
    """The points of all writers; their ``arrivals`` mean nothing any more."""
    some = [points for points in writers if points.kinds]
    if not some:
        return NO_POINTS
    if len(some) == 1:
        return some[0]
    times = [array("q", accumulate(points.times, max)) for points in some]
    ranked = sorted(range(len(some)), key=lambda writer: times[writer][0])
    if all(times[before][-1] < times[after][0] for before, after in pairwise(ranked)):
        return concatenate([some[writer] for writer in ranked])
    whole = concatenate(some)
    order_times = array("q")
    for each in times:
        order_times.extend(each)
    return _in_order(whole, sorted(range(len(order_times)), key=order_times.__getitem__))


def _in_order(points: Points, order: Sequence[int]) -> Points:
    words, steps, times, arrivals = (
        array("q", map(column.__getitem__, order))
        for column in (points.words, points.steps, points.times, points.arrivals)
    )
    payloads = b""
    if points.payloads:
        pairs = zip(points.kinds, points.words, strict=True)
        ends = list(accumulate(word if kind == slot.KIND_JSON else 0 for kind, word in pairs))
        payloads = b"".join([points.payloads[ends[at - 1] if at else 0 : ends[at]] for at in order])
    return Points(bytes(map(points.kinds.__getitem__, order)), words, steps, times, arrivals, payloads)
