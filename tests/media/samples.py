"""Files of each type that media may have; of those that nothing here writes, their first bytes."""

from __future__ import annotations

import io
import struct
import wave

from steplog.media.encoding import encode


def pillow_file(kind: str, width: int = 7, height: int = 5, **options: object) -> bytes:
    from PIL import Image

    made = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 60)).save(made, kind, **options)
    return made.getvalue()


def apng(width: int = 7, height: int = 5, frames: int = 3) -> bytes:
    made = io.BytesIO()
    size = {"width": width, "height": height, "channels": 1, "depth": 8, "frames": frames}
    encode({"format": "apng", **size, "delay": [1, 4]}, bytes(range(width * height * frames)), made.write)
    return made.getvalue()


def wav(samples: int = 8) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * samples))
    return made.getvalue()


def base_media(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + bytes(4) + brands + b"\0\0\0\x08free"


WEBM = bytes.fromhex("1a45dfa3 9f 4286 81 01 42f7 81 01 42f2 81 04 42f3 81 08 4282 84 7765626d 4287 81 04")
MATROSKA = bytes.fromhex("1a45dfa3 a3 4286 81 01 42f7 81 01 42f2 81 04 42f3 81 08 4282 88 6d6174726f736b61 4287 81 04")
OGG = b"OggS\0\x02" + bytes(20) + b"\x01\x1e\x01vorbis" + bytes(20)
OGV = b"OggS\0\x02" + bytes(20) + b"\x01\x2a\x80theora" + bytes(20)
FLAC = b"fLaC\0\0\0\x22" + bytes(34)
MP3 = b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\x44" + bytes(413)
MP3_FRAMES = b"\xff\xfb\x90\x44" + bytes(413)
MP4 = base_media(b"isom", b"isom", b"avc1")
