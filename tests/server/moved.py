"""All that two databases have, to compare one that was moved with where it was moved to; read without ``moving``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from steplog.server.postgresql.connection import adapt
from steplog.server.postgresql.schema import TURNS
from steplog.server.sqlite.schema import connect

__all__ = ["file_contents", "store_contents"]

Contents = dict[str, list[str]]

_OF_FILE = ("filling",)  # what only an older database of SQLite has
_OF_SERVERS = {"changes", *(f"turns_{number}" for number in range(TURNS))}  # what several servers of PostgreSQL have
_VERSIONS = ("packs",)  # columns
_ABOUT = ("schema", "moved_to", "summaries_below", "summaries_slices")
# In SQLite these have no column for the run.
_WITH_RUN = {
    "chunks": "SELECT s.run, t.* FROM chunks t JOIN series s ON s.id = t.id >> 32",
    "points": "SELECT s.run, t.* FROM points t JOIN series s ON s.id = t.id >> 32",
    "summaries": "SELECT s.run, t.* FROM summaries t JOIN series s ON s.id = t.series",
    "log": "SELECT run, first_arrival, records, bytes, names, body FROM log",
}


def file_contents(database: Path) -> Contents:
    """The rows of each table of SQLite."""
    with closing(connect(database, existing=True)) as connection:
        listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        names = [name for (name,) in connection.execute(listed) if name not in _OF_FILE]
        return {name: _rows(name, connection.execute(_WITH_RUN.get(name, f"SELECT * FROM {name}"))) for name in names}


def store_contents(url: str) -> Contents:
    """The same of PostgreSQL."""
    with psycopg.connect(url, autocommit=True) as connection:
        adapt(connection)
        listed = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        names = [name for (name,) in connection.execute(listed).fetchall() if name not in {*_OF_FILE, *_OF_SERVERS}]
        return {name: _rows(name, connection.execute(f"SELECT * FROM {name}".encode(), binary=True)) for name in names}


def _rows(name: str, cursor: Any) -> list[str]:
    columns = [column[0] for column in cursor.description]
    rows: Iterable[tuple[Any, ...]] = cursor.fetchall()
    pairs = (zip(columns, row, strict=True) for row in rows)
    made = ({column: value for column, value in pair if column not in _VERSIONS} for pair in pairs)
    kept = (row for row in made if name != "about" or row["name"] not in _ABOUT)
    return sorted(repr(sorted(row.items())) for row in kept)
