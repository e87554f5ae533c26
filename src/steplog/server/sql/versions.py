"""How far a project's runs, and their points, have changed: whether a table of them is still what it was.

A change by this process counts once it is committed, and before its future is done. Only packing changes a table from
elsewhere, where more waits in the log than a reader compares; ``projects.packs`` counts it.

The versions of a table's parts::

    runs      all that a run has beside its points: fields, config, status
    points    what arrives, and when a client is heard of
    packs     what is packed
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar

from steplog.filters import Field
from steplog.server.sql.connection import Connection

__all__ = ["Versions"]

_T = TypeVar("_T")
_HEARD_FIELDS = ("seen", "last_point")
_DURATION = Field("run", ("duration",))
_RUNNING = "SELECT id FROM runs WHERE project = ? AND deleted IS NULL AND status = 'RUNNING' ORDER BY id DESC LIMIT 1"


class Versions:
    """The versions of all projects, as far as this process changes them."""

    def __init__(self) -> None:
        self._opened = secrets.token_hex(6)  # a copy may have been restored before
        self._next = count(1)
        self._runs: dict[int, int] = {}  # the number of the last change, by project
        self._points: dict[int, int] = {}
        self._running: dict[int, tuple[int, bool]] = {}  # whether a project has runs that go on, as of a version

    def changes_runs(self, project_id: int, done: Future[_T]) -> Future[_T]:
        """A write that changes the project's runs."""

        def note(_: Future[Any]) -> None:
            self._runs[project_id] = next(self._next)

        done.add_done_callback(note)
        return done

    def changes_points(self, project_id: int, done: Future[_T]) -> Future[_T]:
        """A write that adds points to the project's runs, or notes when a client was heard of."""

        def note(_: Future[Any]) -> None:
            self._points[project_id] = next(self._next)

        done.add_done_callback(note)
        return done

    def of_points(self, version: str) -> str:
        """The version of a run's points, unlike those before this process."""
        return f"{self._opened}-{version}"

    def of_table(self, connection: Connection, project_id: int, fields: Collection[Field]) -> str | None:
        """The version of a table that is made of these fields; None if it changes with the time.

        It is read before the table is.
        """
        runs = self._runs.get(project_id, 0)
        if _DURATION in fields and self._has_running(connection, project_id, runs):
            return None
        if not any(
            field.kind == "metric" or field.path[0] in _HEARD_FIELDS for field in fields if field.kind != "config"
        ):
            return f"{self._opened}-{runs}"
        points = self._points.get(project_id, 0)
        (packs,) = connection.execute("SELECT packs FROM projects WHERE id = ?", (project_id,)).fetchone() or (0,)
        return f"{self._opened}-{runs}-{points}-{packs}"

    def of_column_names(self, connection: Connection, project_id: int) -> str:
        """The version of the names of columns."""
        return str(self.of_table(connection, project_id, (Field("metric", ("", "last")),)))

    def _has_running(self, connection: Connection, project_id: int, runs: int) -> bool:
        known = self._running.get(project_id)
        if known is None or known[0] != runs:
            found = connection.execute(_RUNNING, (project_id,)).fetchone() is not None
            known = self._running[project_id] = runs, found
        return known[1]
