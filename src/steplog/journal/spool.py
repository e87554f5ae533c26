"""One writer's spool: frames on disk, for what the server has not confirmed in time.

::

    <spool>/<run>/<writer>/<first position>-<number>.spool    frames (see frame)
                           <the same>.damaged                 quarantined
                           marks                              copies of the cursor, while there are frames
                           losses                             the ledger of loss

1. A frame counts only once ``sync`` has returned.
2. A short write is cut back to the last whole frame; if that fails, the file takes no more.
3. After a failed sync the kernel may take dirty pages for clean, and a later sync succeed without them (Rebello et al.,
   ATC '20). So the file takes no more, and SyncError says what to write again, into a new one.
4. A damaged file is renamed once what can be read of it is delivered, and never deleted.
5. One thread writes, and replaces what is known as a whole. Others may use ``extents`` and ``size_bytes``.

Opening is recovering. A torn end is skipped; other damage is logged, and the file kept. A file is read three times
before it counts as damaged, a frame needed later in thirty more rounds. Lack of descriptors or memory is raised.

The index knows the empty positions, so that a frame is read only to be sent; one is cached.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path

import msgspec

from steplog.errors import ConfigurationError, FormatError
from steplog.journal import frame, losses, slot
from steplog.journal.cursor import Cursor, encode, newest
from steplog.journal.extents import FrameExtent
from steplog.journal.files import Files
from steplog.journal.losses import LOSSES_NAME, Losses
from steplog.journal.range import Range

__all__ = ["DAMAGED_SUFFIX", "FILE_BYTES_MAX", "SPOOL_SUFFIX", "CursorFile", "Entry", "Spool", "SpoolFile", "SyncError"]

FILE_BYTES_MAX = 8 * 1024 * 1024
DAMAGED_SUFFIX = ".damaged"
SPOOL_SUFFIX = ".spool"
_READS = 3
_ROUNDS = 30
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_COPIES = 64
_CURSOR_NAME = "marks"
_REAL = Files()
_log = logging.getLogger("steplog")


class SpoolFile(msgspec.Struct, eq=False):
    """What is known of a file."""

    path: Path
    size: int = 0
    damage: str | None = None  # why it is kept
    torn: bool = False
    full: bool = False  # takes no more frames
    replaced_at: int | None = None  # removable once everything below is durable in another


class Entry(msgspec.Struct, frozen=True):
    """Where a frame is, and what it covers."""

    file: SpoolFile
    offset: int
    size: int
    first: int
    end: int
    empty: int  # bit set of the positions that carry no record
    own: int  # and of those that carry one that is no value of the user's


class CursorFile:
    """The file ``marks``: copies of the cursor, appended; after ``_COPIES`` or a short write it is replaced."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._path = directory / _CURSOR_NAME
        self._files = files
        self._sequence = 0
        self._left = 0  # copies that the file may still take

    def store(self, cursor: Cursor, sync: bool) -> None:
        """Append a copy. Raises OSError."""
        left, self._left = self._left, 0
        data = encode(cursor, self._sequence + 1)
        if left > 0:
            self._write(self._files.open(self._path), data, sync)
        else:
            self._files.make_private(self._path.parent)
            scratch = self._path.with_suffix(".new")
            self._files.unlink(scratch)
            self._write(self._files.create(scratch), data, sync=True)
            self._files.rename(scratch, self._path)
        self._sequence += 1
        self._left = (left or _COPIES) - 1

    def load(self) -> Cursor | None:
        """The newest whole copy."""
        try:
            found = newest(self._files.read(self._path))
        except OSError:
            return None
        if found is None:
            return None
        self._sequence = max(self._sequence, found[0])
        return found[1]

    def _write(self, descriptor: int, data: bytes, sync: bool) -> None:
        try:
            if self._files.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "the marks were not written whole")
            if sync:
                self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)


