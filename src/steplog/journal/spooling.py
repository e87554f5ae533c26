"""When a journal goes to disk.

Records undelivered for longer than an interval are written. With half of the shared memory used everything readable is,
and leaves memory. A dead writer's memory is spooled as a whole and freed: it counts against other writers.

What the spool lacks was delivered, or is lost. To tell which after a power cut, the cursor is synced before anything
comes to be missing: before a file is removed, and before a frame that leaves a gap.

What the disk does not take stays in memory; with that full ``log`` drops (``on_full`` = drop_newest). With drop_oldest,
the oldest files and closed segments are given up before that.

Only the writing thread waits for the disk; ``lock`` guards the journal, and is never held across a write. After an
error the next attempt is an interval later. Trouble and its end are logged once each.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar

from steplog.descriptors import words
from steplog.errors import ConfigurationError
from steplog.journal import range as ranges
from steplog.journal.cursor import Cursor
from steplog.journal.files import Files
from steplog.journal.journal import Journal
from steplog.journal.spool import Spool, SyncError
from steplog.living import Living

__all__ = ["Disk", "Lock", "Spooling"]

Lock = AbstractContextManager[object]
_FILE_BYTES_MIN = 128 * 1024  # of a spool file: smaller ones waste blocks
_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger("steplog")
_S = TypeVar("_S", bound=Spool)


class Spooling:
    """Writes one journal to its spool."""

    def __init__(
        self, journal: Journal, spool: Spool, demand_room: Callable[[Path], None], excess: Callable[[], int]
    ) -> None:
        self.journal = journal
        self.spool = spool
        self.trouble: str | None = None  # why the disk does not take it
        self._said = False  # since it last took something
        self._demand_room = demand_room  # raises OSError where the disk may take no more
        self._excess = excess  # bytes of memory to give up where the disk takes nothing
        self._full = False  # the disk, when it last took nothing; else broken
        self._stored: Cursor | None = None  # in the spool
        self._end: int | None = None  # of the last frame
        self._gaps: list[tuple[int, int]] = []  # in frames that are not durable yet
        self._delivered = journal.cursor.delivered
        self._seen = journal.cursor.delivered  # what was readable one interval ago

    def write(self, lock: Lock, everything: bool, give_up: Callable[[int], bool] = lambda end: False) -> bool:
        """Write what has waited for an interval, or ``everything``; whether all of that is durable.

        With ``everything``, what is durable leaves memory. ``give_up`` gives up what lies below a position, if it may;
        whether so. Raises nothing for what the disk does.
        """
        due = None
        if not everything and not self.spool.files and self.trouble is None:
            with lock:
                due = self._due(everything)
            if due[0] >= due[1]:  # nothing waits, and nothing is on disk
                return True
        held = self.journal.memory.size_bytes()
        taken = self._attempt(lock, everything, due)
        excess = 0 if taken else self._excess()
        if excess > 0:
            self._evict(lock)
        while not taken and excess > max(0, held - self.journal.memory.size_bytes()):  # which may have grown meanwhile
            durable, files = self.journal.cursor.durable, self.spool.size_bytes()
            if not self._gave_up(lock, give_up):
                break
            self._tidy()
            if self.spool.size_bytes() < files:
                taken = self._attempt(lock, everything)
                if self.journal.cursor.durable <= durable:
                    break  # another run has taken the room
        return taken

    def _gave_up(self, lock: Lock, give_up: Callable[[int], bool]) -> bool:
        with lock:
            if self._give_up_oldest(give_up):
                return True
        if not self.spool.fetch(lock):  # a frame had to be read first
            return False
        with lock:
            return self._give_up_oldest(give_up)

    def _give_up_oldest(self, give_up: Callable[[int], bool]) -> bool:
        """Give up the oldest file or closed segment; whether one was."""
        begin = self.journal.begin
        on_disk = self.spool.first_end(begin)
        if on_disk is not None and not self._full:
            return False  # the disk is broken, not full
        closed = (extent.limit for extent in self.journal.memory.extents() if not extent.is_open)
        ends = [end for end in (on_disk, next((end for end in closed if end > begin), None)) if end is not None]
        if not ends or self.journal.readable(begin, min(ends) - begin) < min(ends):
            return False
        with suppress(OSError):  # it cannot be read for now
            return give_up(min(ends))
        return False

    def _attempt(self, lock: Lock, everything: bool, due: tuple[int, int] | None = None) -> bool:
        self._tidy()
        self._gaps = []
        redo_from = self.spool.verify_sizes()
        try:
            with lock:
                self._rewind(redo_from)
                first, end = due or self._due(everything)
            if end <= first and self.spool.fetch(lock):  # a frame had to be read first
                with lock:
                    first, end = self._due(everything)
            self._write(lock, first, end)
            if self.journal.cursor is not self._stored and self.spool.size_bytes():
                self._store(self.journal.cursor)
        except (OSError, ConfigurationError) as error:
            if isinstance(error, SyncError):
                with lock:
                    self._rewind(error.redo_from)
            if not self._said:
                _log.warning(
                    "steplog cannot write to %s: %s. Records stay in memory.", self.spool.directory, words(error)
                )
            self.trouble, self._said = words(error), True
            self._full = isinstance(error, OSError) and error.errno in _FULL
            return False
        finally:
            self.spool.close_idle()
        self.trouble = None
        if self._said and first < end:
            _log.info("steplog writes to %s again.", self.spool.directory)
            self._said = False
        if everything:
            self._evict(lock)
        return True

    def _evict(self, lock: Lock) -> None:
        with lock:
            self.journal.memory.evict(max(self.journal.cursor.durable, self.journal.begin))

    def _tidy(self) -> None:
        cursor, begin = self.journal.cursor, self.journal.begin
        if self.spool.removable(begin, cursor.durable):
            with suppress(OSError):  # free the room even so: it is worth more than a count
                self._store(cursor, sync=True)
            self.spool.tidy(begin, cursor.durable)

    def _due(self, everything: bool) -> tuple[int, int]:
        cursor = self.journal.cursor
        if cursor.delivered < self._delivered:  # the server went back: what it had confirmed may not be on disk
            self._rewind(cursor.delivered)
        self._delivered = cursor.delivered
        first = max(self.journal.cursor.durable, self.journal.begin)
        seen = self.journal.readable(first, 2**62)
        end, self._seen = (seen if everything else min(self._seen, seen)), seen
        return first, end

    def _rewind(self, redo_from: int | None) -> None:
        cursor = self.journal.cursor
        if redo_from is not None and cursor.durable > redo_from:
            self.journal.rewind_durable(redo_from)

    def _write(self, lock: Lock, first: int, end: int) -> None:
        if first >= end:
            return
        try:
            while first < end:
                first = self._write_some(lock, first, end)
        except SyncError:
            raise
        except (OSError, ConfigurationError):
            self._sync(lock, first)  # what was written counts
            raise
        self._sync(lock, end)

    def _write_some(self, lock: Lock, first: int, end: int) -> int:
        self._demand_room(self.spool.directory)
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

    def _read(self, lock: Lock, first: int, end: int) -> tuple[ranges.Range, list[tuple[int, int]]]:
        while True:
            with lock, suppress(BlockingIOError):
                records = self.journal.read(first, end)
                return records, self.journal.gaps(first, records.end)
            if not self.spool.fetch(lock):
                raise OSError(errno.EIO, "what is on disk cannot be read")

    def _store(self, cursor: Cursor, sync: bool = False) -> None:
        self._stored = None
        self.spool.store_cursor(cursor, sync)
        self._stored = cursor

    def _sync(self, lock: Lock, end: int) -> None:
        self.spool.sync()
        gaps, self._gaps = self._gaps, []
        with lock:
            if self.journal.cursor.durable < end:
                self.journal.make_durable(end, gaps)


class Disk:
    """What the journals of a process share of the disk; ``bytes_max`` bounds their spools.

    While it is 0, as of a disk that was full, ``measure`` says what it is now.
    """

    def __init__(
        self,
        bytes_max: int,
        files: Files | None = None,
        interval_s: float = 1.0,
        excess: Callable[[], int] = lambda: 0,
        measure: Callable[[], int] = lambda: 0,
    ) -> None:
        self.bytes_max = bytes_max
        self.interval_s = interval_s  # of workers without shared memory
        self.files = files or Files()
        self._excess = excess
        self._measure = measure
        self._spools: Living[Spool] = Living()

    def spool(self, directory: Path, writer: str, kind: type[_S] = Spool, *, new: bool = False) -> _S:  # type: ignore[assignment]
        """A writer's spool, as found, or ``new``. Raises OSError."""
        spool = kind(directory, writer, self.files, max(_FILE_BYTES_MIN, self.bytes_max // 8), new=new)
        self._spools.add(spool)
        return spool

    def spooling(self, journal: Journal, spool: Spool) -> Spooling:
        """What takes a journal to its spool."""
        return Spooling(journal, spool, self._demand_room, self._excess)

    def _demand_room(self, directory: Path) -> None:
        """Raise OSError, or ConfigurationError, where nothing more may be written there; it says why."""
        self.bytes_max = self.bytes_max or self._measure()
        if self.bytes_max > sum(spool.size_bytes() for spool in self._spools):
            return
        self.files.make_private(directory)  # where that fails, the bound is not the reason
        if self.bytes_max == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
        raise OSError(errno.EDQUOT, "spool_bytes_max is reached")
