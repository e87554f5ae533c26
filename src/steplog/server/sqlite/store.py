"""The store in one SQLite file: what ``sql.store`` leaves to an engine."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime
from functools import partial
from pathlib import Path

from steplog.records.run_fields import Changes
from steplog.server.records.batch import Batch, NumberedPoint, SinglePoint
from steplog.server.sql import log, removal, trash
from steplog.server.sql.store import SqlStore
from steplog.server.sql.versions import LocalVersions
from steplog.server.sqlite import free_pages, packer
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.database import Database
from steplog.server.sqlite.ingest import Ingester
from steplog.server.store_types import BatchResult, ProjectRow, RunId, RunRow

__all__ = ["SqliteStore"]


class SqliteStore(SqlStore):
    """Users, projects, runs and their points in one SQLite file.

    Attributes:
        instance: the id of the database.
        database: its connections.
    """

    def __init__(self, path: Path, *, beside: bool = False) -> None:
        """Open or create a database, or open one beside its server; see ``Database``. Raises ConfigurationError."""
        self._served = None if beside else Ingester()
        self.database = Database(path, self._rolled_back, beside=beside)
        self.instance = self.database.instance
        super().__init__(self.database, LocalVersions())

    def check(self) -> None:
        self.database.check_path()

    def probe(self) -> None:
        self.database.check_room()
        super().probe()

    @property
    def _ingester(self) -> Ingester:
        """What the server knows of runs; beside it nobody may make that untrue."""
        if self._served is None:
            raise RuntimeError("beside its server, a store takes no points and deletes nothing")
        return self._served

    def _rolled_back(self) -> None:
        if self._served is not None:
            self._served.forget()

    @property
    def _next_steps(self) -> log.NextSteps:
        return self._ingester.next_steps

    def _forget_run(self, run_id: int) -> None:
        self._ingester.forget(run_id)

    def delete_project(self, project: ProjectRow) -> Future[None]:
        def delete(connection: SqliteConnection) -> None:
            self._ingester.forget()
            trash.delete_project(connection, project.id)

        return self._versions.changes_runs(project.id, self.database.write(delete))

    def reap(self, now: datetime | None = None) -> Future[bool]:
        self.database.read(removal.read_ahead, now)
        return self.database.write_lazily(removal.reap, now)

    def give_back(self) -> Future[bool]:
        return self.database.write_lazily(free_pages.give_back)

    def add_batch(self, run: RunRow | RunId, batch: Batch, generation: int = 1) -> Future[BatchResult]:
        added = self.database.write(self._ingester.add_batch, run.id, batch, generation)
        if batch.changes is not None:
            self._versions.changes_runs(run.project_id, added)
        return self._versions.changes_points(run.project_id, added)

    def add_metric(
        self,
        run: RunRow,
        point: SinglePoint | None,
        numbered: NumberedPoint | None = None,
        changes: Changes | None = None,
    ) -> Future[int | None]:
        added = self.database.write(self._ingester.add_metric, run.id, point, numbered, changes)
        if changes is not None:
            self._versions.changes_runs(run.project_id, added)
        return self._versions.changes_points(run.project_id, added)

    def pack_backlog(self) -> None:
        with self.database.borrow() as connection:
            packer.pack_backlog(connection, partial(self.database.look, connection))
