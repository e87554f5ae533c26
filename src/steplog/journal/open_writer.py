"""Opening a journal is recovering it: the same few steps whether its writer is new, alive elsewhere, or dead.

A process opens *its own* with ``open_writer``: a directory of its own in the run's, locked for life, marks, and
memory. An agent opens those of *others* with ``open_journals``. A writer is dead when its ``alive`` lock can be
taken; the agent then holds it, so that nobody else takes the journal for a living one.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable
from pathlib import Path
from time import time_ns

from steplog.file_lock import FileLock
from steplog.journal.append import Append
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.directories import RunPaths, make_in_memory, make_on_disk, new_id
from steplog.journal.journal import Journal
from steplog.journal.memory import MemoryPool, Usage
from steplog.journal.memory_repair import MemoryWatch
from steplog.journal.open_journal import OpenJournal
from steplog.journal.range import RANGE_BYTES_MAX
from steplog.journal.sources import OwnSource
from steplog.journal.spool import Spool
from steplog.journal.spooling import Disk
from steplog.journal.worker_spool import WorkerSpool, WorkerSpooling
from steplog.journal.writer import HoleWatch, Writer

__all__ = ["OpenWriter", "open_writer"]

_log = logging.getLogger("steplog")


class OpenWriter:
    """This process's writer of a run, and its journal as this process reads it.

    In the process that delivers the run, its agent moves the marks. In any other they move by themselves: ``follow``.
    """

    def __init__(
        self,
        writer: Writer,
        cursor: mmap.mmap,
        directory: Path | None,
        alive: FileLock | None,
        spool: Spool,
        disk: Disk,
    ) -> None:
        self.writer = writer
        self.directory = directory
        self.gone = False  # it will not append again
        self.delivered_here = False
        self.orphaned: Callable[[], None] = lambda: None  # looks each second whether the run still has an agent
        journal = Journal(writer.id.hex(), OwnSource(writer), cursor, lambda: not self.gone, spool)
        self.opened = OpenJournal(journal, disk.spooling(journal, spool), directory, alive)
        writer.on_full = journal.tell_dropped
        self._said_private = False
        self._holes = HoleWatch(writer)
        self._watch = None if directory is None else self._watched(directory)
        self._to_agent: WorkerSpooling | None = None

    def _watched(self, directory: Path) -> MemoryWatch:
        return MemoryWatch(self.writer, directory, make_in_memory, self._moved, self.follow)

    def go_over_disk(self, spool: WorkerSpool, interval_s: float) -> None:
        """Another process delivers it, and nobody else can see this one's memory: write it to disk each interval."""
        spool.follows = lambda: not self.delivered_here
        self._to_agent = WorkerSpooling(self.journal, spool, self.opened.spooling, interval_s)

    def hand_over(self) -> bool:
        """Let whoever delivers it see all that is written by now; True."""
        if self._to_agent is not None:
            self._to_agent.write()
        return True

    @property
    def journal(self) -> Journal:
        """The journal, to read."""
        return self.opened.journal

    def keep(self) -> None:
        """One round of what the process owes its writer: memory that is there, the next segment, and no holes."""
        if self._watch is not None:
            self.opened.unless_removed(self._watch.look)
        if self._to_agent is not None and not self.delivered_here:
            self._to_agent.round()
        self.writer.pool.measure()
        if self.writer.pool.went_private and not self._said_private:
            self._said_private = True
            _log.warning("steplog goes on without shared memory, which has no room. A kill loses the last second.")
        if self.writer.is_busy():
            self.writer.prepare()
        self._holes.look()

    def calm(self) -> bool:
        """Whether there is nothing that another round would have to see to soon: no slot that may be a hole."""
        return not self._holes.suspects

    def wakes(self, keeper: Callable[[], None]) -> None:
        """Call this from now on, in ``log``, when a segment is used up: the next one is to be prepared."""
        self.writer.on_successor = keeper

    def _moved(self, alive: FileLock | None, cursor: mmap.mmap) -> None:
        old, self.opened.alive = self.opened.alive, alive
        self.journal.move_cursor(cursor)
        if old is not None:
            old.release()

    def follow(self) -> None:
        """See how far another process has delivered the journal, and free what is not needed any more."""
        if self._to_agent is not None and not self.delivered_here:
            self._to_agent.follow()
        elif not self.delivered_here:
            self.journal.load_cursor()


def open_writer(
    paths: RunPaths,
    root: Path | None,
    disk: Disk,
    *,
    memory_bytes_max: int | None,
    value_bytes_max: int,
    clock: Callable[[], int] = time_ns,
    append: Append | None = None,
    usage: Usage | None = None,
    worker: bool = False,
) -> OpenWriter:
    """A new writer of the run at ``place``; in anonymous memory where shared memory cannot be used.

    A ``worker`` is delivered by another process, to which it gets by the disk then. Without that, too, each call is
    counted as dropped.
    """
    name = new_id()
    directory = None if paths.memory is None else paths.memory / name
    pool = MemoryPool(directory, None if directory is None else root, memory_bytes_max, usage)
    if full := directory is not None and pool.is_full():
        _log.warning("steplog goes without shared memory, which other runs have filled. A kill loses the last second.")
    found = None if directory is None or (full and worker) else make_in_memory(directory)
    directory = None if found is None else directory
    if full or directory is None:
        pool = MemoryPool(None, None, memory_bytes_max, None if full else usage)
    alive, cursor = found or (None, mmap.mmap(-1, CURSOR_BYTES))
    over_disk = worker and directory is None
    if over_disk and paths.on_disk:
        alive = make_on_disk(paths.spool / name)
    value_bytes_max = min(value_bytes_max, RANGE_BYTES_MAX)  # neither disk nor wire takes a larger one back
    writer = Writer(
        pool,
        bytes.fromhex(name),
        value_bytes_max=value_bytes_max,
        clock=clock,
        append=append,
        first_bytes=pool.first_bytes(),
    )
    if not over_disk:
        return OpenWriter(writer, cursor, directory, alive, disk.spool(paths.spool / name, name, new=True), disk)
    spool = disk.spool(paths.spool / name, name, WorkerSpool, new=True)
    opened = OpenWriter(writer, cursor, directory, alive, spool, disk)
    if alive is not None:
        opened.go_over_disk(spool, disk.interval_s)
    else:
        _log.warning("steplog: this process has neither shared memory nor a disk; what it logs is dropped.")
        writer.dropped["no place"] = 0
        writer.end(lambda name, value, step: writer.count("no place"))
    return opened
