"""Points are placed in rows by ranges and slices where their steps allow it; ``test_wide.py`` tests where they go."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import pytest

from steplog.reading.joining import join


def joined(*sets: Sequence[int]) -> tuple[list[int], list[Any]]:
    rows, placements = join([array("q", steps) for steps in sets])
    return list(rows), [placement.rows for placement in placements]


@pytest.mark.parametrize(
    ("sets", "rows", "places"),
    [
        ([range(10, 20)], range(10, 20), [range(10)]),
        ([range(10), range(0, 10, 3)], range(10), [range(10), range(0, 10, 3)]),
        ([range(0, 20, 2), range(10, 30, 2)], range(0, 30, 2), [range(10), range(5, 15)]),
        ([range(0, 12, 2), [6]], range(0, 12, 2), [range(6), range(3, 4)]),
        ([[5], [6], [4]], range(4, 7), [range(1, 2), range(2, 3), range(1)]),
        ([range(5), range(5, 9)], range(9), [range(5), range(5, 9)]),
    ],
    ids=["one", "every third", "later", "a single one", "single ones", "one after the other"],
)
def test_evenly_spaced_steps_are_placed_by_ranges(sets, rows, places):
    found, placed = joined(*sets)
    assert found == list(rows)
    assert all(isinstance(place, range) for place in placed)
    assert list(map(list, placed)) == list(map(list, places))


def test_uneven_steps_among_even_ones_leave_those_to_a_range():
    _, (even, uneven) = joined(range(100), [3, 4, 50, 51, 97])
    assert even == range(100)
    assert uneven == [3, 4, 50, 51, 97]


@pytest.mark.parametrize(
    "sets",
    [
        [range(0, 10, 2), range(1, 10, 2)],
        [range(5), range(7, 10)],
        [[0, 1, 2, 5], [0, 1, 2, 4]],
        [range(0, 100, 10), [5, 15]],
        [range(10), [3, 40]],
        [[0, 1, 1, 3, 4], range(0, 8, 4)],
    ],
    ids=["odd and even", "a gap", "irregular", "between", "beyond", "repeated"],
)
def test_other_steps_are_placed_one_by_one(sets):
    union = sorted(set().union(*sets))
    found, placed = joined(*sets)
    assert found == union
    assert [[union[row] for row in place] for place in placed] == [sorted(set(steps)) for steps in sets]


def test_what_a_resumed_run_went_over_again_is_chosen_by_slices():
    steps = array("q", [*range(600), *range(500, 900), *range(880, 1000)])
    rows, (placement,) = join([steps])
    assert rows == array("q", range(1000))
    assert placement.chosen == [slice(0, 500), slice(600, 980), slice(1000, 1120)]
    assert placement.pick(steps) == rows
    assert placement.pick(list(steps)) == list(rows)


def test_steps_in_no_order_are_chosen_one_by_one():
    rows, (placement,) = join([array("q", [5, 3, 4, 3, 9, 1])])
    assert rows == array("q", [1, 3, 4, 5, 9])
    assert placement.chosen == [5, 3, 2, 0, 4]


def test_nothing_is_joined_to_nothing():
    assert join([]) == (array("q"), [])
