"""The store in a PostgreSQL database, which several servers share: what ``sql.store`` leaves to an engine."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime

from steplog.records.run_fields import Changes
from steplog.server.postgresql import ingest, packer, removal
from steplog.server.postgresql.database import Database
from steplog.server.postgresql.versions import SharedVersions
from steplog.server.records.batch import Batch, NumberedPoint, SinglePoint
from steplog.server.sql import log, trash
from steplog.server.sql.connection import Connection
from steplog.server.sql.store import SqlStore
from steplog.server.store_types import BatchResult, ProjectRow, RunId, RunRow

__all__ = ["PostgresqlStore"]

_HURRY_S = 5.0  # as long as requests in flight have, once the server stops (``listening``)


class PostgresqlStore(SqlStore):
    """Users, projects, runs and their points in a PostgreSQL database.

    Attributes:
        instance: the id of the database.
        database: its connections.
        versions: what it tells other servers of.
    """

    def __init__(self, url: str) -> None:
        """Open a database, and make its tables where missing. Raises ConfigurationError."""
        self.database = Database(url)
        self.instance = self.database.instance
        self._steps = log.NextSteps()
        self.versions = SharedVersions(self.database.conninfo, self.database.watch)
        super().__init__(self.database, self.versions)

    def check(self) -> None:
        pass

    def close(self) -> None:
        super().close()
        self.versions.close()
        self.database.watch.close()

    def hurry(self) -> None:
        self.database.watch.hurry(_HURRY_S)

    @property
    def _next_steps(self) -> log.NextSteps:
        return self._steps

    def _forget_run(self, run_id: int) -> None:
        self._next_steps.forget(run_id)

    def delete_project(self, project: ProjectRow) -> Future[None]:
        return self._change(project.id, trash.delete_project, project.id)

    def reap(self, now: datetime | None = None) -> Future[bool]:
        reaped: Future[bool] = Future()
        with self.database.borrow() as connection:
            reaped.set_result(removal.reap(connection, now))
        return reaped

    def give_back(self) -> Future[bool]:
        done: Future[bool] = Future()
        done.set_result(False)  # PostgreSQL's autovacuum does it
        return done

    def add_batch(self, run: RunRow | RunId, batch: Batch, generation: int = 1) -> Future[BatchResult]:
        if batch.changes is None:
            added = self.database.appender.submit(run.id, batch, generation)
        else:
            counted = self._versions.counted(run.project_id, ingest.add_batch)

            def add(connection: Connection) -> BatchResult:
                return counted(connection, run.id, batch, generation)

            added = self.database.write_run(run, add, changes_run=True)
            self._versions.changes_runs(run.project_id, added)
        return self._versions.changes_points(run.project_id, added)

    def add_metric(
        self,
        run: RunRow,
        point: SinglePoint | None,
        numbered: NumberedPoint | None = None,
        changes: Changes | None = None,
    ) -> Future[int | None]:
        def add(connection: Connection) -> int | None:
            try:
                return ingest.add_metric(connection, self._next_steps, run.id, point, numbered, changes)
            except BaseException:
                self._next_steps.forget(run.id)
                raise

        job = add if changes is None else self._versions.counted(run.project_id, add)
        added = self.database.write_run(run, job, changes_run=changes is not None)
        if changes is not None:
            self._versions.changes_runs(run.project_id, added)
        return self._versions.changes_points(run.project_id, added)

    def pack_backlog(self) -> None:
        with self.database.borrow() as connection:
            packer.pack_backlog(connection)
