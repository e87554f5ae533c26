"""Holes: slots that were claimed and will not be written, closed without a lock and without a timer.

In a living writer a slot stays empty below a written one while the thread that claimed it is preempted or
interrupted there; it will be written. But a signal handler can raise between the claim and its store, and then
nobody knows of it.

A slot that was seen empty below a written one was claimed before that moment. So once every thread has been seen
outside of ``log()`` after it, whoever claimed it has left, and it can have a tombstone. ``sys._current_frames``
takes all stacks at one instant (the GIL is held), and costs the hot path nothing; it is asked only while there is a
hole.

The number that closed a segment looks like a hole too, until the next segment is there. Its slot stays empty for
good: a reader that does not know of the next segment yet must not get past it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from steplog.journal.append import Append, Segment
from steplog.journal.writer import Writer

__all__ = ["HoleWatch"]

# The code that claims positions, wherever it is called from: a compiled append has no frame of its own.
_CLAIMING = frozenset((Append.log.__code__, Writer._record.__code__, Writer._succeed.__code__))


class HoleWatch:
    """Closes the holes of one writer of this process; ``frames`` gives each thread's innermost frame."""

    def __init__(self, writer: Writer, frames: Callable[[], dict[int, FrameType]] = sys._current_frames) -> None:
        self.closed = 0
        self._segment = writer.head  # there are no holes before it
        self._view = writer.head.view()
        self._frames = frames
        self.suspects: list[tuple[Segment, int]] = []  # seen empty below a written one
        self._inside: set[int] = set()  # threads that have been claiming ever since the suspects were seen

    def look(self) -> None:
        """One look; a hole is closed by a later one."""
        if self.suspects:
            self._inside &= self._claiming()
            if self._inside:
                return
            for segment, index in self.suspects:
                if (end := segment.end()) is None or index < end:
                    self.closed += segment.bury(segment.offset_of(index))
        self.suspects = self._holes()
        if self.suspects:
            self._inside = self._claiming()

    def _holes(self) -> list[tuple[Segment, int]]:
        found: list[tuple[Segment, int]] = []
        segment, view = self._segment, self._view
        while True:
            end = segment.end()
            found += [(segment, index) for index in view.holes(view.written() if end is None else end)]
            if end is None:
                return found
            segment = segment.successor[0]
            view = segment.view()
            if not found:
                self._segment, self._view = segment, view

    def _claiming(self) -> set[int]:
        return {thread for thread, frame in self._frames().items() if _claims(frame)}


def _claims(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _CLAIMING:
            return True
        frame = frame.f_back
    return False
