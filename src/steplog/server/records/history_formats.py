"""A history as bytes: columns, JSON, CSV, or a JSON object a line. Pure.

Each is made of parts, (name, points), as they come: nothing is held but ``_TABLE_POINTS`` of the columns. Where its
points are cut into parts shows in none of them.

``docs/api.md`` describes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from steplog import column_format
from steplog.column_format import Column
from steplog.journal import slot
from steplog.records.dates import exact_date_of
from steplog.records.finite import finite
from steplog.records.points import Points
from steplog.server.records.columns import array_of

__all__ = ["CUT_FORMATS", "FORMATS", "Parts", "gathered"]

_TABLE_POINTS = 65_536  # of columns; fewer where their texts have _TABLE_TEXT_BYTES
_TABLE_TEXT_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024
_TYPES = {slot.KIND_FLOAT: "f8", slot.KIND_INT: "i8"}

Parts = Iterable[tuple[str, Points]]
_encoder = msgspec.json.Encoder()


class _Row(msgspec.Struct):
    name: str
    step: int
    time: str
    value: Any
    bytes: int | msgspec.UnsetType = msgspec.UNSET  # of the JSON text of a value that was cut


def _as_columns(parts: Parts) -> Iterator[bytes]:
    """Tables of one metric each (``column_format``), one after the other."""
    held: list[Points] = []
    held_name, points_left, text_left = None, _TABLE_POINTS, _TABLE_TEXT_BYTES
    for name, points in parts:
        if name != held_name:
            if held_name is not None and held:
                yield _table(held_name, held)
            held, held_name, points_left, text_left = [], name, _TABLE_POINTS, _TABLE_TEXT_BYTES
        rest = points
        while True:
            count = _count_within(rest, points_left, text_left)
            piece = rest if count == len(rest.kinds) else rest.part(0, count)
            held.append(piece)
            points_left, text_left = points_left - count, text_left - len(piece.payloads)
            if points_left and text_left > 0:
                break
            yield _table(name, held)
            held, points_left, text_left = [], _TABLE_POINTS, _TABLE_TEXT_BYTES
            if count == len(rest.kinds):
                break
            rest = rest.part(count, len(rest.kinds))
    if held_name is not None and held:
        yield _table(held_name, held)


def _count_within(points: Points, points_max: int, text_bytes: int) -> int:
    """How many points there is room for: up to the one that uses the room for texts up."""
    count = min(len(points.kinds), points_max)
    if len(points.payloads) < text_bytes:
        return count
    lengths = (
        word if kind == slot.KIND_JSON else 0
        for word, kind in zip(points.words[:count], points.kinds[:count], strict=True)
    )
    return next((at for at, end in enumerate(accumulate(lengths), 1) if end >= text_bytes), count)


def _table(name: str, parts: list[Points]) -> bytes:
    kinds = {points.kind for points in parts if points.kinds}
    kind = "f8" if not kinds else _TYPES.get(kinds.pop() or 0) if len(kinds) == 1 else None
    if kind is None:
        found = [column_format.json_text(value) for points in parts for value in points.values()]
        values = column_format.texts("value", found)
    else:
        values = replace(_joined("value", [points.words for points in parts]), type=kind)
    steps, times = (
        _joined("step", [points.steps for points in parts]),
        _joined("time", [points.times for points in parts]),
    )
    return column_format.encode([steps, times, values], {"name": name})


def _joined(name: str, parts: Sequence[Sequence[int]]) -> Column:
    columns = [column_format.numbers(name, "i8", array_of(part)) for part in parts]
    return Column(name, "i8", sum(column.count for column in columns), b"".join([column.content for column in columns]))


def _as_json(parts: Parts, cut: int | None = None) -> Iterator[bytes]:
    """A list of objects."""
    opening = b"["
    for rows in _rows(parts, cut):
        yield opening + _encoder.encode(rows)[1:-1]
        opening = b","
    yield b"]" if opening == b"," else b"[]"


def _as_lines(parts: Parts, cut: int | None = None) -> Iterator[bytes]:
    """A JSON object a line."""
    for rows in _rows(parts, cut):
        yield _encoder.encode_lines(rows)


def _as_csv(parts: Parts) -> Iterator[bytes]:
    """Lines as RFC 4180 has them, with a header."""
    yield b"name,step,time,value\r\n"
    for name, points in parts:
        begin = _quoted(name)
        rows = zip(points.steps, map(exact_date_of, points.times), points.values(), strict=True)
        lines = [f"{begin},{step},{time},{_field(value)}\r\n" for step, time, value in rows]
        yield "".join(lines).encode()


FORMATS: Mapping[str, Callable[[Parts], Iterator[bytes]]] = MappingProxyType(
    {
        "application/json": _as_json,
        column_format.MEDIA_TYPE: _as_columns,
        "text/csv": _as_csv,
        "application/x-ndjson": _as_lines,
    }
)

# Of these, values may be cut: the second argument is how many bytes of its JSON text a value may have.
CUT_FORMATS: Mapping[str, Callable[[Parts, int], Iterator[bytes]]] = MappingProxyType(
    {"application/json": _as_json, "application/x-ndjson": _as_lines}
)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are not small."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


def _rows(parts: Parts, cut: int | None) -> Iterator[list[_Row]]:
    for name, points in parts:
        if points.kinds:
            entries = zip(points.steps, points.times, points.values(), strict=True)
            yield [_row(name, step, exact_date_of(time), value, cut) for step, time, value in entries]


def _row(name: str, step: int, time: str, value: Any, cut: int | None) -> _Row:
    if cut is None or not isinstance(value, msgspec.Raw) or len(bytes(value)) <= cut:
        return _Row(name, step, time, finite(value))
    return _Row(name, step, time, _beginning(bytes(value), cut), len(bytes(value)))


def _beginning(text: bytes, cut: int) -> str:
    """The first characters of a text, or of the JSON text of another value."""
    if text.startswith(b'"'):
        with suppress(msgspec.MsgspecError):  # half a surrogate pair
            return msgspec.json.decode(text, type=str)[:cut]
    return text[:cut].decode(errors="ignore")


def _text(value: Any) -> bytes:
    return bytes(value) if isinstance(value, msgspec.Raw) else _encoder.encode(finite(value))


def _field(value: Any) -> str:
    """A value in a line of CSV: NaN and infinities bare, other JSON as its text."""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(finite(value))
    if type(value) is int:
        return str(value)
    return _quoted(_text(value).decode())


def _quoted(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
