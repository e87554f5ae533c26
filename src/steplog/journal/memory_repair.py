"""Memory that goes away while the run goes on: somebody removed the directory, or a file in it.

systemd does that at logout (``RemoveIPC``). The mappings stay valid, and whoever has them reads and writes on; but
nobody else can find them, and with the process they would be gone. So each process looks whether its writer's files
still have their names, each second and whenever a segment is used up. Where they have not:

* the directory is made again under the same name, with a new ``alive``, taken before the old one is let go of, and the
  marks as they are;
* the writer goes on in another segment;
* the segments before it are written out again under their names, as long as they are needed. A call that was
  interrupted between its claim and its store may still come to be in one, so a segment with a hole is written out
  again in the next round.

Whoever delivers the journal from another process still has the mappings. It takes a writer for dead when its ``alive``
can be locked, and neither because the directory is gone nor because another ``alive`` is there: ``Liveness`` keeps the
file that it saw, and goes over to the new one when the old one is free.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.journal.append import Segment
from steplog.journal.directories import Unchanged
from steplog.journal.writer import EndedSegment, Writer
from steplog.private_files import make_private

__all__ = ["MemoryWatch"]

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_log = logging.getLogger("steplog")


class MemoryWatch:
    """Looks after the memory of this process's own ``writer``, which is in ``directory``.

    ``make`` makes a writer's directory, locked, with its marks; ``moved`` is told of both. ``follow`` lets
    go of what the run's agent does not need any more.
    """

    def __init__(
        self,
        writer: Writer,
        directory: Path,
        make: Callable[[Path], tuple[FileLock | None, mmap.mmap] | None],
        moved: Callable[[FileLock | None, mmap.mmap], None],
        follow: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._directory = directory
        self._make = make
        self._moved = moved
        self._follow = follow
        self._inode = _inode(directory / "alive")
        self._unchanged = Unchanged([directory])
        self._unfinished: set[Path] = set()  # written out with a hole
        self._said = False

    def look(self) -> None:
        """One round; raises nothing for what memory does."""
        if self._unchanged() and not self._unfinished:
            return
        try:
            if _inode(self._directory / "alive") != self._inode or not (self._directory / "marks").exists():
                self._restore()
            self._save()
        except (OSError, ConfigurationError) as error:
            self._say(f"and cannot be made again: {error}")

    def _restore(self) -> None:
        for directory in (self._directory.parent.parent, self._directory.parent):
            make_private(directory)
        if self._directory.exists():
            # Half of it: aside, so that it comes back as a whole. Its files are written out again.
            aside = self._directory.with_name(f"{self._directory.name}.old")
            self._directory.rename(aside)
            for file in aside.iterdir():
                file.unlink()
            aside.rmdir()
        made = self._make(self._directory)
        if made is None:
            raise OSError("no shared memory")
        self._inode = _inode(self._directory / "alive")
        self._moved(*made)
        self._say("and was made again")

    def _save(self) -> None:
        there = set(os.listdir(self._directory))
        self._follow()  # only now: what the agent has removed since is not missing
        missing = [
            segment
            for segment in self._segments()
            if segment.block.path in self._unfinished
            or (segment.block.path.name not in there and not segment.block.path.exists())  # made since
        ]
        if not missing:
            return
        self._say("and was made again")
        current = self._writer.append.segment
        if current in missing:
            self._writer._spares.clear()  # they have no names either
            self._writer._rotate(current, 0)
        for segment in missing:
            path = segment.block.path
            view, end = segment.view(), segment.end()
            whole = end is not None and not view.holes(end)  # before the copy
            _write(path, bytes(segment.memory[:]))
            (self._unfinished.discard if whole else self._unfinished.add)(path)

    def _segments(self) -> Iterator[Segment]:
        segment: Segment | None = self._writer.head
        while segment is not None:
            if not isinstance(segment, EndedSegment) and segment.block is not None and segment.block.path is not None:
                yield segment
            segment = segment.successor.get(0)

    def _say(self, what: str) -> None:
        if not self._said:
            self._said = True
            _log.warning("steplog: shared memory was removed from %s, %s.", self._directory, what)


def _inode(path: Path) -> int | None:
    try:
        return path.stat(follow_symlinks=False).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(path: Path, data: bytes) -> None:
    scratch = path.with_suffix(".saving")
    with contextlib.suppress(FileNotFoundError):
        scratch.unlink()
    descriptor = os.open(scratch, _CREATE, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, len(data))
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        scratch.unlink()
        raise
    finally:
        os.close(descriptor)
    scratch.rename(path)
