"""A page of a table of runs as bytes: JSON, CSV, or columns. Pure.

A row is a run's uuid and a value a column: a number, a text, ``msgspec.Raw`` with JSON text, None for null, or
``MISSING``; NaN and infinities are texts, as in JSON. ``about`` says where the table goes on.

``docs/api.md`` describes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from steplog import column_format
from steplog.column_format import Column
from steplog.filters import MISSING

__all__ = ["FORMATS"]

_Rows = Sequence[tuple[str, Sequence[Any]]]
_UUID = "uuid"
_NOT_FINITE: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EXACT = 2**53  # the integers up to here are floats, too
_encode = msgspec.json.Encoder().encode


def _as_json(names: Sequence[str], rows: _Rows, about: Mapping[str, Any]) -> bytes:
    """An object a row, without what is missing."""
    objects = [
        {_UUID: uuid, **{name: value for name, value in zip(names, values, strict=True) if value is not MISSING}}
        for uuid, values in rows
    ]
    return _encode({"columns": names, "rows": objects, **about})


def _as_csv(names: Sequence[str], rows: _Rows, _about: Mapping[str, Any]) -> bytes:
    """Lines as RFC 4180 has them, with a header; texts are bare, what is missing or null is empty."""
    lines = [",".join(map(_quoted, (_UUID, *names)))]
    lines += [",".join((uuid, *map(_field, values))) for uuid, values in rows]
    return ("\r\n".join(lines) + "\r\n").encode()


def _as_columns(names: Sequence[str], rows: _Rows, about: Mapping[str, Any]) -> bytes:
    """One table (``column_format``); numbers only are f8 or i8, else texts, empty where missing."""
    columns = [column_format.texts(_UUID, [_encode(uuid) for uuid, _ in rows])]
    columns += [_column(name, [values[index] for _, values in rows]) for index, name in enumerate(names)]
    return column_format.encode(columns, about)


FORMATS: Mapping[str, Callable[[Sequence[str], _Rows, Mapping[str, Any]], bytes]] = MappingProxyType(
    {"application/json": _as_json, column_format.MEDIA_TYPE: _as_columns, "text/csv": _as_csv}
)


def _column(name: str, values: Sequence[Any]) -> Column:
    numbers = [_NOT_FINITE.get(value, value) if isinstance(value, str) else value for value in values]
    if values and all(type(number) is int for number in numbers):
        return column_format.numbers(name, "i8", numbers)
    if values and all(_is_float(number) for number in numbers):
        return column_format.numbers(name, "f8", numbers)
    return column_format.texts(name, [b"" if value is MISSING else _encode(value) for value in values])


def _is_float(number: Any) -> bool:
    return isinstance(number, float) or (type(number) is int and -_EXACT <= number <= _EXACT)


def _field(value: Any) -> str:
    if value is None or value is MISSING:
        return ""
    return _quoted(value if isinstance(value, str) else _encode(value).decode())


def _quoted(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
