"""Points of several writers come in order of time, and those of each writer in its own."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from server.batches import range_of
from steplog.records.by_name import points_by_name, stored_part
from steplog.records.interleaving import interleave
from steplog.records.points import NO_POINTS, Points

VALUES = st.sampled_from([0.25, 7, True, b'"text"', b'{"a": [1, 2]}', b"null"])
WRITERS = st.lists(st.lists(st.tuples(VALUES, st.integers(0, 6)), max_size=8), min_size=1, max_size=4)


def points_of(values: list[Any], times: list[int]) -> Points:
    """Of one writer, one metric."""
    if not values:
        return NO_POINTS
    found = points_by_name(stored_part(range_of([("a", value) for value in values])), 0)["a"]
    return Points(found.kinds, found.words, found.steps, times, found.arrivals, found.payloads)


def told(points: Points) -> list[tuple[Any, int]]:
    values = [bytes(value) if isinstance(value, msgspec.Raw) else value for value in points.values()]
    return list(zip(values, points.times, strict=True))


@given(WRITERS)
def test_the_order_is_that_of_time_with_no_point_before_its_writers_earlier_ones(writers):
    """Against the sort of all by (time of the writer so far, writer, place)."""
    expected = []
    for writer, logged in enumerate(writers):
        latest = 0
        for place, (value, time) in enumerate(logged):
            latest = max(latest, time)
            expected.append(((latest, writer, place), (value, time)))
    found = interleave([points_of([value for value, _ in logged], [time for _, time in logged]) for logged in writers])
    assert told(found) == [point for _, point in sorted(expected, key=lambda each: each[0])]


def test_writers_that_follow_each_other_are_joined_as_they_are():
    later, earlier = points_of([1.5, b'"x"'], [30, 40]), points_of([b"[1]", 2], [10, 20])
    assert told(interleave([later, NO_POINTS, earlier])) == [(b"[1]", 10), (2, 20), (1.5, 30), (b'"x"', 40)]
