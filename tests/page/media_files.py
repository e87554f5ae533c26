"""Files of the kinds that runs log, made by the standard library, and runs whose records name them."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import wave
import zlib
from typing import Any

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def file_id(name: str) -> str:
    """An id of a file, the same one each time."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def png(pixels: Any) -> bytes:
    """An image of height x width x 3 bytes."""
    return SIGNATURE + _header(pixels) + _chunk(b"IDAT", _compressed(pixels)) + _chunk(b"IEND", b"")


def apng(frames: Any, delay_ms: int = 250) -> bytes:
    """An animation that goes on for ever."""
    count = len(frames)
    made = SIGNATURE + _header(frames[0]) + _chunk(b"acTL", struct.pack(">II", count, 0))
    number = 0
    height, width, _ = frames[0].shape
    for at, pixels in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay_ms, 1000, 0, 0)
        made += _chunk(b"fcTL", control)
        number += 1
        if at == 0:
            made += _chunk(b"IDAT", _compressed(pixels))
        else:
            made += _chunk(b"fdAT", struct.pack(">I", number) + _compressed(pixels))
            number += 1
    return made + _chunk(b"IEND", b"")


def wav(seconds: float, pitch_hz: float) -> bytes:
    """A tone."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        at = np.arange(int(8000 * seconds)) / 8000
        file.writeframes((np.sin(2 * np.pi * pitch_hz * at) * 12_000).astype("<i2").tobytes())
    return made.getvalue()


def flat(red: int, green: int, blue: int, height: int = 28, width: int = 28) -> Any:
    """Pixels of one colour."""
    return np.full((height, width, 3), (red, green, blue), np.uint8)


def record(kind: str, name: str, media_type: str, **fields: Any) -> dict[str, Any]:
    """What is logged of a file."""
    return {"_type": kind, "file": file_id(name), "type": media_type} | fields


def text(value: Any) -> bytes:
    """A value as it is delivered."""
    return json.dumps(value).encode()


def _header(pixels: Any) -> bytes:
    height, width, _ = pixels.shape
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def _compressed(pixels: Any) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
