"""A missing step is 0 at first, then one above the largest so far, however the points are cut."""

from __future__ import annotations

import random

import pytest

from steplog.journal.slot import NO_STEP, STEP_MAX
from steplog.records.numbering import assign

NONE = NO_STEP
CASES = [
    ([], 5, [], 5),
    ([3, 1], 0, [3, 1], 4),
    ([3, 1], 9, [3, 1], 9),
    ([-4], 0, [-4], 0),
    ([NONE, NONE], 7, [7, 8], 9),
    ([NONE, 7, NONE], 0, [0, 7, 8], 9),
    ([-4, NONE], 0, [-4, 0], 1),
    (range(3, 9, 2), 5, [3, 5, 7], 8),
    (range(9, 3, -2), 0, [9, 7, 5], 10),
    (range(NONE, NONE + 3, 2), 4, [4, NONE + 2], 5),
    ([STEP_MAX], 0, [STEP_MAX], STEP_MAX),
    ([STEP_MAX, NONE, NONE], 0, [STEP_MAX] * 3, STEP_MAX),
    ([NONE, NONE, NONE], STEP_MAX - 1, [STEP_MAX - 1, STEP_MAX, STEP_MAX], STEP_MAX),
]


@pytest.mark.parametrize(("steps", "next_step", "assigned", "after"), CASES)
def test_a_missing_step_is_the_next_one(steps, next_step, assigned, after):
    numbered, end = assign(steps, next_step)
    assert (list(numbered), end) == (assigned, after)


def test_points_are_numbered_alike_however_they_are_cut():
    for seed in range(300):
        source = random.Random(seed)
        near = source.choice([0, STEP_MAX - 4])
        steps = [source.choice([NONE, NONE, near + source.randint(-3, 4)]) for _ in range(source.randint(1, 12))]
        whole, end = assign(steps, 0)
        cut = source.randint(0, len(steps))
        head, between = assign(steps[:cut], 0)
        tail, after = assign(steps[cut:], between)
        assert ([*head, *tail], after) == (list(whole), end)
