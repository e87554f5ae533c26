"""SQLite databases of other programs: read as they are, never changed.

A database in WAL mode without a ``-wal`` file has nobody who writes it: it is read as immutable, or SQLite would leave
files beside it. Any other is read under SQLite's locks, also while its program writes it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from steplog.errors import FormatError
from steplog.formats.imported import BATCH_RECORDS

__all__ = ["SqliteFile", "is_sqlite"]

_MAGIC = b"SQLite format 3\x00"
_WRITE_VERSION_AT, _WAL = 18, 2
_BUSY_S = 30.0


def is_sqlite(path: Path) -> bool:
    """Whether a file begins as a database; no for what cannot be read."""
    return _head(path).startswith(_MAGIC)


class SqliteFile:
    """A database; each query opens it for itself, and sees it as it is then. Raises FormatError, naming the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.failures(), contextlib.closing(self._opened()) as connection:
            return connection.execute(query, parameters).fetchall()

    def in_order(self, table: str, columns: str, key: str, value: object) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of a table in the order in which they were inserted, ``BATCH_RECORDS`` at a time.

        Between two batches nothing is open, so that whoever writes the database waits for one batch at most.
        """
        with self.failures(), contextlib.closing(self._opened()) as connection:
            found = connection.execute(f"SELECT rowid FROM {table} WHERE {key} = ? ORDER BY rowid", (value,))
            numbers = array("q", (number for (number,) in found))
        query = f"SELECT {columns} FROM {table} WHERE rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid"
        for first in range(0, len(numbers), BATCH_RECORDS):
            yield self.rows(query, (json.dumps(numbers[first : first + BATCH_RECORDS].tolist()),))

    def columns(self, table: str) -> frozenset[str]:
        """The names of a table's columns; none if it is not there."""
        return frozenset(str(name) for (name,) in self.rows("SELECT name FROM pragma_table_info(?)", (table,)))

    def _opened(self) -> sqlite3.Connection:
        wal = self.path.with_name(f"{self.path.name}-wal")
        alone = _head(self.path)[_WRITE_VERSION_AT : _WRITE_VERSION_AT + 1] == bytes([_WAL]) and not wal.exists()
        address = f"file:{quote(str(self.path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
        connection = sqlite3.connect(address, timeout=_BUSY_S, uri=True, isolation_level=None)
        connection.text_factory = _text
        return connection

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Name the file in what is raised, as a FormatError: also of a value that is not as it should be."""
        try:
            yield
        except FormatError:
            raise
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            raise FormatError(f"{self.path}: {error}") from error


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_WRITE_VERSION_AT + 2)
    except OSError:
        return b""


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
