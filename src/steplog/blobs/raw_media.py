"""The form in which media wait in memory: what ``log`` copied, and how a file is made of it. Pure.

::

    <id>.media    length u32 of the head, little-endian; the head, JSON (``RawMedia``); ``size`` bytes

``log`` does no more than copy: an image is compressed later, in a thread, or by another process if this one was killed.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any

import msgspec

from steplog.errors import FormatError

__all__ = ["HEAD_BYTES_MAX", "RawMedia", "head_of", "parsed"]

HEAD_BYTES_MAX = 64 * 1024
_LENGTH = struct.Struct("<I")
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class RawMedia(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file to be made; ``size`` in bytes, ``time`` in ns since the epoch, the rest as in ``Content``."""

    id: _Id
    type: str
    suffix: str
    size: _Count
    time: _Count
    encoding: dict[str, Any] = {}


def head_of(raw: RawMedia) -> bytes:
    """What comes before the bytes. Raises FormatError where that is too long."""
    text = msgspec.json.encode(raw)
    if len(text) > HEAD_BYTES_MAX:
        raise FormatError(f"the description of a file takes {len(text)} bytes")
    return _LENGTH.pack(len(text)) + text


def parsed(data: bytes) -> tuple[RawMedia, memoryview]:
    """The head, and the bytes. Raises FormatError."""
    try:
        length = _LENGTH.unpack_from(data)[0]
        if length > HEAD_BYTES_MAX:
            raise FormatError(f"the head of a file in memory takes {length} bytes")
        start = _LENGTH.size + length
        raw = msgspec.json.decode(data[_LENGTH.size : start], type=RawMedia)
    except (struct.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"not the head of a file in memory: {error}") from None
    content = memoryview(data)[start:]
    if len(content) != raw.size:
        raise FormatError(f"a file in memory has {len(content)} bytes instead of {raw.size}")
    return raw, content
