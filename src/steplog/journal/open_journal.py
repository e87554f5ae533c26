"""A journal that this process delivers, or takes to disk, as long as it is here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from steplog.journal.directories import remove_tree
from steplog.journal.gone import Liveness
from steplog.journal.homes import map_marks
from steplog.journal.journal import Journal
from steplog.journal.locks import Lock
from steplog.journal.sources import DirectorySource
from steplog.journal.spooling import Spooling
from steplog.journal.worker_spool import FollowedSpool

__all__ = ["REMOVE_TIMEOUT_S", "OpenJournal"]

REMOVE_TIMEOUT_S = 0.25


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
                self._follow_spool()
            if not dead and isinstance(self.spooling.spool, FollowedSpool):
                self.spooling.spool.keep(self.journal.marks)
            elif not self.removed and self.spooling.write(lock, pressed or dead) and dead:
                with lock:
                    self._free_memory()

    def _follow_marks(self) -> None:
        """Another process's writer may have made its directory again."""
        if self.liveness is not None and self.directory is not None:
            with suppress(OSError):
                inode = (self.directory / "marks").stat().st_ino
                if self.marks_inode != inode:
                    self.journal.move_marks(map_marks(self.directory))
                self.marks_inode = inode

    def _follow_spool(self) -> None:
        """A worker without shared memory has written more of it."""
        if isinstance(self.spooling.spool, FollowedSpool):
            durable = self.journal.on_disk()
            if durable > self.journal.marks.durable:
                self.journal.set_marks(replace(self.journal.marks, durable=durable))

    def _free_memory(self) -> None:
        if isinstance(self.journal.memory, DirectorySource):
            with suppress(OSError):  # at the next interval then
                self.journal.memory.remove(self.spooling.spool.keep_aside)
