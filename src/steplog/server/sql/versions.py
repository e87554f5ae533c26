"""How far a project's runs, and their points, have changed: whether a table of them is still what it was.

The numbers of a project::

    runs      counts changes of all that a run has beside its points: fields, config, status
    points    of what arrives, and of when a client is heard of
    packs     of what is packed: it changes a table where more waits in the log than a reader compares

A version is read before what it is of, so that a change between the two is seen the next time.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from concurrent.futures import Future
from itertools import count
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from steplog.filters import Field
from steplog.server.sql import runs
from steplog.server.sql.connection import Connection

__all__ = ["LocalVersions", "Numbers", "Versions"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Job = Callable[Concatenate[Connection, _P], _T]
_HEARD_FIELDS = ("seen", "last_point")
_DURATION = Field("run", ("duration",))
_RUNNING = "SELECT id FROM runs WHERE project = ? AND deleted IS NULL AND status = 'RUNNING' ORDER BY id DESC LIMIT 1"


class Numbers(NamedTuple):
    """Of a project, at one time."""

    opened: str  # others after the database was restored from a copy
    runs: int
    points: int
    packs: int


class Versions(ABC):
    """The versions of all projects."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[str, bool]] = {}  # whether a project has runs that go on, as of a version

    @abstractmethod
    def counted(self, project_id: int, job: _Job[_P, _T]) -> _Job[_P, _T]:
        """A write that changes the project's runs, and whatever of its transaction counts that."""

    @abstractmethod
    def changes_runs(self, project_id: int, done: Future[_T]) -> Future[_T]:
        """Such a write that was submitted."""

    @abstractmethod
    def changes_points(self, project_id: int, done: Future[_T]) -> Future[_T]:
        """A write that adds points to the project's runs, or notes when a client was heard of."""

    @abstractmethod
    def numbers(self, connection: Connection, project_id: int, *, of_points: bool) -> Numbers:
        """A project's numbers; zeros in place of ``points`` and ``packs`` unless those are wanted."""

    @abstractmethod
    def of_points(self, connection: Connection, run_id: int) -> str:
        """The version of a run's points."""

    def of_table(self, connection: Connection, project_id: int, fields: Collection[Field]) -> str | None:
        """The version of a table that is made of these fields; None if it changes with the time."""
        of_points = any(
            field.kind == "metric" or field.path[0] in _HEARD_FIELDS for field in fields if field.kind != "config"
        )
        numbers = self.numbers(connection, project_id, of_points=of_points)
        of_runs = f"{numbers.opened}-{numbers.runs}"
        if _DURATION in fields and self._has_running(connection, project_id, of_runs):
            return None
        return f"{of_runs}-{numbers.points}-{numbers.packs}" if of_points else of_runs

    def of_column_names(self, connection: Connection, project_id: int) -> str:
        """The version of the names of columns."""
        return str(self.of_table(connection, project_id, (Field("metric", ("", "last")),)))

    def _has_running(self, connection: Connection, project_id: int, version: str) -> bool:
        known = self._running.get(project_id)
        if known is None or known[0] != version:
            found = connection.execute(_RUNNING, (project_id,)).fetchone() is not None
            known = self._running[project_id] = version, found
        return known[1]


class LocalVersions(Versions):
    """Of a database that this process alone changes, but for packing, which ``projects.packs`` counts.

    A change counts once it is committed, and before its future is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self._opened = secrets.token_hex(6)
        self._next = count(1)
        self._runs: dict[int, int] = {}  # the number of the last change, by project
        self._points: dict[int, int] = {}

    def counted(self, project_id: int, job: _Job[_P, _T]) -> _Job[_P, _T]:
        return job

    def changes_runs(self, project_id: int, done: Future[_T]) -> Future[_T]:
        def note(_: Future[Any]) -> None:
            self._runs[project_id] = next(self._next)

        done.add_done_callback(note)
        return done

    def changes_points(self, project_id: int, done: Future[_T]) -> Future[_T]:
        def note(_: Future[Any]) -> None:
            self._points[project_id] = next(self._next)

        done.add_done_callback(note)
        return done

    def numbers(self, connection: Connection, project_id: int, *, of_points: bool) -> Numbers:
        numbers = Numbers(self._opened, self._runs.get(project_id, 0), self._points.get(project_id, 0), 0)
        if not of_points:
            return numbers._replace(points=0)
        (packs,) = connection.execute("SELECT packs FROM projects WHERE id = ?", (project_id,)).fetchone() or (0,)
        return numbers._replace(packs=packs)

    def of_points(self, connection: Connection, run_id: int) -> str:
        return f"{self._opened}-{runs.points_version(connection, run_id)}"
