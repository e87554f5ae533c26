"""The store in SQLite: one thread writes (``commit``), any number read, each on a connection of its own.

WAL, so that readers and the writer do not wait for each other; ``synchronous=FULL``, so that a commit that was
answered survives a power cut. The rows are specified in ``schema``, the points in ``chunk``.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

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

_T = TypeVar("_T")


class SqliteStore:
    """A ``Store`` in one SQLite file."""

    def __init__(self, database: Path) -> None:
        """Open the database, or make it.

        Raises ConfigurationError where the file is not a steplog database, or another server uses it.
        """
        self._lock = prepare(database)
        self._database = database
        self._idle: deque[sqlite3.Connection] = deque()
        self._ingester = Ingester()
        self._writing = connect(database)
        self._committer = Committer(self._writing, self._ingester.forget)
        with self._reading() as connection:
            about = dict(connection.execute("SELECT name, value FROM about"))
        self.instance: str = about["instance"]
        self.page_token: str = about["page_token"]

    def close(self) -> None:
        """Finish what was asked and close the database."""
        self._committer.close()
        while self._idle:
            self._idle.pop().close()
        self._writing.close()
        self._lock.release()

    def users(self) -> list[UserRow]:
        """Every user."""
        return self._read(catalog.users)

    def namespace(self, slug: str) -> NamespaceRow | None:
        """The namespace of that slug."""
        return self._read(lambda connection: catalog.namespace(connection, slug))

    def namespaces(self) -> list[NamespaceRow]:
        """Every namespace, oldest first."""
        return self._read(catalog.namespaces)

    def projects(self, namespace: NamespaceRow) -> list[ProjectRow]:
        """The projects of a namespace, oldest first."""
        return self._read(lambda connection: catalog.projects(connection, namespace.id))

    def project(self, namespace: str, slug: str) -> ProjectRow | None:
        """One project, by the slugs of its namespace and its own."""
        return self._read(lambda connection: catalog.project(connection, namespace, slug))

    def runs(self, project: ProjectRow, after: int, limit: int | None) -> list[RunRow]:
        """Runs of a project, oldest first, without the first ``after``."""
        return self._read(lambda connection: catalog.runs(connection, project.id, after, limit))

    def runs_of_slug(self, project: ProjectRow, slug: str) -> list[RunRow]:
        """Runs of a project whose name makes that slug, oldest first."""
        return self._read(lambda connection: catalog.runs_of_slug(connection, project.id, slug))

    def run(self, namespace: str, project: str, uuid: str) -> RunRow | None:
        """One run."""
        return self._read(lambda connection: catalog.run(connection, namespace, project, uuid))

    def count(self, run: RunRow) -> int:
        """How many points a run has."""
        return self._read(lambda connection: queries.count(connection, run.id))

    def metrics(self, run: RunRow, first: int, end: int) -> list[MetricPoint]:
        """The points ``[first, end)`` of a run in the order of arrival."""
        self._packed(run, end)
        return self._read(lambda connection: queries.metrics(connection, run.id, first, end))

    def series(self, run: RunRow) -> list[SeriesSummary]:
        """Each metric of a run, in the order in which the names first came."""
        self._packed(run)
        return self._read(lambda connection: queries.series(connection, run.id))

    def curve(self, run: RunRow, name: str, points: int, low: int | None, high: int | None) -> list[Bucket] | None:
        """One metric in at most ``points`` buckets."""
        self._packed(run)
        return self._read(lambda connection: queries.curve(connection, run.id, name, points, low, high))

    def put_user(self, username: str, slug: str, email: str, key_hash: bytes) -> Future[UserRow]:
        """The user of that name with that email and key, made where missing."""
        return self._write(lambda connection: catalog.put_user(connection, username, slug, email, key_hash))

    def put_namespace(self, slug: str) -> Future[NamespaceRow]:
        """The namespace of that slug, made where missing."""
        return self._write(lambda connection: catalog.put_namespace(connection, slug))

    def add_project(self, namespace: NamespaceRow, slug: str, display_name: str, visibility: str) -> Future[ProjectRow]:
        """Make a project."""
        return self._write(
            lambda connection: catalog.add_project(connection, namespace, slug, display_name, visibility)
        )

    def delete_project(self, project: ProjectRow) -> Future[None]:
        """Remove a project, its runs and their metrics."""

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
        """Make a run, or find the one that the same key made."""
        return self._write(
            lambda connection: catalog.add_run(
                connection, project.id, user.id, name, description, status, idempotency_key
            )
        )

    def set_status(self, run: RunRow, status: str | None) -> Future[RunRow]:
        """Set a run's status, if one is given, and its date of change."""
        return self._write(lambda connection: catalog.set_status(connection, run.id, status))

    def add_batch(self, run: RunRow, batch: Batch) -> Future[BatchResult]:
        """Store what of a batch is not below its writer's mark, and move the mark."""
        return self._write(lambda connection: self._ingester.add_batch(connection, run.id, batch))

    def add_metric(self, run: RunRow, part: MetricBatch) -> Future[int]:
        """Store points that no mark guards; the step of the last of them."""
        return self._write(lambda connection: self._ingester.add_part(connection, run.id, part))

    def _packed(self, run: RunRow, below: int | None = None) -> None:
        """Have the points of a run where they are read, or the first so many of them."""
        if self._read(lambda connection: unpacked.any_left(connection, run.id, below)):
            self._write(lambda connection: self._ingester.pack(connection, run.id)).result()

    def _write(self, job: Callable[[sqlite3.Connection], _T]) -> Future[_T]:
        return self._committer.submit(job)

    def _read(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._reading() as connection:
            return question(connection)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question, whose reads all see the same state."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._database)
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()  # whatever state it is in
            if isinstance(error, sqlite3.Error):
                raise store_error(error) from error
            raise
        self._idle.append(connection)
