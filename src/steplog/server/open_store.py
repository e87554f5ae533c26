"""Opens a store, or its packer. Alone outside their folders to name the engines; imports one when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from steplog.errors import ConfigurationError
from steplog.server.store import Store
from steplog.server.store_place import Place, shown_place
from steplog.server.store_types import DatabaseCopy

if TYPE_CHECKING:
    from steplog.server.moving import Moved

__all__ = [
    "Packer",
    "back_up",
    "compact",
    "file_id",
    "migrate",
    "move",
    "open_packer",
    "open_store",
    "schema_versions",
]


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
        with _driver_needed():
            from steplog.server.postgresql.store import PostgresqlStore
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
        with _driver_needed():
            from steplog.server.postgresql import administration
        return administration.back_up(place, target)
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


def schema_versions(place: Place) -> tuple[int, int]:
    """Which version a database has (0: none), and which this steplog takes. Raises ConfigurationError, StoreError."""
    if isinstance(place, str):
        with _driver_needed():
            from steplog.server.postgresql import administration
            from steplog.server.postgresql.schema import SCHEMA_VERSION
        return administration.schema_version(place), SCHEMA_VERSION
    from steplog.server.sqlite import schema

    if not (version := schema.schema_version(place)):
        schema.open_existing(place).close()  # says that it is missing
    return version, schema.SCHEMA_VERSION


def migrate(place: Place) -> None:
    """Upgrade a database to the present version; PostgreSQL: make its tables. Raises ConfigurationError, StoreError."""
    if isinstance(place, str):
        with _driver_needed():
            from steplog.server.postgresql import administration
        administration.migrate(place)
        return
    from steplog.server.sqlite import schema

    schema.open_existing(place).close()


def move(database: Path, url: str, say: Callable[[str], None]) -> Moved:
    """Move a database into an empty one of PostgreSQL (see ``moving``). Raises ConfigurationError, StoreError."""
    with _driver_needed():
        from steplog.server import moving
    return moving.move(database, url, say)


@contextmanager
def _driver_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"{error}. Type: pip install 'steplog[postgres]'") from None
