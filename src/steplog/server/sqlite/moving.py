"""A database that is copied into another while its server runs, and at last without it, in ``server.moving``.

1. What is read for one transaction of the other database is one snapshot, which is held for no longer.
2. A run's *state* is another after each change of it that its server, its packer or a command makes.
3. Once it is moved, ``about.moved_to`` says where to: nobody opens it again as a server or to change it.
"""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from steplog.errors import ConfigurationError
from steplog.server.sql import summaries, table
from steplog.server.sql.chunk_ids import SERIES_SHIFT
from steplog.server.sql.connection import transaction
from steplog.server.sql.moving import RunTable
from steplog.server.sqlite import filling
from steplog.server.sqlite.schema import SCHEMA_VERSION, connect, open_existing, prepare, schema_version, store_error

__all__ = ["Source"]

_STATES = """
SELECT r.*, p.*, m.*, (SELECT max(number) FROM files WHERE run = r.id) FROM runs r
LEFT JOIN progress p ON p.run = r.id LEFT JOIN (
    SELECT run, count(*), sum(mark & 4294967295), sum(mark >> 32), max(generation), max(said) FROM marks GROUP BY run
) m ON m.run = r.id ORDER BY r.id
"""
_MISSING_SUMMARY = f"""
SELECT 1 FROM series s WHERE
    (SELECT max(id) FROM chunks WHERE id >= s.id << {SERIES_SHIFT} AND id < s.id + 1 << {SERIES_SHIFT})
    >= (s.id << {SERIES_SHIFT}) + coalesce((SELECT number + chunks FROM summaries
        WHERE series = s.id AND level = 1 ORDER BY number DESC LIMIT 1), 0) LIMIT 1
"""  # noqa: S608 - a constant
_SEQUENCES = "SELECT name, seq FROM sqlite_sequence"


class Source:
    """A database that exists, whether or not its server runs; for one thread.

    Attributes:
        path: its file.
        instance: its id.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises ConfigurationError where it is missing, or has another version than this one's."""
        self.path = path
        if 0 < (version := schema_version(path)) < SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} has schema version {version}, of an older steplog. Stop its server and type: steplog db"
                f" migrate --db {shlex.quote(str(path))}; then start it again, with this version"
            )
        self._connection = open_existing(path, upgrade=False)
        self.instance = self._about()["instance"]
        self._unfinished = True  # until it is known

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    @property
    def moved_to(self) -> str | None:
        """Where it was moved to, if it was."""
        return self._about().get("moved_to")

    def is_unfinished(self) -> bool:
        """Whether its server is still adding what an older version did not write."""
        if self._unfinished:
            with self.snapshot():
                missing = self._connection.execute(_MISSING_SUMMARY).fetchone()
                self._unfinished = missing is not None or table.unfilled(self._connection) is not None
        return self._unfinished

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read in the block is of one moment. In ``alone`` it always is."""
        if self._connection.in_transaction:
            yield
            return
        try:
            with transaction(self._connection, writes=False):
                yield
        except sqlite3.Error as error:
            raise store_error(error) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else has it open as a server, nor writes to it; raises DatabaseInUseError where one has.

        What the block writes is committed at its end.
        """
        self._connection.close()  # whoever takes the lock in vain drops SQLite's locks in this process
        try:
            lock = prepare(self.path, moved=True)
            try:
                with closing(connect(self.path, existing=True)) as self._connection:
                    if self._about()["instance"] != self.instance:
                        raise ConfigurationError(f"{self.path} was replaced by another database; type the same again")
                    if self.is_unfinished():
                        self._finish()
                    with transaction(self._connection, writes=True):
                        yield
            finally:
                lock.release()
        except sqlite3.Error as error:
            raise store_error(error) from error
        finally:
            self._connection = open_existing(self.path, upgrade=False)

    def mark_moved(self, place: str) -> None:
        """In ``alone``, say where it was moved to."""
        self._connection.execute("INSERT OR REPLACE INTO about VALUES ('moved_to', ?)", (place,))

    def _about(self) -> dict[str, str]:
        return dict(self._connection.execute("SELECT name, value FROM about"))

    def about(self) -> dict[str, str]:
        """What is said of the database as a whole, but for what only its file is concerned with."""
        mine = ("moved_to", "summaries_below", "summaries_slices")
        return {name: value for name, value in self._about().items() if name not in mine}

    def states(self) -> dict[int, str]:
        """The state of each run."""
        return {row[0]: _digest(row) for row in self._connection.execute(_STATES)}

    def sizes(self) -> dict[int, int]:
        """How many points of each run have arrived."""
        return dict(self._connection.execute("SELECT run, arrivals FROM progress"))

    def projects(self) -> dict[int, int]:
        """The project of each run."""
        return dict(self._connection.execute("SELECT id, project FROM runs"))

    def tables(self) -> dict[str, list[str]]:
        """The columns of each table."""
        found = self._connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid"
        )
        columns: dict[str, list[str]] = {}
        for name, column in found:
            columns.setdefault(name, []).append(column)
        return columns

    def sequences(self) -> dict[str, int]:
        """The largest id that each table has ever had, of those whose ids are not used again."""
        return dict(self._connection.execute(_SEQUENCES))

    def count(self, name: str) -> int:
        """The rows of a table."""
        return int(self._connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608 - a constant

    def rows(self, name: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """All rows of a table of the catalogue."""
        listed = ", ".join(f'"{column}"' for column in columns)
        return self._read(f"SELECT {listed} FROM {name}", {})  # noqa: S608 - constants

    def run_rows(self, of: RunTable, run_id: int, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a run."""
        return self._read(f"SELECT {_listed(columns)} FROM {of.origin}", {"run": run_id})  # noqa: S608 - constants

    def row(self, of: RunTable, run_id: int, key: Sequence[int], columns: Sequence[str]) -> tuple[Any, ...] | None:
        """The row of a key; None if it is gone."""
        values = {"run": run_id, **dict(zip(of.key, key, strict=True))}
        return next(self._read(f"SELECT {_listed(columns)} FROM {of.row}", values), None)  # noqa: S608 - constants

    def _read(self, statement: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _finish(self) -> None:
        """Add what an older version did not write, as its packer would; runs that were copied before would lack it."""
        connection = self._connection
        while (missing := summaries.find_missing(connection)) is not None:
            with transaction(connection, writes=True):
                summaries.add_missing(connection, missing)
        is_unfilled = True
        while is_unfilled:
            with transaction(connection, writes=True):
                is_unfilled = filling.fill(connection)


def _listed(columns: Sequence[str]) -> str:
    """Columns of ``t``; ``length(…)`` of one is its size, and every row has its run."""
    return ", ".join(":run" if column == "run" else _column(column) for column in columns)


def _column(name: str) -> str:
    is_size = name.startswith("length(")
    return f"length(t.{name[7:-1]})" if is_size else f't."{name}"'


def _digest(row: tuple[Any, ...]) -> str:
    return hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
