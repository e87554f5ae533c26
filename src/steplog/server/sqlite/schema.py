"""The database file: its tables, and opening it without touching a file of another kind.

::

    about        the instance id; the page token and the date it was made; where it was moved to (see moving)
    users        whoever a key belongs to; those removed are still there (see users)
    keys         SHA-256 of each key, its user, where it is from, its dates, and what it is bound to (see keys)
    sessions     of browsers: the key that each was begun with, NULL: the page's token (see sessions)
    namespaces   organizations, and users' own
    projects     in a namespace, unique by slug; those being deleted are still there (see trash); how often what is
                 packed of them has changed (see versions)
    members      by (namespace, project, user): a role; project 0: in the whole namespace (see members)
    runs         in a project, unique by name and by idempotency key among those not in the trash (see runs)
    views        saved addresses of a project's page, unique by name
    config       by (run, key): JSON text, NULL if removed, and its order (see below)
    fields       by (run, field): the order of what the column of that name in ``runs`` has
    generations  by (run, number): whose it is, and when it began (see generations)
    tombstones   by (project, idempotency key): a run that was deleted, and is not to be made again
    marks        by (run, writer): the first journal position that is not stored; the writer's generation, and
                 the latest time of its records about the run
    log          by (run, arrival): batches as they came, until they are packed (see log_row)
    progress     of each run: how far its points have arrived and are packed (see below)
    blocks       by (run, arrival): packed points of many series
    sealed       by (run, arrival): log rows that could not be packed, and why
    series       by (run, name): a metric, with the totals of what is packed and the next step to assign
    chunks       packed points of one series: summaries (see chunk)
    points       the data of the same chunks, apart so that a curve can read summaries alone
    summaries    by (series, level, number): summaries of a series' chunks
    suffixes     by (project, name): below ``next``, every number that may follow the name is taken (see runs)
    lasts        by (project, name, run): the totals of a run's metric, for tables of runs (see table)
    configs      by (project, entry, run): what ``config`` has, for tables of runs
    filling      one row in an older database: which of its runs are not in these two
    files        by (run, number): files of runs, in the order of their announcement (see files)
    contents     by hash: how far its bytes are in the content store, and since when (see contents)
    project_contents  by (project, hash): contents that a project has; since when perhaps no file names them
    content_totals    by project: how many contents it has, and their bytes
    artifacts    what runs have logged as artifacts; ``version``: once all is announced (see artifacts)
    artifact_files    by (artifact, path)
    artifact_aliases  by (project, name, alias): which version it means
    artifact_uses     by (run, artifact): which versions a run uses

Of several values of a field or config key the one with the greatest (generation, time in ns, writer, position) counts.

A run's *arrivals* are its points, numbered as they came. Those below ``progress.packed`` are in chunks, blocks or
sealed, the others in the log::

    arrivals     how many have arrived
    packed       the first that is in the log
    log_bytes    of slots and payloads in the log
    logged       when the last log row was stored, in seconds since the epoch
    sealed       how many are sealed
    seen         when a client was last heard of
    last_point   when what the program logged last was logged; NULL: nothing yet, or by an older version

Those of a series below ``series.chunked`` are in its chunks: a block's entries of them count no more. ``pending`` of
them are in blocks only. ``last`` is its last packed value, as a chunk has it.

A chunk's id is its series' id × 2^32 + its number in the series, which stores a series' chunks together, in order.

The header (``application_id``, ``user_version``) identifies the file: another kind or a newer version is refused before
SQLite opens it, an older version is upgraded in one transaction (``upgrades``). ``DatabaseLock`` keeps out a second
server, which would assign the same arrivals.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import struct
import uuid
from contextlib import closing
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.private_files import is_private_file, open_private, read_private
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.database_file import check_left_log
from steplog.server.sqlite.database_lock import DatabaseLock
from steplog.server.sqlite.upgrades import (
    FILES,
    KEYS,
    LIFE,
    LOG,
    MEMBERS,
    RUNNING,
    RUNS,
    SESSIONS,
    STARTED,
    UPGRADES,
    VIEWS,
    execute_all,
)
from steplog.server.store_types import StoreBusyError, StoreError, StoreFullError

__all__ = [
    "SCHEMA_VERSION",
    "WAL_BYTES_MAX",
    "connect",
    "open_existing",
    "prepare",
    "schema_version",
    "store_error",
]

_APPLICATION_ID = 0x7374_706C  # "stpl"
SCHEMA_VERSION = 8
_HEADER = struct.Struct(">16s44xI4xI28x")  # magic, user_version at 60, application_id at 68
_MAGIC = b"SQLite format 3\0"
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_BUSY_TIMEOUT_S = 10.0
_CHECKPOINT_PAGES = 4000
WAL_BYTES_MAX = 64 << 20  # of the write-ahead log, when it begins anew

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, username TEXT NOT NULL UNIQUE, slug TEXT NOT NULL,
    email TEXT NOT NULL
);
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL
);
CREATE TABLE projects (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, namespace INTEGER NOT NULL REFERENCES namespaces,
    slug TEXT NOT NULL, display_name TEXT NOT NULL, visibility TEXT NOT NULL, date_created TEXT NOT NULL,
    deleted TEXT, packs INTEGER NOT NULL DEFAULT 0, UNIQUE (namespace, slug)
);
CREATE TABLE marks (
    run INTEGER NOT NULL, writer TEXT NOT NULL, mark INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1, said INTEGER NOT NULL DEFAULT -9223372036854775808, PRIMARY KEY (run, writer)
) WITHOUT ROWID;
CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
    next_step INTEGER NOT NULL, first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, low, high,
    max_step INTEGER NOT NULL DEFAULT 0, last_time INTEGER, chunked INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0, last, UNIQUE (run, name)
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, count INTEGER NOT NULL, first_arrival INTEGER NOT NULL, last_arrival INTEGER NOT NULL,
    first_step INTEGER NOT NULL, last_step INTEGER NOT NULL, min_step INTEGER NOT NULL, max_step INTEGER NOT NULL,
    first_time INTEGER NOT NULL, first_word INTEGER NOT NULL, low, high, last
);
CREATE TABLE points (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


def prepare(database: Path, *, moved: bool = False) -> DatabaseLock:
    """Lock a database, created if missing. Release the lock once every connection is closed.

    ``moved``: even one that was moved elsewhere. Raises ConfigurationError if it is in use, of another kind, moved, or
    not ours alone; it stays unchanged then.
    """
    _check_header(database)
    lock = DatabaseLock(database)
    try:
        version = _check_header(database)  # it may have been created meanwhile
        check_left_log(database)
        if not database.exists():
            os.close(open_private(database, os.O_CREAT | os.O_EXCL | os.O_RDWR))
        lock.take_file(upgrades=0 < version < SCHEMA_VERSION)
        with closing(connect(database)) as connection:
            _make_tables(connection)
            if not moved:
                _check_moved(connection, database)
    except BaseException as error:
        lock.release()
        if isinstance(error, (sqlite3.Error, OSError)):
            raise ConfigurationError(f"{database} cannot be used: {error}") from None
        raise
    return lock


def open_existing(database: Path, *, upgrade: bool = True) -> SqliteConnection:
    """A connection to a database that exists, whether or not a server has it open.

    ``upgrade``: to the present version, and not where it was moved elsewhere. Raises ConfigurationError.
    """
    if not database.exists():
        raise ConfigurationError(f"there is no database {database}. Type: steplog serve; or name one: --db FILE")
    _check_header(database)
    check_left_log(database)
    try:
        connection = connect(database)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if upgrade:
                _check_moved(connection, database)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise ConfigurationError(f"{database} cannot be used: {error}") from None
    if upgrade and version < SCHEMA_VERSION:
        connection.close()
        prepare(database).release()
        return connect(database)
    return connection


def store_error(error: sqlite3.Error) -> StoreError:
    """Translate an SQLite error."""
    # sqlite_errorcode needs Python 3.11; the texts are stable since SQLite 3.7. A quota or a limit on the size of files
    # shows as an I/O error.
    text = str(error)
    if "disk I/O error" in text:
        text += ": the disk of the database is full, or fails"
    if "full" in text:
        return StoreFullError(text)
    return StoreBusyError(text)


def connect(database: Path, wait_s: float = _BUSY_TIMEOUT_S, *, existing: bool = False) -> SqliteConnection:
    """A connection in autocommit mode, for one thread at a time, that waits for others' locks for as long as that.

    ``existing``: the file is not made if it is missing.
    """
    name = f"{database.absolute().as_uri()}?mode=rw" if existing else database
    connection = sqlite3.connect(
        name, timeout=wait_s, isolation_level=None, check_same_thread=False, uri=existing, factory=SqliteConnection
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: its fsync leaves a commit in the drive's cache
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        # Where it is on by default, as in Debian, all that is deleted would be written once more, as zeros.
        connection.execute("PRAGMA secure_delete = FAST")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def schema_version(database: Path) -> int:
    """The version of a database; 0 of one that is empty or missing. Raises ConfigurationError for another kind."""
    return _check_header(database)


def _check_moved(connection: SqliteConnection, database: Path) -> None:
    found = connection.execute("SELECT value FROM about WHERE name = 'moved_to'").fetchone()
    if found is not None:
        place = shlex.quote(found[0])
        raise ConfigurationError(
            f"{database} was moved to {place}, which has all of it. Type: steplog serve --store {place}"
        )


def _check_header(database: Path) -> int:
    """The version; 0 of one that is empty or missing. Raises ConfigurationError for another kind of file."""
    try:
        for suffix in _SUFFIXES:  # what SQLite keeps beside it may have been planted, too
            is_private_file(f"{database}{suffix}")
        header = read_private(database, 0, _HEADER.size)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ConfigurationError(f"{database} cannot be used: {error.strerror or error}") from None
    if not header:
        return 0
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise ConfigurationError(f"{database} is not a database; it was not changed")
    _, version, application = _HEADER.unpack(header)
    if application != _APPLICATION_ID:
        raise ConfigurationError(f"{database} is a database of another program; it was not changed")
    if not 1 <= version <= SCHEMA_VERSION:
        raise ConfigurationError(f"{database} has schema version {version}; this steplog supports {SCHEMA_VERSION}")
    return int(version)


def _make_tables(connection: SqliteConnection) -> None:
    # Before WAL, so that the header identifies the file as soon as it exists.
    new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    version = 0 if new else connection.execute("PRAGMA user_version").fetchone()[0]
    if new:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is in it
    if version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if new:
            made = (_TABLES, KEYS, SESSIONS, RUNS, RUNNING, STARTED, VIEWS, LOG, LIFE, MEMBERS, FILES)
            execute_all(connection, "".join(made))
            connection.execute("INSERT INTO about VALUES ('instance', ?)", (uuid.uuid4().hex,))
        for step in () if new else range(version, SCHEMA_VERSION):
            UPGRADES[step](connection)
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
