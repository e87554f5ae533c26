"""Where a journal's extents are in memory: in this process's writer, or in another's files.

A segment's end is known once the next one is there. A writer's own segments are mapped. Those of other processes,
living or dead, are read: to touch a mapping whose file was cut is SIGBUS.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from steplog.errors import FormatError, NotPrivateError
from steplog.journal import slot
from steplog.journal.append import Segment
from steplog.journal.extents import SegmentExtent
from steplog.journal.memory import SEGMENT_SUFFIX
from steplog.journal.segment import HEADER_BYTES, Header, Records, SegmentView, read_header
from steplog.journal.writer import Writer
from steplog.private_files import names_in, open_private, read_private, unlink_private
from steplog.reentrant_lock import ReentrantLock

__all__ = ["DirectorySource", "OwnSource", "Source"]

_log = logging.getLogger("steplog")
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_FIRST_SLOTS = 256


class OwnSource:
    """The segments of this process's writer. In a worker several threads look, and free what is delivered."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = ReentrantLock()
        self._views: list[tuple[Segment, SegmentView]] = []
        self._next: Segment | None = writer.head

    def extents(self) -> Sequence[SegmentExtent]:
        """Those there are now, in order."""
        with self._lock:
            while self._next is not None:
                segment = self._next
                if not self._views or self._views[-1][0] is not segment:
                    self._views.append((segment, segment.view()))
                if (successor := self._writer.after(segment)) is None:
                    break
                self._next = successor
            return _extents([view for _, view in self._views], [])

    known = extents

    def end_at(self, bases: list[int]) -> None:
        """Nothing: this process knows where its segments end."""

    def evict(self, below: int) -> None:
        """Remove the extents that end at or below this position."""
        with self._lock:
            self.extents()
            while len(self._views) > 1 and self._views[1][0].header.base <= below:
                block = self._views.pop(0)[0].block
                self._writer.head = self._views[0][0]  # before the file goes: MemoryWatch does not miss it then
                if block is not None:
                    self._writer.pool.free(block)

    def size_bytes(self) -> int:
        """Bytes they take."""
        return sum(len(segment.memory) for segment, _ in self._views.copy())


class _SegmentFile:
    """A segment of another process, which may cut or remove it at any time: copied, never mapped.

    Opened for each use, and looked at first: whether it still is the segment it was. What is cut off is zero.
    """

    def __init__(self, path: str, size: int, header: bytes) -> None:
        self.gone = False
        self.cut_at = size  # what was beyond is lost
        self._path = path
        self._size = size
        self._header = header
        self._descriptor = -1
        self._region = b""
        self._region_end = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice) -> bytes:
        start, stop, step = key.indices(self._size)
        if stop <= self._region_end:
            if not self._region:  # names and payloads are many and small
                self._region = self._read(0, self._region_end)
            return self._region[start:stop]
        data = self._read(start, stop)
        return data if step == 1 else data[::step]

    def __setitem__(self, key: slice, value: bytes) -> None:
        raise NotImplementedError("another process writes it")

    def _read(self, start: int, stop: int) -> bytes:
        size = max(0, stop - start)
        data = os.pread(self._descriptor, size, start)
        if len(data) < size:
            self.cut_at = min(self.cut_at, start + len(data))
        return data.ljust(size, b"\0")

    @contextmanager
    def opened(self, region_end: int = 0) -> Iterator[None]:
        """Read it in the block, what lies below ``region_end`` at once.

        Raises BlockingIOError where it is gone, and OSError where nothing can be opened now.
        """
        self._open()
        self._region_end = region_end
        try:
            yield
        finally:
            os.close(self._descriptor)
            self._descriptor, self._region_end, self._region = -1, 0, b""

    def _open(self) -> None:
        try:
            descriptor = open_private(self._path, os.O_RDONLY)
        except OSError as error:
            if error.errno in _OUT_OF:
                raise
            self.gone = True
            raise BlockingIOError(errno.EAGAIN, "it is gone", self._path) from None
        if os.pread(descriptor, len(self._header), 0) != self._header:
            os.close(descriptor)
            self.gone = True
            raise BlockingIOError(errno.EAGAIN, "it is another one", self._path)
        self._descriptor = descriptor


