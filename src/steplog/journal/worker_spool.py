"""A worker without shared memory: its journal goes to the agent over the disk.

The worker writes everything to its spool at each interval, and when it leaves. In the same directory it holds
``alive``; the agent finds it there, reads the frames as they come, and stores the marks, which the worker reads. While
the worker lives only it changes its files: it removes those that are delivered, and writes down in ``dropped`` how many
calls found no room. What it has not written when it is killed, or leaves by ``os._exit``, is lost: the last interval.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from time import monotonic, sleep

from steplog.journal import frame
from steplog.journal.cursor import Cursor
from steplog.journal.journal import Journal
from steplog.journal.spool import SPOOL_SUFFIX, Entry, Spool, SpoolFile
from steplog.journal.spooling import Spooling

__all__ = ["FollowedSpool", "WorkerSpool", "WorkerSpooling"]

_DROPPED_NAME = "dropped"
_DIGITS_MAX = 20
_WRITE_TIMEOUT_S = 5.0
_LOOK_INTERVAL_S = 0.02


class WorkerSpool(Spool):
    """The worker's end: ``follows`` says whether the marks are another process's to store."""

    follows: Callable[[], bool] = staticmethod(lambda: True)

    def tell_dropped(self, calls: int) -> None:
        """So many calls found no room; at the next interval again, if the disk does not take it."""
        if calls > self.dropped:
            with suppress(OSError):
                self._files.replace(self.directory / _DROPPED_NAME, b"%d" % calls)
                self.dropped = calls

    def store_cursor(self, cursor: Cursor, sync: bool = False) -> None:
        """See Spool."""
        if not self.follows():
            super().store_cursor(cursor, sync)
        elif sync:
            with suppress(FileNotFoundError):  # the agent has stored none yet
                self._files.sync_file(self.directory / "marks")


class FollowedSpool(Spool):
    """The agent's end: sees the frames that come and the files that go, until the worker is dead."""

    _kept: Cursor | None = None

    def keep(self, cursor: Cursor) -> None:
        """Store the marks for the worker to see, where it has not; at the next interval again, if that fails."""
        if cursor is not self._kept and self.size_bytes():
            with suppress(OSError):
                self.store_cursor(cursor)
                self._kept = cursor

    def ended(self, lock: AbstractContextManager[object]) -> bool:
        """The worker is dead: what it has left is all there is, and ours. Raises OSError; then nothing has changed."""
        found = Spool(self.directory, self._writer, self._files)
        self._look_at_dropped()
        with lock:
            self._all, self._entries = found._all, found._entries
        return True

    def look(self) -> bool:
        """See what has come and gone; whether anything has. Raises OSError."""
        before = self._entries
        self._look_at_dropped()
        known = {file.path.name: file for file in self._all}
        names = sorted(self._names(SPOOL_SUFFIX))
        if (gone := known.keys() - set(names)) != set():
            self._all = tuple(file for file in self._all if file.path.name not in gone)
            self._set_entries(entry for entry in self._entries if entry.file.path.name not in gone)
        for name in names:
            self._follow(known.get(name) or SpoolFile(self.directory / name, full=True))
        return self._entries is not before

    def _look_at_dropped(self) -> None:
        with suppress(OSError, ValueError):
            self.dropped = int(self._files.read(self.directory / _DROPPED_NAME, 0, _DIGITS_MAX))

    def _follow(self, file: SpoolFile) -> None:
        """What came to a file since; its last frame may be on its way."""
        whole = max((entry.offset + entry.size for entry in self._entries if entry.file is file), default=0)
        with suppress(FileNotFoundError):
            if self._files.size(file.path) > whole:
                found = frame.scan_file(self._files.read(file.path, whole), self._writer).frames
                self._set_entries((*self._entries, *(Entry(file, whole + at, *rest) for at, *rest in found)))
            file.size = self._files.size(file.path)
            if file not in self._all:
                self._all = (*self._all, file)


class WorkerSpooling:
    """Takes a worker's journal to its spool each ``interval_s``; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        journal: Journal,
        spool: WorkerSpool,
        spooling: Spooling,
        interval_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._spooling = spooling
        self._interval_s = interval_s
        self._clock = clock
        self._write_at = clock() + interval_s
        # Both threads come here, and a signal's handler wherever they are: it may look, but not write in a write.
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        _at_exit(self.write)

    def round(self) -> None:
        """Write, if an interval is over."""
        if (now := self._clock()) >= self._write_at:
            self._write_at = now + 0.9 * self._interval_s  # each time, where it comes no more often than that
            self.follow()
            self.write()

    def write(self) -> None:
        """Write everything there is; nothing where somebody else writes for longer than 5 s.

        A worker that has become the agent has another thread for that: wait for it.
        """
        if not self._spool.follows():
            return self._wait()
        if not self._writing.acquire(timeout=_WRITE_TIMEOUT_S):
            return None
        try:
            self._spooling.write(self._lock, everything=True)
            self._spool.tell_dropped(self._journal.dropped)
        finally:
            self._writing.release()
        return None

    def _wait(self) -> None:
        end, deadline = self._journal.written(), monotonic() + _WRITE_TIMEOUT_S
        while max(self._journal.cursor.durable, self._journal.cursor.delivered) < end and monotonic() < deadline:
            sleep(_LOOK_INTERVAL_S)

    def follow(self) -> None:
        """See how far the agent has delivered it."""
        found = self._spool.load_cursor()
        if found is not None:
            with self._lock:
                cursor = self._journal.cursor
                if found.delivered != cursor.delivered:
                    self._journal.set_cursor(replace(found, durable=max(cursor.durable, found.delivered)))


def _at_exit(write: Callable[[], None]) -> None:
    """Have it done when the process ends by itself, also one that multiprocessing has forked, which runs no atexit."""
    pid, method = os.getpid(), weakref.WeakMethod(write)

    def leave() -> None:
        found = method()
        if pid == os.getpid() and found is not None:
            found()

    atexit.register(leave)
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(None, leave, exitpriority=-10)
