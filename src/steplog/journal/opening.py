"""Opening a journal is recovering it: the same few steps whether its writer is new, alive elsewhere, or dead.

A process opens *its own* with ``open_writer``: a directory of its own in the run's, locked for life, marks, and
memory. An agent opens those of *others* with ``open_journals``. A writer is dead when its ``alive`` lock can be
taken; the agent then holds it, so that nobody else takes the journal for a living one.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time_ns
from weakref import WeakSet

from steplog.errors import ConfigurationError
from steplog.journal.append import Append
from steplog.journal.directories import RunPlace, make_private, new_id, remove_tree
from steplog.journal.files import Files
from steplog.journal.gone import Liveness, MemoryWatch
from steplog.journal.holes import HoleWatch
from steplog.journal.journal import Journal
from steplog.journal.locks import Lock
from steplog.journal.mapping import map_file
from steplog.journal.marks import MARKS_BYTES, Marks
from steplog.journal.memory import MemoryPool, Usage
from steplog.journal.range import RANGE_BYTES_MAX
from steplog.journal.sources import DirectorySource, NoSource, OwnSource, Source
from steplog.journal.spool import Spool
from steplog.journal.spooling import Spooling
from steplog.journal.writer import Writer

__all__ = [
    "REMOVE_TIMEOUT_S",
    "Disk",
    "OpenJournal",
    "OpenWriter",
    "open_journal",
    "open_writer",
]

REMOVE_TIMEOUT_S = 0.25
_log = logging.getLogger("steplog")


@dataclass(eq=False)
class OpenJournal:
    """A journal to deliver, and what takes it to disk; ``alive`` is the lock that shows its writer dead, once it is."""

    journal: Journal
    spooling: Spooling
    directory: Path | None
    alive: Lock | None = None
    liveness: Liveness | None = None  # of another process's writer
    marks_inode: int | None = None  # where its marks are, if another process may make them again
    removed: bool = False
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def remove(self) -> bool:
        """Remove the journal, everything in which is delivered; whether nothing is left of it that is worth keeping.

        ``removed`` stays False where the disk keeps the thread waiting that writes there.
        """
        if not self._writing.acquire(timeout=REMOVE_TIMEOUT_S):
            return False
        try:
            self._free_memory()
            self.removed = True
            self.spooling.spool.tidy(2**63)
            self.journal.evict(2**63)
            remove_tree(self.directory)
            self.release()
            return not self.spooling.spool.keeps_aside()
        finally:
            self._writing.release()

    def unless_removed(self, look: Callable[[], None]) -> None:
        """Do this while nobody removes the journal, if it is still there and its memory is ours to mend."""
        with self._writing:
            if not self.removed and self.journal.living:
                look()

    def release(self) -> None:
        """Leave the journal as it is; the writer will not append again."""
        if self.alive is not None:
            self.alive.release()

    def spool(self, lock: AbstractContextManager[object], pressed: bool) -> None:
        """One interval is over; ``pressed``: memory is short. A dead writer's memory is freed."""
        with self._writing:
            with lock:
                self._follow_marks()
                dead = not self.journal.living
            if not self.removed and self.spooling.write(lock, pressed or dead) and dead:
                with lock:
                    self._free_memory()

    def _follow_marks(self) -> None:
        """Another process's writer may have made its directory again."""
        if self.liveness is not None and self.directory is not None:
            with suppress(OSError):
                inode = (self.directory / "marks").stat().st_ino
                if self.marks_inode != inode:
                    self.journal.move_marks(_marks(self.directory))
                self.marks_inode = inode

    def _free_memory(self) -> None:
        if isinstance(self.journal.memory, DirectorySource):
            with suppress(OSError):  # at the next interval then
                self.journal.memory.remove(self.spooling.spool.keep_aside)


class OpenWriter:
    """This process's writer of a run, and its journal as this process reads it.

    In the process that delivers the run, its agent moves the marks. In any other they move by themselves: ``follow``.
    """

    def __init__(
        self, writer: Writer, marks: mmap.mmap, directory: Path | None, alive: Lock | None, spool: Spool, disk: Disk
    ) -> None:
        self.writer = writer
        self.directory = directory
        self.gone = False  # it will not append again
        self.delivered_here = False
        self.orphaned: Callable[[], None] = lambda: None  # looks each second whether the run still has an agent
        journal = Journal(writer.id.hex(), OwnSource(writer), marks, lambda: not self.gone, spool)
        self.opened = OpenJournal(journal, disk.spooling(journal, spool), directory, alive)
        self._said_private = False
        self._holes = HoleWatch(writer)
        self._memory = None if directory is None else MemoryWatch(writer, directory, _make, self._moved, self.follow)

    @property
    def journal(self) -> Journal:
        """The journal, to read."""
        return self.opened.journal

    def keep(self) -> None:
        """One round of what the process owes its writer: memory that is there, the next segment, and no holes."""
        if self._memory is not None:
            self.opened.unless_removed(self._memory.look)
        self.writer.pool.measure()
        if self.writer.pool.went_private and not self._said_private:
            self._said_private = True
            _log.warning("steplog goes on without shared memory, which has no room. A kill loses the last second.")
        if self.writer.is_busy():
            self.writer.prepare()
        self._holes.look()

    def _moved(self, alive: Lock | None, marks: mmap.mmap) -> None:
        old, self.opened.alive = self.opened.alive, alive
        self.journal.move_marks(marks)
        if old is not None:
            old.release()

    def follow(self) -> None:
        """See how far another process has delivered the journal, and free what is not needed any more."""
        if not self.delivered_here:
            self.journal.load_marks()


