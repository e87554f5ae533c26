"""Whether a server's database is still the file at its path, and unchanged by others.

SQLite writes to the files it has open, wherever they are now; what it commits there may be in no file that the next
server finds. Therefore:

1. Nothing is answered unless the path and ``<path>-wal`` lead to the open files (``check_path``).
2. Nothing is written to a database that another program has overwritten, nor is it checkpointed (``check``): SQLite
   would mix its own pages with the other's.
3. What is at the path when a server ends is left as it is, and without a log of another database beside it.
4. A log that a kill has left is applied only to the database that it belongs to (``check_left_log``). ``<path>-base``
   has that one's header, as of the last checkpoint, and is removed when a server ends::

       0    size of the database
       8    its header
       108  CRC-32 of the above

5. The header is another after each checkpoint, since the first commit after one changes it (``mark``); SQLite itself
   does only when the database has grown.

In WAL mode a database changes by checkpoints alone. Each is recorded in the wal-index before it begins, so a changed
database beside an unchanged wal-index was overwritten. https://www.sqlite.org/walformat.html#the_wal_index_file_format
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from steplog.errors import ConfigurationError
from steplog.file_system import sync_data
from steplog.server.store_types import StoreGoneError, StoreReplacedError

__all__ = ["DatabaseFile", "LogState", "change_header", "check_left_log"]

_HEADER_BYTES = 100  # of the database: its size, its free pages, a change counter
# The size of a page, the frames in the log, the database's pages, the log's salts; frames copied, frames to copy.
_INDEX = struct.Struct("=14xHII8x8s56xI28xI")
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_LOG_HEADER = struct.Struct(">8xI4x8s8x")  # page size, salts
_FRAME_HEADER = struct.Struct(">I4x8s8x")  # page, the log's salts
_BASE = struct.Struct("<Q100sI")
_SIZE = struct.Struct(">16xH10xI68x")  # a page's and how many there are


class _Contents(NamedTuple):
    size: int
    header: bytes
    checkpoint: tuple[bytes, int]  # the log's salts, and how many of its frames the last checkpoint was to copy
    copying: bool  # it has not copied all of them
    size_min: int  # what the pages take, if no frame is left to copy
    log_bytes: int  # what the frames in the log take


class LogState(NamedTuple):
    """How much a log has."""

    salts: bytes  # new each time that it begins anew
    frames: int
    to_copy_bytes: int  # what a checkpoint has not copied yet
    file_bytes: int  # also what is left of before it began anew


class DatabaseFile:
    """The database at a path and its log, as a connection has just opened them; for any thread.

    Who writes beside the server checks in its transaction, too: a log that was all applied before that began is
    overwritten by it.
    """

    def __init__(self, path: Path, *, beside: bool = False) -> None:
        """``beside`` the server's: nothing is renamed or removed.

        Raises ConfigurationError if the database has no log: its file system does not take one.
        """
        self._path = path
        self._beside = beside
        real = os.path.realpath(path)  # SQLite names its files after it
        self._log, self._index = Path(f"{real}-wal"), Path(f"{real}-shm")
        if not self._log.exists() or not self._index.exists():
            raise ConfigurationError(f"{path} cannot have a write-ahead log on its file system; use another --db")
        self._ids = _id(os.stat(path)), _id(os.stat(self._log))
        # Held until no connection is open: closing any descriptor of these files drops SQLite's locks.
        self._database_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._index_fd = os.open(self._index, os.O_RDONLY | os.O_CLOEXEC)
        self._base = _base_of(path)
        self._base_fd = os.open(self._base, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._replaced: StoreReplacedError | None = None
        self._lock = threading.Lock()  # of what ``check`` keeps
        self._seen = self._contents()
        self._marked: tuple[bytes, int] | None = None  # the checkpoint after which the header was changed
        self._write_base()

    def close(self) -> None:
        """Close its descriptors, after the last connection."""
        os.close(self._database_fd)
        os.close(self._index_fd)
        os.close(self._base_fd)
        self._base.unlink(missing_ok=True)

    def check_path(self) -> None:
        """Raise StoreGoneError while nothing is at the path, StoreReplacedError once something else is."""
        if self._replaced is not None:
            raise self._replaced
        try:
            found = _id(os.stat(self._path))
        except OSError as error:
            raise StoreGoneError(
                f"the database {self._path} is not there ({error.strerror}); everything is refused until it is back"
            ) from None
        if found != self._ids[0]:
            self._fail(f"the database {self._path} was replaced by another file")
        if self._log_bytes() is None:
            self._fail(f"the log of the database {self._path} was removed or replaced")

    def check(self) -> None:
        """The same, and StoreReplacedError once another program has overwritten or truncated database or log."""
        with self._lock:
            self._check()

    def _check(self) -> None:
        self.check_path()
        before = self._log_bytes()
        seen, self._seen = self._seen, self._contents()
        now = self._seen
        after = self._log_bytes()
        untouched = seen.checkpoint == now.checkpoint and not seen.copying
        if now.size < now.size_min or (untouched and now.size < seen.size):
            self._fail(f"the database {self._path} was truncated by another program", overwritten=True)
        if untouched and now.header != seen.header:
            self._fail(f"the database {self._path} was overwritten by another program", overwritten=True)
        # Another process may have committed before the index was read, or emptied the log since.
        if before is not None and after is not None and max(before, after) < now.log_bytes:
            self._fail(f"the log of the database {self._path} was truncated by another program", overwritten=True)
        self._write_base()

    def mark(self, connection: sqlite3.Connection) -> None:
        """In a transaction, change the header if nothing has since the last checkpoint; after ``check``."""
        with self._lock:
            checkpoint = self._seen.checkpoint
            if checkpoint != self._marked:
                change_header(connection)
                self._marked = checkpoint

    def unmark(self) -> None:
        """The transaction was rolled back."""
        self._marked = None

    def log_state(self) -> LogState:
        """What the log has now."""
        page, frames, _, salts, copied, _ = self._read_index()
        return LogState(salts, frames, max(0, frames - copied) * page, self._log_bytes() or 0)

    @property
    def is_log_foreign(self) -> bool:
        """Whether another log than the open one is at its path."""
        return self._log_bytes() is None and self._log.exists()

    def remove_log(self) -> None:
        """Remove the log of a database that has moved, if it was applied; else rename it."""
        if self._log_bytes() == 0:
            self._log.unlink()
            self._index.unlink(missing_ok=True)
        else:
            self._set_log_aside()

    def _write_base(self) -> None:
        """Durably, before the log that a checkpoint has applied is overwritten by the next commit.

        Another process may have written it since.
        """
        now = self._seen
        base = _packed_base(now.size, now.header)
        if not now.copying and base != os.pread(self._base_fd, len(base), 0):
            try:
                os.pwrite(self._base_fd, base, 0)
                sync_data(self._base_fd)
            except OSError:  # then a log that is left is applied unchecked
                if not self._beside:
                    self._base.unlink(missing_ok=True)

    def _fail(self, what: str, overwritten: bool = False) -> None:
        kept = self._set_log_aside() if overwritten and not self._beside else None
        log = f", its log kept as {kept}" if kept is not None else ""
        self._replaced = StoreReplacedError(f"{what}{log}; start the server again to serve what is there", overwritten)
        raise self._replaced

    def _set_log_aside(self) -> Path | None:
        """Rename the log of an overwritten database, so that nobody applies it to what is there now."""
        if self._log_bytes() is None:
            return None
        number = 1
        while (aside := self._log.with_name(f"{self._log.name}.{number}")).exists():
            number += 1
        self._log.rename(aside)
        self._index.unlink(missing_ok=True)
        return aside

    def _contents(self) -> _Contents:
        # Read again if a checkpoint has begun or ended meanwhile. It is recorded before it changes anything.
        found = self._read_index()
        while True:
            begun = found
            size = os.fstat(self._database_fd).st_size
            header = os.pread(self._database_fd, _HEADER_BYTES, 0)
            found = page, frames, pages, salts, copied, to_copy = self._read_index()
            if begun[3:] == found[3:]:
                break
        size_min = pages * page if copied >= frames else 0
        log_bytes = _LOG_HEADER_BYTES + frames * (_FRAME_HEADER_BYTES + page) if frames else 0
        return _Contents(size, header, (salts, to_copy), copied != to_copy, size_min, log_bytes)

    def _read_index(self) -> tuple[int, int, int, bytes, int, int]:
        page, *rest = _INDEX.unpack(os.pread(self._index_fd, _INDEX.size, 0))
        return (65536 if page == 1 else page, *rest)

    def _log_bytes(self) -> int | None:
        """The size of the open log; None if it is not at its path."""
        try:
            status = os.stat(self._log)
        except OSError:
            return None
        return status.st_size if _id(status) == self._ids[1] else None


def change_header(connection: sqlite3.Connection) -> None:
    """In a transaction, count a change of the database in its header."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


