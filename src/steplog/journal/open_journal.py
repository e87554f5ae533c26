"""A journal that this process delivers, or takes to disk, as long as it is here.

One thread, the keeper's, does all of this; ``lock`` guards the journal, and is never held across a file of the disk.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from steplog.file_lock import FileLock
from steplog.journal.cursor import CURSOR_BYTES, Cursor
from steplog.journal.directories import RunPaths, make_in_memory, map_cursor
from steplog.journal.journal import Journal
from steplog.journal.sources import DirectorySource, NoSource, Source
from steplog.journal.spool import Spool
from steplog.journal.spooling import Disk, Spooling
from steplog.journal.worker_spool import FollowedSpool
from steplog.private_files import remove_tree

__all__ = ["Liveness", "OpenJournal", "open_journal"]

_log = logging.getLogger("steplog")


class Liveness:
    """Whether the writer whose ``alive`` is in ``directory`` lives; ``lock`` is that file, locked, once it does not."""

    def __init__(self, directory: Path) -> None:
        self.lock: FileLock | None = None
        self._path = directory / "alive"
        self._seen: FileLock | None = None  # not locked by us

    def living(self) -> bool:
        """Look. What keeps us from looking says nothing of the writer."""
        if self.lock is not None:
            return False
        try:
            return self._look()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def _look(self) -> bool:
        if self._seen is None:
            self._seen = FileLock.open(self._path)
        if not self._seen.acquire():
            return True
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not self._seen.is_at(self._path):
                self._seen.release()
                self._seen = None
                return self._look()  # at the file that took its place
        self.lock, self._seen = self._seen, None
        return False


@dataclass(eq=False)
class OpenJournal:
    """A journal to deliver, and what takes it to disk; ``alive`` is the lock that shows its writer dead, once it is."""

    journal: Journal
    spooling: Spooling
    directory: Path | None
    alive: FileLock | None = None
    liveness: Liveness | None = None  # of another process's writer
    marks_inode: int | None = None  # where its marks are, if another process may make them again
    removed: bool = False

    def remove(self) -> bool:
        """Remove the journal, everything in which is delivered; whether nothing is left of it that is worth keeping."""
        self.removed = True
        self._free_memory(nullcontext())
        self.spooling.spool.tidy(2**63)
        self.journal.evict(2**63)
        remove_tree(self.directory)
        self.release()
        return not self.spooling.spool.keeps_aside()

    def unless_removed(self, look: Callable[[], None]) -> None:
        """Do this if the journal is still there and its memory is ours to mend."""
        if not self.removed and self.journal.living:
            look()

    def follow(self, lock: AbstractContextManager[object]) -> bool:
        """See what a worker without shared memory has written since, and whether it lives: both are on the disk.

        Whether there is something new.
        """
        spool = self.spooling.spool
        if not isinstance(spool, FollowedSpool) or self.liveness is None or self.alive is not None:
            return False
        dead = not self.liveness.living()  # before looking: what it leaves is all there then
        try:
            new = spool.ended(lock) if dead else spool.look()
        except OSError:  # what it has left is to be seen first
            return False
        self.alive = self.liveness.lock
        return new or dead

    def dropped(self) -> int:
        """How many calls the writer has dropped because there was no room, as far as it could say so."""
        return max(self.journal.dropped, self.spooling.spool.dropped)

    def release(self) -> None:
        """Leave the journal as it is; the writer will not append again."""
        if self.alive is not None:
            self.alive.release()

    def spool(self, lock: AbstractContextManager[object], pressed: bool) -> None:
        """One interval is over; ``pressed``: memory is short. A dead writer's memory is freed."""
        self.follow(lock)
        with lock:
            self._follow_cursor()
            dead = not self.journal.living
            self._follow_spool()
        if not dead and isinstance(self.spooling.spool, FollowedSpool):
            self.spooling.spool.keep(self.journal.cursor)
        elif not self.removed and self.spooling.write(lock, pressed or dead) and dead:
            self._free_memory(lock)

    def _follow_cursor(self) -> None:
        """Another process's writer may have made its directory again."""
        if self.liveness is not None and self.directory is not None:
            with suppress(OSError):
                inode = (self.directory / "marks").stat().st_ino
                if self.marks_inode != inode:
                    self.journal.move_cursor(map_cursor(self.directory))
                self.marks_inode = inode

    def _follow_spool(self) -> None:
        """A worker without shared memory has written more of it."""
        if isinstance(self.spooling.spool, FollowedSpool):
            durable = self.journal.on_disk()
            if durable > self.journal.cursor.durable:
                self.journal.make_durable(durable)

    def _free_memory(self, lock: AbstractContextManager[object]) -> None:
        memory = self.journal.memory
        if isinstance(memory, DirectorySource):
            with suppress(OSError):  # at the next interval then
                with lock:
                    damaged = memory.damaged()
                for name, data in damaged:
                    self.spooling.spool.keep_aside(name, data)
                with lock:
                    memory.remove()


def open_journal(paths: RunPaths, name: str, disk: Disk) -> OpenJournal | None:
    """The journal of a writer that is not this process's, from memory and disk; None where it is not whole yet.

    Where memory is gone, as after a power cut, it is made again with the marks that the disk has.
    """
    directory = None if paths.memory is None else paths.memory / name
    alive: FileLock | None = None
    inode: int | None = None
    over_disk = (directory is None or not directory.is_dir()) and (paths.spool / name / "alive").exists()
    if over_disk:
        directory, cursor = None, mmap.mmap(-1, CURSOR_BYTES)
    elif directory is not None and directory.is_dir():
        try:
            cursor = map_cursor(directory)
            inode = (directory / "marks").stat().st_ino
        except OSError:
            return None
    else:
        found = None if directory is None else make_in_memory(directory)
        directory = None if found is None else directory
        alive, cursor = found or (None, mmap.mmap(-1, CURSOR_BYTES))
    memory: Source = NoSource() if directory is None else DirectorySource(directory)
    spool = disk.spool(paths.spool / name, name, FollowedSpool if over_disk else Spool)
    liveness = Liveness(paths.spool / name) if over_disk else None
    if directory is not None and alive is None:
        liveness = Liveness(directory)
    journal = Journal(name, memory, cursor, lambda: _living(opened), spool)
    _recover(journal, spool)
    opened = OpenJournal(journal, disk.spooling(journal, spool), directory, alive, liveness, inode)
    opened.follow(nullcontext())
    return opened


def _recover(journal: Journal, spool: Spool) -> None:
    """Take the marks for what they are worth: what is not to be found on disk is not durable."""
    if journal.cursor == Cursor():  # memory is gone; where it is not, it knows better than the disk
        journal.set_cursor(spool.load_cursor() or journal.cursor)
    cursor, found = journal.cursor, journal.on_disk()
    if found >= cursor.durable:
        return
    spool.doubt()
    missing = max(0, cursor.durable - max(found, journal.written()))
    if missing:
        _log.error("steplog: %d positions of writer %s are neither in memory nor on disk.", missing, journal.writer)
    journal.doubt_durable(found)
    journal.set_cursor(replace(journal.cursor, abandoned=journal.cursor.abandoned + missing))


def _living(opened: OpenJournal) -> bool:
    if isinstance(opened.spooling.spool, FollowedSpool):
        return opened.alive is None  # ``follow`` sees to it
    if opened.liveness is None or opened.liveness.living():
        return opened.liveness is not None
    opened.alive = opened.liveness.lock
    return False
