"""Width and height of an image, of the bytes of its file. Pure."""

from __future__ import annotations

import struct

__all__ = ["picture_size"]

_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))  # of JPEG
_ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers of JPEG without a length


def picture_size(data: bytes, media_type: str) -> tuple[int, int] | None:
    """Width and height in pixels; None where the file does not say, or is damaged."""
    read = {
        "image/png": _of_png,
        "image/apng": _of_png,
        "image/gif": _of_gif,
        "image/bmp": _of_bmp,
        "image/jpeg": _of_jpeg,
        "image/webp": _of_webp,
        "image/avif": _of_avif,
    }.get(media_type)
    try:
        found = read(data) if read else None
    except (struct.error, IndexError):
        return None
    return found if found and min(found) > 0 else None


def _of_png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _of_gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _of_bmp(data: bytes) -> tuple[int, int]:
    if data[14] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative: from the top down


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker == 0xFF:  # fill bytes
            place += 1
        else:
            place += 2 if marker in _ALONE else 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def _of_webp(data: bytes) -> tuple[int, int] | None:
    """https://developers.google.com/speed/webp/docs/riff_container."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _of_avif(data: bytes) -> tuple[int, int] | None:
    """The largest of the boxes ``ispe``: others are of thumbnails and tiles."""
    found: list[tuple[int, int]] = []
    place = data.find(b"ispe")
    while place >= 0 and place + 16 <= len(data) and len(found) < 64:
        width, height = struct.unpack_from(">II", data, place + 8)
        found.append((width, height))
        place = data.find(b"ispe", place + 16)
    return max(found, key=lambda size: size[0] * size[1], default=None)
