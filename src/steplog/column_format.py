r"""Columns on the wire: ``application/vnd.steplog.columns``. Pure.

A *table* is one header and its columns::

    u32      length of the header, little-endian
    header   JSON: {"columns": [{"name", "type", "offset", "bytes", "count"}, …], …}, padded with spaces to a multiple
             of 8 with the u32; more fields say what the table is
    data     the columns, little-endian, each at its offset from here, a multiple of 8; the gaps are zero

    f8 f4    IEEE 754; NaN is a value like any other
    i8 u4    integers
    f8p …    the same as *planes*: byte 0 of each value, then byte 1, …, which deflates better and is read less easily
    json     ``count`` u4, the end of each text; then the texts, UTF-8. An empty text is a missing value

NaN and the infinities are texts in a json column, too (``json_text``): ``"NaN"``. A text that reads the same begins
with an escape, ``"\u004eaN"``: the same text to whoever parses JSON, and another one to ``json_value``.

``offset``, ``bytes`` and ``count`` are of one column. A table ends at the first multiple of 8 after its last column, so
that tables can follow one another; how many there are is not said.

Typed arrays over a table that begins at a multiple of 8 need no copy.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from steplog.errors import FormatError

__all__ = [
    "MEDIA_TYPE",
    "TABLE_BYTES_MAX",
    "Column",
    "Table",
    "decode",
    "decode_stream",
    "encode",
    "float_texts",
    "json_text",
    "json_value",
    "numbers",
    "planes",
    "texts",
]

MEDIA_TYPE = "application/vnd.steplog.columns"
TABLE_BYTES_MAX = 256 * 1024 * 1024
_ALIGNMENT = 8
_LENGTH = struct.Struct("<I")
_TYPECODES = {"f8": "d", "f4": "f", "i8": "q", "u4": "I"}
_JSON = "json"
_NUMBERS = {b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}
_ESCAPED = {b'"NaN"': b'"\\u004eaN"', b'"Infinity"': b'"\\u0049nfinity"', b'"-Infinity"': b'"\\u002dInfinity"'}


class Column(msgspec.Struct, frozen=True):
    """A column as it travels; ``content`` is little-endian."""

    name: str
    type: str
    count: int
    content: bytes | memoryview

    def values(self) -> Sequence[Any]:
        """The numbers, as a view where the machine is little-endian; of a json column ``msgspec.Raw``, or None."""
        if self.type != _JSON:
            return _numbers(_TYPECODES[self.type], self.content)
        return [msgspec.Raw(text) if text else None for text in self.texts()]

    def texts(self) -> list[bytes]:
        """The texts of a json column; that of a missing value is empty."""
        ends = _numbers("I", self.content[: 4 * self.count])
        text = bytes(self.content[4 * self.count :])
        return [text[start:end] for start, end in zip(chain((0,), ends), ends, strict=False)]


class Table(msgspec.Struct, frozen=True):
    """Columns, and what else the header says."""

    columns: Mapping[str, Column]
    about: Mapping[str, Any]


class _Place(msgspec.Struct):
    name: str
    type: str
    offset: int
    bytes: int
    count: int


class _Header(msgspec.Struct):
    columns: list[_Place]


_header_of = msgspec.json.Decoder(_Header).decode


def numbers(name: str, kind: str, values: array[Any] | Iterable[Any]) -> Column:
    """A column of numbers; ``kind`` is f8, f4, i8 or u4. Raises OverflowError for an integer that does not fit."""
    typecode = _TYPECODES[kind]
    packed = values if isinstance(values, array) and values.typecode == typecode else array(typecode, values)
    return Column(name, kind, len(packed), _little(packed))


def planes(column: Column) -> Column:
    """A column of numbers as planes; ``decode`` gives it as it was."""
    size = int(column.type[1])
    content = bytes(column.content)
    return Column(column.name, f"{column.type}p", column.count, b"".join(content[at::size] for at in range(size)))


def texts(name: str, values: Sequence[bytes]) -> Column:
    """A json column; an empty text is a missing value. Raises OverflowError from 4 GiB on."""
    ends, end = array("I"), 0
    for value in values:
        end += len(value)
        ends.append(end)
    return Column(name, _JSON, len(values), _little(ends) + b"".join(values))


def json_text(value: Any) -> bytes:
    """A value of a json column: ``msgspec.Raw`` as it is, NaN and infinities as strings, which no text reads like."""
    if isinstance(value, float) and not math.isfinite(value):
        return b'"NaN"' if math.isnan(value) else b'"Infinity"' if value > 0 else b'"-Infinity"'
    text = bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
    return _ESCAPED.get(text, text)


def float_texts(values: Sequence[float]) -> list[str] | None:
    """``json_text`` of each, at once; None where one is not finite."""
    if not math.isfinite(sum(values)):
        return None
    return msgspec.json.encode(list(values))[1:-1].decode().split(",") if len(values) else []


def json_value(text: bytes) -> Any:
    """What ``json_text`` made a text of. Raises FormatError for what is not JSON."""
    if text in _NUMBERS:
        return _NUMBERS[text]
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(text)  # which takes 1e400
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from None


def encode(columns: Sequence[Column], about: Mapping[str, Any] | None = None) -> bytes:
    """A table; ``about`` are further fields of its header."""
    places: list[_Place] = []
    parts: list[bytes | memoryview] = []
    offset = 0
    for column in columns:
        size = len(column.content)
        gap = -size % _ALIGNMENT
        places.append(_Place(column.name, column.type, offset, size, column.count))
        parts += (column.content, bytes(gap))
        offset += size + gap
    header = msgspec.json.encode({**(about or {}), "columns": places})
    header += b" " * (-(_LENGTH.size + len(header)) % _ALIGNMENT)
    return b"".join((_LENGTH.pack(len(header)), header, *parts))


def decode(content: bytes | memoryview) -> Iterator[Table]:
    """The tables that follow one another in ``content``, as views of it.

    Raises FormatError where it is cut or not of this format.
    """
    view, start = memoryview(content), 0
    while start < len(view):
        table, start = _table_at(view, start)
        yield table


def decode_stream(pieces: Iterable[bytes]) -> Iterator[Table]:
    """The tables in what comes in pieces, each once it is whole; at most a table and a piece are held.

    Raises FormatError as ``decode`` does, and for a table of more than ``TABLE_BYTES_MAX``.
    """
    parts: list[bytes | memoryview] = []
    size, wanted = 0, 1
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size < wanted:
            continue
        view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        start = 0
        try:
            while start < size:
                table, end = _table_at(view, start)
                yield table
                start = end
            wanted = 1
        except _CutError as error:
            wanted = error.bytes
        if wanted > TABLE_BYTES_MAX:
            raise FormatError(f"a table of {wanted} bytes")
        parts, size = [view[start:]], size - start
    if size:
        raise FormatError("the table is cut")


class _CutError(FormatError):
    """A table goes on beyond what there is; ``bytes`` is the least that it has."""

    def __init__(self, where: str, size_bytes: int) -> None:
        super().__init__(f"the table is cut {where}")
        self.bytes = size_bytes


def _table_at(view: memoryview, start: int) -> tuple[Table, int]:
    if len(view) - start < _LENGTH.size:
        raise _CutError("in its length", _LENGTH.size)
    (length,) = _LENGTH.unpack_from(view, start)
    data = start + _LENGTH.size + length
    if data % _ALIGNMENT:
        raise FormatError("the header of the table does not end at a multiple of 8")
    if data > len(view):
        raise _CutError("in its header", data - start)
    text = bytes(view[start + _LENGTH.size : data])
    try:
        places = _header_of(text).columns
        about = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"not the header of a table: {error}") from None
    del about["columns"]
    columns, end = {}, data
    for place in places:
        _check(place)
        end = max(end, data + place.offset + place.bytes)
    end += -end % _ALIGNMENT
    if end > len(view):
        raise _CutError("in its columns", end - start)
    for place in places:
        first = data + place.offset
        content = view[first : first + place.bytes]
        if place.type == _JSON:
            _check_ends(place, content)
        columns[place.name] = _column_of(place, content)
    return Table(columns, about), end


def _column_of(place: _Place, content: memoryview) -> Column:
    if not place.type.endswith("p"):
        return Column(place.name, place.type, place.count, content)
    joined = bytearray(place.bytes)
    for at in range(int(place.type[1])):
        joined[at :: int(place.type[1])] = content[at * place.count : (at + 1) * place.count]
    return Column(place.name, place.type[:2], place.count, bytes(joined))


def _check(place: _Place) -> None:
    if place.type.removesuffix("p") not in _TYPECODES and place.type != _JSON:
        raise FormatError(f"column {place.name!r} is of an unknown type, {place.type!r}")
    if min(place.offset, place.bytes, place.count) < 0 or place.offset % _ALIGNMENT:
        raise FormatError(f"column {place.name!r} is not at a multiple of {_ALIGNMENT}")
    size = 4 if place.type == _JSON else int(place.type[1])
    if place.bytes < size * place.count or (place.type != _JSON and place.bytes != size * place.count):
        raise FormatError(f"column {place.name!r} has {place.bytes} bytes for {place.count} values")


def _check_ends(place: _Place, content: memoryview) -> None:
    ends = _numbers("I", content[: 4 * place.count])
    length = len(content) - 4 * place.count
    if (ends[-1] if place.count else 0) != length or any(map(int.__gt__, ends, ends[1:])):
        raise FormatError(f"the texts of column {place.name!r} are not as long as it says")


def _numbers(typecode: str, content: bytes | memoryview) -> Sequence[Any]:
    if sys.byteorder == "little":
        return memoryview(content).cast(typecode)  # type: ignore[call-overload, no-any-return]
    swapped = array(typecode)
    swapped.frombytes(content)
    swapped.byteswap()
    return swapped


def _little(numbers: array[Any]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
