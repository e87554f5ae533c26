"""Opens a store, or its packer. Alone outside their folders to name the engines; imports one when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from steplog.errors import ConfigurationError
from steplog.server.store import Store
from steplog.server.store_place import Place, shown_place
from steplog.server.store_types import DatabaseCopy

__all__ = ["Packer", "back_up", "compact", "file_id", "open_packer", "open_store"]


class Packer(Protocol):
    """Packs what a store has logged."""

    def work(self) -> bool:
        """Pack until nothing is due; whether less urgent work is left. Raises StoreError."""


def open_store(place: Place, *, beside: bool = False) -> Store:
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


def open_packer(place: Place, opened: str, say: Callable[[str], None]) -> Packer:
    """A packer beside the server of a store, whose ``file_id`` is ``opened``; ``say`` takes lines for a person.

    Raises StoreError.
    """
    if isinstance(place, str):
        from steplog.server.postgresql.packer import Packer

        return Packer(place, say)
    from steplog.server.sqlite import packer

    return packer.Packer(place, opened, say)


def file_id(place: Place) -> str:
    """Which file is at this path; "" of a URL, where no other database can take its place. Raises OSError."""
    if isinstance(place, str):
        return ""
    from steplog.server.sqlite import packer

    return packer.file_id(place)


def back_up(place: Place, target: Path) -> DatabaseCopy:
    """Copy a database into a new file, whether or not its server runs.

    Raises ConfigurationError where the target exists or the database does not, StoreError, OSError.
    """
    if isinstance(place, str):
        raise ConfigurationError(f"{shown_place(place)} is copied by pg_dump. Type: pg_dump -Fc -f {target} URL")
    from steplog.server.sqlite import backup

    return backup.back_up(place, target)


def compact(place: Place) -> DatabaseCopy:
    """Rewrite a database whose server does not run, without the room that is free in it.

    Raises ConfigurationError, StoreError, OSError.
    """
    if isinstance(place, str):
        raise ConfigurationError(f"{shown_place(place)} needs none of this: PostgreSQL's autovacuum does it")
    from steplog.server.sqlite import backup

    return backup.compact(place)
