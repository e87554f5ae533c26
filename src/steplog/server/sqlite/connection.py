"""The connection to an SQLite file that the statements of ``sql`` run on."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from steplog.records.cells import Cell
from steplog.server.sql.connection import Values

__all__ = ["SqliteConnection"]

_BRACKETS = re.compile(r"\[[^\]]*\]")


class SqliteConnection(sqlite3.Connection):
    """As ``sql.connection`` has it."""

    def execute(self, statement: str, values: Values = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        """Run a statement."""
        return super().execute(_without_brackets(statement), values)

    def executemany(self, statement: str, values: Iterable[Values], /) -> sqlite3.Cursor:  # type: ignore[override]
        """Run a statement with each of these values."""
        return super().executemany(_without_brackets(statement), values)

    def begin(self, *, writes: bool, isolated: bool = True) -> None:
        """Begin a transaction; one that writes waits for the other writer."""
        super().execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    def cell(self, value: Cell | None) -> Any:
        """A cell: SQLite's columns take any type."""
        return value


@lru_cache(4096)
def _without_brackets(statement: str) -> str:
    return _BRACKETS.sub("", statement)
