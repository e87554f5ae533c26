"""Types of files by their first bytes, and the sizes of images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import samples
from steplog.media.picture_size import picture_size
from steplog.media.signatures import SIGNATURES, signature_of

pytest.importorskip("PIL.Image")

FILES = {
    "image/png": samples.pillow_file("png"),
    "image/apng": samples.apng(),
    "image/jpeg": samples.pillow_file("jpeg"),
    "image/gif": samples.pillow_file("gif"),
    "image/webp": samples.pillow_file("webp"),
    "image/avif": samples.base_media(b"avif", b"mif1"),
    "image/bmp": samples.pillow_file("bmp"),
    "audio/wav": samples.wav(),
    "audio/mpeg": samples.MP3,
    "audio/ogg": samples.OGG,
    "video/ogg": samples.OGV,
    "audio/flac": samples.FLAC,
    "audio/mp4": samples.base_media(b"M4A ", b"isom"),
    "video/mp4": samples.MP4,
    "video/webm": samples.WEBM,
}


@pytest.mark.parametrize("media_type", [signature.type for signature in SIGNATURES])
def test_each_type_is_known_by_its_first_bytes(media_type):
    found = signature_of(FILES[media_type])
    assert found is not None
    assert found.type == media_type


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (samples.MP3_FRAMES, "audio/mpeg"),
        (samples.base_media(b"mif1", b"avif", b"heic"), "image/avif"),
        (samples.base_media(b"XXXX", b"YYYY", b"mp42"), "video/mp4"),
    ],
)
def test_other_beginnings_of_the_same_types_are_known(data, media_type):
    found = signature_of(data)
    assert found is not None
    assert found.type == media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"<!DOCTYPE html><script>",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"BM is how this text begins, and no image",
        b"RIFF\0\0\0\0AVI LIST",
        samples.MATROSKA,
        samples.base_media(b"heic", b"mif1"),
        samples.base_media(b"qt  "),
        b"\xff\xfe<\0s\0c\0r\0i\0p\0t\0",
    ],
)
def test_other_files_are_none_of_these(data):
    assert signature_of(data) is None


@given(
    st.binary(max_size=200)
    | st.sampled_from(sorted(FILES.values())).flatmap(
        lambda data: st.integers(0, len(data)).map(lambda end: data[:end])
    )
)
def test_any_bytes_have_a_type_or_none_and_a_size_or_none(data):
    signature_of(data)
    for signature in SIGNATURES:
        size = picture_size(data, signature.type)
        assert size is None or min(size) > 0


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp"])
def test_a_file_that_breaks_off_has_its_size_or_none(kind):
    data = samples.pillow_file(kind, 70, 50)
    found = {picture_size(data[:end], f"image/{kind}") for end in range(len(data) + 1)}
    assert found == {None, (70, 50)}
