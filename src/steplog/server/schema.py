"""The database file: its tables, and how it is opened without ever harming a file that is not ours.

::

    about        the instance id; the token that the page reads with
    users        who a key belongs to; of the key its SHA-256
    namespaces   organizations and users' own places
    projects     in a namespace, unique by slug
    runs         in a project, unique by name and by idempotency key; points: how many it has
    marks        (run, writer): the first position of that writer's journal that is not stored
    series       (run, name): a metric, with the sum of its chunks and the next step the server gives
    chunks       summaries of stretches of a series (see chunk)
    points       the data of the same chunks, apart so that a curve reads summaries alone
    waiting      ranges as they came, which are in no chunk yet (see unpacked)

A chunk's id is its series' id times 2^32 plus its number in the series: the chunks of a series lie together, in
the order of arrival, without another index.

The file says what it is in its header (``application_id``, ``user_version``). A file of another kind or a newer
version is refused before SQLite has opened it; one of version 1, which lacks ``waiting``, gets it. A lock on
``<file>.lock`` keeps out a second server: two of them would each number steps and arrivals on their own.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import struct
import uuid
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.server.store_types import StoreBusyError, StoreError, StoreFullError

__all__ = ["SERIES_SHIFT", "DatabaseLock", "connect", "prepare", "store_error"]

SERIES_SHIFT = 32
_APPLICATION_ID = 0x7374_706C  # "stpl"
_SCHEMA_VERSION = 2
_HEADER = struct.Struct(">16s44xI4xI28x")  # magic, user_version at 60, application_id at 68
_MAGIC = b"SQLite format 3\0"
_BUSY_TIMEOUT_S = 10.0
_CHECKPOINT_PAGES = 4000

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, username TEXT NOT NULL UNIQUE, slug TEXT NOT NULL,
    email TEXT NOT NULL, key_hash BLOB NOT NULL
);
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL
);
CREATE TABLE projects (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, namespace INTEGER NOT NULL REFERENCES namespaces,
    slug TEXT NOT NULL, display_name TEXT NOT NULL, visibility TEXT NOT NULL, date_created TEXT NOT NULL,
    UNIQUE (namespace, slug)
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, project INTEGER NOT NULL REFERENCES projects,
    user INTEGER NOT NULL REFERENCES users, name TEXT NOT NULL, description TEXT, status TEXT NOT NULL,
    date_created TEXT NOT NULL, date_updated TEXT NOT NULL, idempotency_key TEXT, points INTEGER NOT NULL,
    UNIQUE (project, name), UNIQUE (project, idempotency_key)
);
CREATE INDEX runs_by_project ON runs (project, id);
CREATE TABLE marks (
    run INTEGER NOT NULL, writer TEXT NOT NULL, mark INTEGER NOT NULL, PRIMARY KEY (run, writer)
) WITHOUT ROWID;
CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
    next_step INTEGER NOT NULL, first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, low, high,
    UNIQUE (run, name)
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, count INTEGER NOT NULL, first_arrival INTEGER NOT NULL, last_arrival INTEGER NOT NULL,
    first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, min_step INTEGER NOT NULL, max_step INTEGER NOT NULL,
    first_time INTEGER NOT NULL, first_word INTEGER NOT NULL, low, high, last
);
CREATE TABLE points (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
_SINCE_VERSION_2 = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, first_arrival INTEGER NOT NULL,
    records INTEGER NOT NULL, bytes INTEGER NOT NULL, names INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX waiting_by_run ON waiting (run, first_arrival);
"""


class DatabaseLock:
    """The right to write to a database, held until ``release`` or the end of the process."""

    def __init__(self, database: Path) -> None:
        """Raises ConfigurationError where another process holds it."""
        path = database.with_name(database.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ConfigurationError(f"{database} is in use by another steplog server") from None
        except OSError as error:
            os.close(self._descriptor)
            raise ConfigurationError(f"{path} cannot be locked: {error.strerror}") from None

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


def prepare(database: Path) -> DatabaseLock:
    """Check that the file is a steplog database, make one where there is none, and lock it.

    Raises ConfigurationError where the file is something else, which is left as it is, or in use.
    """
    _check_header(database)
    lock = DatabaseLock(database)
    try:
        _check_header(database)  # it may have been made meanwhile
        _prepare(database)
    except BaseException:
        lock.release()
        raise
    return lock


def _prepare(database: Path) -> None:
    try:
        if not database.exists():
            os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = connect(database)
        try:
            _make_tables(connection)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise ConfigurationError(f"{database} cannot be used: {error}") from None


def store_error(error: sqlite3.Error) -> StoreError:
    """A failure of the database as the store's callers know it."""
    # The numeric code is there from Python 3.11 on; the words have been the same since SQLite 3.7. A quota or a limit
    # on the size of files shows as an I/O error.
    words = str(error)
    if "full" in words or "disk I/O error" in words:
        return StoreFullError(words)
    return StoreBusyError(words)


def connect(database: Path) -> sqlite3.Connection:
    """A connection in which transactions are begun and ended by hand, for use by one thread at a time."""
    connection = sqlite3.connect(database, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check_header(database: Path) -> None:
    try:
        with open(database, "rb") as file:
            header = file.read(_HEADER.size)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{database} cannot be used: {error.strerror}") from None
    if not header:
        return
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise ConfigurationError(f"{database} is not a database, and is left as it is")
    _, version, application = _HEADER.unpack(header)
    if application != _APPLICATION_ID:
        raise ConfigurationError(f"{database} is a database of something else, and is left as it is")
    if not 1 <= version <= _SCHEMA_VERSION:
        raise ConfigurationError(f"{database} is of schema version {version}; this steplog knows {_SCHEMA_VERSION}")


def _make_tables(connection: sqlite3.Connection) -> None:
    # In a rollback journal, so that the header says what the file is as soon as there is one; WAL comes after.
    new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if new or connection.execute("PRAGMA user_version").fetchone()[0] < _SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        for statement in (_TABLES + _SINCE_VERSION_2 if new else _SINCE_VERSION_2).split(";"):
            connection.execute(statement)
        if new:
            connection.execute("INSERT INTO about VALUES ('instance', ?)", (uuid.uuid4().hex,))
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    # In the clear, unlike a key: it opens nothing but what is in this file.
    connection.execute("INSERT OR IGNORE INTO about VALUES ('page_token', ?)", (secrets.token_urlsafe(32),))
