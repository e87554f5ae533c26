"""Opens a store, or its packer. Alone outside their folders to name the engines; imports one when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.server.store import Store
from steplog.server.store_types import DatabaseCopy

__all__ = ["Packer", "back_up", "compact", "default_database", "file_id", "open_packer", "open_store"]


class Packer(Protocol):
    """Packs what a store has logged."""

    def work(self) -> bool:
        """Pack until nothing is due; whether less urgent work is left. Raises StoreError."""


def open_store(place: Path | str, *, beside: bool = False) -> Store:
    """Open or create a store as its server: a file, or the URL of a PostgreSQL database, which others may serve, too.

    ``beside``: a file that exists, whether or not its server runs. Such a store takes no points and deletes nothing:
    the server caches what it knows of runs. Raises ConfigurationError if it is in use, missing, or of another kind.
    """
    if isinstance(place, str):
        try:
            from steplog.server.postgresql.store import PostgresqlStore
        except ImportError as error:
            raise ConfigurationError(f"{error}: type: pip install 'steplog[postgres]'") from None
        return PostgresqlStore(place)
    from steplog.server.sqlite.store import SqliteStore

    return SqliteStore(place, beside=beside)


def open_packer(database: Path, opened: str, say: Callable[[str], None]) -> Packer:
    """A packer beside the server of a store, whose ``file_id`` is ``opened``; ``say`` takes lines for a person.

    Raises StoreError.
    """
    from steplog.server.sqlite import packer

    return packer.Packer(database, opened, say)


def file_id(database: Path) -> str:
    """Which file is at this path. Raises OSError."""
    from steplog.server.sqlite import packer

    return packer.file_id(database)


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
