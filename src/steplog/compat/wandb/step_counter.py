"""Where a row goes: one counter a run and process. Pure.

::

    step          commit              the row's step          the counter afterwards
    None          None, True          the counter             one more
    None          False               the counter             the same: the next row joins this one
    at or above   None, False         step                    step
    at or above   True                step                    step + 1
    below         any                 step                    the same

wandb drops a row whose step is below the counter. Here it is kept.
"""

from __future__ import annotations

__all__ = ["StepCounter"]


class StepCounter:
    """``next`` is the step of the next row without one, ``last`` that of the last row."""

    __slots__ = ("last", "next")

    def __init__(self, start: int = 0) -> None:
        self.next = start
        self.last = start

    def place(self, step: int | None, commit: bool | None) -> tuple[int, int]:
        """The row's step, and the counter once the row is logged."""
        if step is None:
            return self.next, self.next if commit is not None and not commit else self.next + 1
        if step < self.next:
            return step, self.next
        return step, step + 1 if commit else step
