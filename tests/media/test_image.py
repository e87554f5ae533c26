"""Images: what is taken, and what the file of one shows."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys

import pytest

import steplog
from media import samples
from media.keeping import Keeping
from steplog.media_value import LOGGED_BYTES_MAX, TooLargeToLogError

numpy = pytest.importorskip("numpy")
PIL = pytest.importorskip("PIL.Image")


def shown(value: steplog.Image) -> numpy.ndarray:
    """The pixels of the file that is made."""
    with PIL.open(io.BytesIO(Keeping().logged_file(value))) as image:
        return numpy.asarray(image)


def noise(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)


def test_the_record_of_an_image_names_its_file_and_its_size():
    keeping = Keeping()
    record = keeping.log(steplog.Image(noise(20, 30, 3), caption="a seven"))
    named = {"_type": "image", "file": "0" * 32, "type": "image/png"}
    assert record == {**named, "width": 30, "height": 20, "caption": "a seven"}
    assert keeping.contents["0" * 32].suffix == ".png"


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4), (1, 1), (3, 3, 3), (4, 4, 1)])
def test_an_array_of_bytes_is_shown_as_it_is(shape):
    pixels = noise(*shape)
    assert (shown(steplog.Image(pixels)).reshape(shape) == pixels).all()


@pytest.mark.parametrize("part", [numpy.s_[::-1], numpy.s_[::2, ::3], numpy.s_[:, :, ::-1], numpy.s_[2:9, 4:]])
def test_a_part_of_an_array_is_shown_as_it_is(part):
    pixels = noise(20, 30, 3)[part]
    assert (shown(steplog.Image(pixels)) == pixels).all()


def test_an_array_in_fortran_order_is_shown_as_it_is():
    pixels = numpy.asfortranarray(noise(20, 30, 3))
    assert (shown(steplog.Image(pixels)) == pixels).all()


@pytest.mark.parametrize("order", "<>")
def test_sixteen_bits_are_kept_in_either_order_of_bytes(order):
    pixels = (numpy.arange(600, dtype=numpy.uint16).reshape(20, 30) * 109).astype(f"{order}u2")
    assert (shown(steplog.Image(pixels)) == pixels).all()


@pytest.mark.parametrize("kind", [numpy.float16, numpy.float32, numpy.float64])
def test_floats_from_zero_to_one_are_from_black_to_white(kind):
    pixels = noise(20, 30, 3)
    assert (shown(steplog.Image((pixels / 255).astype(kind))) == pixels).all()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([-0.5, 0.0, 0.5], [64, 128, 191]),
        ([0.0, 2.0, 300.0], [0, 2, 255]),
        ([-30.0, 2.4, 255.0], [0, 2, 255]),
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([-1.0, float("nan"), 1.0], [0, 0, 255]),
        ([float("-inf"), 0.5, float("inf")], [0, 128, 255]),
        ([float("-inf"), 7.0, float("inf")], [0, 7, 255]),
        ([float("nan")] * 3, [0, 0, 0]),
    ],
)
def test_floats_of_another_range_are_scaled_or_clipped_as_documented(given, expected):
    assert shown(steplog.Image(numpy.array([given]))).tolist() == [expected]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (numpy.array([[False, True]]), [[0, 255]]),
        (numpy.array([[0, 1]]), [[0, 255]]),
        (numpy.array([[-1, 1]]), [[0, 255]]),
        (numpy.array([[0, 7, 255]]), [[0, 7, 255]]),
        (numpy.array([[-7, 7, 2**60]]), [[0, 7, 255]]),
        (numpy.array([[0, 1]], dtype=numpy.uint8), [[0, 1]]),
    ],
)
def test_whole_numbers_and_bools_are_shown_as_documented(given, expected):
    assert shown(steplog.Image(given)).tolist() == expected


def test_a_large_array_of_floats_is_scaled_alike_in_all_its_rows():
    pixels = noise(1200, 700)
    assert (shown(steplog.Image(pixels / 255.0)) == pixels).all()


def test_an_array_that_changes_after_the_call_changes_nothing():
    keeping, pixels = Keeping(), noise(20, 30, 3)
    record = keeping.log(steplog.Image(pixels))
    before = pixels.copy()
    pixels[:] = 0
    with PIL.open(io.BytesIO(keeping.file(record))) as image:
        assert (numpy.asarray(image) == before).all()


def test_an_image_is_what_its_array_holds_when_it_is_logged():
    pixels = noise(20, 30, 3)
    value = steplog.Image(pixels)
    pixels[:] = 9
    assert (shown(value) == 9).all()


@pytest.mark.parametrize("shape", [(2, 20, 30, 3), (5, 1, 28, 28)])
def test_a_batch_raises_value_error_that_says_to_log_a_list(shape):
    with pytest.raises(ValueError, match="log a list"):
        steplog.Image(noise(*shape))


def test_channels_that_come_first_in_an_array_raise_value_error_with_what_to_call():
    with pytest.raises(ValueError, match="moveaxis"):
        steplog.Image(noise(3, 20, 30))


@pytest.mark.parametrize("shape", [(), (20,), (0, 30), (20, 30, 0), (20, 30, 2), (20, 30, 5), (7, 20, 30)])
def test_arrays_of_no_image_raise_value_error(shape):
    with pytest.raises(ValueError, match="of shape"):
        steplog.Image(numpy.zeros(shape, numpy.uint8))


@pytest.mark.parametrize(
    "given", [None, 3, [[0, 1]], {"a": 1}, object(), int, numpy.zeros((2, 2), complex), numpy.array([["a"]])]
)
def test_what_is_no_image_raises_type_error(given):
    with pytest.raises(TypeError):
        steplog.Image(given)


def test_captions_are_texts_of_bounded_length():
    with pytest.raises(TypeError, match="caption"):
        steplog.Image(noise(2, 2), caption=3)
    with pytest.raises(ValueError, match="caption"):
        steplog.Image(noise(2, 2), caption="x" * 65_537)


def test_an_image_of_more_than_a_call_takes_raises_and_says_what_to_do():
    side = int(LOGGED_BYTES_MAX**0.5)
    assert Keeping().log(steplog.Image(numpy.zeros((side, side), bool)))["width"] == side
    with pytest.raises(TooLargeToLogError, match=r"run\.save"):
        Keeping().log(steplog.Image(numpy.zeros((side, side + 1), bool)))
    with pytest.raises(TooLargeToLogError):
        Keeping().log(steplog.Image(numpy.zeros((side, side // 2 + 1), numpy.uint16)))
    with pytest.raises(TooLargeToLogError):
        Keeping().log(steplog.Image(PIL.new("RGB", (side, side // 2))))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_an_image_of_pillows_is_shown_as_it_is(mode):
    image = PIL.fromarray(noise(20, 30, 4), "RGBA").convert(mode)
    expected = numpy.asarray(image.convert("L") if mode == "1" else image)
    assert (shown(steplog.Image(image)) == expected).all()


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV", "I", "F", "RGBX"])
def test_an_image_of_pillows_in_another_mode_is_shown_in_colours(mode):
    image = PIL.fromarray(noise(20, 30, 3), "RGB").convert("L" if mode in "IF" else "RGB").convert(mode)
    assert (shown(steplog.Image(image)) == numpy.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_of_pillows_are_kept(mode):
    values = numpy.arange(600, dtype=numpy.uint16).reshape(20, 30) * 109
    data = values.astype(">u2" if mode.endswith("B") else "<u2").tobytes()
    assert (shown(steplog.Image(PIL.frombytes(mode, (30, 20), data))) == values).all()


def test_transparency_of_a_palette_is_kept():
    image = PIL.fromarray(noise(20, 30, 3), "RGB").convert("P")
    image.info["transparency"] = 0
    assert (shown(steplog.Image(image)) == numpy.asarray(image.convert("RGBA"))).all()


def test_mode_converts_an_image_of_pillows_and_says_what_an_array_has():
    image = PIL.fromarray(noise(20, 30, 3), "RGB")
    assert (shown(steplog.Image(image, mode="L")) == numpy.asarray(image.convert("L"))).all()
    assert shown(steplog.Image(noise(20, 30, 3), mode="RGB")).shape == (20, 30, 3)
    for wrong in (
        lambda: steplog.Image(noise(20, 30, 3), mode="L"),
        lambda: steplog.Image(image, mode="none"),
        lambda: steplog.Image(samples.pillow_file("png"), mode="L"),
    ):
        with pytest.raises(ValueError, match="mode"):
            wrong()


KINDS = {
    "png": ("png", "image/png", ".png"),
    "jpeg": ("jpeg", "image/jpeg", ".jpg"),
    "progressive": ("jpeg", "image/jpeg", ".jpg"),
    "gif": ("gif", "image/gif", ".gif"),
    "webp": ("webp", "image/webp", ".webp"),
    "lossless": ("webp", "image/webp", ".webp"),
    "bmp": ("bmp", "image/bmp", ".bmp"),
    "avif": ("avif", "image/avif", ".avif"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_kept_as_it_is_whatever_its_name(kind, tmp_path):
    name, media_type, suffix = KINDS[kind]
    if name.upper() not in PIL.SAVE and (PIL.init(), name.upper() not in PIL.SAVE)[1]:
        pytest.skip(f"this Pillow writes no {name}")
    data = samples.pillow_file(name, 70, 50, progressive=kind == "progressive", lossless=kind == "lossless")
    path = tmp_path / "picture.dat"
    path.write_bytes(data)
    for given in (path, str(path), data, bytearray(data), io.BytesIO(data)):
        keeping = Keeping()
        record = keeping.log(steplog.Image(given))
        assert record == {"_type": "image", "file": "0" * 32, "type": media_type, "width": 70, "height": 50}
        assert keeping.file(record) == data
        assert keeping.contents["0" * 32].suffix == suffix


def test_a_file_is_read_when_the_image_is_logged(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(samples.pillow_file("png", 4, 4))
    value = steplog.Image(path)
    path.write_bytes(samples.pillow_file("png", 9, 8))
    assert Keeping().log(value)["width"] == 9


def test_what_is_no_file_of_an_image_raises(tmp_path):
    (tmp_path / "notes.png").write_text("text")
    with pytest.raises(FileNotFoundError):
        steplog.Image(tmp_path / "none.png")
    for given in (tmp_path / "notes.png", samples.wav(), b"", tmp_path):
        with pytest.raises((ValueError, IsADirectoryError)):
            steplog.Image(given)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="not a file"):
        steplog.Image(tmp_path / "pipe.png")


def test_a_file_of_more_than_a_call_takes_raises(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(samples.pillow_file("png") + bytes(LOGGED_BYTES_MAX))
    with pytest.raises(TooLargeToLogError):
        Keeping().log(steplog.Image(path))
    with pytest.raises(TooLargeToLogError):
        steplog.Image(io.BytesIO(path.read_bytes()))


def test_lists_and_dicts_of_images_have_a_file_each():
    keeping = Keeping()
    record = keeping.log({"a": [steplog.Image(noise(2, 2)), 7], "b": steplog.Image(noise(3, 3))})
    assert record["a"][0]["file"] != record["b"]["file"]
    assert record["a"][1] == 7
    assert len(keeping.contents) == 2


def test_an_image_can_be_pickled():
    value = pickle.loads(pickle.dumps(steplog.Image(noise(20, 30), "x")))
    assert (shown(value) == noise(20, 30)).all()


def test_a_file_is_logged_without_numpy_and_pillow(tmp_path):
    (tmp_path / "a.png").write_bytes(samples.pillow_file("png"))
    program = """
import sys
sys.modules.update(dict.fromkeys(("numpy", "PIL", "torch", "matplotlib")))
import steplog
from media.keeping import Keeping
values = [steplog.Image("a.png"), steplog.Html("<b>"), steplog.Histogram([1, 2]), steplog.Table(["a"])]
print(Keeping().log(values)[0]["width"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (done.stdout, done.stderr) == ("7\n", "")
