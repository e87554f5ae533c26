"""A journal that this process delivers, or takes to disk.

Opening is recovering: the same steps whether its writer is alive or dead. A writer is dead when its ``alive`` lock can
be taken; the agent then holds that.

The maintenance thread does all of this. ``lock`` guards the journal, and is not held across disk I/O.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Collection
from contextlib import nullcontext, suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from steplog.file_lock import FileLock
from steplog.journal import cursor as cursors
from steplog.journal.cursor import CURSOR_BYTES, Cursor
from steplog.journal.directories import RunPaths, map_losses, new_writer, shared_cursor, shared_losses
from steplog.journal.journal import Journal
from steplog.journal.losses import LOSSES_BYTES, LossLedger
from steplog.journal.mapping import SharedFile
from steplog.journal.segment import Memory
from steplog.journal.sources import DirectorySource
from steplog.journal.spool import Spool
from steplog.journal.spooling import Disk, Lock, Spooling
from steplog.journal.worker_spool import FollowedSpool
from steplog.private_files import remove_tree

__all__ = ["AliveWatch", "OpenJournal", "begin_ledger", "open_journal"]

_log = logging.getLogger("steplog")


class AliveWatch:
    """Watches the ``alive`` lock in ``directory``; once the writer is dead, ``lock`` holds it.

    A removed directory or a replaced file is no death: the file seen first counts until it is free, then the new one.
    """

    def __init__(self, directory: Path) -> None:
        self.lock: FileLock | None = None
        self._path = directory / "alive"
        self._seen: FileLock | None = None  # not locked by us

    def alive(self) -> bool:
        """Look; True where something prevents that."""
        if self.lock is not None:
            return False
        try:
            return self._look()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def _look(self) -> bool:
        if self._seen is not None and not self._seen.is_open():  # the program has closed it
            self._seen = None
        if self._seen is None:
            self._seen = FileLock.open(self._path)
        if not self._seen.acquire():
            return True
        with suppress(FileNotFoundError, NotADirectoryError):
            if not self._seen.is_at(self._path):
                self._seen.release()
                self._seen = None
                return self._look()  # at the file that replaced it
        self.lock, self._seen = self._seen, None
        return False


class OpenJournal(msgspec.Struct, eq=False):
    """A journal and what takes it to disk."""

    journal: Journal
    spooling: Spooling
    directory: Path | None
    alive_lock: FileLock | None = None  # its writer's: held, where that is in this process; released once it is dead
    watch: AliveWatch | None = None  # of another process's writer
    shared: tuple[SharedFile, ...] = ()  # cursor and losses, where another process may replace them
    removed: bool = False
    left: bool = False  # to another process: nothing is written to disk any more

    @property
    def alive_elsewhere(self) -> bool:
        """Whether its writer is another process's, not known dead."""
        return self.watch is not None and self.alive_lock is None

    def memory_bytes(self) -> int:
        """What it takes in memory."""
        return self.journal.memory.size_bytes()

    def spool_bytes(self) -> int:
        """What it takes on disk."""
        return self.spooling.spool.size_bytes()

    def read_elsewhere(self, request: Callable[[], None]) -> None:
        """Call ``request`` where the spool is to be read; ``fetch`` reads."""
        self.spooling.spool.request_read = request

    def fetch(self, lock: Lock) -> bool:
        """Read what was requested; whether it is in memory now."""
        return self.spooling.spool.fetch(lock)

    def remove(self) -> bool:
        """Remove a delivered journal; False where damaged files are kept."""
        for file in self.shared:
            file.refresh()  # what the writer has counted is told after this
        self.removed = True
        self._free_memory(nullcontext())
        self.spooling.spool.tidy(2**63)
        self.journal.evict(2**63)
        remove_tree(self.directory)
        self.release()
        with suppress(OSError):
            return not self.spooling.spool.has_quarantined()
        return False  # it cannot be seen

    def note_death(self, lock: FileLock | None) -> None:
        """Its writer's lock was free, unless None: keep that in mind, and give it back.

        While the run's lock is held nobody else asks, and dead workers would use up the descriptors.
        """
        self.alive_lock = lock
        if lock is not None:
            lock.release()

    def restart(self, aside: Collection[int]) -> int:
        """See ``Journal.restart``; on disk as well. Raises OSError."""
        gone = self.journal.restart(aside)
        if self.spooling.spool.size_bytes():
            self.spooling.spool.store_cursor(self.journal.cursor, sync=True)
        return gone

    def release(self) -> None:
        """Leave the journal; its writer will not append again."""
        if self.alive_lock is not None:
            self.alive_lock.release()

    def follow(self, lock: Lock) -> bool:
        """Read what a worker without shared memory spooled; whether anything is new."""
        spool = self.spooling.spool
        if not isinstance(spool, FollowedSpool) or self.watch is None or self.alive_lock is not None:
            return False
        dead = not self.watch.alive()  # before the spool: a dead worker's is complete then
        try:
            new = spool.adopt(lock) if dead else spool.poll()
        except OSError:
            return False  # dead only once all that it left is seen
        self.journal.ledger.take(spool.losses)
        self.note_death(self.watch.lock)
        return new or dead

    def spool(self, lock: Lock, memory_short: bool, give_up: Callable[[int], bool] = lambda end: False) -> None:
        """See Spooling.write; everything if ``memory_short`` or the writer is dead, whose memory is then freed."""
        if self.left:
            return
        self.follow(lock)
        spool = self.spooling.spool
        with lock:
            self._follow_cursor()
            dead = not self.journal.alive
            if isinstance(spool, FollowedSpool) and (durable := self.journal.on_disk()) > self.journal.cursor.durable:
                self.journal.make_durable(durable)
        if not dead and isinstance(spool, FollowedSpool):
            spool.publish_cursor(self.journal.cursor)
        elif not self.removed:
            if self.spooling.write(lock, memory_short or dead, give_up) and dead:
                self._free_memory(lock)
            self._store_losses()

    def _store_losses(self) -> None:
        """Have the ledger on disk, where the journal is, or where no other process sees its memory."""
        if self.spool_bytes() or self.journal.ledger.losses.hidden:
            self.spooling.spool.store_losses(self.journal.ledger.losses)

    def keeps_losses(self) -> bool:
        """Whether the ledger's copy on disk, if there is to be one, says where the writer ended, if it did."""
        losses, stored = self.journal.ledger.losses, self.spooling.spool.stored_losses
        wanted = self.spool_bytes() > 0 or losses.hidden
        return not wanted or (stored is not None and stored.closed == losses.closed)

    def _follow_cursor(self) -> None:
        if self.shared and self.directory is not None:
            with suppress(OSError):  # the writer may have made it again
                if not self.shared[0].is_at_path():
                    self.shared = shared_cursor(self.directory), shared_losses(self.directory)
                    self.journal.move_cursor(self.shared[0])
                    self.journal.ledger = LossLedger(self.shared[1])
                for file in self.shared:
                    file.retry()
                    file.refresh()

    def _free_memory(self, lock: Lock) -> None:
        memory = self.journal.memory
        if isinstance(memory, DirectorySource):
            with suppress(OSError):  # then at the next interval
                with lock:
                    damaged = memory.damaged()
                for name, data in damaged:
                    self.spooling.spool.quarantine(name, data)
                with lock:
                    memory.remove()


