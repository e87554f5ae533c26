"""Holes: slots that were claimed and never written, since a signal handler raised in between.

A slot empty below a written one was claimed before it; once every thread has since been outside of ``log()``, it gets a
tombstone. The slot whose number closed a segment stays empty: no reader is to pass it before it knows the next segment.

Stacks are read by ``faulthandler``, in one go and in C: to walk the frames of a running thread from Python can crash
CPython 3.11 (https://github.com/python/cpython/issues/111363 is alike). It shows 100 threads, the newest first, and of
each the 100 innermost frames: a thread that is cut short counts as inside, and one that is not shown by its innermost
frame alone, which a signal handler that is running hides.

Without the GIL the stacks of running threads cannot be read, and need not be: whoever is inside has the writer's lock.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from traceback import walk_stack

from steplog.journal.append import Segment
from steplog.journal.locked import LockedAppend
from steplog.journal.writer import CLAIMING, Writer

__all__ = ["HoleWatch", "threads_inside"]

_names = "|".join(sorted({code.co_name for code in CLAIMING}))
_files = "|".join(sorted({re.escape(os.path.basename(code.co_filename)) for code in CLAIMING}))
_THREAD = r"^(?:Current t|T)hread 0x([0-9a-f]+)"  # compiled (and cached by ``re``) when a hole is found
_INSIDE = rf'[/\\]journal[/\\](?:{_files})", line \d+ in (?:{_names})$'
_MORE_THREADS = "..."
_FRAMES_SHOWN = 100
_SOMEBODY = 0  # no thread's number


def threads_inside() -> set[int]:
    """The threads that may be between a claim and its write. Raises OSError."""
    inside, shown, all_shown = set(), Counter[int](), True
    thread = 0
    for line in _stacks().splitlines():
        if (found := re.match(_THREAD, line)) is not None:
            thread = int(found[1], 16)
        elif line == _MORE_THREADS:
            all_shown = False
        elif line:
            shown[thread] += 1
            if re.search(_INSIDE, line) or shown[thread] == _FRAMES_SHOWN:
                inside.add(thread)
    for thread, frame in () if all_shown else sys._current_frames().items():
        if thread not in shown and frame.f_code in CLAIMING:
            inside.add(thread)
    return inside


def _way_to_look(writer: Writer) -> Callable[[], set[int]]:
    append = writer.append
    return partial(_inside_by_lock, append) if isinstance(append, LockedAppend) else threads_inside


def _inside_by_lock(append: LockedAppend) -> set[int]:
    """Empty once nobody is inside, where calls hold a lock; a signal handler of a call's may look here."""
    return {_SOMEBODY} if append.lock.attempt(_is_here_inside, otherwise=True) else set()


def _is_here_inside() -> bool:
    return any(frame.f_code in CLAIMING for frame, _ in walk_stack(None))


def _stacks() -> str:
    with (
        tempfile.TemporaryFile()
        if not hasattr(os, "memfd_create")
        else os.fdopen(os.memfd_create("stacks"), "r+b") as file
    ):
        faulthandler.dump_traceback(file.fileno(), all_threads=True)
        file.seek(0)
        return file.read().decode("utf-8", "replace")


class HoleWatch:
    """Closes a writer's holes."""

    def __init__(self, writer: Writer, inside: Callable[[], set[int]] | None = None) -> None:
        self.closed = 0
        self._segment = writer.head  # there are no holes before it
        self._view = writer.head.view()
        self._threads_inside = inside or _way_to_look(writer)
        self.suspects: list[tuple[Segment, int]] = []  # slots seen empty below a written one
        self._inside: set[int] = set()  # threads in log() ever since the suspects were found

    def look(self) -> None:
        """Look once; a later look closes."""
        with suppress(OSError):  # no memory for the stacks: later
            self._look()

    def _look(self) -> None:
        if self.suspects:
            self._inside &= self._threads_inside()
            if self._inside:
                return
            for segment, index in self.suspects:
                if (end := segment.end()) is None or index < end:
                    self.closed += segment.write_tombstone(segment.offset_of(index))
            self.suspects = []
        suspects = self._holes()
        if suspects:
            self._inside = self._threads_inside()
        self.suspects = suspects

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
