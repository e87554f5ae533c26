"""Opens a store. Alone outside their folders to name the engines; imports one when it is asked for."""

from __future__ import annotations

from pathlib import Path

from steplog import instance
from steplog.server.store import Store
from steplog.server.store_types import DatabaseCopy

__all__ = ["back_up", "compact", "default_database", "open_store"]


def open_store(database: Path, *, beside: bool = False) -> Store:
    """Open or create a store as its server; ``beside``, one that exists, whether or not its server runs.

    Raises ConfigurationError if it is in use, missing, or not one of steplog's.
    """
    from steplog.server.sqlite.store import SqliteStore

    return SqliteStore(database, beside=beside)


def back_up(database: Path, target: Path) -> DatabaseCopy:
    """Copy a database into a new file, whether or not its server runs.

    Raises ConfigurationError where the target exists or the database does not, StoreError, OSError.
    """
    from steplog.server.sqlite import backup

    return backup.back_up(database, target)


def compact(database: Path) -> DatabaseCopy:
    """Rewrite a database whose server does not run, without the room that is free in it.

    Raises ConfigurationError, StoreError, OSError.
    """
    from steplog.server.sqlite import backup

    return backup.compact(database)


def default_database() -> Path:
    """The database of a server that is started without naming one."""
    return instance.state_path().with_name("server.db")
