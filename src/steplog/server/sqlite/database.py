"""The connections to one SQLite file: one that writes, in one thread (``group_commit``), any number that read.

WAL, so that readers and the writer do not block each other; ``synchronous=FULL``, so that commits survive a power cut.

1. One process has a database locked, and may cache what it has written; others open it *beside* that one, and may not.
2. While the database is not the file at its path, reads and writes of the process that has it locked raise a
   ``StoreBusyError`` (``database_file``).
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from steplog.server.sqlite.checkpoints import Checkpoints, configure_writer
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.database_file import DatabaseFile, change_header
from steplog.server.sqlite.group_commit import Committer
from steplog.server.sqlite.schema import connect, open_existing, prepare, store_error
from steplog.server.store_types import StoreError, StoreFullError, StoreReplacedError

__all__ = ["Database"]

_ROOM_BYTES_MIN = 16 << 20
_P = ParamSpec("_P")
_T = TypeVar("_T")
_Statements = Callable[Concatenate[SqliteConnection, _P], _T]


class Database:
    """A database that is open.

    Attributes:
        instance: its id.
    """

    def __init__(self, path: Path, forget: Callable[[], None], *, beside: bool = False) -> None:
        """Lock it, created if missing; or ``beside``, open one that exists, whether or not a server has it locked.

        ``forget`` is called after a rollback, to drop cached state. Raises ConfigurationError if it is in use, missing,
        or not a steplog database.
        """
        self._path = path
        self._idle: deque[SqliteConnection] = deque()
        self._closed = False
        self._forget = forget
        self._file: DatabaseFile | None = None
        self._checkpoints: Checkpoints | None = None
        with ExitStack() as opened:
            self._lock = None if beside else prepare(path)
            if self._lock is not None:
                opened.callback(self._lock.release)
            self._write_connection = open_existing(path) if beside else connect(path)
            opened.callback(self._write_connection.close)
            try:
                about = dict(self._write_connection.execute("SELECT name, value FROM about"))  # opens the log
            except sqlite3.Error as error:
                raise store_error(error) from None
            if not beside:
                self._file = DatabaseFile(path)
                configure_writer(self._write_connection)
                self._checkpoints = Checkpoints(path, self._file)
            opened.pop_all()
        self._committer = Committer(self._write_connection, self._rolled_back, self._check)
        self.instance: str = about["instance"]

    def close(self) -> None:
        """Finish pending writes and close it, once; leave what has taken its place as it is."""
        if self._closed:
            return
        self._closed = True
        self._committer.close()
        connections = [self._write_connection, *self._idle.copy()]
        if self._checkpoints is not None:
            self._checkpoints.stop()
            connections += self._checkpoints.connections
        if self._may_close():
            for connection in connections:
                connection.close()
            if self._file is not None:
                self._file.close()
        else:
            _abandon(connections)
        if self._lock is not None:
            self._lock.release()

    def check_path(self) -> None:
        """Raise StoreError if the database is not the file at its path."""
        if self._file is not None:
            self._file.check_path()

    def check_room(self) -> None:
        """Raise StoreFullError where its file system has no room for some commits."""
        try:
            found = os.statvfs(self._path)
        except OSError:  # ``check_path`` says what is there
            return
        if found.f_bavail * found.f_frsize < _ROOM_BYTES_MIN:
            raise StoreFullError(f"less than {_ROOM_BYTES_MIN >> 20} MiB are free on the file system of {self._path}")

    def figures(self) -> Mapping[str, float]:
        """Of its commits."""
        return self._committer.figures()

    def read(self, query: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a query on a snapshot."""
        with self.snapshot() as connection:
            return query(connection, *args, **kwargs)

    def write(self, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a write in the next commit; the future is done once it is durable."""
        return self._committer.submit(lambda connection: job(connection, *args, **kwargs))

    def write_project(
        self, project_id: int, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        """The same: writes are one after the other anyway."""
        return self.write(job, *args, **kwargs)

    def write_lazily(self, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """The same, but the future is done once it is committed: a power cut may undo it."""
        return self._committer.submit(lambda connection: job(connection, *args, **kwargs), durable=False)

    def look(self, connection: SqliteConnection) -> None:
        """For who writes on a connection of ``borrow``: before, in and after its transaction. Raises StoreError."""
        if self._file is not None:
            self._file.check()
            if connection.in_transaction:
                change_header(connection)

    @contextmanager
    def snapshot(self) -> Iterator[SqliteConnection]:
        """A connection whose reads all see the same state."""
        with self.borrow() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def borrow(self) -> Iterator[SqliteConnection]:
        """A connection in autocommit mode."""
        self.check_path()
        try:
            connection = self._idle.pop()
        except IndexError:
            try:
                connection = connect(self._path)
            except sqlite3.Error as error:
                raise store_error(error) from error
        try:
            yield connection
        except BaseException as error:
            connection.close()  # its state is unknown
            if isinstance(error, sqlite3.Error):
                raise store_error(error) from error
            raise
        self._idle.append(connection)

    def _check(self) -> None:
        if self._file is not None:
            self._file.check()
            if self._write_connection.in_transaction:
                self._file.mark(self._write_connection)

    def _rolled_back(self) -> None:
        if self._file is not None:
            self._file.unmark()
        self._forget()

    def _may_close(self) -> bool:
        """Prepare the files for the end; whether SQLite may close them: it may apply the log, and remove any log there.

        Of a database that was moved it does neither.
        """
        if self._file is None:
            return True
        try:
            self._file.check()
            return True
        except StoreReplacedError as error:
            if error.overwritten:
                return False
        except StoreError:
            pass
        with suppress(sqlite3.Error):
            self._write_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._file.remove_log()
        return not self._file.is_log_foreign


def _abandon(connections: Sequence[SqliteConnection]) -> None:
    """Never close them: SQLite would apply their log to another database, or remove another's log."""
    for connection in connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
