"""The store: one SQLite file, one thread that writes (``group_commit``), any number that read.

Reads block. Writes return a future, done once durable, which may raise a ``RefusedError``.

WAL, so that readers and the writer do not block each other; ``synchronous=FULL``, so that commits survive a power cut.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from steplog.server import catalog, queries, unpacked
from steplog.server.batch import Batch, MetricBatch
from steplog.server.curve import Bucket
from steplog.server.group_commit import Committer
from steplog.server.ingest import Ingester
from steplog.server.schema import connect, prepare, store_error
from steplog.server.store_types import BatchResult, MetricPoint, ProjectRow, RunRow, SeriesSummary

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
        self._committer = Committer(self._write_connection, self._ingester.forget)
        with self._snapshot() as connection:
            self.instance: str = connection.execute("SELECT value FROM about WHERE name = 'instance'").fetchone()[0]

    def close(self) -> None:
        """Finish pending writes and close the database."""
        self._committer.close()
        while self._idle:
            self._idle.pop().close()
        self._write_connection.close()
        self._lock.release()

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
        """Delete a project, its runs and their metrics."""

        def delete(connection: sqlite3.Connection) -> None:
            self._ingester.forget()
            catalog.delete_project(connection, project.id)

        return self.write(delete)

    def add_batch(self, run: RunRow, batch: Batch) -> Future[BatchResult]:
        """Store a batch from the mark on and advance the mark; GapError if it begins beyond."""
        return self.write(self._ingester.add_batch, run.id, batch)

    def add_metric(self, run: RunRow, metric: MetricBatch) -> Future[int]:
        """Store points without a mark; returns the last one's step."""
        return self.write(self._ingester.add_metric, run.id, metric)

    def _pack(self, run: RunRow, below: int | None = None) -> None:
        if self.read(unpacked.any_left, run.id, below):
            self.write(self._ingester.pack, run.id).result()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection whose reads all see the same state."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._database)
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
