"""PNG and animated PNG, by zlib alone (https://www.w3.org/TR/png-3/). Pure.

1. Rows are filtered where that pays. A sample of the image is compressed in each way of ``_WAYS``, and the smallest
   result says which: "Sub" and "Up" with run lengths for photographs and the like, no filter for plots and masks.
2. A filter subtracts bytes in parallel, of ``BAND_BYTES`` at once, as one long integer; an operation of these holds the
   GIL for some microseconds.
3. Of a frame that repeats rows of the one before at its top or bottom, the others alone are written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["BAND_BYTES", "Bitmap", "write_animation", "write_png"]

BAND_BYTES = 16 * 1024
_MAGIC = b"\x89PNG\r\n\x1a\n"
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # the PNG's type of colour, by channels
_NONE, _SUB, _UP = 0, 1, 2
_IDAT_BYTES = 64 * 1024
_SAMPLES = 4  # bands of an image that are tried
_LARGER = 1.05  # run lengths are taken for up to so much more, since they take a third of the time
_Write = Callable[[bytes], object]


class _Way(NamedTuple):
    filter: int
    level: int
    strategy: int


_PLAIN = _Way(_NONE, 6, zlib.Z_DEFAULT_STRATEGY)
_RUNS = (_Way(_UP, 1, zlib.Z_RLE), _Way(_SUB, 1, zlib.Z_RLE))


class Bitmap(NamedTuple):
    """How pixels are laid out; width and height in pixels, ``depth`` in bits of a channel."""

    width: int
    height: int
    channels: int
    depth: int

    @property
    def pixel(self) -> int:
        """Bytes of a pixel."""
        return self.channels * self.depth // 8

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        return self.width * self.pixel

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.height * self.stride


def write_png(bitmap: Bitmap, data: memoryview, write: _Write) -> None:
    """Write a PNG file of ``bitmap.size`` bytes of pixels."""
    _write_header(bitmap, write)
    for piece in _compressed(bitmap, data, _way_for(bitmap, data)):
        _write_chunk(write, b"IDAT", piece)
    _write_chunk(write, b"IEND")


def write_animation(bitmap: Bitmap, frames: int, delay: tuple[int, int], data: memoryview, write: _Write) -> None:
    """Write an animated PNG file, which repeats for ever, of ``frames`` times ``bitmap.size`` bytes of pixels.

    ``delay``: numerator and denominator of how long a frame is shown, in seconds.
    """
    _write_header(bitmap, write)
    _write_chunk(write, b"acTL", struct.pack(">II", frames, 0))
    way = _way_for(bitmap, data[: bitmap.size])
    number = 0
    before: memoryview | None = None
    for start in range(0, frames * bitmap.size, bitmap.size):
        frame = data[start : start + bitmap.size]
        top, end = (0, bitmap.height) if before is None else _changed(bitmap, before, frame)
        part = bitmap._replace(height=end - top)
        _write_chunk(write, b"fcTL", struct.pack(">IIIIIHHBB", number, part.width, part.height, 0, top, *delay, 0, 0))
        number += 1
        for piece in _compressed(part, frame[top * bitmap.stride : end * bitmap.stride], way):
            if before is None:
                _write_chunk(write, b"IDAT", piece)
            else:
                _write_chunk(write, b"fdAT", struct.pack(">I", number) + piece)
                number += 1
        before = frame
    _write_chunk(write, b"IEND")


def _write_header(bitmap: Bitmap, write: _Write) -> None:
    write(_MAGIC)
    colour = _COLOURS[bitmap.channels]
    _write_chunk(write, b"IHDR", struct.pack(">IIBBBBB", bitmap.width, bitmap.height, bitmap.depth, colour, 0, 0, 0))


def _write_chunk(write: _Write, kind: bytes, data: bytes = b"") -> None:
    write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _changed(bitmap: Bitmap, before: memoryview, frame: memoryview) -> tuple[int, int]:
    """The rows from the first to the last that differ, as a range; one at least, as an image has."""
    stride, top, end = bitmap.stride, 0, bitmap.height
    while top < end - 1 and _row(before, stride, top) == _row(frame, stride, top):
        top += 1
    while end > top + 1 and _row(before, stride, end - 1) == _row(frame, stride, end - 1):
        end -= 1
    return top, end


def _row(data: memoryview, stride: int, row: int) -> bytes:
    return bytes(data[row * stride : (row + 1) * stride])


def _compressed(bitmap: Bitmap, data: memoryview, way: _Way) -> Iterator[bytes]:
    """The zlib stream, in pieces of ``_IDAT_BYTES`` or a little more."""
    compressor = zlib.compressobj(way.level, zlib.DEFLATED, 15, 9, way.strategy)
    rows = max(1, BAND_BYTES // bitmap.stride)
    pieces, size = [], 0
    for first in range(0, bitmap.height, rows):
        piece = compressor.compress(_band(bitmap, data, first, min(first + rows, bitmap.height), way.filter))
        pieces.append(piece)
        size += len(piece)
        if size >= _IDAT_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces) + compressor.flush()


def _way_for(bitmap: Bitmap, data: memoryview) -> _Way:
    rows = max(1, BAND_BYTES // bitmap.stride)
    firsts = sorted({bitmap.height * place // _SAMPLES for place in range(_SAMPLES)})
    bands = [(first, min(first + rows, bitmap.height)) for first in firsts]

    def size(way: _Way) -> int:
        compressor = zlib.compressobj(way.level, zlib.DEFLATED, 15, 9, way.strategy)
        made = (compressor.compress(_band(bitmap, data, first, end, way.filter)) for first, end in bands)
        return sum(map(len, made)) + len(compressor.flush())

    smallest, runs = min((size(way), way) for way in _RUNS)
    return runs if smallest <= _LARGER * size(_PLAIN) else _PLAIN


def _band(bitmap: Bitmap, data: memoryview, first: int, end: int, kind: int) -> bytes:
    """Rows as they are compressed: filtered, each after a byte that says how."""
    stride = bitmap.stride
    band = bytes(data[first * stride : end * stride])
    if kind == _UP:
        above = bytes(data[(first - 1) * stride : (end - 1) * stride]) if first else bytes(stride) + band[:-stride]
        band = _minus(band, above)
    elif kind == _SUB:
        pixel = bitmap.pixel
        padded = b"".join(bytes(pixel) + band[at : at + stride] for at in range(0, len(band), stride))
        left = _minus(padded, bytes(pixel) + padded[:-pixel])
        wide = stride + pixel
        return b"".join(b"\x01" + left[at + pixel : at + wide] for at in range(0, len(left), wide))
    mark = bytes([kind])
    return b"".join(mark + band[at : at + stride] for at in range(0, len(band), stride))


def _minus(minuend: bytes, subtrahend: bytes) -> bytes:
    """The differences of bytes, each modulo 256: the high bits aside, no byte borrows from the next."""
    size = len(minuend)
    high = int.from_bytes(b"\x80" * size, "little")
    low = int.from_bytes(b"\x7f" * size, "little")
    one, other = int.from_bytes(minuend, "little"), int.from_bytes(subtrahend, "little")
    found = ((one | high) - (other & low)) ^ (~(one ^ other) & high)
    return found.to_bytes(size, "little")
