"""Files of media from what ``log`` copied of them, by the standard library alone, in any process. Pure.

=========  ==========================================  ========================================================
"format"   further keys                                data
=========  ==========================================  ========================================================
"png"      width, height, channels (1 to 4), depth     rows of pixels from the top, as PNG has them: channels
           (8 or 16)                                   interleaved, 16 bits with the most significant byte first
"apng"     the same, and frames, delay (numerator,     frames one after the other, each as for "png"
           denominator, seconds)
"wav"      sample_rate, channels                       16-bit samples, channels interleaved, little-endian
=========  ==========================================  ========================================================

A file is made in pieces, and memory for it is bounded: by bands of pixels of at most ``png.BAND_BYTES``, or one row.
zlib releases the GIL while it compresses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from steplog.media.png import Bitmap, write_animation, write_png

__all__ = ["encode"]

_WAV_BYTES_MAX = 2**32 - 64
_PIECE = 1024 * 1024


def encode(encoding: Mapping[str, Any], data: memoryview | bytes, write: Callable[[bytes], object]) -> None:
    """Make the file of ``data``, as ``encoding`` says, and give it to ``write`` in pieces; no encoding: as it is.

    Raises ValueError for an encoding that is not known, and for data of another size than it says.
    """
    with memoryview(data) as view, view.cast("B") as flat:
        kind = encoding.get("format") if encoding else ""
        if kind == "":
            _write_pieces(flat, write)
        elif kind == "png":
            write_png(_bitmap(encoding), _sized(flat, _bitmap(encoding).size), write)
        elif kind == "apng":
            bitmap, frames = _bitmap(encoding), _number(encoding, "frames", 2**31)
            delay = encoding.get("delay")
            if not isinstance(delay, (list, tuple)) or len(delay) != 2 or not all(_is_short(part) for part in delay):
                raise ValueError(f"a delay is two numbers of 16 bits: {delay!r:.80}")
            write_animation(bitmap, frames, (delay[0], delay[1]), _sized(flat, bitmap.size * frames), write)
        elif kind == "wav":
            _write_wav(_number(encoding, "sample_rate", 2**32), _number(encoding, "channels", 2**15), flat, write)
        else:
            raise ValueError(f"there is no encoding {kind!r:.80}")


def _number(encoding: Mapping[str, Any], name: str, limit: int) -> int:
    found = encoding.get(name)
    if not isinstance(found, int) or not 0 < found < limit:
        raise ValueError(f"{name} is a number from 1 to {limit - 1}: {found!r:.80}")
    return found


def _is_short(number: object) -> bool:
    return isinstance(number, int) and 0 <= number < 2**16


def _bitmap(encoding: Mapping[str, Any]) -> Bitmap:
    width, height = _number(encoding, "width", 2**31), _number(encoding, "height", 2**31)
    depth = encoding.get("depth", 8)
    if depth not in (8, 16):
        raise ValueError(f"depth is 8 or 16 bits: {depth!r:.80}")
    return Bitmap(width, height, _number(encoding, "channels", 5), depth)


def _sized(data: memoryview, size: int) -> memoryview:
    if len(data) != size:
        raise ValueError(f"{size} bytes are to be encoded, and there are {len(data)}")
    return data


def _write_pieces(data: memoryview, write: Callable[[bytes], object]) -> None:
    for start in range(0, len(data), _PIECE):
        write(bytes(data[start : start + _PIECE]))


def _write_wav(sample_rate: int, channels: int, data: memoryview, write: Callable[[bytes], object]) -> None:
    """http://soundfile.sapp.org/doc/WaveFormat."""
    frame = 2 * channels
    if len(data) % frame or len(data) > _WAV_BYTES_MAX or sample_rate * frame >= 2**32:
        raise ValueError(
            f"a WAV file of {channels} channels at {sample_rate} Hz cannot have {len(data)} bytes of samples"
        )
    write(
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, channels, sample_rate, sample_rate * frame, frame, 16)
        + b"data"
        + struct.pack("<I", len(data))
    )
    _write_pieces(data, write)
