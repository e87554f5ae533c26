"""The spool of one writer: frames on disk, for what the server has not confirmed in time.

::

    <spool>/<run>/<writer>/<first position>.spool     frames, one after the other (see frame)
                           marks                      how far it is delivered (see marks), appended while there are
                           frames

A file takes frames until it has ``FILE_BYTES_MAX``; the next one begins then. Nothing is durable before ``sync`` has
returned, and only then does a frame count. A short write is cut back to the last whole frame, so that what follows
can be read. After a failed sync the kernel may have forgotten that the pages are dirty, and a later sync of the same
file may succeed without them (Rebello et al., ATC '20): the file gets no more frames, and ``SyncError`` says from
which position on everything is to be written again, into a new one.

Opening a spool is recovering it: whole frames are found wherever they are in a file, by magic and check. The torn end
that a death leaves is passed over; a file in which anything else is damaged is kept aside under another name when
what can be read of it is delivered, and never deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steplog.errors import FormatError
from steplog.journal import frame, slot
from steplog.journal.files import Files
from steplog.journal.marks import COPY_BYTES, Marks, decode, encode
from steplog.journal.pieces import FramePiece
from steplog.journal.range import Range

__all__ = ["DAMAGED_SUFFIX", "FILE_BYTES_MAX", "SPOOL_SUFFIX", "Spool", "SyncError"]

FILE_BYTES_MAX = 8 * 1024 * 1024
SPOOL_SUFFIX = ".spool"
DAMAGED_SUFFIX = ".damaged"
_MARKS = "marks"
_MARKS_COPIES = 64  # in one file, then it is begun anew
_log = logging.getLogger("steplog")


class SyncError(OSError):
    """The disk did not take it; what lies above ``redo_from`` is to be written again."""

    def __init__(self, error: OSError, redo_from: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.redo_from = redo_from


@dataclass(eq=False, slots=True)
class _File:
    path: Path
    size: int = 0
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    file: _File
    offset: int
    size: int
    first: int
    end: int
    records: int


class Spool:
    """The spool files of ``writer`` in ``directory``, which must be there to append, and need not be to read."""

    def __init__(self, directory: Path, writer: str, files: Files | None = None) -> None:
        self.directory = directory
        self._writer = writer
        self._files = files or Files()
        self._entries: list[_Entry] = []
        self._fresh: list[_Entry] = []  # written, not synced
        self._open: tuple[_File, int] | None = None  # what takes the next frame, and its descriptor
        self._all: list[_File] = []
        self._pieces: list[FramePiece] | None = None
        self._loaded: tuple[_Entry, Range] | None = None
        self._marks_sequence = 0
        for name in sorted(self._names()):
            self._scan(directory / name)

    # -- writing --------------------------------------------------------------------------------------------------

    def append(self, records: Range, body: bytes) -> None:
        """Write a range, whose deflated body this is. Raises OSError; the file is as it was then."""
        data = frame.encode(body)
        if self._open is not None and self._open[0].size + len(data) > FILE_BYTES_MAX:
            self.sync()
            self._close()
        file, descriptor = self._open or self._create(records.first)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._files.write(descriptor, rest) :]
        except OSError:
            self._files.truncate(descriptor, file.size)
            raise
        self._fresh.append(_Entry(file, file.size, len(data), records.first, records.end, records.records))
        file.size += len(data)

    def sync(self) -> None:
        """Make what was appended durable. Raises SyncError."""
        if self._open is None or not self._fresh:
            return
        file, descriptor = self._open
        try:
            self._files.sync(descriptor)
        except OSError as error:
            redo_from = min(entry.first for entry in (*self._fresh, *self._entries) if entry.file is file)
            self._fresh = []
            self._close()
            raise SyncError(error, redo_from) from error
        self._entries = sorted([*self._entries, *self._fresh], key=lambda entry: entry.first)
        self._fresh, self._pieces = [], None

    def _create(self, first: int) -> tuple[_File, int]:
        if not self._all:
            self._files.make_private(self.directory)
            self._files.sync_directory(self.directory.parent)
        number = len(self._names())
        while (path := self.directory / f"{first:020d}-{number}{SPOOL_SUFFIX}").exists():
            number += 1
        descriptor = self._files.create(path)
        self._files.sync_directory(self.directory)
        self._open = _File(path), descriptor
        self._all.append(self._open[0])
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            descriptor, self._open = self._open[1], None
            self._files.close(descriptor)

    def store_marks(self, marks: Marks) -> None:
        """Write down how far it is delivered, for whoever finds the disk and no memory. Raises OSError."""
        path = self.directory / _MARKS
        data = encode(marks, self._marks_sequence + 1)
        if self._marks_sequence % _MARKS_COPIES == 0:
            scratch = path.with_suffix(".new")
            self._files.unlink(scratch)
            self._append_to(self._files.create(scratch), data)
            self._files.rename(scratch, path)
        else:
            self._append_to(self._files.open(path), data)
        self._marks_sequence += 1

    def load_marks(self) -> Marks | None:
        """What ``store_marks`` wrote last, of what is whole."""
        try:
            data = self._files.read(self.directory / _MARKS)
        except OSError:
            return None
        copies = [decode(data[place : place + COPY_BYTES]) for place in range(0, len(data), COPY_BYTES)]
        newest = max((copy for copy in copies if copy is not None), key=lambda copy: copy[0], default=None)
        return None if newest is None else newest[1]

    def _append_to(self, descriptor: int, data: bytes) -> None:
        try:
            self._files.write(descriptor, data)
        finally:
            self._files.close(descriptor)

    # -- reading --------------------------------------------------------------------------------------------------

    def pieces(self) -> Sequence[FramePiece]:
        """The frames that are durable, in the order of their positions."""
        if self._pieces is None:
            self._pieces = [
                FramePiece(entry.first, entry.end, entry.records, partial(self._load, entry)) for entry in self._entries
            ]
        return self._pieces

    def evict(self, below: int) -> None:
        """Remove every file whose positions all lie below."""
        needed = {entry.file for entry in (*self._entries, *self._fresh) if entry.end > below}
        gone = [file for file in self._all if file not in needed]
        for file in gone:
            if self._open is not None and self._open[0] is file:
                self._close()
            if file.damaged:
                self._files.rename(file.path, file.path.with_suffix(DAMAGED_SUFFIX))
            else:
                self._files.unlink(file.path)
        if gone:
            self._all = [file for file in self._all if file in needed]
            self._entries = [entry for entry in self._entries if entry.file in needed]
            self._pieces = self._loaded = None

    def size_bytes(self) -> int:
        """What the files take on disk."""
        return sum(file.size for file in self._all)

    def _load(self, entry: _Entry) -> Range:
        if self._loaded is None or self._loaded[0] is not entry:
            try:
                records = frame.decode(self._files.read(entry.file.path, entry.offset, entry.size))
            except (OSError, FormatError) as error:
                _log.error("steplog: %s can no longer be read (%s); what was in it is lost.", entry.file.path, error)
                empty = bytes((entry.end - entry.first) * slot.SLOT_BYTES)
                records = Range(self._writer, entry.first, entry.end, {}, empty, b"")
            self._loaded = entry, records
        return self._loaded[1]

    def _names(self) -> list[str]:
        try:
            return [name for name in self._files.names(self.directory) if name.endswith(SPOOL_SUFFIX)]
        except OSError:
            return []

    def _scan(self, path: Path) -> None:
        file = _File(path)
        try:
            data = self._files.read(path)
        except OSError as error:
            _log.error("steplog cannot read %s: %s. It is left where it is.", path, error)
            return
        place = 0
        while place < len(data):
            for start, end in frame.scan(data, place):
                place = end
                if not self._index(file, data, start, end):
                    file.damaged = True
            following = frame.find(data, place + 1)
            if following is None:
                file.damaged = file.damaged or not frame.is_torn(data, place)
                break
            file.damaged, place = True, following
        file.size = len(data)
        if file.damaged:
            _log.error("steplog: %s is damaged. What can be read of it is delivered, and the file is kept.", path)
        self._all.append(file)
        self._entries.sort(key=lambda entry: entry.first)

    def _index(self, file: _File, data: bytes, start: int, end: int) -> bool:
        try:
            records = frame.decode(data[start:end])
        except FormatError:
            return False
        if records.writer != self._writer:
            return False
        self._entries.append(_Entry(file, start, end - start, records.first, records.end, records.records))
        return True
