"""Opening a journal is recovering it: the same few steps whether its writer is new, alive elsewhere, or dead.

A process opens *its own* with ``open_writer``: a directory of its own in the run's, locked for life, marks, and
memory. An agent opens those of *others* with ``open_journals``. A writer is dead when its ``alive`` lock can be
taken; the agent then holds it, so that nobody else takes the journal for a living one.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import time_ns

from steplog.errors import ConfigurationError
from steplog.journal.append import Append
from steplog.journal.directories import RunPlace, make_private, new_id, remove_tree
from steplog.journal.holes import HoleWatch
from steplog.journal.journal import Journal
from steplog.journal.locks import Lock
from steplog.journal.marks import MARKS_BYTES
from steplog.journal.memory import MemoryPool
from steplog.journal.sources import DirectorySource, OwnSource
from steplog.journal.writer import Writer

__all__ = ["OpenJournal", "OpenWriter", "open_journal", "open_writer"]


@dataclass(eq=False)
class OpenJournal:
    """A journal to deliver; ``alive`` is the lock that shows its writer dead, once it is."""

    journal: Journal
    directory: Path | None
    alive: Lock | None = None

    def remove(self) -> None:
        """Remove the journal; everything in it is delivered."""
        remove_tree(self.directory)
        if self.alive is not None:
            self.alive.release()


class OpenWriter:
    """This process's writer of a run, and its journal as this process reads it.

    In the process that delivers the run, its agent moves the marks. In any other they move by themselves: ``follow``.
    """

    def __init__(self, writer: Writer, marks: mmap.mmap, directory: Path | None, alive: Lock | None) -> None:
        self.writer = writer
        self.directory = directory
        self.gone = False  # it will not append again
        journal = Journal(writer.id.hex(), OwnSource(writer), marks, lambda: not self.gone)
        self.opened = OpenJournal(journal, directory, alive)
        self._holes = HoleWatch(writer)

    @property
    def journal(self) -> Journal:
        """The journal, to read."""
        return self.opened.journal

    def keep(self) -> None:
        """One round of what the process owes its writer: the next segment, and no holes."""
        self.writer.prepare()
        self._holes.look()

    def follow(self) -> None:
        """See how far another process has delivered the journal, and free what is not needed any more."""
        self.journal.load_marks()


def open_writer(
    place: RunPlace,
    root: Path | None,
    *,
    memory_bytes_max: int | None,
    value_bytes_max: int,
    clock: Callable[[], int] = time_ns,
    append: Append | None = None,
) -> OpenWriter:
    """A new writer of the run at ``place``; in anonymous memory where shared memory cannot be used."""
    name = new_id()
    directory = None if place.memory is None else place.memory / name
    alive, marks = None, None
    if directory is not None:
        # Under another name first: an agent that saw the directory without its lock would take the writer for dead.
        making = directory.with_name(f"{name}.new")
        try:
            make_private(making)
            alive, marks = Lock.take(making / "alive"), _marks(making)
            making.rename(directory)
        except (OSError, ConfigurationError):
            remove_tree(making)
            directory = alive = None
    pool = MemoryPool(directory, root if directory is not None else None, memory_bytes_max)
    writer = Writer(pool, bytes.fromhex(name), value_bytes_max=value_bytes_max, clock=clock, append=append)
    return OpenWriter(writer, marks or mmap.mmap(-1, MARKS_BYTES), directory, alive)


def open_journal(directory: Path) -> OpenJournal | None:
    """The journal in a writer's directory, of a writer that is not this process's; None where it is not whole yet."""
    try:
        marks = _marks(directory)
    except OSError:
        return None
    opened = OpenJournal(Journal(directory.name, DirectorySource(directory), marks, lambda: _living(opened)), directory)
    return opened


def _living(opened: OpenJournal) -> bool:
    if opened.alive is None and opened.directory is not None:
        try:
            opened.alive = Lock.take(opened.directory / "alive")
        except OSError:
            return False
    return opened.alive is None


def _marks(directory: Path) -> mmap.mmap:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / "marks", flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, MARKS_BYTES)
        return mmap.mmap(descriptor, MARKS_BYTES)
    finally:
        os.close(descriptor)
