"""How far a project's runs, and their points, have changed, by any server: the sums of the rows of ``changes``.

1. A change of runs adds a row in its own transaction, and so does packing: whoever reads after it sees another version,
   at any server, and no two transactions wait for each other.
2. Batches add none: their row would be one that all of a project wait for. A server counts them, and adds a row for all
   of them at once, and again no sooner than ``INTERVAL_S`` later: so far behind is what a reader at another server may
   have. Until it has, it has versions of its own.
3. A row that was added twice, when nobody knew whether it was, does no harm: a version that differs is never wrong.
   A server that was killed has not told of its last batches; each tells at its start that there may be some.
4. Rows of a project are folded into one from time to time, which changes no sum. Nobody waits for that.
5. A database that was restored, or lost what it had not written, was started again, or its tables made anew.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg

from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.links import HUNG_S, Link, Watch
from steplog.server.sql.connection import Connection
from steplog.server.sql.versions import Numbers, Versions

__all__ = ["FOLD", "INTERVAL_S", "SharedVersions"]

INTERVAL_S = 0.5
_FOLD_INTERVAL_S = 5.0
_FOLD_LOCK = 0x7374_706C_0002  # of pg_try_advisory_xact_lock

_P = ParamSpec("_P")
_T = TypeVar("_T")

_OPENED = "extract(epoch FROM pg_postmaster_start_time())::text || '-' || CAST('changes'::regclass AS oid)"
_NUMBERS = f"""
SELECT {_OPENED}, CAST(coalesce(sum(number) FILTER (WHERE part = 'runs'), 0) AS bigint),
    CAST(coalesce(sum(number) FILTER (WHERE part = 'points'), 0) AS bigint),
    CAST(coalesce(sum(number) FILTER (WHERE part = 'packs'), 0) AS bigint)
FROM changes WHERE project = :project
"""  # noqa: S608 - constants, here and below
_POINTS_OF_RUN = f"SELECT {_OPENED} || '-' || arrivals || '-' || sealed FROM progress WHERE run = ?"  # noqa: S608
_ADD_RUNS = "INSERT INTO changes (project, part, number) VALUES (?, 'runs', 1)"
_ADD_POINTS = "INSERT INTO changes (project, part, number) SELECT unnest(?), 'points', unnest(?)"
_TELL_ALL = "INSERT INTO changes (project, part, number) SELECT DISTINCT project, 'points', 1 FROM changes"
FOLD = f"""
WITH long AS (SELECT project FROM changes GROUP BY project HAVING count(*) > 16),
    gone AS (DELETE FROM changes WHERE project IN (SELECT project FROM long)
        AND pg_try_advisory_xact_lock({_FOLD_LOCK}) RETURNING project, part, number)
INSERT INTO changes (project, part, number) SELECT project, part, sum(number) FROM gone GROUP BY project, part
"""  # noqa: S608


class SharedVersions(Versions):
    """Of a database that several servers change."""

    def __init__(self, conninfo: str, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._link = Link(conninfo, watch)
        self._link_lock = threading.Lock()
        self._lock = threading.Lock()
        self._process = secrets.token_hex(4)
        self._counts: Counter[int] = Counter()  # changes of points, by project
        self._untold: Counter[int] = Counter()  # those that are not in the database
        self._telling: Counter[int] = Counter()  # those that may be
        self._changed = threading.Event()
        self._changed.set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="steplog-versions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell what is left, then stop."""
        self._closing.set()
        self._changed.set()
        self._thread.join()
        with suppress(psycopg.Error):
            self.tell()
        self._link.close()

    def tell(self) -> None:
        """Add what has changed, now. Raises psycopg.Error."""
        with self._lock:
            told, self._untold = self._untold, Counter()
            self._telling += told
        if not told:
            return
        try:
            self._execute(_ADD_POINTS, list(told), list(told.values()))
        except BaseException:
            with self._lock:
                self._untold += told
            raise
        finally:
            with self._lock:
                self._telling -= told

    def counted(
        self, project_id: int, job: Callable[Concatenate[Connection, _P], _T]
    ) -> Callable[Concatenate[Connection, _P], _T]:
        def changed(connection: Connection, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            result = job(connection, *args, **kwargs)
            connection.execute(_ADD_RUNS, (project_id,))
            return result

        return changed

    def changes_runs(self, project_id: int, done: Future[_T]) -> Future[_T]:
        done.add_done_callback(lambda _: self._changed.set())
        return done

    def changes_points(self, project_id: int, done: Future[_T]) -> Future[_T]:
        def note(_: Future[Any]) -> None:
            with self._lock:
                self._untold[project_id] += 1
                self._counts[project_id] += 1
            self._changed.set()

        done.add_done_callback(note)
        return done

    def numbers(self, connection: Connection, project_id: int, *, of_points: bool) -> Numbers:
        with self._lock:
            is_told = not self._untold[project_id] and not self._telling[project_id]
            own = f"-{self._process}-{self._counts[project_id]}"
        numbers = Numbers(*connection.execute(_NUMBERS, {"project": project_id}).fetchone())
        if not of_points:
            return numbers._replace(points=0, packs=0)
        return numbers if is_told else numbers._replace(opened=numbers.opened + own)

    def of_points(self, connection: Connection, run_id: int) -> str:
        row = connection.execute(_POINTS_OF_RUN, (run_id,)).fetchone()
        return str(row[0]) if row else "0"

    def _work(self) -> None:
        folded_at = time.monotonic()
        due: str | None = _TELL_ALL
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._closing.is_set():
                return
            try:
                if due is not None:
                    self._execute(due)
                    due = None
                self.tell()
            except psycopg.Error:
                self._changed.set()  # the database is away: again, later
            if due is None and time.monotonic() - folded_at > _FOLD_INTERVAL_S:
                due, folded_at = FOLD, time.monotonic()
            self._closing.wait(INTERVAL_S)

    def _execute(self, statement: str, *values: Any) -> None:
        with self._link_lock:
            connection = self._link.get()
            with self._watch.over(connection, HUNG_S), connection.transaction():
                connection.execute("SET LOCAL synchronous_commit = off")  # what a crash undoes, it tells of
                PostgresqlConnection(connection).execute(statement, values)
