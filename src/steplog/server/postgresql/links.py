"""Connections to one PostgreSQL database: how they are made, kept, and given up.

1. A database that is away is found out by whoever needs it next, at once or within ``connect_timeout``, and so is one
   that is there again: nothing tries in between, and nobody waits for a later try.
2. A network that is gone breaks a connection within ``tcp_user_timeout`` or three missed keepalives. PostgreSQL ends a
   statement after ``statement_timeout``, and one that waits for a lock after ``lock_timeout``. Where PostgreSQL itself
   hangs, ``Watch`` breaks the connection: at its first statement after ``PING_S``, so that who asks is told in time.
3. A server that stops does not wait for a database that hangs (``Watch.hurry``).
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from steplog.errors import ConfigurationError
from steplog.server.postgresql.connection import PostgresqlConnection, adapt
from steplog.server.store_place import shown_place
from steplog.server.store_types import StoreBusyError, StoreError, StoreFullError

__all__ = [
    "HUNG_S",
    "PING_S",
    "Link",
    "Readers",
    "Watch",
    "check_session",
    "conninfo_of",
    "is_lost",
    "open_connection",
    "refused",
    "store_error",
]

HUNG_S = 60.0  # a transaction; more than ``statement_timeout``
PING_S = 5.0  # a statement that has nothing to do
_READERS_MAX = 16
_WAIT_S = 5.0  # for another reader to end
_WATCH_S = 1.0
_AGE_MAX_S = 3600.0  # of a connection, which keeps what it has read of the tables' descriptions
_IDLE_MAX_S = 300.0
_DEFAULTS = {
    "application_name": "steplog",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",
}
_FIXED = {"client_encoding": "UTF8"}  # whatever the URL says
# Not as options of the connection, which PgBouncer refuses.
_SETTINGS = (
    ("lock_timeout", "10s"),
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("work_mem", "32MB"),  # what NOT IN of 200,000 runs takes
    ("jit", "off"),  # which compiles what takes a millisecond
)
# A query of tables or points is planned for the values that it has: any plan for all of them is bad for some. What is
# not in a list is looked for by its hash, which must fit twice in the memory for it.
_SETTINGS_OF_READERS = (("plan_cache_mode", "force_custom_plan"), ("work_mem", "32MB"))

_Connection = psycopg.Connection[Any]


def conninfo_of(url: str) -> str:
    """How to connect, for libpq; with limits where the URL says nothing. Raises ConfigurationError."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose words may have a part of the password
        words = "is no URL of PostgreSQL's, or has a parameter that PostgreSQL does not know"
        raise ConfigurationError(f"{shown_place(url)} {words}; write %2F for / in a password, %40 for @") from None
    known = {name: str(value) for name, value in given.items() if value is not None}
    return make_conninfo("", **(_DEFAULTS | known | _FIXED))


