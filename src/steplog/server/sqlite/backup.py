"""Copies of a database: backups beside its server, and one that takes its place without the room that is free in it.

1. A copy is one snapshot, in a new file (``new_file``).
2. A backup waits for nobody, and nobody waits for it. What is committed meanwhile stays in the write-ahead log until it
   ends, which is larger by that.
3. A copy can give room back (see free_pages), whichever version made its database. It is of the same version.
4. A database is only replaced while nobody else has it open, and when nothing of it is in a log.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.server import new_file
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.schema import connect, open_existing, prepare, store_error
from steplog.server.store_types import DatabaseCopy

__all__ = ["back_up", "compact"]


def back_up(database: Path, target: Path) -> DatabaseCopy:
    """Copy a database, whether or not its server runs.

    Raises ConfigurationError where the target exists or the database does not, StoreError, OSError.
    """
    target = target.absolute()
    new_file.check_free(target)
    with closing(open_existing(database, upgrade=False)) as connection, _copied(connection, target) as scratch:
        new_file.give_name(scratch, target)
    return _described(target)


def compact(database: Path) -> DatabaseCopy:
    """Replace a database without a server by a copy of itself. Raises ConfigurationError, StoreError, OSError."""
    open_existing(database).close()
    lock = prepare(database)
    path = Path(os.path.realpath(database))
    try:
        with closing(connect(path)) as connection:
            _take_alone(connection, database)
            with _copied(connection, path) as scratch:
                new_file.replace(scratch, path)
    finally:
        lock.release()
    return _described(path)


def _take_alone(connection: SqliteConnection, database: Path) -> None:
    """Keep others from opening it, and leave it without a log, which closing it would remove by its name."""
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.Error as error:
        raise store_error(error) from None
    if mode != "delete":
        raise ConfigurationError(f"{database} is open in another program; it was not changed")


@contextlib.contextmanager
def _copied(connection: SqliteConnection, target: Path) -> Iterator[Path]:
    """A copy in the target's directory, which the block gives its name."""
    with new_file.scratch_file(target) as scratch:
        try:
            if connection.execute("PRAGMA auto_vacuum").fetchone() == (0,):
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of the copy; of this one, it would be a commit
            _vacuum_into(connection, scratch)
            yield scratch
        except sqlite3.Error as error:
            raise store_error(error) from None
        finally:
            scratch.with_name(f"{scratch.name}-journal").unlink(missing_ok=True)


def _vacuum_into(connection: SqliteConnection, scratch: Path) -> None:
    """In a thread, since a signal would find this one in SQLite until all is copied."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(connection.execute, "VACUUM INTO ?", (str(scratch),))
        try:
            done.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _described(copy: Path) -> DatabaseCopy:
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    return DatabaseCopy(str(copy), copy.stat().st_size, runs)
