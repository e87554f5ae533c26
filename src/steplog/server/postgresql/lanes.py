"""Writes, each in a serializable transaction of its own, in order, in one thread a lane.

1. What a write reads and changes may be another lane's, or another server's, too: where the two would not be as one
   after the other, it is run again, as where it finds out by a unique key that another was first.
2. Writes of one project's runs take their turns over all servers, by a lock on an empty table, which begins with the
   transaction and ends with it: else they would mostly be run again, since their rows and names lie together. Of a
   server that hangs in its turn PostgreSQL ends the transaction (``links``).
3. A connection that is lost before COMMIT has changed nothing: the write is run again, once. Lost during COMMIT, nobody
   knows what became of it, and its future raises StoreBusyError: who asks again finds out by a key or a mark.
4. While no connection can be made, all that wait are refused at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import errors

from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.links import HUNG_S, PING_S, Link, Watch, is_lost, store_error
from steplog.server.postgresql.schema import TURNS
from steplog.server.sql.commit_times import CommitTimes
from steplog.server.sql.connection import Connection
from steplog.server.sql.write_queue import WriteQueue
from steplog.server.store_types import RefusedError, StoreBusyError, StoreError

__all__ = ["AGAIN", "Lane"]

AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
_TRIES = 30
_PAUSE_S = 0.002  # before the second try, on average; twice that before the next one
_PAUSE_MAX_S = 0.1
_TURN_S = 15.0  # more than ``lock_timeout``


class _Job(NamedTuple):
    future: Future[Any]
    work: Callable[[Connection], Any]
    project: int | None


class _NoConnectionError(Exception):
    """The database does not take one now."""


class _UnknownOutcomeError(Exception):
    """The connection was lost during COMMIT."""


class Lane:
    """Runs writes on one connection."""

    def __init__(
        self,
        name: str,
        conninfo: str,
        watch: Watch,
        times: CommitTimes,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._link = Link(conninfo, watch)
        self._watch = watch
        self._times = times
        self._sleep = sleep
        self._jobs: WriteQueue[_Job] = WriteQueue()
        self._thread = threading.Thread(target=self._work, name=f"steplog-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many writes wait."""
        return self._jobs.qsize()

    def submit(self, work: Callable[[Connection], Any], *, project: int | None = None) -> Future[Any]:
        """Queue a write; the future is done once it is durable; in turn if it is of a project."""
        future: Future[Any] = Future()
        self._jobs.submit(_Job(future, work, project))
        return future

    def close(self) -> None:
        """Finish the queue, then stop."""
        self._jobs.close()
        self._thread.join()
        self._link.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                result = self._run(job)
            except _NoConnectionError as error:
                reason = _reason(error)
                job.future.set_exception(reason)
                for other in self._jobs.take_all():
                    other.future.set_exception(reason)
            except Exception as error:  # noqa: BLE001 - the thread must survive; the job gets the error
                job.future.set_exception(_reason(error))
            else:
                job.future.set_result(result)

    def _run(self, job: _Job) -> Any:
        pause_s, may_reconnect = _PAUSE_S, True
        for _ in range(_TRIES):
            try:
                connection = self._link.get()
            except psycopg.Error as error:
                raise _NoConnectionError from error
            try:
                with self._times.timed():
                    return self._transact(connection, job)
            except AGAIN as error:
                last = error
                self._times.note_retry()
                self._sleep(random.uniform(0, 2 * pause_s))
                pause_s = min(2 * pause_s, _PAUSE_MAX_S)
            except psycopg.Error as error:
                if not is_lost(connection, error):
                    raise
                self._link.close()
                if not may_reconnect:
                    raise
                may_reconnect = False
        raise StoreBusyError(f"others were first {_TRIES} times: {last}") from last

    def _transact(self, connection: psycopg.Connection[Any], job: _Job) -> Any:
        link = PostgresqlConnection(connection)
        try:
            if job.project is None:
                with self._watch.over(connection, PING_S):
                    link.begin(writes=True)
            else:  # before the transaction's snapshot, which what is not a query takes none of
                lock = f"LOCK TABLE turns_{job.project % TURNS} IN EXCLUSIVE MODE"
                with self._watch.over(connection, _TURN_S):
                    connection.execute(f"BEGIN ISOLATION LEVEL SERIALIZABLE; {lock}".encode(), prepare=False)
            with self._watch.over(connection, HUNG_S):
                result = job.work(link)
        except BaseException:
            with suppress(psycopg.Error), self._watch.over(connection, PING_S):
                connection.execute("ROLLBACK")
            raise
        with self._watch.over(connection, HUNG_S):
            _commit(connection)
        return result


def _commit(connection: psycopg.Connection[Any]) -> None:
    try:
        connection.execute("COMMIT")
    except psycopg.Error as error:
        if is_lost(connection, error):
            raise _UnknownOutcomeError from error
        raise


def _reason(error: Exception) -> Exception:
    if isinstance(error, (RefusedError, StoreError)):
        return error
    cause = error.__cause__ if isinstance(error, (_NoConnectionError, _UnknownOutcomeError)) else error
    return store_error(cause) if isinstance(cause, psycopg.Error) else error