class _FileView(SegmentView):
    """Reads a segment of another process: first kinds, and what they say is written once more after that.

    The kinds of written slots are kept: they do not change.
    """

    def __init__(self, file: _SegmentFile, header: Header) -> None:
        super().__init__(file, header)
        self.file = file
        self._kinds = bytearray()  # of the slots below the first empty one

    def kinds(self, start: int, end: int) -> bytes:
        """See SegmentView; unknown ones are empty where the segment is gone."""
        known = bytes(self._kinds[start:end])
        first = start + len(known)
        if first >= end:
            return known
        try:
            with self.file.opened():
                return known + super().kinds(first, end)
        except BlockingIOError:
            return known + bytes(end - first)

    def uncounted(self, start: int, end: int) -> int:
        """See SegmentView; none where the segment is gone."""
        try:
            with self.file.opened():
                return super().uncounted(start, end)
        except BlockingIOError:
            return 0

    def readable(self, start: int, end: int) -> int:
        """See SegmentView."""
        end = max(start, min(end, self.header.capacity))
        if end > len(self._kinds):
            with suppress(BlockingIOError), self.file.opened():
                self._look(end)
        if start > len(self._kinds):  # there is a hole below
            return super().readable(start, end)
        return max(start, min(end, len(self._kinds)))

    def _look(self, end: int) -> None:
        """Learn kinds up to the first empty slot, in growing steps: most of a segment may be empty."""
        step = _FIRST_SLOTS
        while (known := len(self._kinds)) < end:
            kinds = SegmentView.kinds(self, known, min(end, known + step))
            gap = kinds.find(slot.KIND_NONE)
            self._kinds += kinds if gap < 0 else kinds[:gap]
            if gap >= 0:
                return
            step *= 4

    def written(self) -> int:
        """See SegmentView."""
        known = self.readable(0, self.header.capacity)
        return known + len(self.kinds(known, self.header.capacity).rstrip(b"\0"))

    def read(self, start: int, end: int) -> Records:
        """See SegmentView. Raises BlockingIOError where it is gone, and OSError."""
        with self.file.opened(HEADER_BYTES + self.header.region):
            records = super().read(start, end)
        if self.file.cut_at < len(self.file):
            left = max(0, self.file.cut_at - self._slots_start) // slot.SLOT_BYTES
            self._kinds[left:] = bytes(len(self._kinds[left:]))  # to be counted
        return records


class DirectorySource:
    """The segment files of a directory, if any; damaged ones are skipped, with a warning."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._views: dict[str, _FileView] = {}  # by path, as text: listed for each range
        self._damaged: set[str] = set()
        self._bases: list[int] = []
        self._said = False

    def extents(self) -> Sequence[SegmentExtent]:
        """See OwnSource."""
        try:
            paths = set(self._paths())
        except PermissionError as error:
            self._say(error)
            paths = set(self._views)
        for path in [path for path, view in self._views.items() if path not in paths or view.file.gone]:
            del self._views[path]
        for path in paths:
            if path not in self._views and path not in self._damaged:
                self._add(path)
        return self.known()

    def known(self) -> Sequence[SegmentExtent]:
        """Those of the last look."""
        return _extents(sorted(self._views.values(), key=lambda view: view.header.base), self._bases)

    def end_at(self, bases: list[int]) -> None:
        """Segments in private memory, now gone, followed those here at these positions."""
        self._bases = bases

    def evict(self, below: int) -> None:
        """See OwnSource."""
        done = {extent.view for extent in self.known() if not extent.is_open and extent.limit <= below}
        for path in [path for path, view in self._views.items() if view in done]:
            unlink_private(path)
            del self._views[path]

    def size_bytes(self) -> int:
        """See OwnSource. Safe in any thread."""
        return sum(len(view.memory) for view in self._views.copy().values())

    def damaged(self) -> list[tuple[str, bytes]]:
        """Names and bytes of the damaged files that are ours. Raises OSError."""
        self.extents()  # those that came since, too
        found = []
        for path in sorted(self._damaged.intersection(self._paths())):
            with suppress(NotPrivateError):
                found.append((Path(path).stem, read_private(path)))
        return found

    def remove(self) -> None:
        """Remove every file of a dead writer. Raises OSError."""
        for path in self._paths():
            unlink_private(path)
        self._views.clear()

    def _paths(self) -> list[str]:
        if self._directory is None:
            return []
        try:
            names = names_in(self._directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{self._directory}/{name}" for name in names if name.endswith(SEGMENT_SUFFIX)]

    def _add(self, path: str) -> None:
        try:
            descriptor = open_private(path, os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                data = os.pread(descriptor, HEADER_BYTES, 0)
            finally:
                os.close(descriptor)
            header = read_header(bytearray(data), size) if size else None  # None: still being made
        except FileNotFoundError:
            return
        except (OSError, FormatError) as error:
            if isinstance(error, OSError) and error.errno in _OUT_OF:
                raise  # says nothing of the file, whose records would be lost
            self._damaged.add(path)
            _log.warning("steplog cannot read %s: %s. It is kept.", path, error)
            return
        if header is not None:
            self._views[path] = _FileView(_SegmentFile(path, size, data), header)

    def _say(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            _log.warning("steplog cannot look into %s: %s", self._directory, error)


def _extents(views: Sequence[SegmentView], bases: list[int]) -> list[SegmentExtent]:
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
