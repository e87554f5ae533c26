"""A table of columns: plain Python by itself, Arrow for who asks by the PyCapsule protocol. Pure.

https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html

=====  ==========================================  =============================  ==============================
kind   ``values`` of a column                      Arrow                          in plain Python
=====  ==========================================  =============================  ==============================
f8     float64: a buffer, or floats                float64                        float
i8     int64: a buffer, or integers                int64                          int
time   int64, ns since the epoch                   timestamp[ns, UTC]             datetime in UTC, to the µs
text   str                                         utf8                           str
json   bytes, a JSON text each                     utf8, field metadata           what it says
                                                   ``steplog:type: json``
bool   a byte a row, or bools                      bool                           bool
texts  sequences of str                            list<utf8>                     list of str
=====  ==========================================  =============================  ==============================

1. A missing value is null in Arrow and None in plain Python; NaN is a value, and stays one.
2. Buffers of numbers are kept and handed out as they are. They must not change once a table has them.
3. A table is of one or several batches, of the same columns each, whose rows follow one another.
"""

from __future__ import annotations

import datetime
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from steplog.column_format import json_value
from steplog.printable import printable
from steplog.reading.arrow_data import ArrowData

__all__ = ["ArrowColumn", "ArrowTable", "column_of"]

_TYPECODES = {"f8": "d", "i8": "q", "time": "q"}
_KINDS = (*_TYPECODES, "text", "json", "bool", "texts")
_MISSING: Mapping[str, Any] = {"f8": 0.0, "i8": 0, "time": 0, "text": "", "json": b"", "bool": False, "texts": ()}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_NAMES_SHOWN = 8


class ArrowColumn(NamedTuple):
    """A column; ``kind`` says what ``values`` are.

    Attributes:
        valid: a byte a row, 1 where there is a value, else 0; None: everywhere. What ``values`` has where there is none
            does not count.
    """

    name: str
    kind: str
    values: Sequence[Any]
    valid: bytes | bytearray | None = None


def column_of(name: str, kind: str, values: Sequence[Any]) -> ArrowColumn:
    """A column of values some of which are None: those are missing."""
    if None not in values:
        return ArrowColumn(name, kind, values)
    missing = _MISSING[kind]
    valid = bytes(value is not None for value in values)
    return ArrowColumn(name, kind, [missing if value is None else value for value in values], valid)


class ArrowTable:
    """Columns of one length.

    pandas, polars, DuckDB and pyarrow take it as it is, by Arrow's PyCapsule protocol, which hands out numbers where
    they are. ``rows()``, ``to_dict()`` and ``table[name]`` need none of them. Iterating gives a dict a row.

        table = run.history(["loss", "accuracy"])
        frame = pandas.DataFrame.from_arrow(table)  # or polars.DataFrame(table), pyarrow.table(table)
        table["loss"]

    A missing value is null, or None in plain Python; NaN is a value.
    """

    __slots__ = ("_batches", "_kinds", "_length")

    def __init__(self, columns: Sequence[ArrowColumn], *more: Sequence[ArrowColumn]) -> None:
        """Internal: ``more`` are further rows of the same columns. Raises ValueError where the columns do not fit."""
        self._batches: list[list[ArrowColumn]] = []
        self._kinds = {column.name: column.kind for column in columns}
        self._length = 0
        if len(self._kinds) < len(columns):
            raise ValueError(f"two columns of one name: {[column.name for column in columns]}")
        if not set(self._kinds.values()) <= set(_KINDS):
            raise ValueError(f"a kind is one of {', '.join(_KINDS)}: {self._kinds}")
        for batch in (columns, *more):
            made = [_as_stored(column) for column in batch]
            if [(column.name, column.kind) for column in made] != list(self._kinds.items()):
                raise ValueError(f"batches of different columns: {self._kinds}")
            lengths = {column.name: len(column.values) for column in made}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"columns of different lengths: {lengths}")
            if any(column.valid is not None and len(column.valid) != len(column.values) for column in made):
                raise ValueError("valid has a byte a row")
            self._length += next(iter(lengths.values()), 0)
            self._batches.append(made)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in their order."""
        return tuple(self._kinds)

    def batches(self) -> Sequence[Sequence[ArrowColumn]]:
        """Internal: the columns as they are kept, of some rows after the other."""
        return self._batches

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._batches:
            for row in zip(*map(_plain, batch), strict=True):
                yield dict(zip(self._kinds, row, strict=True))

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._kinds:
            there = ", ".join(map(repr, self._kinds)) or "none"
            raise KeyError(f"there is no column {name!r}; the columns: {there}")
        at = self.columns.index(name)
        return [value for batch in self._batches for value in _plain(batch[at])]

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __repr__(self) -> str:
        shown = [f"{printable(name)} {kind}" for name, kind in list(self._kinds.items())[:_NAMES_SHOWN]]
        if len(self._kinds) > _NAMES_SHOWN:
            shown.append(f"{len(self._kinds) - _NAMES_SHOWN:,} more")
        return f"<ArrowTable, {self._length:,} row{'s' * (self._length != 1)}: {', '.join(shown) or 'no columns'}>"

    def __reduce__(self) -> tuple[type[ArrowTable], tuple[list[ArrowColumn], ...]]:
        return ArrowTable, tuple([_as_pickled(column) for column in batch] for batch in self._batches)

    def rows(self) -> list[dict[str, Any]]:
        """A dict a row. Iterating over the table gives the same, one after the other."""
        return list(self)

    def to_dict(self) -> dict[str, list[Any]]:
        """A list a column."""
        return {name: self[name] for name in self._kinds}

    def __arrow_c_schema__(self) -> object:
        return ArrowData().schema(self._kinds).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The types are the table's own, also where others are asked for, as the protocol allows."""
        return ArrowData().stream(self._kinds, self._batches).__arrow_c_stream__()


def _as_stored(column: ArrowColumn) -> ArrowColumn:
    """Numbers and bools as a buffer, without a copy where they are one of the right kind."""
    values, kind = column.values, column.kind
    if kind == "bool" and not isinstance(values, (bytes, bytearray)):
        return column._replace(values=bytes(map(bool, values)))
    typecode = _TYPECODES.get(kind)
    if typecode is None:
        return column
    if isinstance(values, array) and values.typecode == typecode:
        return column
    if isinstance(values, memoryview) and values.c_contiguous and values.ndim == 1:
        wanted = "d" if typecode == "d" else "ql"
        if values.format in wanted and values.itemsize == 8:
            return column
    return column._replace(values=array(typecode, values))


def _as_pickled(column: ArrowColumn) -> ArrowColumn:
    """Without views, which cannot be pickled."""
    if isinstance(column.values, memoryview):
        return column._replace(values=array(_TYPECODES[column.kind], column.values.tobytes()))
    return column


def _datetime(nanoseconds: int) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "time": _datetime,
    "bool": bool,
    "json": json_value,
    "texts": list,
}


def _plain(column: ArrowColumn) -> list[Any]:
    values: list[Any] = column.values.tolist() if isinstance(column.values, memoryview) else list(column.values)
    convert, valid = _PLAIN.get(column.kind), column.valid
    if valid is None:
        return values if convert is None else list(map(convert, values))
    if convert is None:
        return [value if there else None for value, there in zip(values, valid, strict=True)]
    return [convert(value) if there else None for value, there in zip(values, valid, strict=True)]
