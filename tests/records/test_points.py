"""Points that follow one another are what their parts were, and ranges stay ranges where they go on."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.journal import slot
from steplog.records.points import Points, concatenate

RANGES = st.builds(
    lambda start, count, step: range(start, start + count * step, step),
    st.integers(-20, 20),
    st.integers(0, 4),
    st.sampled_from([-2, 1, 1, 3]),
)
COLUMNS = RANGES | st.lists(st.integers(-9, 9), max_size=4).map(lambda column: array("q", column))


def points_of(column: range | array[int]) -> Points:
    count = len(column)
    return Points(bytes([slot.KIND_INT]) * count, array("q", range(count)), column, column, column)


@given(st.lists(COLUMNS, min_size=1, max_size=5))
def test_what_is_joined_has_the_numbers_of_its_parts(columns):
    expected = [number for column in columns for number in column]
    joined = concatenate([points_of(column) for column in columns])
    assert [*joined.steps] == [*joined.times] == [*joined.arrivals] == expected


@pytest.mark.parametrize(
    ("columns", "joined"),
    [
        ([range(0, 40, 20), range(40, 80, 20)], range(0, 80, 20)),
        ([range(3, 5), range(5, 6), range(6, 9)], range(3, 9)),
        ([range(0, 40, 20), range(40, 41), range(60, 100, 20)], range(0, 100, 20)),
        ([range(9, 5, -2), range(5, 1, -2)], range(9, 1, -2)),
        ([range(2), range(3, 5)], None),
        ([range(2), range(2, 6, 2)], None),
        ([range(1), range(1, 2)], None),
        ([range(2), array("q", [2])], None),
    ],
)
def test_ranges_that_go_on_are_one_range(columns, joined):
    steps = concatenate([points_of(column) for column in columns]).steps
    assert steps == joined if joined is not None else isinstance(steps, array)
