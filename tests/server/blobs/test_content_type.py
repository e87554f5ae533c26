"""Contents are called by their first bytes, and never by a name that a browser obeys."""

from __future__ import annotations

import io
import struct
import wave
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.server.blobs.content_type import HEAD_BYTES, UNKNOWN, sniffed

SHOWN = {
    "image/png", "image/apng", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp",
    "audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "video/mp4", "video/ogg", "video/webm",
}  # fmt: skip


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
STILL = PNG + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND")
MOVING = PNG + chunk(b"acTL", bytes(8)) + chunk(b"IDAT", zlib.compress(b"\0\0"))
BITMAP = b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + struct.pack("<I", 40) + bytes(40)


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(bytes(20))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (STILL, "image/png"),
        (MOVING, "image/apng"),
        (PNG + chunk(b"tEXt", b"acTL") + chunk(b"IDAT"), "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\1\0", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1", "image/avif"),
        (BITMAP, "image/bmp"),
        (wav(), "audio/wav"),
        (b"ID3\4\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + bytes(100), "audio/mpeg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis", "audio/ogg"),
        (b"OggS\0\2" + bytes(20) + b"\1\x2a\x80theora", "video/ogg"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "video/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm", "video/webm"),
    ],
)
def test_media_are_called_by_their_first_bytes(content, expected):
    assert sniffed(content[:HEAD_BYTES]) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><script>alert(1)</script>",
        b"\xef\xbb\xbf<html>",
        "\ufeff<html><script>".encode("utf-16-le"),
        "<html>".encode("utf-16-be"),
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7",
        b"PK\3\4",
        b"alert(1)//",
        b"GIF88a<script>",
        b"BM<script>alert(1)</script>",
        b"BM" + b" " * 30,
        b"RIFF<script>",
        b"RIFF\0\0\0\0AVI LIST",
        b"\0\0\0\x20ftypqt  ",
        b"\0\0\0\x20ftyp<scr",
        b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
        b"\xff\xfe<\0h\0t\0m\0l\0",
        b"\xff\xf1\x50\x80",
        b"\x7fELF",
        b"wOFF",
        b"\0asm",
    ],
)
def test_what_a_browser_could_obey_or_is_not_known_has_no_type(content):
    assert sniffed(content) == UNKNOWN


@given(st.binary(max_size=HEAD_BYTES))
def test_no_content_is_called_otherwise_than_these(content):
    for beginning in (b"", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"\xff", b"OggS\0"):
        assert sniffed((beginning + content)[:HEAD_BYTES]) in SHOWN | {UNKNOWN}
