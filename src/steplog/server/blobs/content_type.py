"""The media type of a content by its first bytes. Pure.

What was announced of a file says nothing here: whoever writes to a project chooses it. By its bytes a content is one of
the media below, which a browser only shows or plays, or it is ``application/octet-stream``, which it does neither with.
HTML, SVG, XML, PDF and scripts are never called by their name.

========  ==========================================================  ================================================
type      begins with                                                 source
========  ==========================================================  ================================================
PNG       ``89 50 4E 47 0D 0A 1A 0A``; APNG: ``acTL`` before ``IDAT``  https://www.w3.org/TR/png-3/#3PNGsignature
JPEG      ``FF D8 FF``                                                https://mimesniff.spec.whatwg.org/#image-type-pattern-matching-algorithm
others    as the table of that specification, or a box ``ftyp``       https://mimesniff.spec.whatwg.org/#signature-for-mp4
========  ==========================================================  ================================================
"""

from __future__ import annotations

__all__ = ["HEAD_BYTES", "UNKNOWN", "sniffed"]

HEAD_BYTES = 1024  # as many as ``sniffed`` looks at
UNKNOWN = "application/octet-stream"
_PNG = b"\x89PNG\r\n\x1a\n"
_BEGINNINGS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_IMAGE_BRANDS = (b"avif", b"avis")
_MP4_BRANDS = (b"mp4", b"iso", b"avc", b"M4V", b"MSNV", b"dash")
_BITMAP_HEADERS = (12, 40, 52, 56, 108, 124)
_MPEG_RATES = 3  # an index; the fourth is reserved


def sniffed(head: bytes) -> str:
    """The type of a content with these first ``HEAD_BYTES``, or as many as it has."""
    if head.startswith(_PNG):
        return "image/apng" if _is_animated(head) else "image/png"
    for beginning, found in _BEGINNINGS:
        if head.startswith(beginning):
            return found
    if head.startswith(b"OggS\x00"):
        return "video/ogg" if b"\x80theora" in head else "audio/ogg"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _of_brand(head[8:12])
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"\x42\x82" in head[:64] and b"webm" in head[:64] else UNKNOWN
    if _is_bitmap(head):
        return "image/bmp"
    return "audio/mpeg" if _is_mpeg_audio(head) else UNKNOWN


def _of_brand(brand: bytes) -> str:
    if brand in _IMAGE_BRANDS:
        return "image/avif"
    return "video/mp4" if brand.startswith(_MP4_BRANDS) else UNKNOWN


def _is_animated(head: bytes) -> bool:
    """Whether a chunk ``acTL`` comes before the first ``IDAT``."""
    at = len(_PNG)
    while at + 8 <= len(head):
        kind = head[at + 4 : at + 8]
        if kind in (b"acTL", b"IDAT"):
            return kind == b"acTL"
        at += 12 + int.from_bytes(head[at : at + 4], "big")
    return False


def _is_bitmap(head: bytes) -> bool:
    """BM, and a header of one of the sizes that there are: two letters alone begin many a text."""
    return head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS


def _is_mpeg_audio(head: bytes) -> bool:
    """A frame of layer III whose bit rate and sampling rate are not reserved."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    return head[1] & 0x18 != 0x08 and head[2] >> 4 not in (0, 15) and (head[2] >> 2) & 3 < _MPEG_RATES
