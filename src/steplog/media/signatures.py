"""Which type a file of media has, by its first bytes. Pure.

The types are those that browsers show without running anything of the file.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["FIRST_BYTES", "SIGNATURES", "Signature", "signature_of"]

FIRST_BYTES = 4096  # of a file that are looked at, at most


class Signature(NamedTuple):
    """A type of files. ``kinds``: what it may be shown as, of "image", "audio" and "video"."""

    type: str
    suffix: str
    kinds: tuple[str, ...]


_PNG = Signature("image/png", ".png", ("image",))
_APNG = Signature("image/apng", ".png", ("image", "video"))
_JPEG = Signature("image/jpeg", ".jpg", ("image",))
_GIF = Signature("image/gif", ".gif", ("image", "video"))
_WEBP = Signature("image/webp", ".webp", ("image", "video"))
_AVIF = Signature("image/avif", ".avif", ("image",))
_BMP = Signature("image/bmp", ".bmp", ("image",))
_WAV = Signature("audio/wav", ".wav", ("audio",))
_MP3 = Signature("audio/mpeg", ".mp3", ("audio",))
_OGG = Signature("audio/ogg", ".ogg", ("audio",))
_OGV = Signature("video/ogg", ".ogv", ("video",))
_FLAC = Signature("audio/flac", ".flac", ("audio",))
_M4A = Signature("audio/mp4", ".m4a", ("audio",))
_MP4 = Signature("video/mp4", ".mp4", ("video",))
_WEBM = Signature("video/webm", ".webm", ("video", "audio"))
SIGNATURES = (
    _PNG, _APNG, _JPEG, _GIF, _WEBP, _AVIF, _BMP, _WAV, _MP3, _OGG, _OGV, _FLAC, _M4A, _MP4, _WEBM,
)  # fmt: skip

_FIXED = (
    (re.compile(rb"\xff\xd8\xff"), _JPEG),
    (re.compile(rb"GIF8[79]a"), _GIF),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _WEBP),
    (re.compile(rb"BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), _BMP),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), _WAV),
    (re.compile(rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3\xe2\xe3]"), _MP3),
    (re.compile(rb"OggS\0.{22}.{0,255}?\x80theora", re.DOTALL), _OGV),
    (re.compile(rb"OggS\0"), _OGG),
    (re.compile(rb"fLaC"), _FLAC),
    (re.compile(rb"\x1a\x45\xdf\xa3.{0,60}?\x42\x82.webm", re.DOTALL), _WEBM),
)
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_VIDEO_BRANDS = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp41",
    b"mp42",
    b"avc1",
    b"M4V ",
    b"dash",
    b"MSNV",
    b"f4v ",
)


def signature_of(first: bytes) -> Signature | None:
    """The type of the file that begins so (``FIRST_BYTES`` of it do); None: none of those here."""
    if first.startswith(_PNG_MAGIC):
        return _APNG if _is_animated(first) else _PNG
    if first[4:8] == b"ftyp":
        return _of_brands(first)
    return next((signature for pattern, signature in _FIXED if pattern.match(first)), None)


def _is_animated(first: bytes) -> bool:
    """Whether a chunk acTL comes before the pixels, as https://www.w3.org/TR/png-3/#acTL-chunk says."""
    place = len(_PNG_MAGIC)
    while place + 8 <= len(first):
        kind = first[place + 4 : place + 8]
        if kind in (b"acTL", b"IDAT"):
            return kind == b"acTL"
        place += 12 + int.from_bytes(first[place : place + 4], "big")
    return False


def _of_brands(first: bytes) -> Signature | None:
    """Of a file in the ISO base media format: the major brand says what it is, else the first known compatible one."""
    size = min(int.from_bytes(first[:4], "big"), 256)
    brands = [first[8:12], *(first[at : at + 4] for at in range(16, size, 4))]
    for brand in brands:
        if brand in (b"avif", b"avis"):
            return _AVIF
        if brand in (b"M4A ", b"M4B "):
            return _M4A
        if brand in _VIDEO_BRANDS:
            return _MP4
    return None