def open_connection(conninfo: str, settings: Sequence[tuple[str, str]] = (), watch: Watch | None = None) -> _Connection:
    """A new connection in autocommit mode, with settings beside those of all. Raises psycopg.Error.

    ``watch``: breaks it where it connects, as to PgBouncer, and then hangs.
    """
    connection = psycopg.connect(conninfo, autocommit=True)
    made = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in (*_SETTINGS, *settings))
    try:
        with watch.over(connection, PING_S) if watch else nullcontext():
            connection.execute(f"SELECT {made}".encode())
            adapt(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def is_lost(connection: _Connection, error: BaseException) -> bool:
    """Whether the connection is of no use after this error: broken, or to a server that only reads by now."""
    return connection.broken or connection.closed or isinstance(error, errors.ReadOnlySqlTransaction)


def store_error(error: psycopg.Error) -> StoreError:
    """Translate an error of PostgreSQL."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, (errors.DiskFull, errors.OutOfMemory)):
        return StoreFullError(f"the database has no room: {text}")
    return StoreBusyError(f"the database cannot be used now: {text}")


def refused(url: str, error: psycopg.Error) -> ConfigurationError:
    """Why a database cannot be opened, and what to type."""
    words = error.diag.message_primary or " ".join(str(error).split())
    advice = ""
    if isinstance(error, errors.InsufficientPrivilege):
        advice = (
            ". Type to its owner's psql: ALTER DATABASE … OWNER TO …; the user makes its tables. Or type as a user who"
            " may make them: steplog db migrate"
        )
    elif isinstance(error, errors.InvalidSchemaName):
        advice = ". Type to psql: CREATE SCHEMA …, for one of the user's search_path"
    elif words.endswith("session is read-only"):
        advice = (
            ", as a standby is. Name the one that takes writes, or all:"
            " postgresql://USER@HOST1,HOST2/DATABASE?target_session_attrs=read-write"
        )
    elif words.endswith("does not exist") and "database" in words:
        advice = ". Type: createdb --encoding UTF8 --template template0 NAME"
    return ConfigurationError(f"{shown_place(url)} cannot be used: {words}{advice}")


def check_session(connection: _Connection, conninfo: str) -> None:
    """Raise ConfigurationError where a pooler gives the sessions of two connections, which are open, to one backend.

    Settings and advisory locks would be another's.
    """
    pids = []
    with open_connection(conninfo) as other:
        for each in (other, connection):
            pids += each.execute("SELECT pg_backend_pid()").fetchall()
    if pids[0] == pids[1]:
        raise ConfigurationError(
            "a pooler is before the database that lends each connection for a transaction, and steplog's hold locks and"
            " settings for longer. Set for PgBouncer: pool_mode = session; or name PostgreSQL itself"
        )


class Watch:
    """Breaks connections on which something takes too long. In a thread of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # what is watched is not closed meanwhile, nor its number another's
        self._watched: dict[_Connection, float] = {}  # when it is to be broken
        self._end = math.inf  # when all are
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="steplog-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self, connection: _Connection, limit_s: float) -> Iterator[None]:
        """Break the connection if the block takes longer; what waits for it raises OperationalError."""
        with self._lock:
            self._watched[connection] = self._clock() + limit_s
        try:
            yield
        finally:
            with self._lock:
                del self._watched[connection]

    def hurry(self, limit_s: float) -> None:
        """Break whatever is not done in so many seconds, and what begins after that and hangs, at once."""
        with self._lock:
            self._end = min(self._end, self._clock() + limit_s)

    @property
    def watched(self) -> int:
        """How many connections something is done on."""
        return len(self._watched)

    def close(self) -> None:
        """End its thread."""
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Break what has taken too long."""
        with self._lock:
            now = self._clock()
            for connection, end in self._watched.items():
                if now >= min(end, self._end) and not connection.closed:
                    with suppress(OSError), socket.socket(fileno=connection.fileno()) as shared:
                        try:
                            shared.shutdown(socket.SHUT_RDWR)
                        finally:
                            shared.detach()

    def _work(self) -> None:
        while not self._ended.wait(_WATCH_S):
            self.look()


class Link:
    """A connection of one thread, made anew once it is lost."""

    def __init__(self, conninfo: str, watch: Watch | None = None) -> None:
        self._conninfo = conninfo
        self._watch = watch
        self._connection: _Connection | None = None

    def get(self) -> _Connection:
        """A connection that is not known to be broken. Raises psycopg.Error."""
        if self._connection is None or self._connection.broken or self._connection.closed:
            self.close()
            self._connection = open_connection(self._conninfo, watch=self._watch)
        return self._connection

    def close(self) -> None:
        """Close it; ``get`` makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Idle(NamedTuple):
    connection: _Connection
    made: float
    since: float


class Readers:
    """The connections that read: one a reader, kept for the next one.

    Attributes:
        places: how many there may be.
        used: how many are used.
        waiting: how many readers wait for one.
    """

    def __init__(self, conninfo: str, watch: Watch, places: int = _READERS_MAX, wait_s: float = _WAIT_S) -> None:
        self._conninfo = conninfo
        self._watch = watch
        self._free = threading.BoundedSemaphore(places)
        self._wait_s = wait_s
        self.places = places
        self._lock = threading.Lock()
        self._idle: deque[_Idle] = deque()  # the one that was used last is at the right
        self._closed = False
        self.used = 0
        self.waiting = 0

    @contextmanager
    def snapshot(self) -> Iterator[PostgresqlConnection]:
        """A connection whose reads all see the same state. Raises StoreError."""
        with self._place(), self._connection(begins=True) as connection, self._watch.over(connection, HUNG_S):
            yield PostgresqlConnection(connection)
            connection.execute("COMMIT")

    @contextmanager
    def borrow(self) -> Iterator[PostgresqlConnection]:
        """A connection in autocommit mode. Raises StoreError."""
        with self._place(), self._connection(begins=False) as connection, self._watch.over(connection, math.inf):
            yield PostgresqlConnection(connection)

    def close(self) -> None:
        """Close those that are idle, and each other one once it is back."""
        with self._lock:
            self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, deque()
        for each in idle:
            each.connection.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        with self._lock:
            self.waiting += 1
        found = self._free.acquire(timeout=self._wait_s)
        with self._lock:
            self.waiting -= 1
            self.used += found
        if not found:
            raise StoreBusyError("all connections to the database are in use")
        try:
            yield
        finally:
            with self._lock:
                self.used -= 1
            self._free.release()

    @contextmanager
    def _connection(self, *, begins: bool) -> Iterator[_Connection]:
        try:
            connection, made = self._taken(begins=begins)
            try:
                yield connection
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise
            finally:
                self._put(connection, made)
        except psycopg.Error as error:
            raise store_error(error) from error

    def _taken(self, *, begins: bool) -> tuple[_Connection, float]:
        """A connection that has answered, and when it was made: those that are idle may have been broken long ago."""
        while True:
            with self._lock:
                if self._closed:
                    raise StoreBusyError("the server is stopping")
                idle = self._idle.pop() if self._idle else None
            connection = idle.connection if idle else open_connection(self._conninfo, _SETTINGS_OF_READERS, self._watch)
            try:
                with self._watch.over(connection, PING_S):
                    if begins:
                        PostgresqlConnection(connection).begin(writes=False)
                    elif idle is not None:
                        connection.execute("SELECT 1")
            except psycopg.OperationalError:
                connection.close()
                if idle is None:
                    raise
                self._drop_idle()  # they were made before it was broken: to try each would take as long again
            else:
                return connection, time.monotonic() if idle is None else idle.made

    def _put(self, connection: _Connection, made: float) -> None:
        now, old = time.monotonic(), [connection]
        with self._lock:
            is_usable = connection.info.transaction_status == TransactionStatus.IDLE
            if is_usable and now - made < _AGE_MAX_S and not self._closed:
                self._idle.append(_Idle(old.pop(), made, now))
            while self._idle and now - self._idle[0].since > _IDLE_MAX_S:
                old.append(self._idle.popleft().connection)
        for each in old:
            each.close()
