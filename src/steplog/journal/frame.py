"""The frame: a range in a spool file. Pure.

::

    offset  size  field
    0       4     magic    b"SLF1": steplog, frame, version of this layout
    4       4     length   uint32, of the body
    8       n     body     the deflated body of a range (see range)
    8 + n   4     check    CRC-32 of everything before it

Little-endian. Every frame decodes alone. Bytes that are no whole frame are never guessed at.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from steplog.errors import FormatError
from steplog.journal import range as ranges

__all__ = ["FRAME_BYTES_MAX", "FileScan", "decode", "encode", "scan_file"]

_MAGIC = b"SLF1"
_HEAD = struct.Struct("<4sI")
_CHECK = struct.Struct("<I")
FRAME_BYTES_MAX = 2 * 1024 * 1024


def encode(body: bytes) -> bytes:
    """A frame around a deflated body."""
    framed = _HEAD.pack(_MAGIC, len(body)) + body
    return framed + _CHECK.pack(zlib.crc32(framed))


def _find(data: bytes, start: int) -> int | None:
    while (start := data.find(_MAGIC, start)) >= 0:
        if _end(data, start) is not None:
            return start
        start += 1
    return None


def _is_torn(data: bytes, start: int) -> bool:
    """Whether the rest is the beginning of a frame, as after a kill."""
    rest = data[start:]
    if not rest.strip(b"\0") or _MAGIC.startswith(rest):
        return True
    if not rest.startswith(_MAGIC):
        return False
    return len(rest) < _HEAD.size or _HEAD.size + _HEAD.unpack_from(rest)[1] + _CHECK.size > len(rest)


def decode(frame: bytes) -> ranges.Range:
    """The range in one frame. Raises FormatError if it is not whole."""
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


class FileScan(msgspec.Struct, frozen=True):
    """The frames of a file."""

    frames: list[tuple[int, int, int, int, int, int]]  # offset, size, first, end, empty, uncounted
    damage: str | None  # in words
    torn: bool


def scan_file(data: bytes, writer: str) -> FileScan:
    """Find the frames of ``writer`` by magic and check, behind damage too.

    Other bytes, another writer's frame and a newer version are damage; a torn end only if it was durable.
    """
    frames: list[tuple[int, int, int, int, int, int]] = []
    damages: list[str] = []
    torn = False
    place: int | None = 0
    while place is not None and place < len(data):
        end = _end(data, place)
        if end is None:
            end = _find(data, place + 1)
            torn = end is None and _is_torn(data, place)
            if not torn:
                damages.append(f"no frame at byte {place}")
        else:
            try:
                records = decode(data[place:end])
                if records.writer == writer:
                    where = place, end - place, records.first, records.end
                    frames.append((*where, records.empty, records.uncounted))
                else:
                    damages.append(f"a frame of another writer, {records.writer}")
            except ranges.VersionError as error:
                damages.append(str(error))
            except FormatError as error:
                damages.append(f"a frame that holds no range: {error}")
        place = end
    return FileScan(frames, damages[0] if damages else None, torn)
