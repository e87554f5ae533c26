"""Numbering the points of a metric that were logged without a step. Pure.

A missing step is the next one: 0 at first, then one above the largest so far. It saturates at ``STEP_MAX``, since what
was accepted cannot be refused. Whatever numbers points of a series goes on from ``next_step``, in order of arrival.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from steplog.journal.slot import NO_STEP, STEP_MAX

__all__ = ["assign"]


def assign(steps: Sequence[int], next_step: int) -> tuple[Sequence[int], int]:
    """The steps, each ``NO_STEP`` replaced, and the next step after them.

    >>> assign([NO_STEP, 7, NO_STEP], 0)
    (array('q', [0, 7, 8]), 9)
    """
    if not steps:
        return steps, next_step
    low, high = sorted((steps[0], steps[-1])) if isinstance(steps, range) else (min(steps), max(steps))
    if low != NO_STEP:
        return steps, _after(next_step, high)
    count = len(steps)
    if high == NO_STEP and next_step <= STEP_MAX - count:
        return range(next_step, next_step + count), next_step + count
    assigned = array("q")
    for step in steps:
        assigned.append(next_step if step == NO_STEP else step)
        next_step = _after(next_step, assigned[-1])
    return assigned, next_step


def _after(next_step: int, step: int) -> int:
    return max(next_step, min(step + 1, STEP_MAX))
