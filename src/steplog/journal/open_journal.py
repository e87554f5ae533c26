"""A journal that this process delivers, or takes to disk, as long as it is here.

One thread, the keeper's, does all of this; ``lock`` guards the journal, and is never held across a file of the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from steplog.file_lock import FileLock
from steplog.journal.homes import map_cursor
from steplog.journal.journal import Journal
from steplog.journal.memory_repair import Liveness
from steplog.journal.sources import DirectorySource
from steplog.journal.spooling import Spooling
from steplog.journal.worker_spool import FollowedSpool
from steplog.private_files import remove_tree

__all__ = ["OpenJournal"]


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