class Disk:
    """What all journals of a process share of the disk: the file system, and ``bytes_max`` for what is spooled."""

    def __init__(self, bytes_max: int, files: Files | None = None) -> None:
        self.bytes_max = bytes_max
        self.files = files or Files()
        self._spools: WeakSet[Spool] = WeakSet()

    def spool(self, directory: Path, writer: str) -> Spool:
        """The spool of a writer, as it is found."""
        spool = Spool(directory, writer, self.files)
        self._spools.add(spool)
        return spool

    def spooling(self, journal: Journal, spool: Spool) -> Spooling:
        """What takes a journal there."""
        return Spooling(
            journal, spool, lambda: self.bytes_max - sum(other.size_bytes() for other in list(self._spools))
        )


def open_writer(
    place: RunPlace,
    root: Path | None,
    disk: Disk,
    *,
    memory_bytes_max: int | None,
    value_bytes_max: int,
    clock: Callable[[], int] = time_ns,
    append: Append | None = None,
    usage: Usage | None = None,
) -> OpenWriter:
    """A new writer of the run at ``place``; in anonymous memory where shared memory cannot be used."""
    name = new_id()
    directory = None if place.memory is None else place.memory / name
    found = None if directory is None else _make(directory)
    if found is None:
        directory = None
    alive, marks = found or (None, mmap.mmap(-1, MARKS_BYTES))
    pool = MemoryPool(directory, root if directory is not None else None, memory_bytes_max, usage)
    if directory is not None and pool.is_full():
        _log.warning("steplog goes without shared memory, which other runs have filled. A kill loses the last second.")
        pool = MemoryPool(None, None, memory_bytes_max)
    value_bytes_max = min(value_bytes_max, RANGE_BYTES_MAX)  # neither disk nor wire takes a larger one back
    writer = Writer(
        pool,
        bytes.fromhex(name),
        value_bytes_max=value_bytes_max,
        clock=clock,
        append=append,
        first_bytes=pool.first_bytes(),
    )
    return OpenWriter(writer, marks, directory, alive, disk.spool(place.spool / name, name), disk)


def open_journal(place: RunPlace, name: str, disk: Disk) -> OpenJournal | None:
    """The journal of a writer that is not this process's, from memory and disk; None where it is not whole yet.

    Where memory is gone, as after a power cut, it is made again with the marks that the disk has.
    """
    directory = None if place.memory is None else place.memory / name
    alive: Lock | None = None
    inode: int | None = None
    if directory is not None and directory.is_dir():
        try:
            marks = _marks(directory)
            inode = (directory / "marks").stat().st_ino
        except OSError:
            return None
    else:
        found = None if directory is None else _make(directory)
        directory = None if found is None else directory
        alive, marks = found or (None, mmap.mmap(-1, MARKS_BYTES))
    memory: Source = NoSource() if directory is None else DirectorySource(directory)
    spool = disk.spool(place.spool / name, name)
    liveness = None if directory is None or alive is not None else Liveness(directory)
    journal = Journal(name, memory, marks, lambda: _living(opened), spool)
    _recover(journal, spool)
    opened = OpenJournal(journal, disk.spooling(journal, spool), directory, alive, liveness, inode)
    return opened


def _recover(journal: Journal, spool: Spool) -> None:
    """Take the marks for what they are worth: what is not to be found on disk is not durable."""
    if journal.marks == Marks():  # memory is gone; where it is not, it knows better than the disk
        journal.set_marks(spool.load_marks() or journal.marks)
    marks, found = journal.marks, journal.on_disk()
    if found >= marks.durable:
        return
    spool.doubt()
    missing = max(0, marks.durable - max(found, journal.written()))
    if missing:
        _log.error("steplog: %d positions of writer %s are neither in memory nor on disk.", missing, journal.writer)
    journal.set_marks(replace(marks, durable=found, abandoned=marks.abandoned + missing))


def _living(opened: OpenJournal) -> bool:
    if opened.liveness is None or opened.liveness.living():
        return opened.liveness is not None
    opened.alive = opened.liveness.lock
    return False


def _make(directory: Path) -> tuple[Lock | None, mmap.mmap] | None:
    """A writer's directory in memory, with its lock taken, and its marks; None where there is none to be had."""
    # Under another name first: an agent that saw the directory without its lock would take the writer for dead.
    making = directory.with_name(f"{directory.name}.new")
    alive = None
    try:
        make_private(making)
        alive = Lock.take(making / "alive")
        marks = _marks(making)
        making.rename(directory)
    except (OSError, ConfigurationError):
        if alive is not None:
            alive.release()
        remove_tree(making)
        return None
    return alive, marks


def _marks(directory: Path) -> mmap.mmap:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / "marks", flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, MARKS_BYTES)
        return map_file(descriptor, MARKS_BYTES)
    finally:
        os.close(descriptor)
