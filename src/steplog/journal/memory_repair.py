"""Repairs shared memory that is removed under a run, as by systemd at logout (``RemoveIPC``).

Mappings stay valid, but no other process finds them, and they end with this one. So each process checks its writer's
files each second, and when a segment is used up. Where one is missing:

1. The directory is made again, with the cursor and a new ``alive``, locked before the old one is released.
2. The writer goes on in another segment.
3. Earlier segments are written out again while they are needed; one with a hole again in the next round, since an
   interrupted call may fill it.

So is what a process logged after another one took its writer for dead, delivered what there was, and removed it.

On other processes see AliveWatch.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from steplog.descriptors import reserved
from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.journal.append import Segment
from steplog.journal.directories import Unchanged, new_writer
from steplog.journal.memory import DIRECTORY_BYTES, free_bytes
from steplog.journal.writer import EndedSegment, Writer
from steplog.private_files import make_private, write_private

__all__ = ["MemoryWatch"]

_log = logging.getLogger("steplog")


class MemoryWatch:
    """Watches the memory of ``writer``, in ``directory``."""

    def __init__(
        self,
        writer: Writer,
        directory: Path,
        moved: Callable[[FileLock | None, mmap.mmap], None],  # is told of the new lock and cursor
        follow: Callable[[], None],  # frees what the agent does not need
    ) -> None:
        self._writer = writer
        self._directory = directory
        self._moved = moved
        self._follow = follow
        self._inode = _inode(directory / "alive")
        self._unchanged = Unchanged([directory])
        self._unfinished: set[Path] = set()  # were written out with a hole
        self._said = False
        self._cannot_look = False
        self._is_gone = False  # something is missing, and not yet made again

    def hand_over(self) -> None:
        """What another process has taken, it removes: that is not worth a word."""
        self._said = True

    def look(self) -> None:
        """One round. Raises nothing for what memory does."""
        if self._unchanged() and not self._unfinished:
            return
        try:
            if _inode(self._directory / "alive") != self._inode or not (self._directory / "marks").exists():
                self._is_gone = True
                self._restore()
            self._save()
            self._is_gone = self._cannot_look = False
        except (OSError, ConfigurationError) as error:
            if self._is_gone:
                self._say(f"and cannot be made again: {error}")
            elif not self._cannot_look:
                self._cannot_look = True
                _log.warning("steplog cannot look after its shared memory in %s: %s.", self._directory, error)

    def _restore(self) -> None:
        for directory in (self._directory.parent.parent, self._directory.parent):
            make_private(directory)
        if self._directory.exists():
            # Part of it is left: move that away, and write out all files again.
            aside = self._directory.with_name(f"{self._directory.name}.old")
            self._directory.rename(aside)
            for file in aside.iterdir():
                file.unlink()
            aside.rmdir()
        if (made := new_writer(self._directory)) is None:
            has_room = free_bytes(self._directory) >= DIRECTORY_BYTES
            code = errno.EIO if has_room else errno.ENOSPC
            raise OSError(code, os.strerror(code), str(self._directory))
        self._inode = _inode(self._directory / "alive")
        self._moved(*made)
        self._say("and was made again")

    def _save(self) -> None:
        there = set(reserved(os.listdir, self._directory))
        self._follow()  # after the listing: what the agent removes is not missing
        missing = [
            segment
            for segment in self._segments()
            if segment.block.path in self._unfinished
            or (segment.block.path.name not in there and not segment.block.path.exists())  # made since
        ]
        if not missing:
            return
        self._is_gone = True
        self._say("and was made again")
        current = self._writer.append.segment
        if current in missing:
            self._writer._spares.clear()  # they have no names either
            self._writer._rotate(current, 0)
        for segment in missing:
            path = segment.block.path
            view, end = segment.view(), segment.end()
            whole = end is not None and not view.holes(end)  # before the copy
            write_private(path, bytes(segment.memory[:]))
            (self._unfinished.discard if whole else self._unfinished.add)(path)

    def _segments(self) -> Iterator[Segment]:
        segment: Segment | None = self._writer.head
        while segment is not None:
            if not isinstance(segment, EndedSegment) and segment.block is not None and segment.block.path is not None:
                yield segment
            segment = self._writer.after(segment)

    def _say(self, what: str) -> None:
        if not self._said:
            self._said = True
            _log.warning("steplog: shared memory was removed from %s, %s.", self._directory, what)


def _inode(path: Path) -> int | None:
    try:
        return path.stat(follow_symlinks=False).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None