class SyncError(OSError):
    """The disk failed; everything above ``redo_from`` is to be written again."""

    def __init__(self, error: OSError, redo_from: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.redo_from = redo_from


class Spool:
    """The spool of ``writer``; ``new``: none yet, so do not look. Raises OSError.

    With ``request_read`` set, that is called where a frame is to be read, and another thread reads it (``fetch``).
    """

    def __init__(
        self, directory: Path, writer: str, files: Files = _REAL, bytes_max: int = FILE_BYTES_MAX, *, new: bool = False
    ) -> None:
        # The file and its descriptor. Set first: __del__ runs even where the constructor raises.
        self._open: tuple[SpoolFile, int] | None = None
        self._idle: SpoolFile | None = None  # closed, and takes the next frame
        self.directory = directory
        self.request_read: Callable[[], None] | None = None
        self.pending_read: Entry | None = None
        self._writer = writer
        self._files = files
        self._most = min(FILE_BYTES_MAX, bytes_max)  # bytes of a file
        self.files: tuple[SpoolFile, ...] = ()
        self._entries: tuple[Entry, ...] = ()
        self._extents: tuple[tuple[Entry, ...], list[FrameExtent]] = ((), [])
        self._fresh: list[Entry] = []  # written, not synced
        self._loaded: tuple[Entry, Range] | None = None
        self._waited: dict[Entry, int] = {}  # rounds in which it could not be read
        self._cursor = CursorFile(directory, self._files)
        self.stored_losses: Losses | None = None
        self._said: set[str] = set()
        for name in () if new else sorted(self._names(SPOOL_SUFFIX)):
            self._scan(directory / name)

    def look_again(self, lock: AbstractContextManager[object]) -> None:
        """Another process has written this until now: know what it wrote. Raises OSError, having changed nothing."""
        found = Spool(self.directory, self._writer, self._files)
        with lock:
            self.files, self._entries = found.files, found._entries

    def extents(self) -> Sequence[FrameExtent]:
        """The durable frames, in order."""
        entries, extents = self._entries, self._extents
        if extents[0] is not entries:
            made = [
                FrameExtent(e.first, e.end, e.empty, e.own, partial(self._load, e), partial(self._ready, e))
                for e in entries
            ]
            self._extents = extents = entries, made
        return extents[1]

    def _set_entries(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(sorted(entries, key=lambda entry: entry.first))

    def fetch(self, lock: AbstractContextManager[object]) -> bool:
        """Read the requested frame; whether it is here now. ``lock`` is not held meanwhile."""
        if self.pending_read is None:  # looked at first: a request must not be overwritten
            return False
        with lock:  # under which a read is requested
            entry, self.pending_read = self.pending_read, None
        try:
            records = self._read_frame(entry)
        except OSError:
            self._waited[entry] = self._waited.get(entry, 0) + 1
            return False
        with lock:
            self._loaded = entry, records
        return True

    def _load(self, entry: Entry) -> Range:
        if (loaded := self._loaded) is not None and loaded[0] is entry:
            return loaded[1]
        if self.request_read is not None:
            self.pending_read = entry
            self.request_read()
            raise BlockingIOError(errno.EAGAIN, "not read yet", str(entry.file.path))
        self._loaded = entry, self._read_frame(entry)
        return self._loaded[1]

    def _read_frame(self, entry: Entry) -> Range:
        try:
            records = frame.decode(self._read(entry.file.path, entry.offset, entry.size))
        except (OSError, FormatError) as error:
            if isinstance(error, OSError) and (error.errno in _OUT_OF or self._waited.get(entry, 0) < _ROUNDS):
                raise
            _log.error("steplog: %s can no longer be read (%s); what was in it is lost.", entry.file.path, error)
            entry.file.damage = str(error)
            empty = bytes((entry.end - entry.first) * slot.SLOT_BYTES)
            records = Range(self._writer, entry.first, entry.end, {}, empty, b"")
        return records

    def _ready(self, entry: Entry) -> bool:
        try:
            self._load(entry)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._waited[entry] = self._waited.get(entry, 0) + 1
            return False
        return True

    def _read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        for _ in range(_READS - 1):
            try:
                return self._files.read(path, offset, size)
            except OSError as error:
                if isinstance(error, FileNotFoundError) or error.errno in _OUT_OF:
                    raise
        return self._files.read(path, offset, size)

    def _names(self, *suffixes: str) -> list[str]:
        with suppress(FileNotFoundError, NotADirectoryError):
            return [name for name in self._files.names(self.directory) if name.endswith(suffixes)]
        return []

    def _scan(self, path: Path) -> None:
        try:
            data = self._read(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in _OUT_OF:
                raise
            data, found = b"", frame.FileScan([], str(error), torn=False)
        else:
            found = frame.scan_file(data, self._writer)
        file = SpoolFile(path, len(data), found.damage, found.torn, full=True)
        if file.damage is not None:
            note = "steplog: %s is damaged (%s). What can be read is delivered; the file is kept."
            _log.error(note, path, file.damage)
        self.files = (*self.files, file)
        self._set_entries((*self._entries, *(Entry(file, *frame) for frame in found.frames)))

    def append(self, records: Range, body: bytes) -> None:
        """Write a range, deflated to ``body``. Raises OSError; earlier frames still count."""
        data = frame.encode(body)
        if self._open is not None and (self._open[0].full or self._open[0].size + len(data) > self._most):
            self.sync()
            self._close()
        file, descriptor = self._open or self._reopened(len(data)) or self._create(records.first)
        try:
            self._files.write_all(descriptor, data)
        except OSError:
            self._cut(file, descriptor)
            raise
        where = file.size, len(data), records.first, records.end
        self._fresh.append(Entry(file, *where, records.empty, records.uncounted))
        file.size += len(data)

    def _cut(self, file: SpoolFile, descriptor: int) -> None:
        """Cut back to the last whole frame; remove a file without one."""
        try:
            self._files.truncate(descriptor, file.size)
        except OSError:
            file.full = True
        if file.size == 0:
            self._close()
            self._remove([file])

    def sync(self) -> None:
        """Make what was appended durable. Raises SyncError."""
        if self._open is None or not self._fresh:
            return
        file, descriptor = self._open
        try:
            self._files.sync(descriptor)
        except OSError as error:
            of_it = [entry for entry in (*self._fresh, *self._entries) if entry.file is file]
            file.replaced_at = max(entry.end for entry in of_it)
            self._fresh = []
            self._close()
            raise SyncError(error, min(entry.first for entry in of_it)) from error
        self._set_entries((*self._entries, *self._fresh))
        self._fresh = []

    def close_idle(self) -> None:
        """Close the file between intervals: hundreds of runs may be spooling."""
        if self._open is not None and not self._fresh:
            file, _ = self._open
            self._close()
            self._idle = file

    def _reopened(self, more: int) -> tuple[SpoolFile, int] | None:
        file, self._idle = self._idle, None
        if file is None or file.full or file not in self.files or file.size + more > self._most:
            return None
        self._open = file, self._files.open(file.path)
        return self._open

    def _create(self, first: int) -> tuple[SpoolFile, int]:
        self._files.make_private(self.directory)
        number = len(self._names(SPOOL_SUFFIX))
        taken = set(self._names(SPOOL_SUFFIX, DAMAGED_SUFFIX))
        while {f"{first:020d}-{number}{suffix}" for suffix in (SPOOL_SUFFIX, DAMAGED_SUFFIX)} & taken:
            number += 1
        path = self.directory / f"{first:020d}-{number}{SPOOL_SUFFIX}"
        descriptor = self._files.create(path)
        try:
            run = self.directory.parent
            if self._files.exists(run / "manifest"):
                self._files.sync_file(run / "manifest")  # says whose records these are
            for directory in (self.directory, run, run.parent):
                self._files.sync_directory(directory)
        except OSError:
            self._quietly(self._files.close, descriptor)
            self._quietly(self._files.unlink, path)
            raise
        self._open = SpoolFile(path), descriptor
        self.files = (*self.files, self._open[0])
        return self._open

    def __del__(self) -> None:
        self._close()  # keep no descriptor of a run that is left to another process

    def _close(self) -> None:
        self._idle = None
        if self._open is not None:
            descriptor, self._open = self._open[1], None
            self._quietly(self._files.close, descriptor)

    def _quietly(self, call: Callable[..., object], *arguments: object) -> bool:
        """Call it; on error log once, and return False."""
        try:
            call(*arguments)
        except OSError as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                _log.warning("steplog: in %s: %s", self.directory, error)
            return False
        return True

    def store_cursor(self, cursor: Cursor, sync: bool = False) -> None:
        """Store the cursor, in case memory is lost. Raises OSError."""
        self._cursor.store(cursor, sync)

    def load_cursor(self) -> Cursor | None:
        """The cursor stored last."""
        return self._cursor.load()

    def store_losses(self, found: Losses) -> None:
        """Store a changed ledger of loss; on failure, at the next interval."""
        if found != self.stored_losses:
            with suppress(OSError, ConfigurationError):
                self._files.make_private(self.directory)
                self._files.replace(self.directory / LOSSES_NAME, losses.encode(found, 1))
                self.stored_losses = found

    def load_losses(self) -> bytes:
        """The ledger of loss, as stored."""
        with suppress(OSError):
            return self._files.read(self.directory / LOSSES_NAME, 0, losses.LOSSES_BYTES)
        return b""

    def verify_sizes(self) -> int | None:
        """Find files cut or removed; the position to write again from, if any."""
        gone: list[int] = []
        for file in self.files:
            try:
                size = self._files.size(file.path)
            except FileNotFoundError:
                size = -1
            except OSError:
                continue
            if size != file.size:
                file.full = True  # changed by others: appends would not be where expected
            if size < file.size:
                _log.error("steplog: %s was removed or cut. What memory still has of it is written again.", file.path)
                gone += self._drop_beyond(file, size)
        return min(gone, default=None)

    def _drop_beyond(self, file: SpoolFile, beyond: int) -> list[int]:
        if self._open is not None and self._open[0] is file:
            self._close()
        gone = {entry for entry in (*self._entries, *self._fresh) if entry.file is file} - {
            entry for entry in self._entries if entry.offset + entry.size <= beyond
        }
        self._fresh = [entry for entry in self._fresh if entry not in gone]
        self._set_entries(entry for entry in self._entries if entry not in gone)
        file.size = beyond
        if beyond < 0:
            self.files = tuple(other for other in self.files if other is not file)
        return [entry.first for entry in gone]

    def mark_torn_damaged(self) -> None:
        """More was durable than is found: keep torn files."""
        for file in self.files:
            if file.torn and file.damage is None:
                file.damage = "its end is cut off or damaged"
                _log.error("steplog: %s: %s. The file is kept.", file.path, file.damage)

    def removable(self, delivered: int, durable: int = 0) -> list[SpoolFile]:
        """Files in which all is delivered, or durable in another."""
        needed = {entry.file for entry in (*self._entries, *self._fresh) if entry.end > delivered}
        return [f for f in self.files if f not in needed or (f.replaced_at or durable + 1) <= durable]

    def first_end(self, begin: int) -> int | None:
        """End of the file with the first frame beyond ``begin``."""
        file = next((entry.file for entry in self._entries if entry.end > begin), None)
        return max((entry.end for entry in self._entries if entry.file is file), default=None) if file else None

    def tidy(self, delivered: int, durable: int = 0) -> None:
        """Remove the ``removable`` files."""
        self._remove(self.removable(delivered, durable))

    def _remove(self, files: Iterable[SpoolFile]) -> None:
        gone = set()
        for file in files:
            if self._open is not None and self._open[0] is file:
                self._close()
            aside = file.path.with_suffix(DAMAGED_SUFFIX)
            if file.damage is None:
                removed = self._quietly(self._files.unlink, file.path)
            else:
                removed = not self._files.exists(file.path) or self._quietly(self._files.rename, file.path, aside)
            if removed:
                gone.add(file)
        if gone:
            self.files = tuple(file for file in self.files if file not in gone)
            self._set_entries(entry for entry in self._entries if entry.file not in gone)
            if self._loaded is not None and self._loaded[0].file in gone:
                self._loaded = None

    def quarantine(self, name: str, data: bytes) -> None:
        """Keep damaged bytes from elsewhere. Raises OSError."""
        self._files.make_private(self.directory)
        path = self.directory / f"{name}{DAMAGED_SUFFIX}"
        self._files.unlink(path)
        descriptor = self._files.create(path)
        try:
            self._files.write_all(descriptor, data)
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)

    def has_quarantined(self) -> bool:
        """Whether damaged data is kept, or may be."""
        try:
            return any(file.damage is not None for file in self.files) or bool(self._names(DAMAGED_SUFFIX))
        except OSError:
            return True

    def size_bytes(self) -> int:
        """Bytes the files take."""
        return sum(file.size for file in self.files)
