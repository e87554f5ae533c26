"""The store: one SQLite file, one thread that writes (``group_commit``), any number that read.

Reads block and may be called from any thread. Writes return a future, done once the commit is durable; it raises a
``RefusedError`` (see ``store_types``).

WAL, so that readers and the writer do not block each other; ``synchronous=FULL``, so that commits survive a power cut.
``schema`` specifies the rows, ``chunk`` the points.
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
from steplog.server.store_types import (
    BatchResult,
    MetricPoint,
    NamespaceRow,
    ProjectRow,
    RunRow,
    SeriesSummary,
    UserRow,
)

__all__ = ["SqliteStore"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqliteStore:
    """Runs and their metrics in one SQLite file.

    Attributes:
        instance: the id of the database.
        page_token: the token the page reads with.
    """

    def __init__(self, database: Path) -> None:
        """Open or create the database.

        Raises ConfigurationError for a file that is not a steplog database or is in use by another server.
        """
        self._lock = prepare(database)
        self._database = database
        self._idle: deque[sqlite3.Connection] = deque()
        self._ingester = Ingester()
        self._write_connection = connect(database)
        self._committer = Committer(self._write_connection, self._ingester.forget)
        with self._snapshot() as connection:
            about = dict(connection.execute("SELECT name, value FROM about"))
        self.instance: str = about["instance"]
        self.page_token: str = about["page_token"]

    def close(self) -> None:
        """Finish pending writes and close the database."""
        self._committer.close()
        while self._idle:
            self._idle.pop().close()
        self._write_connection.close()
        self._lock.release()

    def users(self) -> list[UserRow]:
        """Every user."""
        return self._read(catalog.users)

    def namespace(self, slug: str) -> NamespaceRow | None:
        """The namespace with this slug."""
        return self._read(catalog.namespace, slug)

    def namespaces(self) -> list[NamespaceRow]:
        """Every namespace, oldest first."""
        return self._read(catalog.namespaces)

    def projects(self, namespace: NamespaceRow) -> list[ProjectRow]:
        """The projects of a namespace, oldest first."""
        return self._read(catalog.projects, namespace.id)

    def project(self, namespace: str, slug: str) -> ProjectRow | None:
        """The project with these slugs."""
        return self._read(catalog.project, namespace, slug)

    def runs(self, project: ProjectRow, offset: int, limit: int | None) -> list[RunRow]:
        """Runs of a project, oldest first."""
        return self._read(catalog.runs, project.id, offset, limit)

    def runs_of_slug(self, project: ProjectRow, slug: str) -> list[RunRow]:
        """The runs whose name has this slug, oldest first."""
        return self._read(catalog.runs_of_slug, project.id, slug)

    def run(self, namespace: str, project: str, uuid: str) -> RunRow | None:
        """The run with this uuid."""
        return self._read(catalog.run, namespace, project, uuid)

    def count(self, run: RunRow) -> int:
        """The number of points of a run."""
        return self._read(queries.count, run.id)

    def metrics(self, run: RunRow, first: int, end: int) -> list[MetricPoint]:
        """The points ``[first, end)`` of a run, in order of arrival."""
        self._pack(run, end)
        return self._read(queries.metrics, run.id, first, end)

    def series(self, run: RunRow) -> list[SeriesSummary]:
        """The metrics of a run, in order of first arrival."""
        self._pack(run)
        return self._read(queries.series, run.id)

    def curve(self, run: RunRow, name: str, points: int, low: int | None, high: int | None) -> list[Bucket] | None:
        """A metric's points with a step in [low, high], as at most ``points`` buckets; None without such a metric."""
        self._pack(run)
        return self._read(queries.curve, run.id, name, points, low, high)

    def put_user(self, username: str, slug: str, email: str, key_hash: bytes) -> Future[UserRow]:
        """Create the user, or set its email and key."""
        return self._write(catalog.put_user, username, slug, email, key_hash)

    def put_namespace(self, slug: str) -> Future[NamespaceRow]:
        """The namespace with this slug, created if missing."""
        return self._write(catalog.put_namespace, slug)

    def add_project(self, namespace: NamespaceRow, slug: str, display_name: str, visibility: str) -> Future[ProjectRow]:
        """Create a project; TakenError if the slug is in use."""
        return self._write(catalog.add_project, namespace, slug, display_name, visibility)

    def delete_project(self, project: ProjectRow) -> Future[None]:
        """Delete a project, its runs and their metrics."""

        def delete(connection: sqlite3.Connection) -> None:
            self._ingester.forget()
            catalog.delete_project(connection, project.id)

        return self._write(delete)

    def add_run(
        self,
        project: ProjectRow,
        user: UserRow,
        name: str | None,
        description: str | None,
        status: str,
        idempotency_key: str | None,
    ) -> Future[RunRow]:
        """Create a run, or return the one created with this key.

        A name in use gets a suffix ``_1``, ``_2``, …; None gets a random name.
        """
        return self._write(catalog.add_run, project.id, user.id, name, description, status, idempotency_key)

    def set_status(self, run: RunRow, status: str | None) -> Future[RunRow]:
        """Set the status, unless None, and the date of change."""
        return self._write(catalog.set_status, run.id, status)

    def add_batch(self, run: RunRow, batch: Batch) -> Future[BatchResult]:
        """Store a batch from its writer's mark on, and advance the mark to its end; GapError if it begins beyond."""
        return self._write(self._ingester.add_batch, run.id, batch)

    def add_metric(self, run: RunRow, metric: MetricBatch) -> Future[int]:
        """Store points without a mark; returns the last one's step."""
        return self._write(self._ingester.add_metric, run.id, metric)

    def _pack(self, run: RunRow, below: int | None = None) -> None:
        """Pack the run's unpacked ranges, if any begins below arrival ``below``."""
        if self._read(unpacked.any_left, run.id, below):
            self._write(self._ingester.pack, run.id).result()

    def _write(
        self, job: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        return self._committer.submit(lambda connection: job(connection, *args, **kwargs))

    def _read(
        self, query: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        with self._snapshot() as connection:
            return query(connection, *args, **kwargs)

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
