"""A worker without shared memory: its journal goes to the agent over the disk.

::

    <spool>/<run>/<writer>/alive      locked by the worker for life
                           *.spool    written by the worker each interval and at exit; removed once delivered
                           losses     by the worker: its ledger of loss
                           marks      by the agent: the cursor

While the worker is alive, only it changes its spool files. A kill or ``os._exit`` loses its last interval, of which
nobody knows how much it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from itertools import repeat
from time import monotonic, sleep

from msgspec.structs import replace

from steplog.journal import frame
from steplog.journal.at_exit import call_at_exit
from steplog.journal.cursor import Cursor
from steplog.journal.spool import SPOOL_SUFFIX, Entry, Spool, SpoolFile
from steplog.journal.spooling import Spooling
from steplog.reentrant_lock import ReentrantLock

__all__ = ["FollowedSpool", "WorkerSpool", "WorkerSpooling"]

_WRITE_TIMEOUT_S = 5.0
_LOOK_INTERVAL_S = 0.02


class WorkerSpool(Spool):
    """The worker's end."""

    agent_elsewhere = True  # so the cursor is another process's to store

    def store_cursor(self, cursor: Cursor, sync: bool = False) -> None:
        """See Spool."""
        if not self.agent_elsewhere:
            super().store_cursor(cursor, sync)
        elif sync:
            with suppress(FileNotFoundError):  # the agent has stored none yet
                self._files.sync_file(self.directory / "marks")


class FollowedSpool(Spool):
    """The agent's end, until the worker is dead."""

    _published: Cursor | None = None
    losses = b""  # the worker's ledger

    def publish_cursor(self, cursor: Cursor) -> None:
        """Store a changed cursor for the worker; on failure, at the next interval."""
        if cursor is not self._published and self.size_bytes():
            with suppress(OSError):
                self.store_cursor(cursor)
                self._published = cursor

    def adopt(self, lock: AbstractContextManager[object]) -> bool:
        """Take over what a dead worker left. Raises OSError, having changed nothing."""
        losses = self.load_losses()
        self.look_again(lock)
        self.losses = losses
        return True

    def poll(self) -> bool:
        """See what came and went; whether anything did. Raises OSError."""
        before = self._entries
        self.losses = self.load_losses()
        known = {file.path.name: file for file in self.files}
        names = sorted(self._names(SPOOL_SUFFIX))
        if (gone := known.keys() - set(names)) != set():
            self.files = tuple(file for file in self.files if file.path.name not in gone)
            self._set_entries(entry for entry in self._entries if entry.file.path.name not in gone)
        for name in names:
            self._follow(known.get(name) or SpoolFile(self.directory / name, full=True))
        return self._entries is not before

    def _follow(self, file: SpoolFile) -> None:
        # The last frame may be incomplete.
        whole = max((entry.offset + entry.size for entry in self._entries if entry.file is file), default=0)
        with suppress(FileNotFoundError):
            if self._files.size(file.path) > whole:
                found = frame.scan_file(self._files.read(file.path, whole), self._writer).frames
                self._set_entries((*self._entries, *(Entry(file, whole + at, *rest) for at, *rest in found)))
            file.size = self._files.size(file.path)
            if file not in self.files:
                self.files = (*self.files, file)


class WorkerSpooling:
    """Takes a worker's journal to its spool; ``clock`` is monotonic, in seconds."""

    def __init__(
        self, spool: WorkerSpool, spooling: Spooling, interval_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._journal = spooling.journal
        self._spool = spool
        self._spooling = spooling
        self._interval_s = interval_s
        self._clock = clock
        self._write_at = clock() + interval_s
        # Reentrant: a signal handler may come here in either thread. It may read, but not write inside a write.
        self._lock = ReentrantLock()
        self._writing = threading.Lock()
        self._turns = map(self._writing.acquire, repeat(True), repeat(_WRITE_TIMEOUT_S))  # as ReentrantLock.attempts
        call_at_exit(self.leave)

    def stop(self) -> None:
        """The worker has become the agent: its maintenance thread spools."""
        self._spool.agent_elsewhere = False

    def round(self) -> None:
        """Write, if an interval is over."""
        if (now := self._clock()) >= self._write_at:
            self._write_at = now + 0.9 * self._interval_s  # rounds come no more often than once an interval
            self.follow()
            self.write()

    def write(self) -> None:
        """Write everything; wait 5 s at most for another thread's write, or after ``stop`` the disk."""
        if not self._spool.agent_elsewhere:
            return self._wait()
        held = False
        try:
            for held in self._turns:  # noqa: B007 - see ReentrantLock
                break
            if held:
                self._spooling.write(self._lock, everything=True)
                self._spool.store_losses(self._journal.ledger.losses)
        finally:
            if held:
                self._writing.release()
        return None

    def leave(self) -> None:
        """The process ends: write everything, and that there is nothing else."""
        if not self._journal.ledger.losses.closed:
            self._journal.ledger.store(closed=self._journal.written())
        self.write()

    def _wait(self) -> None:
        end, deadline = self._journal.written(), monotonic() + _WRITE_TIMEOUT_S
        while max(self._journal.cursor.durable, self._journal.cursor.delivered) < end and monotonic() < deadline:
            sleep(_LOOK_INTERVAL_S)

    def follow(self) -> None:
        """Take over how far the agent has delivered."""
        if (found := self._spool.load_cursor()) is not None:
            with self._lock:
                cursor = self._journal.cursor
                if found.delivered != cursor.delivered:
                    self._journal.set_cursor(replace(found, durable=max(cursor.durable, found.delivered)))
