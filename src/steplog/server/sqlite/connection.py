"""The connection to an SQLite file that the statements of ``sql`` run on."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from steplog.records.cells import Cell, cell_of, entries
from steplog.server.sql.connection import Values
from steplog.server.sqlite.dialect import SQLITE

__all__ = ["SqliteConnection"]

_BRACKETS = re.compile(r"\[[^\]]*\]")
_MARKS_MAX = 500


class SqliteConnection(sqlite3.Connection):
    """As ``sql.connection`` has it, with functions of Python's."""

    dialect = SQLITE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As ``sqlite3.connect`` does it."""
        super().__init__(*args, **kwargs)
        for name, arguments, function in _FUNCTIONS:
            self.create_function(name, arguments, function, deterministic=True)

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

    def among(self, values: Sequence[int] | Sequence[str] | Sequence[bytes]) -> tuple[str, tuple[Any, ...]]:
        """A condition that what is before it is one of these, and the values of its question marks."""
        if len(values) > _MARKS_MAX:
            return "IN (SELECT value FROM json_each(?))", (json.dumps(list(values)),)
        return f"IN ({', '.join('?' * len(values))})", tuple(values)


@lru_cache(4096)
def _without_brackets(statement: str) -> str:
    return _BRACKETS.sub("", statement)


_FUNCTIONS: Sequence[tuple[str, int, Callable[..., Any]]] = (
    ("folded", 1, str.casefold),
    ("cell_of", 1, cell_of),  # the others for an older database
    ("entry_of", 3, lambda key, text, entry: entries(key, text).get(entry)),
)
