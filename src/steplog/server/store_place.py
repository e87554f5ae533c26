"""Where a store is: a file, or the URL of a PostgreSQL database.

A URL may have a password. It is passed on in the environment alone, and never shown: what is printed, logged, told to
clients or raised has ``shown_place``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from steplog import instance
from steplog.errors import ConfigurationError

__all__ = ["STORE_VARIABLE", "Place", "default_database", "place_of", "shown_place"]

STORE_VARIABLE = "STEPLOG_STORE"
Place: TypeAlias = Path | str
_SCHEMES = "postgresql://", "postgres://"
_SHOWN = {"host", "port", "user", "dbname", "service"}  # of what may come after a URL's question mark


def place_of(database: Path | None, store: str | None) -> Place:
    """The place that these name, a URL before a file; without both, this user's own file. Raises ConfigurationError."""
    if store is None:
        return database or default_database()
    if not store.startswith(_SCHEMES):
        raise ConfigurationError("a store is named by postgresql://USER@HOST/DATABASE. Type for a file: --db FILE")
    return store


def default_database() -> Path:
    """The database of a server that is started without naming one."""
    return instance.state_path().with_name("server.db")


def shown_place(place: Place) -> str:
    """A place without its password."""
    if isinstance(place, Path):
        return str(place)
    # From the last @ on, since a password may have any other character that should have been escaped, and was not.
    credentials, at, rest = place.partition("://")[2].rpartition("@")
    server, _, parameters = rest.partition("?")
    kept = [each for each in parameters.split("&") if each.partition("=")[0] in _SHOWN]
    return f"postgresql://{credentials.partition(':')[0]}{at}{server}{'?' if kept else ''}{'&'.join(kept)}"
