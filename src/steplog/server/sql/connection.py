"""The connections that the statements of this folder run on, of either engine (DB-API 2.0, PEP 249).

Statements are written as SQLite takes them: ``?`` or ``:name`` for a value. What is in brackets is left out for SQLite,
where a series belongs to one run and its number says it all; in PostgreSQL a table of points is keyed by run first::

    SELECT count FROM chunks WHERE [run = :run AND] id >= :first AND id < :end

A *cell* is a value of a column that holds numbers, texts and bytes (``records.cells``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from steplog.records.cells import Cell
from steplog.server.sql.dialect import Dialect

__all__ = ["NO_LIMIT", "Connection", "Cursor", "Snapshot", "Values", "transaction"]

NO_LIMIT = 2**63 - 1  # for LIMIT, which SQLite wants before OFFSET

Values = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """The rows of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows a statement has changed."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None:
        """Read no more of them."""


class Connection(Protocol):
    """A connection in autocommit mode, for one thread at a time."""

    @property
    def Error(self) -> type[Exception]:  # noqa: N802 - as DB-API has it
        """What an engine's errors are instances of."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and not ended."""

    def execute(self, statement: str, values: Values = (), /) -> Cursor:
        """Run a statement."""

    def executemany(self, statement: str, values: Iterable[Values], /) -> Cursor:
        """Run a statement with each of these values."""

    def begin(self, *, writes: bool, isolated: bool = True) -> None:
        """Begin a transaction: a snapshot to read, or one that writes.

        One that writes may have to be made again where others write what it reads. If it is not ``isolated``, each
        statement sees what was committed before it, as far as other writers are let in at all.
        """

    @property
    def dialect(self) -> Dialect:
        """What its statements spell in its engine's way."""

    def cell(self, value: Cell | None) -> Any:
        """A cell, as a value of a statement."""

    def among(self, values: Sequence[int] | Sequence[str] | Sequence[bytes]) -> tuple[str, tuple[Any, ...]]:
        """A condition that what is before it is one of these, and the values of its question marks.

        At most 500 of bytes.
        """


Snapshot = Callable[[], AbstractContextManager[Connection]]


@contextmanager
def transaction(connection: Connection, *, writes: bool, isolated: bool = True) -> Iterator[None]:
    """A transaction that is rolled back where the block raises."""
    connection.begin(writes=writes, isolated=isolated)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
