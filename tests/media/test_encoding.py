"""The files that are made of what ``log`` copied, read again by Pillow and by the standard library."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import tracemalloc
import wave
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.media.encoding import encode
from steplog.media.png import BAND_BYTES

numpy = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")


def encoded(encoding: dict, data: bytes) -> bytes:
    made = io.BytesIO()
    encode(encoding, data, made.write)
    return made.getvalue()


def png_of(array: numpy.ndarray) -> bytes:
    height, width, channels = array.shape
    depth = 8 * array.dtype.itemsize
    data = array.astype(array.dtype.newbyteorder(">")).tobytes()
    size = {"width": width, "height": height, "channels": channels, "depth": depth}
    return encoded({"format": "png", **size}, data)


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks, whose checksums hold."""
    found, place = [], 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        assert zlib.crc32(kind + data) == int.from_bytes(png[place + 8 + size : place + 12 + size], "big")
        found.append((kind, data))
        place += 12 + size
    return found


def filters_of(png: bytes, stride: int) -> set[int]:
    rows = zlib.decompress(b"".join(data for kind, data in chunks_of(png) if kind == b"IDAT"))
    return set(rows[:: stride + 1])


def gradient(height: int, width: int, channels: int) -> numpy.ndarray:
    """As smooth as a photograph, so that filters pay."""
    noise = numpy.random.default_rng(3).integers(0, 4, (height, width, channels))
    rows = numpy.add.outer(numpy.arange(height), numpy.arange(width))[:, :, None] * 0.3
    return ((rows + noise) % 256).astype(numpy.uint8)


def plot(height: int, width: int, channels: int) -> numpy.ndarray:
    """The same signs again and again, so that filters only disturb."""
    signs = numpy.random.default_rng(5).integers(0, 2, (11, 13, channels), dtype=numpy.uint8) * 255
    return numpy.tile(signs, (height // 11 + 1, width // 13 + 1, 1))[:height, :width]


def noise(height: int, width: int, channels: int) -> numpy.ndarray:
    return numpy.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=numpy.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("picture", [gradient, plot, noise])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (61, 97), (2, BAND_BYTES + 5), (300, 301)])
def test_a_png_has_the_pixels_that_were_given(picture, size, channels):
    pixels = picture(*size, channels)
    png = png_of(pixels)
    chunks_of(png)
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        assert (numpy.asarray(image).reshape(pixels.shape) == pixels).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_any_bytes_come_back_from_a_png(height, width, channels, seed, levels):
    pixels = numpy.random.default_rng(seed).integers(0, levels, (height, width, channels), dtype=numpy.uint8)
    with Image.open(io.BytesIO(png_of(pixels))) as image:
        assert (numpy.asarray(image).reshape(pixels.shape) == pixels).all()


def test_sixteen_bits_of_a_channel_come_back():
    pixels = numpy.arange(40 * 50, dtype=numpy.uint16).reshape(40, 50, 1) * 31
    with Image.open(io.BytesIO(png_of(pixels))) as image:
        assert image.mode == "I;16"
        assert (numpy.asarray(image) == pixels[:, :, 0]).all()


def test_a_photograph_is_filtered_and_a_plot_is_not():
    assert filters_of(png_of(gradient(300, 300, 3)), 900) <= {1, 2}
    assert filters_of(png_of(plot(300, 300, 3)), 900) == {0}


def test_the_filter_is_chosen_for_the_whole_image_and_not_for_its_top():
    below = numpy.concatenate([numpy.full((300, 300, 3), 255, numpy.uint8), gradient(900, 300, 3)])
    assert filters_of(png_of(below), 900) <= {1, 2}
    above = numpy.concatenate([gradient(100, 300, 3), plot(1100, 300, 3)])
    assert filters_of(png_of(above), 900) == {0}


def test_rows_or_columns_are_subtracted_whichever_are_more_alike():
    steps = numpy.random.default_rng(4).integers(-1, 2, (200, 220))
    wide = steps.cumsum(axis=1) + numpy.random.default_rng(5).integers(0, 256, (200, 1))
    for pixels, kind in ((wide, 1), (wide.T, 2)):
        png = png_of((pixels % 256).astype(numpy.uint8)[:, :, None])
        assert filters_of(png, pixels.shape[1]) == {kind}
        assert len(png) < pixels.size / 3


@pytest.mark.parametrize("picture", [gradient, plot])
def test_a_png_is_hardly_larger_than_pillows(picture):
    pixels, other = picture(400, 500, 3), io.BytesIO()
    Image.fromarray(pixels).save(other, "png")
    assert len(png_of(pixels)) < 1.3 * len(other.getvalue()) + 200


