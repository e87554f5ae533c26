"""Holes: slots that were claimed and will not be written, closed without a lock and without a timer.

In a living writer a slot stays empty below a written one while the thread that claimed it is preempted or
interrupted there; it will be written. But a signal handler can raise between the claim and its store, and then
nobody knows of it.

A slot that was seen empty below a written one was claimed before that moment. So once every thread has been seen
outside of ``log()`` after it, whoever claimed it has left, and it can have a tombstone. ``sys._current_frames``
takes all stacks at one instant (the GIL is held), and costs the hot path nothing; it is asked only while there is a
hole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from steplog.journal.append import Append, Segment
from steplog.journal.writer import Writer

__all__ = ["HoleWatch"]

_APPENDING = frozenset((Append.log.__code__, Writer.log.__code__))


class HoleWatch:
    """Closes the holes of one writer of this process; ``frames`` gives each thread's innermost frame."""

    def __init__(self, writer: Writer, frames: Callable[[], dict[int, FrameType]] = sys._current_frames) -> None:
        self.closed = 0
        self._segment: Segment | None = writer.head
        self._frames = frames
        self._suspects: list[tuple[Segment, int]] = []
        self._inside: set[int] = set()  # threads that have been in log() ever since the suspects were seen

    def look(self) -> None:
        """One look; a hole is closed by a later one."""
        if self._suspects:
            self._inside &= self._in_log()
            if not self._inside:
                for segment, index in self._suspects:
                    self.closed += segment.bury(segment.offset_of(index))
                self._suspects = []
            return
        self._suspects = self._holes()
        if self._suspects:
            self._inside = self._in_log()

    def _holes(self) -> list[tuple[Segment, int]]:
        found = []
        while (segment := self._segment) is not None:
            successor = segment.successor.get(0)
            view = segment.view()
            end = view.written() if successor is None else successor.header.base - segment.header.base
            found += [(segment, index) for index in view.holes(end)]
            if successor is None or found:
                break
            self._segment = successor
        return found

    def _in_log(self) -> set[int]:
        return {thread for thread, frame in self._frames().items() if _appends(frame)}


def _appends(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _APPENDING:
            return True
        frame = frame.f_back
    return False
