"""The frame: a range as it stands in a spool file.

::

    offset  size  field
    0       4     magic    b"SLF1": steplog, frame, version of this layout
    4       4     length   uint32, of the body
    8       n     body     the deflated body of a range (see range)
    8 + n   4     check    CRC-32 of everything before it

Little-endian. Every frame decodes alone. A file ends at the first frame that is not whole: what a
power cut or a short write leaves is cut off there, and never guessed at.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from steplog.errors import FormatError
from steplog.journal import range as ranges

__all__ = ["FRAME_BYTES_MAX", "decode", "encode", "scan"]

_MAGIC = b"SLF1"
_HEAD = struct.Struct("<4sI")
_CHECK = struct.Struct("<I")
FRAME_BYTES_MAX = 2 * 1024 * 1024


def encode(body: bytes) -> bytes:
    """A frame around the deflated body of a range."""
    framed = _HEAD.pack(_MAGIC, len(body)) + body
    return framed + _CHECK.pack(zlib.crc32(framed))


def scan(data: bytes) -> Iterator[tuple[int, int]]:
    """``(start, end)`` of each whole frame of a file's bytes, until one is not."""
    start = 0
    while (end := _end(data, start)) is not None:
        yield start, end
        start = end


def decode(frame: bytes) -> ranges.Range:
    """The range in one frame; FormatError when the frame is not whole."""
    if _end(frame, 0) != len(frame):
        raise FormatError("not a whole frame")
    return ranges.decode(frame[_HEAD.size : -_CHECK.size])


def _end(data: bytes, start: int) -> int | None:
    if len(data) - start < _HEAD.size + _CHECK.size:
        return None
    magic, length = _HEAD.unpack_from(data, start)
    end: int = start + _HEAD.size + length + _CHECK.size
    if magic != _MAGIC or end > len(data) or end - start > FRAME_BYTES_MAX:
        return None
    (check,) = _CHECK.unpack_from(data, end - _CHECK.size)
    return end if zlib.crc32(memoryview(data)[start : end - _CHECK.size]) == check else None
