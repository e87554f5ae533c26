"""This process's own writer of a run, opened.

Where shared memory is full or missing it uses anonymous memory. A worker, delivered by another process, then relays
over the disk (see worker_spool); without a disk, too, it drops each call.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from time import monotonic, time_ns
from typing import Any

from steplog.file_lock import FileLock
from steplog.journal.append import Append, Segment
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.directories import RunPaths, map_losses, new_id, new_writer
from steplog.journal.holes import HoleWatch
from steplog.journal.journal import Journal
from steplog.journal.locked_writer import writer_type
from steplog.journal.losses import LOSSES_BYTES, LossLedger
from steplog.journal.memory import MemoryPool, Usage
from steplog.journal.memory_repair import MemoryWatch
from steplog.journal.open_journal import OpenJournal
from steplog.journal.range import RANGE_BYTES_MAX
from steplog.journal.sources import OwnSource
from steplog.journal.spool import Spool
from steplog.journal.spooling import Disk
from steplog.journal.worker_spool import WorkerSpool, WorkerSpooling
from steplog.journal.writer import EndedSegment, Writer

__all__ = ["OpenWriter", "open_writer"]

_log = logging.getLogger("steplog")
_FORGET_S = 60.0


class OpenWriter:
    """A writer, and its journal as this process reads it.

    The run's agent moves the cursor. From another process ``follow`` takes it over; there, ``take_over`` and
    ``keep_alive`` are to be called each second.
    """

    def __init__(
        self,
        writer: Writer,
        cursor: mmap.mmap,
        directory: Path | None,
        alive_lock: FileLock | None,
        spool: Spool,
        disk: Disk,
        take_over: Callable[[], None] = lambda: None,
        move_on: Callable[[], None] = lambda: None,
        place: Path | None = None,
    ) -> None:
        self.writer = writer
        self.directory = directory
        self._place = place  # of the directory, where there is shared memory, once it has room
        self.take_over = take_over
        self.move_on = move_on
        self.closed = False  # it will not append again
        self.before: list[OpenWriter] = []  # those that this one goes on for: other processes have them
        self._is_left = False  # another process has it, and is to find all of it
        self.delivered_here = False
        ledger = _new_ledger(writer, directory)
        self.journal = Journal(writer.id.hex(), OwnSource(writer), cursor, lambda: not self.closed, spool, ledger)
        spooling = disk.spooling(self.journal, spool)
        self.open_journal = OpenJournal(self.journal, spooling, directory, alive_lock)
        self._trouble = _Trouble(self)
        self._holes = HoleWatch(writer)
        self._memory: MemoryWatch | None = None
        if directory is not None:
            self._memory = MemoryWatch(writer, directory, self._moved, self.follow)
        self._relay: WorkerSpooling | None = None
        if isinstance(spool, WorkerSpool) and alive_lock is not None:
            self._relay = WorkerSpooling(spool, spooling, disk.interval_s)

    def succeed(self) -> None:
        """The run's agent is dead, and this process is to be it: know what that one did. Raises OSError."""
        self.follow()
        if self._relay is None:  # else this process has written its spool itself
            self.open_journal.spooling.spool.look_again(nullcontext())

    def deliver_here(self) -> None:
        """This process has become the run's agent."""
        self.delivered_here = self.writer.pool.may_use_anonymous = True
        if self._relay is not None:
            self._relay.stop()

    def keep_alive(self) -> None:
        """Leave the journal if the program has closed the lock's descriptor: the agent takes its writer for dead."""
        lock = self.open_journal.alive_lock
        if lock is not None and not lock.is_open():
            self.move_on()

    def hand_over(self) -> None:
        """Another process has it, and takes this one for dead; until all is taken, see that it finds it."""
        self.closed = self._is_left = True
        self.delivered_here = False
        self.take_over = self.move_on = lambda: None
        self.journal.hand_over()
        if self._memory is not None:
            self._memory.hand_over()
        self.release()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to maintain."""
        return self.closed and not self._is_left

    def _see_taken(self) -> None:
        self.follow()
        cursor = self.journal.cursor
        if self._memory is None or max(cursor.delivered, cursor.durable) >= self.journal.written():
            self._is_left = False
        else:
            self._memory.look()

    def publish(self) -> bool:
        """Let the agent see all that is written by now; True."""
        if self._relay is not None:
            self._relay.write()
        return True

    def release(self) -> None:
        """Leave the journal; the writer will not append again."""
        self.open_journal.release()

    def maintain(self) -> None:
        """One round: repair memory, relay, prepare the next segment, close holes."""
        if self._is_left:
            return self._see_taken()
        if not self.open_journal.removed and self.journal.alive:
            if self._memory is not None:
                self._memory.look()
            if self.writer.pool.directory is None and self._place is not None and self.delivered_here:
                self._begin_sharing(self._place)
        if self._relay is not None and not self.delivered_here:
            self._relay.round()
        cursor = self.journal.cursor
        self.journal.ledger.forget_private(max(cursor.delivered, cursor.durable))
        self.writer.pool.measure()
        self.writer.leave_private()
        self.writer.prepare()
        self._trouble.tell()
        self._holes.look()
        return None

    def at_risk(self) -> int:
        """Values that a kill now would lose: ``private`` less steplog's own."""
        return sum(stop - start - segment.view().uncounted(start, stop) for segment, start, stop in self._in_private())

    def private(self) -> int:
        """Claims in private memory that are neither delivered nor durable."""
        return sum(stop - start for _, start, stop in self._in_private())

    def _in_private(self) -> Iterator[tuple[Segment, int, int]]:
        cursor = self.journal.cursor
        done = max(cursor.delivered, cursor.durable)
        segment: Segment | None = self.writer.head
        while segment is not None:
            if not isinstance(segment, EndedSegment) and _is_private(segment):
                end, start = segment.end(), max(0, done - segment.header.base)
                stop = segment.claimed() if end is None else end
                if start < stop:
                    yield segment, start, stop
            segment = self.writer.after(segment)

    def reopen(self) -> None:
        """Take calls again after ``close_ledger``."""
        self.journal.ledger.store(closed=None)
        self.writer.reopen()

    def close_ledger(self) -> None:
        """The writer has ended: nothing beyond its last position can be lost."""
        self.journal.ledger.store(closed=self.writer.append.segment.header.base)

    def count_files(self, taken: int, at_risk: int) -> None:
        """The writer has taken so many files; a kill now would lose so many of them. Called in ``log``."""
        self.journal.ledger.store(files=taken, at_risk=at_risk)

    def has_holes(self) -> bool:
        """Whether slots that may be holes want another round soon."""
        return bool(self._holes.suspects)

    def call_on_successor(self, callback: Callable[[], None]) -> None:
        """Call this, in ``log`` too, when a segment is used up, or one is wanted: have ``maintain`` called soon."""
        self.writer.on_successor = self.writer.on_wanted = callback

    def follow(self) -> None:
        """Take over how far another process has delivered, and free memory accordingly."""
        if self._relay is not None and not self.delivered_here:
            self._relay.follow()
        elif not self.delivered_here:
            self.journal.load_cursor()

    def _begin_sharing(self, place: Path) -> None:
        """Go on in shared memory, if that has room by now."""
        if not self.writer.pool.can_share(place):
            return
        if self.directory is None:
            if (made := new_writer(place)) is None:
                return
            self.directory = self.open_journal.directory = place
            self._moved(*made)
            self._memory = MemoryWatch(self.writer, place, self._moved, self.follow)
        self.writer.pool.share(place)

    def _moved(self, alive_lock: FileLock | None, cursor: mmap.mmap) -> None:
        old, self.open_journal.alive_lock = self.open_journal.alive_lock, alive_lock
        self.journal.move_cursor(cursor)
        shared: mmap.mmap | None = None
        with suppress(OSError):
            shared = None if self.directory is None else map_losses(self.directory)
        if shared is not None:
            self.journal.ledger.move(shared)
        self.journal.ledger.store(hidden=shared is None)
        if old is not None:
            old.release()
        if self._is_left:
            self.release()


