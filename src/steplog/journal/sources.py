"""Where a journal's extents are in memory: in this process's writer, or in another's files.

A segment's end is known once the next one is there.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from steplog.descriptors import open_reserved, reserved
from steplog.errors import FormatError
from steplog.journal.append import Segment
from steplog.journal.extents import SegmentExtent
from steplog.journal.mapping import map_file
from steplog.journal.memory import SEGMENT_SUFFIX
from steplog.journal.segment import SegmentView, read_header
from steplog.journal.writer import Writer

__all__ = ["DirectorySource", "OwnSource", "Source"]

_log = logging.getLogger("steplog")


class OwnSource:
    """The segments of this process's writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._views: list[tuple[Segment, SegmentView]] = []
        self._next: Segment | None = writer.head

    def extents(self) -> Sequence[SegmentExtent]:
        """Those there are now, in order."""
        while self._next is not None:
            segment = self._next
            if not self._views or self._views[-1][0] is not segment:
                self._views.append((segment, segment.view()))
            if (successor := segment.successor.get(0)) is None:
                break
            self._next = successor
        return _extents([view for _, view in self._views], [])

    def end_at(self, bases: list[int]) -> None:
        """Nothing: this process knows where its segments end."""

    def evict(self, below: int) -> None:
        """Remove the extents that end at or below this position."""
        self.extents()
        while len(self._views) > 1 and self._views[1][0].header.base <= below:
            block = self._views.pop(0)[0].block
            self._writer.head = self._views[0][0]  # before the file goes: MemoryWatch does not miss it then
            if block is not None:
                self._writer.pool.free(block)

    def size_bytes(self) -> int:
        """Bytes they take."""
        return sum(len(segment.memory) for segment, _ in self._views)


class DirectorySource:
    """The segment files of a directory, if any; damaged ones are skipped, with a warning."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._views: dict[str, SegmentView] = {}  # by path, as text: listed for each range
        self._damaged: set[str] = set()
        self._bases: list[int] = []

    def extents(self) -> Sequence[SegmentExtent]:
        """See OwnSource."""
        for path in self._paths():
            if path not in self._views and path not in self._damaged:
                self._add(path)
        return _extents(sorted(self._views.values(), key=lambda view: view.header.base), self._bases)

    def end_at(self, bases: list[int]) -> None:
        """Segments in private memory, now gone, followed those here at these positions."""
        self._bases = bases

    def evict(self, below: int) -> None:
        """See OwnSource."""
        done = {extent.view for extent in self.extents() if not extent.is_open and extent.limit <= below}
        for path in [path for path, view in self._views.items() if view in done]:
            Path(path).unlink(missing_ok=True)
            del self._views[path]

    def size_bytes(self) -> int:
        """See OwnSource."""
        return sum(len(view.memory) for view in self._views.values())

    def damaged(self) -> list[tuple[str, bytes]]:
        """Names and bytes of the damaged files. Raises OSError."""
        self.extents()  # those that came since, too
        there = map(Path, sorted(self._damaged.intersection(self._paths())))
        return [(path.stem, reserved(path.read_bytes)) for path in there]

    def remove(self) -> None:
        """Remove every file of a dead writer. Raises OSError."""
        for path in self._paths():
            Path(path).unlink(missing_ok=True)
        self._views.clear()

    def _paths(self) -> list[str]:
        if self._directory is None:
            return []
        try:
            names = reserved(os.listdir, self._directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{self._directory}/{name}" for name in names if name.endswith(SEGMENT_SUFFIX)]

    def _add(self, path: str) -> None:
        try:
            descriptor = open_reserved(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                memory = map_file(descriptor, size) if size else None  # None: still being made
            finally:
                os.close(descriptor)
            header = None if memory is None else read_header(memory)
        except FileNotFoundError:
            return
        except (OSError, FormatError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise  # says nothing of the file, whose records would be lost
            self._damaged.add(path)
            _log.warning("steplog cannot read %s: %s. It is kept.", path, error)
            return
        if memory is not None and header is not None:
            self._views[path] = SegmentView(memory, header)


def _extents(views: list[SegmentView], bases: list[int]) -> list[SegmentExtent]:
    extents = []
    for index, view in enumerate(views, 1):
        base, is_open = view.header.base, index == len(views)
        limit = base + view.header.capacity
        if not is_open:
            limit = max(base, min(views[index].header.base, limit))
        if ended := [position for position in bases if base < position <= limit]:
            limit, is_open = min(ended), False
        extents.append(SegmentExtent(view, base, limit, is_open))
    return extents


Source = OwnSource | DirectorySource
