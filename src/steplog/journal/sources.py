"""Where a journal's pieces are: in the memory of this process's own writer, in the files of another's, or in the spool.

A source gives pieces in the order of their positions. In memory, a segment's end is known once the next segment is
there; the last one's is open.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from steplog.errors import FormatError
from steplog.journal.append import Segment
from steplog.journal.extents import Extent, SegmentExtent
from steplog.journal.mapping import map_file
from steplog.journal.memory import SEGMENT_SUFFIX, Block
from steplog.journal.segment import SegmentView, read_header
from steplog.journal.writer import Writer

__all__ = ["DirectorySource", "Extents", "NoSource", "OwnSource", "Source"]

_log = logging.getLogger("steplog")


class Extents(Protocol):
    """Gives a journal's pieces."""

    def extents(self) -> Sequence[Extent]:
        """What is there now, in order."""


class Source(Extents, Protocol):
    """Pieces in memory; removes those that are not needed any more."""

    def evict(self, below: int) -> None:
        """Remove every piece that ends at or below this position."""

    def size_bytes(self) -> int:
        """What the pieces take."""


class NoSource:
    """Nothing, and never anything."""

    def extents(self) -> Sequence[Extent]:
        """See Source."""
        return ()

    def evict(self, below: int) -> None:
        """See Source."""

    def size_bytes(self) -> int:
        """See Source."""
        return 0


class OwnSource:
    """The segments of this process's writer, followed from the first one that is still needed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._views: list[tuple[Segment, SegmentView]] = []
        self._next: Segment | None = writer.head

    def extents(self) -> Sequence[Extent]:
        """See Source."""
        while self._next is not None:
            segment = self._next
            if not self._views or self._views[-1][0] is not segment:
                self._views.append((segment, segment.view()))
            if (successor := segment.successor.get(0)) is None:
                break
            self._next = successor
        ends = [segment.header.base for segment, _ in self._views[1:]]
        return [
            SegmentExtent(view, segment.header.base, ends[index] if index < len(ends) else None)
            for index, (segment, view) in enumerate(self._views)
        ]

    def evict(self, below: int) -> None:
        """See Source."""
        self.extents()
        while len(self._views) > 1 and self._views[1][0].header.base <= below:
            block = self._views.pop(0)[0].block
            self._writer.head = self._views[0][0]  # first: who misses the file then knows that it is not needed
            if block is not None:
                self._writer.pool.give_back(block)

    def size_bytes(self) -> int:
        """See Source."""
        return sum(len(segment.memory) for segment, _ in self._views)


class DirectorySource:
    """The segment files of one writer's directory; damaged and foreign ones are passed over, said once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, tuple[SegmentView, Block]] = {}
        self._refused: set[str] = set()

    def extents(self) -> Sequence[SegmentExtent]:
        """See Source."""
        for name in self._names():
            if name not in self._open and name not in self._refused:
                self._add(name)
        views = sorted((view for view, _ in self._open.values()), key=lambda view: view.header.base)
        extents = []
        for index, view in enumerate(views):
            base, end = view.header.base, None
            if index + 1 < len(views):
                end = max(base, min(views[index + 1].header.base, base + view.header.capacity))
            extents.append(SegmentExtent(view, base, end))
        return extents

    def evict(self, below: int) -> None:
        """See Source."""
        done = {extent.view for extent in self.extents() if not extent.is_open and extent.limit <= below}
        for name, (view, block) in list(self._open.items()):
            if view in done and block.path is not None:
                block.path.unlink(missing_ok=True)
                del self._open[name]

    def size_bytes(self) -> int:
        """See Source."""
        return sum(len(block.memory) for _, block in self._open.values())

    def damaged(self) -> list[tuple[str, bytes]]:
        """The files that cannot be read, by name, as they are. Raises OSError."""
        self.extents()  # whatever came since the last look
        there = sorted(self._refused.intersection(self._names()))
        return [(name.removesuffix(SEGMENT_SUFFIX), (self._directory / name).read_bytes()) for name in there]

    def remove(self) -> None:
        """Remove every file; the writer is dead, everything is on disk, and what is damaged kept. Raises OSError."""
        for name in self._names():
            (self._directory / name).unlink(missing_ok=True)
        self._open.clear()

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._directory) if name.endswith(SEGMENT_SUFFIX)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _add(self, name: str) -> None:
        path = self._directory / name
        try:
            memory = self._map(path)
            header = None if memory is None else read_header(memory)
        except FileNotFoundError:
            return
        except (OSError, FormatError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise  # says nothing of the file: to pass over it would lose what is in it
            self._refused.add(name)
            _log.warning("steplog cannot read %s: %s. It is kept.", path, error)
            return
        if memory is not None and header is not None:
            self._open[name] = (SegmentView(memory, header), Block(memory, path))

    @staticmethod
    def _map(path: Path) -> mmap.mmap | None:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            return map_file(descriptor, size) if size else None  # None: still being made
        finally:
            os.close(descriptor)
