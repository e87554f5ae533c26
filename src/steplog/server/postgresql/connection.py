"""The connection to PostgreSQL that the statements of ``sql`` run on.

1. Statements are translated into psycopg's notation once, and kept.
2. Integers are bigint, whatever their size, so that a statement is prepared once. Results come in PostgreSQL's binary
   format: data is not made into hexadecimal digits.
3. A cell is the type ``cell`` (see schema): its kind, a number, and the bytes of a text or of JSON. It sorts as SQLite
   sorts a column without a type: numbers, texts, bytes. A number with a digit after its point is a float.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, cast

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import DecimalBinaryDumper, Int8BinaryDumper, NumericBinaryLoader

from steplog.records.cells import Cell
from steplog.server.postgresql import texts
from steplog.server.postgresql.dialect import POSTGRESQL
from steplog.server.sql.connection import Cursor, Values

__all__ = ["PostgresqlConnection", "adapt", "translated"]

_INT2, _NUMERIC, _BYTEA = 21, 1700, 17  # types, as PostgreSQL numbers them
_NUMBER, _TEXT, _BYTES = range(3)  # kinds of cells
_HEAD = struct.Struct("!iIih")  # of a record: fields; the first field's type and length, and its value
_FIELD = struct.Struct("!Ii")
_TOKENS = re.compile(r"""('(?:[^']|'')*'|"[^"]*")|\[|\]|::|\?|:([a-z_]+)|%|INDEXED BY [a-z_]+""")

_load_decimal = NumericBinaryLoader(_NUMERIC).load
_dump_decimal = DecimalBinaryDumper(Decimal).dump


class _Cell(NamedTuple):
    value: Cell


class PostgresqlConnection:
    """As ``sql.connection`` has it, on a connection of psycopg in autocommit mode that was adapted."""

    Error = psycopg.Error
    dialect = POSTGRESQL

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self._connection.info.transaction_status != TransactionStatus.IDLE

    def execute(self, statement: str, values: Values = (), /) -> Cursor:
        """Run a statement."""
        return self._connection.execute(translated(statement), values, binary=True)

    def executemany(self, statement: str, values: Iterable[Values], /) -> Cursor:
        """Run a statement with each of these values."""
        cursor = self._connection.cursor()
        cursor.executemany(translated(statement), values)
        return cursor

    def begin(self, *, writes: bool, isolated: bool = True) -> None:
        """Begin a transaction."""
        kind = (b"SERIALIZABLE" if isolated else b"READ COMMITTED") if writes else b"REPEATABLE READ READ ONLY"
        self._connection.execute(b"BEGIN ISOLATION LEVEL " + kind)

    def cell(self, value: Cell | None) -> Any:
        """A cell, as a value of a statement."""
        return None if value is None else _Cell(value)

    def among(self, values: Sequence[int] | Sequence[str] | Sequence[bytes]) -> tuple[str, tuple[Any, ...]]:
        """A condition that what is before it is one of these, and the values of its question marks."""
        return "= ANY(?)", (list(values),)


@lru_cache(4096)
def translated(statement: str) -> bytes:
    """A statement of ``sql`` in psycopg's notation, with what is in brackets, without SQLite's hints."""

    def token(found: re.Match[str]) -> str:
        text, name = found[0], found[2]
        if name:
            return f"%({name})s"
        if found[1]:
            return text.replace("%", "%%")
        if text.startswith("INDEXED"):
            return ""
        return {"[": "", "]": "", "?": "%s", "%": "%%"}.get(text, text)

    return _TOKENS.sub(token, statement).encode()


def adapt(connection: psycopg.Connection[Any]) -> None:
    """Register how values travel, once its tables are there."""
    adapters = connection.adapters
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_loader("numeric", _NumberLoader)
    texts.register(adapters)
    found = connection.execute("SELECT to_regtype('cell')::oid::bigint").fetchone()
    if found is not None and found[0] is not None:
        adapters.register_dumper(_Cell, type("_CellDumper", (_CellDumper,), {"oid": found[0]}))
        adapters.register_loader(found[0], _CellLoader)


def _number(found: Decimal) -> int | float:
    """What was stored: an integer has no digit after its point."""
    if not found.is_finite():
        return float(found)
    exponent = found.as_tuple().exponent
    return int(found) if isinstance(exponent, int) and exponent >= 0 else float(found)


def _decimal(number: int | float) -> Decimal:
    if isinstance(number, int):
        return Decimal(number)
    found = Decimal(repr(number))
    if math.isfinite(number) and cast(int, found.as_tuple().exponent) >= 0:
        return Decimal(f"{found:f}.0")
    return found


class _NumberLoader(Loader):
    """Loads numeric, which sums of integers are, as int or float."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int | float:
        return _number(_load_decimal(data))


class _CellDumper(Dumper):
    format = Format.BINARY

    def dump(self, cell: _Cell) -> bytes:
        (value,) = cell
        if isinstance(value, (int, float)):
            number, words, kind = bytes(_dump_decimal(_decimal(value)) or b""), None, _NUMBER
        else:
            number, words = None, value if isinstance(value, bytes) else value.encode()
            kind = _BYTES if isinstance(value, bytes) else _TEXT
        return _HEAD.pack(3, _INT2, 2, kind) + _field(_NUMERIC, number) + _field(_BYTEA, words)


class _CellLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Cell:
        data = bytes(data)
        kind, at = _HEAD.unpack_from(data)[-1], _HEAD.size
        _, size = _FIELD.unpack_from(data, at)
        at += _FIELD.size
        if kind == _NUMBER:
            return _number(_load_decimal(data[at : at + size]))
        words = data[at + _FIELD.size :]
        return words if kind == _BYTES else words.decode()


def _field(kind: int, value: bytes | None) -> bytes:
    return _FIELD.pack(kind, -1) if value is None else _FIELD.pack(kind, len(value)) + value