class _Trouble:
    """Says once that memory is private, and that values are dropped, and again after a minute without."""

    def __init__(self, opened: OpenWriter) -> None:
        self._opened = opened
        self._private_until = self._dropped_until = 0.0  # when to forget that it was said
        self._dropped = 0
        self._began = 0  # calls dropped before those that were spoken of

    def tell(self) -> None:
        """Look, and log."""
        pool, now = self._opened.writer.pool, monotonic()
        if pool.used_anonymous:
            pool.used_anonymous = False
            if now >= self._private_until:
                why = pool.words()
                _log.warning("steplog goes on without shared memory: %s. A kill loses the last second.", why)
            self._private_until = now + _FORGET_S
        dropped = self._opened.writer.dropped["memory full"]
        if dropped > self._dropped:
            if self._dropped_until == 0.0:
                self._began = self._dropped
                disk = self._opened.open_journal.spooling.trouble
                taken = "the disk does not keep up" if disk is None else f"the disk takes nothing ({disk})"
                say = "steplog drops values, since memory is full: %s; %s. Free room, raise %s, or log less often."
                _log.warning(say, pool.words(), taken, "STEPLOG_MEMORY_BYTES_MAX")
            self._dropped, self._dropped_until = dropped, now + _FORGET_S
        elif 0.0 < self._dropped_until <= now:
            self._dropped_until = 0.0
            _log.info("steplog has taken all values for a minute; %d were dropped before.", dropped - self._began)


