"""When a journal goes to disk.

Records that stay undelivered for longer than one interval are written; while the server keeps up, nothing is. When
the memory that all runs share is half used, everything readable is written at once, and what is durable then leaves
memory. A dead writer's memory goes to disk as a whole and is freed: its pages would count against whoever comes next.

What is missing in the spool was delivered, or is lost. So that nobody counts the one as the other after a power cut,
the marks are synced before something comes to be missing: before a file goes, and before a frame that does not follow
on.

What the disk does not take stays in memory, and once that is full ``log`` drops, which is ``on_full`` = drop_newest.
With drop_oldest, ``excess`` says in time how much memory is to go: the oldest files, then the oldest closed segments,
are given up for it.

The disk is slow and may fail at any call. Nobody waits for it but the thread that writes: ``lock`` guards the
journal, and is never held across a write. After an error the next attempt is an interval away; it is said once, and
once that it is over.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from steplog.errors import ConfigurationError
from steplog.journal import range as ranges
from steplog.journal.cursor import Cursor
from steplog.journal.files import Files
from steplog.journal.journal import Journal
from steplog.journal.spool import Spool, SyncError

__all__ = ["Disk", "Spooling"]

_FILE_BYTES_MIN = 128 * 1024  # of a spool: many small ones take more room than they hold
_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger("steplog")
_S = TypeVar("_S", bound=Spool)


class Spooling:
    """Writes one journal to its spool, as far as ``room`` goes: how many bytes the disk may still take.

    ``excess``: how many bytes of memory are to be given up where the disk does not take them.
    """

    def __init__(
        self, journal: Journal, spool: Spool, room: Callable[[], int], excess: Callable[[], int] = lambda: 0
    ) -> None:
        self.journal = journal
        self.spool = spool
        self.trouble: str | None = None  # why the disk does not take it
        self._said = False  # since it last took something
        self.give_up: Callable[[int], bool] = lambda end: False  # what lies below, if it is ours to; whether so
        self._room = room
        self._excess = excess
        self._full = False  # the disk, when it last took nothing: not broken
        self._stored: Cursor | None = None  # in the spool
        self._end: int | None = None  # of the last frame
        self._gaps: list[tuple[int, int]] = []  # that frames cover which are not durable yet
        self._delivered = journal.cursor.delivered
        self._seen = journal.cursor.delivered  # what was readable one interval ago

    def write(self, lock: AbstractContextManager[object], everything: bool) -> bool:
        """One interval is over: write what has waited for it, or ``everything``; whether all of that is durable.

        Files that nobody needs go first, and what is durable leaves memory then, if ``everything``. Raises nothing for
        what the disk does.
        """
        held = self.journal.memory.size_bytes()
        taken = self._attempt(lock, everything)
        excess = 0 if taken else self._excess()
        if excess > 0:
            self._evict(lock)
        while not taken and excess > max(0, held - self.journal.memory.size_bytes()):  # it may have grown meanwhile
            durable, files = self.journal.cursor.durable, self.spool.size_bytes()
            if not self._gave_up(lock):
                break
            self._tidy()
            if self.spool.size_bytes() < files:
                taken = self._attempt(lock, everything)
                if self.journal.cursor.durable <= durable:
                    break  # somebody else has taken the room
        return taken

    def _gave_up(self, lock: AbstractContextManager[object]) -> bool:
        with lock:
            given_up = self._give_up_oldest()
        if not given_up and self.spool.fetch(lock):  # what it has to look at was not here
            with lock:
                given_up = self._give_up_oldest()
        return given_up

    def _give_up_oldest(self) -> bool:
        """Give up the oldest file or closed segment, whichever ends first; whether there was one that could be."""
        begin = self.journal.begin
        on_disk = self.spool.first_end(begin)
        if on_disk is not None and not self._full:
            return False  # a disk that is broken is no reason to part with what it has
        closed = (extent.limit for extent in self.journal.memory.extents() if not extent.is_open)
        ends = [end for end in (on_disk, next((end for end in closed if end > begin), None)) if end is not None]
        if not ends or self.journal.readable(begin, min(ends) - begin) < min(ends):
            return False
        with suppress(OSError):  # it cannot be looked at for now
            return self.give_up(min(ends))
        return False

    def _attempt(self, lock: AbstractContextManager[object], everything: bool) -> bool:
        self._tidy()
        self._gaps = []
        redo_from = self.spool.lost()
        try:
            with lock:
                self._lower(redo_from)
                first, end = self._due(everything)
            if end <= first and self.spool.fetch(lock):  # what it has to look at was not here
                with lock:
                    first, end = self._due(everything)
            self._write(lock, first, end)
            self._store_cursor()
        except (OSError, ConfigurationError) as error:
            if isinstance(error, SyncError):
                with lock:
                    self._lower(error.redo_from)
            if not self._said:
                _log.warning("steplog cannot write to %s: %s. Records stay in memory.", self.spool.directory, error)
            self.trouble, self._said = str(error), True
            self._full = isinstance(error, OSError) and error.errno in _FULL
            return False
        finally:
            self.spool.rest()
        self.trouble = None
        if self._said and first < end:
            _log.info("steplog writes to %s again.", self.spool.directory)
            self._said = False
        if everything:
            self._evict(lock)
        return True

    def _evict(self, lock: AbstractContextManager[object]) -> None:
        """What is durable leaves memory."""
        with lock:
            self.journal.memory.evict(max(self.journal.cursor.durable, self.journal.begin))

    def _tidy(self) -> None:
        cursor, begin = self.journal.cursor, self.journal.begin
        if self.spool.spare(begin, cursor.durable):
            with suppress(OSError):  # the room that the files take is worth more than a count
                self._store(cursor, sync=True)
            self.spool.tidy(begin, cursor.durable)

    def _due(self, everything: bool) -> tuple[int, int]:
        cursor = self.journal.cursor
        if cursor.delivered < self._delivered:  # the server went back; what it had confirmed need not be on disk
            self._lower(cursor.delivered)
        self._delivered = cursor.delivered
        first = max(self.journal.cursor.durable, self.journal.begin)
        seen = self.journal.readable(first, 2**62)
        end, self._seen = (seen if everything else min(self._seen, seen)), seen
        return first, end

    def _lower(self, redo_from: int | None) -> None:
        cursor = self.journal.cursor
        if redo_from is not None and cursor.durable > redo_from:
            self.journal.doubt_durable(redo_from)

    def _write(self, lock: AbstractContextManager[object], first: int, end: int) -> None:
        if first >= end:
            return
        try:
            while first < end:
                first = self._write_some(lock, first, end)
        except SyncError:
            raise
        except (OSError, ConfigurationError):
            self._sync(lock, first)  # what did go to disk counts
            raise
        self._sync(lock, end)

    def _write_some(self, lock: AbstractContextManager[object], first: int, end: int) -> int:
        if self._room() <= 0:
            raise OSError(errno.EDQUOT, "spool_bytes_max is reached")
        with lock:
            cursor = self.journal.cursor
            first = max(first, self.journal.begin)
        if first >= end:
            return end
        records, gaps = self._read(lock, first, end)
        if first != self._end:
            self._store(cursor, sync=True)
        self.spool.append(records, ranges.encode(records))
        self._end = records.end
        self._gaps += gaps
        return records.end

    def _read(
        self, lock: AbstractContextManager[object], first: int, end: int
    ) -> tuple[ranges.Range, list[tuple[int, int]]]:
        while True:
            with lock, suppress(BlockingIOError):
                records = self.journal.read(first, end)
                return records, self.journal.gaps(first, records.end)
            if not self.spool.fetch(lock):
                raise OSError(errno.EIO, "what is on disk cannot be read")

    def _store_cursor(self) -> None:
        if self.journal.cursor is not self._stored and self.spool.size_bytes():
            self._store(self.journal.cursor)

    def _store(self, cursor: Cursor, sync: bool = False) -> None:
        self._stored = None
        self.spool.store_cursor(cursor, sync)
        self._stored = cursor

    def _sync(self, lock: AbstractContextManager[object], end: int) -> None:
        self.spool.sync()
        gaps, self._gaps = self._gaps, []
        with lock:
            if self.journal.cursor.durable < end:
                self.journal.make_durable(end, gaps)


class Disk:
    """What all journals of a process share of the disk: the file system, and ``bytes_max`` for what is spooled.

    ``interval_s`` is how often a worker without shared memory writes there.
    """

    def __init__(self, bytes_max: int, files: Files | None = None, interval_s: float = 1.0) -> None:
        self.bytes_max = bytes_max
        self.interval_s = interval_s
        self.files = files or Files()
        self.excess: Callable[[], int] = lambda: 0  # how much memory is to be given up where the disk is full
        self._spools: WeakSet[Spool] = WeakSet()

    def spool(
        self,
        directory: Path,
        writer: str,
        kind: type[_S] = Spool,  # type: ignore[assignment]
        *,
        new: bool = False,
    ) -> _S:
        """The spool of a writer, as it is found; empty where that is ``new``. Raises OSError when it cannot look."""
        spool = kind(directory, writer, self.files, max(_FILE_BYTES_MIN, self.bytes_max // 8), new=new)
        self._spools.add(spool)
        return spool

    def spooling(self, journal: Journal, spool: Spool) -> Spooling:
        """What takes a journal there."""
        return Spooling(journal, spool, self._room, self.excess)

    def _room(self) -> int:
        return self.bytes_max - sum(spool.size_bytes() for spool in list(self._spools))
