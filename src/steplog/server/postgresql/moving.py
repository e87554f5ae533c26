"""A database that another one is copied into, by ``server.moving``.

1. Until all is there, ``about.moving_from`` says whose it will be, and no server opens it.
2. ``moving`` has each run that was copied, in the transaction that copied it: its project, and the state that it had.
   Rows that were copied ahead belong to a run that is in ``moving`` without a state.
3. Rows come by COPY, in PostgreSQL's binary format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from steplog.errors import ConfigurationError
from steplog.records.cells import entries
from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.links import check_session, conninfo_of, refused, store_error
from steplog.server.postgresql.schema import prepare
from steplog.server.postgresql.texts import stored
from steplog.server.sql.moving import BY_RUN, CATALOGUE, RunTable

__all__ = ["Target"]

_NUMBERS, _TEXT, _BYTEA = (20, 21, 23), 25, 17  # types, as PostgreSQL numbers them
_NAME = "steplog db move"
_MOVE_LOCK = 0x7374_706C_0001  # of pg_advisory_lock
_KEPT_ABOUT = ("schema", "moving_from")
_COLUMNS = """
SELECT c.relname, a.attname, a.atttypid::bigint FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0
    AND NOT a.attisdropped ORDER BY c.relname, a.attnum
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'steplog' AND pid <> pg_backend_pid()
"""
_FORGET_LASTS = """
DELETE FROM lasts l USING moving m, series s
WHERE m.run = ANY(%(runs)s) AND s.run = m.run AND l.project = m.project AND l.name = s.name AND l.run = m.run
"""
_CONFIG = """
SELECT m.project, c.run, c.key, c.value FROM moving m JOIN config c USING (run)
WHERE m.run = ANY(%(runs)s) AND c.value IS NOT NULL
"""
_NOTE = """
INSERT INTO moving (run, project, state) VALUES (%s, %s, %s)
ON CONFLICT (run) DO UPDATE SET project = excluded.project, state = excluded.state
"""


class Target:
    """A database of PostgreSQL, for one thread.

    Attributes:
        instance: its id.
    """

    def __init__(self, url: str) -> None:
        """Connect, and make its tables where missing. Raises ConfigurationError."""
        try:
            self._connection = psycopg.connect(conninfo_of(url), autocommit=True, application_name=_NAME)
        except psycopg.Error as error:
            raise refused(url, error) from None
        try:
            check_session(self._connection, conninfo_of(url))
            self.instance = prepare(self._connection, is_moving=True)
            self._cells = PostgresqlConnection(self._connection)
            self._types = self._read_columns()
        except psycopg.Error as error:
            self.close()
            raise refused(url, error) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    @property
    def moving_from(self) -> str | None:
        """Whose database is being copied into it; None: none, or all is there."""
        return self._about().get("moving_from")

    def begin(self, instance: str) -> None:
        """Go on with copying from this database, or begin. Raises ConfigurationError where it has others' data."""
        (is_alone,) = self._one("SELECT pg_try_advisory_lock(%s::bigint)", (_MOVE_LOCK,))
        if not is_alone:
            raise ConfigurationError("another steplog db move is copying into this store; it goes on by itself")
        before = self.moving_from
        if before is None and self._is_used():
            raise ConfigurationError(
                "the store has users or runs of its own, and was not changed; a database is moved into an empty one"
            )
        if before not in (None, instance):
            raise ConfigurationError(
                "the store is being filled from another database, and was not changed; move into another one: createdb"
            )
        if self._one(_OTHERS)[0]:
            raise ConfigurationError("a steplog server has this store open; stop it, and type the same again")
        with self.transaction():
            self._connection.execute("INSERT INTO about VALUES ('moving_from', %s) ON CONFLICT DO NOTHING", (instance,))
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS moving (run bigint PRIMARY KEY, project bigint NOT NULL, state text)"
            )

    def finish(self, sequences: Mapping[str, int]) -> None:
        """All is there: let servers open it. Ids go on after those of ``sequences``, and those that are there."""
        with self.transaction():
            for name in sorted(self._types):
                found = self._one("SELECT to_regclass(%s)", (f"{name}_ids",))
                if found[0] is not None:
                    (largest,) = self._one(SQL("SELECT coalesce(max(id), 0) FROM {}").format(Identifier(name)))
                    largest = max(largest, sequences.get(name, 0))
                    self._connection.execute("SELECT setval(%s::regclass, %s, %s)", (
                        f"{name}_ids", max(largest, 1), largest > 0
                    ))  # fmt: skip
            self._connection.execute("DELETE FROM about WHERE name = 'moving_from'")
            self._connection.execute("DROP TABLE moving")
        self._execute("ANALYZE")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, or nothing. Raises StoreError."""
        try:
            with self._connection.transaction():
                yield
        except psycopg.Error as error:
            raise store_error(error) from error

    def columns(self, name: str) -> list[str]:
        """The columns of a table; empty: it has no such table."""
        return list(self._types.get(name, ()))

    def sizes(self, of: RunTable) -> list[str]:
        """What tells a row of a key from another one of it: its numbers, and how long its data is."""
        types = self._types[of.name].items()
        return [f"length({name})" if kind == _BYTEA else name for name, kind in types if kind in (*_NUMBERS, _BYTEA)]

    def states(self) -> dict[int, str | None]:
        """The runs that are there, wholly or in part, and the state that they had when all of them was copied."""
        return dict(self._execute("SELECT run, state FROM moving").fetchall())

    def count(self, name: str) -> int:
        """The rows of a table."""
        return int(self._one(SQL("SELECT count(*) FROM {}").format(Identifier(name)))[0])

    def count_of_runs(self, name: str, run_ids: Sequence[int]) -> int:
        """The rows of these runs."""
        query = SQL("SELECT count(*) FROM {} WHERE run = ANY(%s)").format(Identifier(name))
        return int(self._one(query, (list(run_ids),))[0])

    def with_points(self) -> int:
        """How many runs have points."""
        return int(self._one("SELECT count(*) FROM progress WHERE arrivals > 0")[0])

    def arrivals(self) -> int:
        """How many points have arrived in all runs."""
        return int(self._one("SELECT coalesce(sum(arrivals), 0)::bigint FROM progress")[0])

    def put_about(self, about: Mapping[str, str]) -> None:
        """Set what is said of the database as a whole."""
        self._connection.execute("DELETE FROM about WHERE name <> ALL(%s)", (list(_KEPT_ABOUT),))
        rows = [(name, value) for name, value in about.items() if name not in _KEPT_ABOUT]
        self._connection.cursor().executemany("INSERT INTO about (name, value) VALUES (%s, %s)", rows)

    def clear(self, names: Iterable[str]) -> None:
        """Remove all rows of tables of the catalogue."""
        self._connection.execute(SQL("TRUNCATE {}").format(SQL(", ").join(map(Identifier, names))))

    def copy(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Add rows; how many."""
        types = [self._types[name][column] for column in columns]
        converted = [at for at, kind in enumerate(types) if kind not in (*_NUMBERS, _BYTEA)]
        listed = SQL(", ").join(map(Identifier, columns))
        statement = SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(Identifier(name), listed)
        count = 0
        with self._connection.cursor().copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                values = list(row)
                for at in converted:
                    values[at] = self._converted(values[at], types[at])
                copy.write_row(values)
                count += 1
        return count

    def note(self, states: Iterable[tuple[int, int, str | None]]) -> None:
        """Of runs with their projects, that all of them as of a state is there, or some of them (None)."""
        self._connection.cursor().executemany(_NOTE, list(states))

    def sized(self, of: RunTable, run_ids: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """Of the rows of these runs the run, the key, and ``sizes``."""
        sizes = [_size(column) for column in self.sizes(of)]
        listed = SQL(", ").join([Identifier("run"), *map(Identifier, of.key), *sizes])
        query = SQL("SELECT {} FROM {} WHERE run = ANY(%s)").format(listed, Identifier(of.name))
        with self._connection.cursor("sized") as cursor:
            cursor.itersize = 10_000
            yield from cursor.execute(query, (list(run_ids),))

    def remove_rows(self, of: RunTable, keys: Iterable[tuple[int, ...]]) -> None:
        """Remove rows, each by its run and key."""
        conditions = SQL(" AND ").join(SQL("{} = %s").format(Identifier(name)) for name in ("run", *of.key))
        statement = SQL("DELETE FROM {} WHERE {}").format(Identifier(of.name), conditions)
        self._connection.cursor().executemany(statement, list(keys))

    def remove_runs(self, run_ids: Sequence[int], tables: Sequence[RunTable] = BY_RUN) -> None:
        """Remove what these tables and ``configs`` have of runs that are there."""
        if not run_ids:
            return
        runs = {"runs": list(run_ids)}
        self._connection.execute(_FORGET_LASTS, runs)
        old = self._connection.execute(_CONFIG, runs, binary=True).fetchall()
        keys = [(project, entry, run) for project, run, key, value in old for entry in entries(key, value)]
        self._connection.cursor().executemany("DELETE FROM configs WHERE project = %s AND key = %s AND run = %s", keys)
        for of in tables:
            if of.name != "lasts":
                query = SQL("DELETE FROM {} WHERE run = ANY(%(runs)s)").format(Identifier(of.name))
                self._connection.execute(query, runs)

    def forget_runs(self, run_ids: Sequence[int]) -> None:
        """Runs of which nothing is there any more."""
        self._connection.execute("DELETE FROM moving WHERE run = ANY(%s)", (list(run_ids),))

    def put_configs(self, configs: Iterable[tuple[int, int, str, str | None]]) -> None:
        """Add the entries of the config of runs, given project, run, key and value."""
        rows = (
            (project, entry, run, cell)
            for project, run, key, value in configs
            if value is not None
            for entry, cell in entries(key, value).items()
        )
        self.copy("configs", ("project", "key", "run", "value"), rows)

    def _converted(self, value: Any, kind: int) -> Any:
        if kind == _TEXT:
            return value if value is None else stored(value)
        return self._cells.cell(value)

    def _is_used(self) -> bool:
        names = [name for name in CATALOGUE if name in self._types]
        return any(self._one(SQL("SELECT EXISTS (SELECT FROM {})").format(Identifier(name)))[0] for name in names)

    def _about(self) -> dict[str, str]:
        return dict(self._execute("SELECT name, value FROM about").fetchall())

    def _execute(self, query: str | Composed, values: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        try:
            return self._connection.execute(query.encode() if isinstance(query, str) else query, values or None)
        except psycopg.Error as error:
            raise store_error(error) from error

    def _one(self, query: str | Composed, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        return tuple(self._execute(query, values).fetchone() or ())

    def _read_columns(self) -> dict[str, dict[str, int]]:
        columns: dict[str, dict[str, int]] = {}
        for name, column, kind in self._execute(_COLUMNS).fetchall():
            columns.setdefault(name, {})[column] = kind
        return columns


def _size(column: str) -> Composed:
    if column.startswith("length("):
        return SQL("octet_length({})").format(Identifier(column[7:-1]))
    return SQL("{}").format(Identifier(column))