def _new_ledger(writer: Writer, directory: Path | None) -> LossLedger:
    shared: mmap.mmap | None = None
    with suppress(OSError):
        shared = None if directory is None else map_losses(directory)
    ledger = LossLedger(mmap.mmap(-1, LOSSES_BYTES) if shared is None else shared, writer.dropped)
    ledger.store(hidden=shared is None)
    if _is_private(writer.head) and not isinstance(writer.head, EndedSegment):
        ledger.announce(0, writer.head.header.capacity)
    writer.on_drop, writer.on_private = ledger.store_dropped, ledger.announce
    return ledger


def _is_private(segment: Segment) -> bool:
    """Whether its memory ends with this process; also of a file that was removed, and is not there again."""
    path = None if segment.block is None else segment.block.path
    try:
        return path is None or not path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it cannot be looked at any more, as after setuid()
        return False


def open_writer(
    paths: RunPaths,
    root: Path | None,
    disk: Disk,
    *,
    memory_bytes_max: int | None,
    value_bytes_max: int,
    strict: bool = False,
    clock: Callable[[], int] = time_ns,
    append: Append | None = None,
    usage: Usage | None = None,
    worker: bool = False,
    use_client: Callable[[Any], None] = lambda client: None,
    take_over: Callable[[], None] = lambda: None,
    move_on: Callable[[], None] = lambda: None,
) -> OpenWriter:
    """A new writer, below ``root`` in shared memory. A ``worker`` has its agent elsewhere."""
    name = new_id()
    place = directory = None if paths.memory is None else paths.memory / name
    pool = MemoryPool(directory, root, memory_bytes_max, usage)
    has_room = directory is not None and pool.can_share(directory)
    found = new_writer(directory) if directory is not None and (has_room or not worker) else None
    if directory is not None and not (has_room and found):
        why = "its directory cannot be made" if has_room else pool.words()
        _log.warning("steplog goes without shared memory: %s. A kill loses what is not on disk yet.", why)
    directory = None if found is None else directory
    if directory is None or not has_room:
        pool = MemoryPool(None, root, memory_bytes_max, usage)
    pool.may_use_anonymous = not worker
    over_disk = worker and directory is None
    if over_disk and paths.on_disk:
        found = new_writer(paths.spool / name, on_disk=True)
    alive_lock, cursor = found or (None, mmap.mmap(-1, CURSOR_BYTES))
    writer = writer_type(append)(
        pool,
        bytes.fromhex(name),
        value_bytes_max=min(value_bytes_max, RANGE_BYTES_MAX),  # neither disk nor wire takes a larger one back
        strict=strict,
        clock=clock,
        append=append,
        first_bytes=pool.first_bytes(),
        use_client=use_client,
    )
    writer.prepare()
    spool = disk.spool(paths.spool / name, name, WorkerSpool if over_disk else Spool, new=True)
    if over_disk and alive_lock is None:
        _log.warning("steplog: this process has neither shared memory nor a disk; what it logs is dropped.")
        writer.dropped["no place"] = 0
        writer.end(lambda name, value, step: writer.count("no place"))
    return OpenWriter(writer, cursor, directory, alive_lock, spool, disk, take_over, move_on, place)
