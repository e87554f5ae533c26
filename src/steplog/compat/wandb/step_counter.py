"""Where a row goes: one counter a run and process. Pure.

::

    step          commit              the row's step          the counter afterwards
    None          None, True          the counter             one more
    None          False               the counter             the same: the next row joins this one
    at or above   None, False         step                    step
    at or above   True                step                    step + 1
    below         any                 step                    the same

wandb drops a row whose step is below the counter. Here it is kept. The counter itself goes no further than 2**62 by a
step that is given, so that it never ends.

``take`` gives a step and moves on in one C call, which no thread can split. It serves while no step has been given
since the counter was moved last (``given`` is below 0); else ``settle`` comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import length_hint

__all__ = ["StepCounter"]

_GIVEN_MAX = 2**62
_END = _GIVEN_MAX + 2**61


class StepCounter:
    """``take`` gives the next step; ``given`` is the largest that a caller has named since."""

    __slots__ = ("_places", "given", "take")

    def __init__(self, start: int = 0) -> None:
        self.move(start)

    def move(self, start: int) -> None:
        """Go on from here."""
        self._places = iter(range(min(max(start, 0), _GIVEN_MAX), _END))
        self.take: Callable[[], int] = self._places.__next__
        self.given = -1

    @property
    def next(self) -> int:
        """The step of the next row without one."""
        return max(_END - length_hint(self._places), self.given)

    def settle(self) -> None:
        """Have ``take`` go on from the step that was given."""
        if self.given >= 0:
            self.move(self.next)

    def place(self, step: int | None, commit: bool | None) -> int:
        """The row's step; its caller logs the row."""
        if step is None:
            self.settle()
            return self.next if commit is not None and not commit else self.take()
        if step >= self.next:
            self.move(step + 1 if commit else step)
        return step
