"""What the server holds, read from its own database beside it, not by asking it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import msgspec

from polling import wait_until
from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.links import conninfo_of, open_connection
from steplog.server.sql import reading, slices
from steplog.server.sql.connection import Connection
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.store_place import Place

DEADLINE_S = 20.0
_RUNS = "FROM runs r JOIN projects p ON r.project = p.id JOIN progress g ON g.run = r.id"
_RUNS += " WHERE p.slug = ? ORDER BY r.id"


class Row(NamedTuple):
    """A run as the database has it."""

    uuid: str
    name: str
    description: str | None
    status: str
    points: int


class Oracle:
    """Reads a server's database; of the runs in it, those of one project."""

    def __init__(self, place: Place, project: str) -> None:
        self._place = place
        self._project = project

    def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        with self._connected() as connection:
            return connection.execute(statement, arguments).fetchall()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if isinstance(self._place, str):
            with open_connection(conninfo_of(self._place)) as connection:
                yield PostgresqlConnection(connection)
        else:
            uri = f"file:{self._place}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10, factory=SqliteConnection)) as connection:
                yield connection

    def runs(self, name: str | None = None) -> list[Row]:
        """The runs, by their number; those with this name, if one is given."""
        found = self._rows(f"SELECT r.uuid, r.name, r.description, r.status, g.arrivals {_RUNS}", self._project)
        return [Row(*row) for row in found if name in (None, row[1])]

    def run(self, name: str) -> Row:
        """The one run with this name."""
        (row,) = self.runs(name)
        return row

    def projects(self) -> list[tuple[str, str]]:
        """The display name and the visibility of each project with this slug."""
        return self._rows("SELECT display_name, visibility FROM projects WHERE slug = ?", self._project)

    def metrics(self, name: str) -> list[tuple[str, Any, int]]:
        """Everything that a run holds, in the order of arrival: name, value, step."""
        with self._connected() as connection:
            rows = connection.execute(f"SELECT r.id, g.arrivals, r.name {_RUNS}", (self._project,)).fetchall()
            ((run_id, points),) = [row[:2] for row in rows if row[2] == name]
            parts = slices.metrics(lambda: reading.snapshot_of(connection), run_id, 0, points)
            found = [point for part in parts for point in part]
        assert len(found) == points
        return [(metric.name, _plain(metric.value), metric.step) for metric in found]

    def values(self, run: str, name: str) -> list[Any]:
        """The values of one metric."""
        return [value for metric, value, _ in self.metrics(run) if metric == name]

    def samplers(self, name: str) -> list[str]:
        """The writers of system metrics of a run."""
        statement = "SELECT m.writer FROM marks m JOIN runs r ON m.run = r.id WHERE r.uuid = ?"
        return [row[0] for row in self._rows(statement, self.run(name).uuid) if row[0].startswith("system-")]

    def wait_for(self, name: str, status: str, deadline_s: float = DEADLINE_S) -> Row:
        """The run, once it has this status."""
        wait_until(lambda: self.runs(name) and self.run(name).status == status, deadline_s)
        return self.run(name)

    def wait_for_points(self, name: str, points: int) -> None:
        """Return when the run holds that many."""
        wait_until(lambda: self.run(name).points >= points, DEADLINE_S)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
