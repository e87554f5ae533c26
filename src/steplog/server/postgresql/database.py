"""The connections to one PostgreSQL database: a pool that reads, one that writes, and one that appends (``ingest``).

1. A write runs in a serializable transaction of its own, in order, in one thread. What it reads and writes may be
   another server's, too: where the two would not be as one after the other, it is run again, as where it finds out by a
   unique key that another was first.
2. Where the connection is lost during COMMIT nobody knows what became of it: its future raises StoreBusyError.
3. A read that finds its connection broken, as after the database was started again, is made again once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from steplog.errors import ConfigurationError
from steplog.server.postgresql.connection import PostgresqlConnection, adapt
from steplog.server.postgresql.schema import prepare
from steplog.server.sql.connection import Connection
from steplog.server.store_place import shown_place
from steplog.server.store_types import RefusedError, StoreBusyError, StoreError, StoreFullError

__all__ = ["AGAIN", "Database", "Link", "conninfo_of", "store_error"]

_READERS_MAX = 16
_WAIT_S = 5.0  # for a connection of the pool
_TRIES = 30
_PAUSE_S = 0.002  # before the second try, on average; twice that before the next one
_PAUSE_MAX_S = 0.1
AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
_DEFAULTS = {
    "application_name": "steplog",
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "tcp_user_timeout": "10000",
}
_LIMITS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Statements = Callable[Concatenate[Connection, _P], _T]


class _Job(NamedTuple):
    future: Future[Any]
    work: Callable[[Connection], Any]
    durable: bool


class Link:
    """A connection of one thread, made anew once it is broken."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[Any] | None = None

    def get(self) -> psycopg.Connection[Any]:
        """A connection that is not known to be broken. Raises psycopg.Error."""
        if self._connection is None or self._connection.broken or self._connection.closed:
            self.close()
            connection = psycopg.connect(self._conninfo, autocommit=True)
            adapt(connection)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Close it; ``get`` makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Database:
    """A database that is open.

    Attributes:
        instance: its id.
        conninfo: how to connect to it, for libpq.
    """

    def __init__(self, url: str) -> None:
        """Connect, and make its tables where missing. Raises ConfigurationError."""
        self.conninfo = conninfo_of(url)
        try:
            with psycopg.connect(self.conninfo, autocommit=True) as connection:
                self.instance = prepare(connection)
        except psycopg.Error as error:
            raise ConfigurationError(f"{shown_place(url)} cannot be used: {str(error).strip()}") from None
        self._pool = ConnectionPool(
            self.conninfo, min_size=1, max_size=_READERS_MAX, timeout=_WAIT_S, configure=adapt, name="steplog",
            kwargs={"autocommit": True}, open=True,
        )  # fmt: skip
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._link = Link(self.conninfo)
        self._thread = threading.Thread(target=self._work, name="steplog-store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish pending writes and close it, once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()
        self._link.close()
        self._pool.close()

    def read(self, query: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a query on a snapshot."""
        for is_last in (False, True):
            try:
                with self.snapshot() as connection:
                    return query(connection, *args, **kwargs)
            except StoreBusyError as error:
                if is_last or not isinstance(error.__cause__, psycopg.OperationalError):
                    raise
                self._pool.check()
        raise AssertionError

    def write(self, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a write; the future is done once it is durable."""
        return self._submit(lambda connection: job(connection, *args, **kwargs), durable=True)

    def write_lazily(self, job: _Statements[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """The same, but the future is done once it is committed: a crash of the database may undo it."""
        return self._submit(lambda connection: job(connection, *args, **kwargs), durable=False)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection whose reads all see the same state."""
        with self.borrow() as connection:
            connection.begin(writes=False)
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """A connection in autocommit mode."""
        try:
            with self._pool.connection() as connection:
                try:
                    yield PostgresqlConnection(connection)
                except BaseException:
                    with suppress(psycopg.Error):
                        connection.rollback()
                    raise
        except PoolTimeout as error:
            raise StoreBusyError("the database does not answer, or all connections to it are in use") from error
        except PoolClosed as error:
            raise StoreBusyError("the server is stopping") from error
        except psycopg.Error as error:
            raise store_error(error) from error

    def _submit(self, work: Callable[[Connection], _T], *, durable: bool) -> Future[_T]:
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(StoreBusyError("the server is stopping"))
            else:
                self._jobs.put(_Job(future, work, durable))
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.future.set_running_or_notify_cancel():
                try:
                    result = self._run(job)
                except Exception as error:  # noqa: BLE001 - the thread must survive; the job gets the error
                    job.future.set_exception(_reason(error))
                else:
                    job.future.set_result(result)

    def _run(self, job: _Job) -> Any:
        pause_s = _PAUSE_S
        for tried in range(1, _TRIES + 1):
            try:
                connection = self._link.get()
                return _transact(connection, job)
            except _UnknownOutcomeError as error:
                raise store_error(error.error) from error
            except AGAIN as error:
                if tried == _TRIES:
                    raise StoreBusyError(f"other servers were first {_TRIES} times: {error}") from error
            except psycopg.OperationalError:
                if tried > 1 or not self._link.get().broken:
                    raise
            time.sleep(random.uniform(0, 2 * pause_s))
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        raise AssertionError


class _UnknownOutcomeError(Exception):
    """The connection was lost during COMMIT."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.error = error


def _transact(connection: psycopg.Connection[Any], job: _Job) -> Any:
    link = PostgresqlConnection(connection)
    try:
        link.begin(writes=True)
        if not job.durable:
            connection.execute("SET LOCAL synchronous_commit = off")
        result = job.work(link)
    except BaseException:
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK")
        raise
    try:
        connection.execute("COMMIT")
    except AGAIN:
        raise
    except psycopg.Error as error:
        raise _UnknownOutcomeError(error) from error
    return result


def store_error(error: psycopg.Error) -> StoreError:
    """Translate an error of PostgreSQL."""
    text = str(error).strip()
    if isinstance(error, (errors.DiskFull, errors.OutOfMemory)):
        return StoreFullError(f"the database has no room: {text}")
    return StoreBusyError(f"the database cannot be used now: {text}")


def _reason(error: Exception) -> Exception:
    if isinstance(error, (RefusedError, StoreError)):
        return error
    return store_error(error) if isinstance(error, psycopg.Error) else error


def conninfo_of(url: str) -> str:
    """With limits where the URL says nothing. Raises ConfigurationError."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose words may have a part of the password
        words = "is no URL of PostgreSQL's, or has a parameter that PostgreSQL does not know"
        raise ConfigurationError(f"{shown_place(url)} {words}; write %2F for / in a password, %40 for @") from None
    options = f"{_LIMITS} {given.pop('options', None) or ''}".strip()
    known = {name: str(value) for name, value in given.items() if value is not None}
    return make_conninfo("", **(_DEFAULTS | known | {"options": options}))
