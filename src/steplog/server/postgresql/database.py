"""One PostgreSQL database: its readers (``links``), the lanes of its writes (``lanes``), and its tables (``schema``).

Writes of the catalogue have a lane; those of runs have two, by the run. So a slow one holds up its own kind alone, and
none holds up batches (``appender``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, TypeVar

import psycopg

from steplog.server.postgresql.appender import Appender
from steplog.server.postgresql.lanes import Lane
from steplog.server.postgresql.links import Readers, Watch, check_session, conninfo_of, open_connection, refused
from steplog.server.postgresql.schema import prepare
from steplog.server.sql.commit_times import CommitTimes
from steplog.server.sql.connection import Connection
from steplog.server.store_types import RunId, RunRow

__all__ = ["Database"]

_RUN_LANES = 2

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Statements = Callable[Concatenate[Connection, _P], _T]


class Database:
    """A database that is open.

    Attributes:
        instance: its id.
        conninfo: how to connect to it, for libpq.
        watch: breaks connections that hang; who has opened the database closes it, last.
        appender: appends batches.
        times: counts commits.
    """

    def __init__(self, url: str) -> None:
        """Connect, and make its tables where missing. Raises ConfigurationError."""
        self.conninfo = conninfo_of(url)
        try:
            with open_connection(self.conninfo) as connection:
                check_session(connection, self.conninfo)
                self.instance = prepare(connection)
        except psycopg.Error as error:
            raise refused(url, error) from None
        self.watch, self.times = Watch(), CommitTimes()
        self._readers = Readers(self.conninfo, self.watch)
        self.appender = Appender(self.conninfo, self.watch, times=self.times)
        self._catalogue, *self._of_runs = (
            Lane(name, self.conninfo, self.watch, self.times) for name in ("store", *["runs"] * _RUN_LANES)
        )

    def close(self) -> None:
        """Finish pending writes and close it, all but ``watch``."""
        for lane in self._lanes:
            lane.close()
        self._readers.close()

    @property
    def _lanes(self) -> tuple[Appender | Lane, ...]:
        return self.appender, self._catalogue, *self._of_runs

    def figures(self) -> Mapping[str, float]:
        """Of the connections that read, of what waits to be written, and of commits."""
        return {
            "pool_size": self._readers.places,
            "pool_used": self._readers.used,
            "pool_waiting": self._readers.waiting,
            "writes_waiting": sum(lane.waiting for lane in self._lanes),
            **self.times.figures(),
        }

    def read(self, query: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a query on a snapshot."""
        with self.snapshot() as connection:
            return query(connection, *args, **kwargs)

    def write(self, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a write; the future is done once it is durable."""
        return self._catalogue.submit(lambda connection: job(connection, *args, **kwargs))

    def write_project(
        self, project_id: int, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        """The same, for what changes a project's runs: by whichever server, one after the other."""
        return self._catalogue.submit(lambda connection: job(connection, *args, **kwargs), project=project_id)

    def write_run(self, run: RunRow | RunId, job: Callable[[Connection], _T], *, changes_run: bool) -> Future[_T]:
        """The same, for what comes with a run's points: those of a run are in order. ``changes_run``: the rest, too."""
        return self._of_runs[run.id % _RUN_LANES].submit(job, project=run.project_id if changes_run else None)

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection whose reads all see the same state."""
        return self._readers.snapshot()

    def borrow(self) -> AbstractContextManager[Connection]:
        """A connection in autocommit mode."""
        return self._readers.borrow()