def test_an_animation_has_every_frame_and_how_long_it_lasts():
    frames = numpy.random.default_rng(2).integers(0, 256, (6, 20, 30, 3), dtype=numpy.uint8)
    made = animation(frames, [3, 40])
    with Image.open(io.BytesIO(made)) as image:
        assert (image.n_frames, image.info["loop"], image.info["duration"]) == (6, 0, 75)
        for number, frame in enumerate(frames):
            image.seek(number)
            assert (numpy.asarray(image.convert("RGB")) == frame).all()


def animation(frames: numpy.ndarray, delay: list[int]) -> bytes:
    count, height, width, channels = frames.shape
    size = {"width": width, "height": height, "channels": channels, "depth": 8, "frames": count}
    return encoded({"format": "apng", **size, "delay": delay}, frames.tobytes())


def test_of_frames_alike_the_rows_that_changed_are_written():
    frames = numpy.zeros((8, 60, 60, 3), numpy.uint8)
    frames[:, :, :, :] = noise(60, 60, 3)
    for number in range(8):
        frames[number, 20 + number, :, :] = 255
    frames[7] = frames[6]
    made = animation(frames, [1, 10])
    assert len(made) < 3 * 60 * 60 * 3
    with Image.open(io.BytesIO(made)) as image:
        for number, frame in enumerate(frames):
            image.seek(number)
            assert (numpy.asarray(image.convert("RGB")) == frame).all()


def test_the_parts_of_an_animation_are_numbered_one_after_the_other():
    frames = noise(4 * 200, 150, 3).reshape(4, 200, 150, 3)
    chunks = chunks_of(animation(frames, [1, 4]))
    numbers = [int.from_bytes(data[:4], "big") for kind, data in chunks if kind in (b"fcTL", b"fdAT")]
    assert numbers == list(range(len(numbers)))
    assert sum(kind == b"fdAT" for kind, _ in chunks) > 3


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_wav_has_the_samples_that_were_given(channels):
    samples = numpy.arange(-300 * channels, 300 * channels, dtype="<i2")
    made = encoded({"format": "wav", "sample_rate": 44_100, "channels": channels}, samples.tobytes())
    with wave.open(io.BytesIO(made)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (channels, 2, 44_100)
        assert file.readframes(10**6) == samples.tobytes()


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024 + 1])
def test_without_an_encoding_the_file_is_what_was_given(size):
    data = bytes(itertools.islice(itertools.cycle(b"steplog"), size))
    assert encoded({}, data) == data


PNG = {"format": "png", "width": 2, "height": 2, "channels": 3, "depth": 8}


@pytest.mark.parametrize(
    ("encoding", "size"),
    [
        ({"format": "tiff"}, 3),
        ({"format": 3}, 3),
        (PNG, 11),
        (PNG, 13),
        ({**PNG, "width": 0}, 0),
        ({**PNG, "width": -2}, 12),
        ({**PNG, "width": "2"}, 12),
        ({**PNG, "channels": 5}, 20),
        ({**PNG, "depth": 4}, 6),
        ({**PNG, "format": "apng", "frames": 2, "delay": [1, 4]}, 12),
        ({**PNG, "format": "apng", "frames": 0, "delay": [1, 4]}, 0),
        ({**PNG, "format": "apng", "frames": 1, "delay": [1, 70_000]}, 12),
        ({**PNG, "format": "apng", "frames": 1}, 12),
        ({"format": "wav", "sample_rate": 8000, "channels": 2}, 6),
        ({"format": "wav", "sample_rate": 2**32 - 1, "channels": 1}, 2),
        ({"format": "wav"}, 2),
    ],
)
def test_what_is_no_encoding_of_the_data_raises_value_error(encoding, size):
    with pytest.raises(ValueError, match=r"encod|number|numbers|bits|WAV"):
        encoded(encoding, bytes(size))


@pytest.mark.parametrize("kind", ["png", "apng", "wav", ""])
def test_memory_for_a_file_is_bounded(kind):
    data = noise(2400, 2000, 3).tobytes()
    size = {"width": 2000, "height": 600, "channels": 3, "depth": 8, "frames": 4, "delay": [1, 4]}
    encoding = {"format": kind, **size, "sample_rate": 8000} if kind else {}
    if kind == "png":
        encoding["height"] = 2400
    tracemalloc.start()
    encode(encoding, memoryview(data), lambda piece: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def test_files_are_made_without_any_library():
    program = """
import sys
from steplog.media.encoding import encode
made = []
encode({"format": "png", "width": 2, "height": 2, "channels": 3, "depth": 8}, bytes(12), made.append)
assert made[0].startswith(b"\\x89PNG")
found = {"numpy", "PIL", "requests", "msgspec"} & set(sys.modules)
sys.exit(f"loaded {found}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