def _id(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def check_left_log(path: Path) -> None:
    """Raise ConfigurationError if a log was left beside a database that it does not belong to."""
    log = Path(f"{os.path.realpath(path)}-wal")
    try:
        base = _base_of(path).read_bytes()
        with open(path, "rb") as file:
            header, size = file.read(_HEADER_BYTES), os.fstat(file.fileno()).st_size
        if len(base) != _BASE.size or not log.stat().st_size:
            return
        base_size, base_header, _ = _BASE.unpack(base)
        if base != _packed_base(base_size, base_header) or (header == base_header and size >= base_size):
            return
        if size >= min(base_size, _size_in(header)) and header in _first_pages(log):
            return  # killed in a checkpoint, which may have made it larger or smaller
    except OSError:
        return
    raise ConfigurationError(
        f"{log} is the log of another database than {path}: was a copy restored? To serve the copy, move the log away"
    )


def _first_pages(log: Path) -> Iterator[bytes]:
    """The headers of a database in its log."""
    with open(log, "rb") as file:
        page, salts = _LOG_HEADER.unpack(file.read(_LOG_HEADER_BYTES).ljust(_LOG_HEADER_BYTES, b"\0"))
        while len(frame := file.read(_FRAME_HEADER_BYTES + _HEADER_BYTES)) == _FRAME_HEADER_BYTES + _HEADER_BYTES:
            number, frame_salts = _FRAME_HEADER.unpack_from(frame)
            if frame_salts != salts:
                return  # of before the log was begun anew
            if number == 1:
                yield frame[_FRAME_HEADER_BYTES:]
            file.seek(page - _HEADER_BYTES, os.SEEK_CUR)


def _size_in(header: bytes) -> int:
    """The size that a database with this header has."""
    page, pages = _SIZE.unpack(header)
    return int(65536 if page == 1 else page) * int(pages)


def _base_of(path: Path) -> Path:
    return Path(f"{os.path.realpath(path)}-base")


def _packed_base(size: int, header: bytes) -> bytes:
    start = _BASE.pack(size, header, 0)[:-4]
    return start + struct.pack("<I", zlib.crc32(start))
