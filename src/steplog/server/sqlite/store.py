"""The store: one SQLite file, one thread that writes (``group_commit``), any number that read.

Reads block. Writes return a future, done once durable, which may raise a ``RefusedError``.

WAL, so that readers and the writer do not block each other; ``synchronous=FULL``, so that commits survive a power cut.

While the database is not the file at its path, reads and writes raise a ``StoreBusyError`` (``database_file``).
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from steplog.server.records.batch import Batch, MetricBatch
from steplog.server.records.curve import Bucket
from steplog.server.records.run_fields import Changes
from steplog.server.sqlite import queries, trash, unpacked
from steplog.server.sqlite.checkpoints import Checkpoints, configure_writer
from steplog.server.sqlite.database_file import DatabaseFile
from steplog.server.sqlite.group_commit import Committer
from steplog.server.sqlite.ingest import Ingester
from steplog.server.sqlite.schema import connect, prepare, store_error
from steplog.server.store_types import (
    BatchResult,
    MetricPoint,
    ProjectRow,
    RunRow,
    SeriesSummary,
    StoreError,
    StoreReplacedError,
)

__all__ = ["SqliteStore", "Statements"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
Statements = Callable[Concatenate[sqlite3.Connection, _P], _T]


class SqliteStore:
    """Runs and their metrics in one SQLite file.

    Attributes:
        instance: the id of the database.
    """

    def __init__(self, database: Path) -> None:
        """Open or create the database.

        Raises ConfigurationError if it is in use or not a steplog database.
        """
        self._lock = prepare(database)
        self._database = database
        self._idle: deque[sqlite3.Connection] = deque()
        self._ingester = Ingester()
        self._write_connection = connect(database)
        configure_writer(self._write_connection)
        about = dict(self._write_connection.execute("SELECT name, value FROM about"))  # opens the log
        self._file = DatabaseFile(database)
        self._committer = Committer(self._write_connection, self._ingester.forget, self._file.check)
        self._checkpoints = Checkpoints(database, self._file)
        self._checkpoints.start()
        self.instance: str = about["instance"]

    def close(self) -> None:
        """Finish pending writes and close the database; leave what has taken its place as it is."""
        self._committer.close()
        self._checkpoints.stop()
        connections = [self._write_connection, self._checkpoints.connection, *self._idle]
        if self._may_close():
            for connection in connections:
                connection.close()
            self._file.close()
        else:
            _abandon(connections)
        self._lock.release()

    def check(self) -> None:
        """Raise StoreError if the database is not the file at its path."""
        self._file.check_path()

    def _may_close(self) -> bool:
        """Prepare the files for the end; whether SQLite may close them: it may apply the log, and remove any log there.

        Of a database that was moved it does neither.
        """
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

    def read(self, query: Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a query of ``catalog`` or ``queries`` on a snapshot."""
        with self._snapshot() as connection:
            return query(connection, *args, **kwargs)

    def write(self, job: Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a write of ``catalog`` in the next commit."""
        return self._committer.submit(lambda connection: job(connection, *args, **kwargs))

    def metrics(self, run: RunRow, first: int, end: int) -> list[MetricPoint]:
        """The points ``[first, end)`` of a run, in order of arrival."""
        self._pack(run, end)
        return self.read(queries.metrics, run.id, first, end)

    def series(self, run: RunRow) -> list[SeriesSummary]:
        """The metrics of a run, in order of first arrival."""
        self._pack(run)
        return self.read(queries.series, run.id)

    def curve(self, run: RunRow, name: str, points: int, low: int | None, high: int | None) -> list[Bucket] | None:
        """A metric's points with a step in [low, high], in at most ``points`` buckets; None if missing."""
        self._pack(run)
        return self.read(queries.curve, run.id, name, points, low, high)

    def delete_project(self, project: ProjectRow) -> Future[None]:
        """Delete a project; its runs and their metrics are reaped (``trash``)."""

        def delete(connection: sqlite3.Connection) -> None:
            self._ingester.forget()
            trash.condemn_project(connection, project.id)

        return self.write(delete)

    def discard_run(self, project: ProjectRow, uuid: str, now: bool = False) -> Future[None]:
        """Move a run to the trash, or delete it for good, also from the trash."""

        def discard(connection: sqlite3.Connection) -> None:
            self._ingester.forget(trash.discard(connection, project.id, uuid, now))

        return self.write(discard)

    def add_batch(self, run: RunRow, batch: Batch, generation: int = 1) -> Future[BatchResult]:
        """Store a batch from the mark on and advance the mark; GapError if it begins beyond.

        ``generation`` is the one its writer belongs to; the first that is given for a writer stays.
        """
        return self.write(self._ingester.add_batch, run.id, batch, generation)

    def add_metric(self, run: RunRow, metric: MetricBatch | None, changes: Changes | None = None) -> Future[int | None]:
        """Store points without a mark, and change the run in its present generation; returns the last point's step."""
        return self.write(self._ingester.add_metric, run.id, metric, changes)

    def _pack(self, run: RunRow, below: int | None = None) -> None:
        if self.read(unpacked.any_left, run.id, below):
            self.write(self._ingester.pack, run.id).result()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection whose reads all see the same state."""
        self._file.check_path()
        try:
            connection = self._idle.pop()
        except IndexError:
            try:
                connection = connect(self._database)
            except sqlite3.Error as error:
                raise store_error(error) from error
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()  # its state is unknown
            if isinstance(error, sqlite3.Error):
                raise store_error(error) from error
            raise
        self._idle.append(connection)


def _abandon(connections: Sequence[sqlite3.Connection]) -> None:
    """Never close them: SQLite would apply their log to another database, or remove another's log."""
    for connection in connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