def open_journal(paths: RunPaths, name: str, disk: Disk) -> OpenJournal | None:
    """The journal of another process's writer, made again where memory was lost; None while that is being made."""
    directory = None if paths.memory is None else paths.memory / name
    alive_lock: FileLock | None = None
    shared: tuple[SharedFile, ...] = ()
    cursor: Memory
    losses: Memory
    over_disk = (directory is None or not directory.is_dir()) and (paths.spool / name / "alive").exists()
    if directory is not None and directory.is_dir():
        try:
            shared = shared_cursor(directory), shared_losses(directory)
            cursor, losses = shared
        except OSError:
            return None
    else:
        found = None if directory is None or over_disk else new_writer(directory)
        directory = None if found is None else directory
        alive_lock, cursor = found or (None, mmap.mmap(-1, CURSOR_BYTES))
        losses = mmap.mmap(-1, LOSSES_BYTES)
        with suppress(OSError):  # the copy on disk serves, too
            losses = losses if directory is None else map_losses(directory)
    ledger = LossLedger(losses)
    spool = disk.spool(paths.spool / name, name, FollowedSpool if over_disk else Spool)
    watch = AliveWatch(paths.spool / name) if over_disk else None
    if directory is not None and alive_lock is None:
        watch = AliveWatch(directory)
    if ledger.is_new:
        begin_ledger(ledger, spool, cursor, in_memory=watch is not None and not over_disk)
    journal = Journal(name, DirectorySource(directory), cursor, lambda: _alive(opened), spool, ledger)
    _recover(journal, spool)
    opened = OpenJournal(journal, disk.spooling(journal, spool), directory, alive_lock, watch, shared)
    opened.follow(nullcontext())
    return opened


def _recover(journal: Journal, spool: Spool) -> None:
    if journal.cursor == Cursor():  # memory was lost; else it knows better than the disk
        journal.set_cursor(spool.load_cursor() or journal.cursor)
    cursor, found = journal.cursor, journal.on_disk()  # what is not found is not durable
    if found >= cursor.durable:
        return
    spool.mark_torn_damaged()
    missing = max(0, cursor.durable - max(found, journal.written()))
    if missing:
        _log.error("steplog: %d positions of writer %s are neither in memory nor on disk.", missing, journal.writer)
    journal.rewind_durable(found)
    journal.set_cursor(replace(journal.cursor, abandoned=journal.cursor.abandoned + missing))


def begin_ledger(ledger: LossLedger, spool: Spool, cursor: Memory, *, in_memory: bool) -> None:
    """Begin a ledger with the copy on disk, or with what a writer without one counted beside its cursor.

    ``in_memory``: the journal was found there, else nobody knows what else was in it.
    """
    ledger.take(spool.load_losses())
    if ledger.is_new:
        dropped = cursors.dropped(cursor)
        ledger.store(dropped={"memory full": dropped} if dropped else {})
    if not in_memory:
        ledger.store(hidden=True)


def _alive(opened: OpenJournal) -> bool:
    if isinstance(opened.spooling.spool, FollowedSpool):
        alive = opened.alive_lock is None  # kept up to date by ``follow``
    else:
        alive = opened.watch is not None and opened.watch.alive()
        if opened.watch is not None and not alive:
            opened.note_death(opened.watch.lock)
    if not alive:
        opened.journal.count_lost()
    return alive
