"""The wire format of protocol buffers, as far as event files and wandb's files need it. Pure.

https://protobuf.dev/programming-guides/encoding/. Unknown fields are the reader's to leave out; groups, which have been
deprecated since before these formats were, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from steplog.errors import FormatError

__all__ = [
    "Field",
    "bytes_field",
    "double_field",
    "double_of",
    "fields",
    "float_field",
    "packed_varints",
    "read_varint",
    "signed",
    "text_of",
    "varint",
    "varint_field",
]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
_ALL = (1 << 64) - 1


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: which field.
        value: of a varint 0 to 2⁶⁴ - 1; 0 where the field is of another type.
        data: the bytes of a string, a message, packed numbers, or of a fixed number, little-endian; else empty.
    """

    number: int
    value: int
    data: bytes


def fields(message: bytes) -> Iterator[Field]:
    """The fields in the order in which they are there. Raises FormatError where the message is damaged."""
    position, end = 0, len(message)
    while position < end:
        key, position = read_varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = read_varint(message, position)
            yield Field(number, value, b"")
            continue
        if kind == _BYTES:
            length, position = read_varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise FormatError(f"a field of the unknown type {kind}")
        if number == 0 or position + length > end:
            raise FormatError("a field that ends beyond its message")
        yield Field(number, 0, message[position : position + length])
        position += length


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """The integer, 0 to 2⁶⁴ - 1, and where it ends. Raises FormatError."""
    value = 0
    for index, byte in enumerate(message[position : position + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & _ALL, position + index + 1
    raise FormatError("an integer without an end")


def packed_varints(data: bytes) -> list[int]:
    """The integers of a packed repeated field. Raises FormatError."""
    values, position = [], 0
    while position < len(data):
        value, position = read_varint(data, position)
        values.append(value)
    return values


def signed(value: int) -> int:
    """An int32 or int64 field's value."""
    return value - (1 << 64) if value >> 63 else value


def double_of(data: bytes) -> float:
    """A double field's value. Raises FormatError if the field is of another type."""
    if len(data) != 8:
        raise FormatError("a number of another type than double")
    value: float = struct.unpack("<d", data)[0]
    return value


def text_of(data: bytes) -> str:
    """A string field's value; what is not UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def varint(value: int) -> bytes:
    """An int64, encoded."""
    value &= _ALL
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint_field(number: int, value: int) -> bytes:
    """An int64 or an enum; nothing for 0, as proto3 has it."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def bytes_field(number: int, data: bytes) -> bytes:
    """A string, a message, or packed numbers."""
    return varint(number << 3 | _BYTES) + varint(len(data)) + data


def double_field(number: int, value: float) -> bytes:
    """A double."""
    return varint(number << 3 | _FIXED64) + struct.pack("<d", value)


def float_field(number: int, value: float) -> bytes:
    """A float."""
    return varint(number << 3 | _FIXED32) + struct.pack("<f", value)
