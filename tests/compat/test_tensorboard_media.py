"""Images, figures, videos and sounds of a ``SummaryWriter``, and of events that real ones have written."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog
from apart import apart
from compat.files_kept import logged
from compat.offline import Offline
from steplog.compat.tensorboard import SummaryWriter, media
from steplog.compat.tensorboard.events import EventReader
from steplog.compat.unsupported import unsupported
from steplog.formats.protobuf import bytes_field, varint_field

PIL_Image = pytest.importorskip("PIL.Image", reason="compares with Pillow: pip install pillow")

CHANNELS_FIRST = numpy.arange(3 * 4 * 5, dtype=numpy.uint8).reshape(3, 4, 5)
CALL = "SummaryWriter.add_image()"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


def pixels(value: Any, place: int = 0) -> Any:
    return numpy.asarray(logged(value).picture(place))


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        (CHANNELS_FIRST, "CHW"),
        (CHANNELS_FIRST.transpose(1, 2, 0), "HWC"),
        (CHANNELS_FIRST.transpose(2, 1, 0), "WHC"),
        (CHANNELS_FIRST / 255, "CHW"),
        (CHANNELS_FIRST[None], "NCHW"),
        (CHANNELS_FIRST.transpose(1, 2, 0)[None], "NHWC"),
    ],
)
def test_an_image_is_the_same_in_whatever_order_its_axes_are(given, formats):
    found = pixels(media.image(given, formats, CALL))
    assert numpy.abs(found.astype(int) - CHANNELS_FIRST.transpose(1, 2, 0)).max() <= 1


def test_numbers_are_from_0_to_1_and_clipped_and_grey_stays_grey():
    found = pixels(media.image(numpy.array([[-1.0, 0.5], [1.0, 7.0]]), "HW", CALL))
    assert found.tolist() == [[0, 127], [255, 255]]
    assert pixels(media.image(numpy.ones((1, 2, 2)), "CHW", CALL)).shape == (2, 2)


def test_a_batch_is_tiled_eight_a_row():
    assert pixels(media.image(numpy.zeros((10, 3, 4, 5)), "NCHW", CALL)).shape == (2 * 4, 8 * 5, 3)
    assert pixels(media.image(numpy.zeros((2, 3, 4, 5)), "NCHW", CALL)).shape == (4, 10, 3)


@pytest.mark.parametrize("formats", ["CH", "CCW", "NCHW"])
def test_axes_that_do_not_fit_raise_as_the_original_does(formats):
    with pytest.raises(AssertionError):
        media.image(CHANNELS_FIRST, formats, CALL)


def test_boxes_are_beside_the_image():
    value = media.boxed_image(CHANNELS_FIRST, numpy.array([[0, 1, 2, 3]]), "CHW", ["a cat"], CALL)
    assert logged(value).record["boxes"]["boxes"]["box_data"] == [
        {
            "position": {"minX": 0, "minY": 1, "maxX": 2, "maxY": 3},
            "domain": "pixel",
            "box_caption": "a cat",
        }
    ]


def test_a_video_is_an_animation_of_its_batch_tiled():
    record = logged(media.video(numpy.zeros((3, 6, 3, 4, 5)), 8, "NTCHW", CALL)).record
    assert (record["type"], record["frames"], record["fps"]) == ("image/apng", 6, 8)
    assert (record["width"], record["height"]) == (15, 4)


def test_a_sound_is_a_wave_file_of_one_channel():
    kept = logged(media.audio(numpy.array([[0.0, 1.0, -2.0]]), 8000, CALL))
    with wave.open(io.BytesIO(kept.file())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 3)
        assert numpy.frombuffer(file.readframes(3), "<i2").tolist() == [0, 32767, -32767]
    with pytest.raises(AssertionError, match="1 dimensional"):
        media.audio(numpy.zeros((2, 3)), 8000, CALL)


@apart
def test_a_writers_media_are_values_at_their_steps(offline: Offline):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib: pip install matplotlib")
    pyplot.switch_backend("Agg")
    with SummaryWriter("runs/a") as writer:
        writer.add_image("image", CHANNELS_FIRST, 1)
        writer.add_images("images", numpy.zeros((2, 3, 4, 5)), 2)
        writer.add_images("listed", [CHANNELS_FIRST, CHANNELS_FIRST], 2, dataformats="CHW")
        writer.add_image_with_boxes("boxes", CHANNELS_FIRST, [[0, 0, 1, 1]], 3)
        writer.add_figure("figure", pyplot.figure(), 4)
        writer.add_figure("figures", [pyplot.figure(), pyplot.figure()], 4)
        writer.add_video("video", numpy.zeros((1, 2, 3, 4, 5)), 5, fps=2)
        writer.add_audio("audio", numpy.zeros(8), 6, sample_rate=8000)
    assert pyplot.get_fignums() == []
    steps = {"image": 1, "images": 2, "listed": 2, "boxes": 3, "figure": 4, "figures": 4, "video": 5, "audio": 6}
    kinds = {"figures": ["image", "image"], "video": "video", "audio": "audio"}
    for name, step in steps.items():
        ((at, value),) = offline.points("a", name)
        found = [each["_type"] for each in value] if isinstance(value, list) else value["_type"]
        assert (name, at, found) == (name, step, kinds.get(name, "image"))
    assert unsupported.counts() == {}


def field(number: int, data: bytes) -> bytes:
    return bytes_field(number, data)


def png() -> bytes:
    written = io.BytesIO()
    PIL_Image.fromarray(CHANNELS_FIRST.transpose(1, 2, 0)).save(written, "PNG")
    return written.getvalue()


def wav() -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "NONE"))
        file.writeframes(b"\0\0" * 8)
    return written.getvalue()


def event(value: bytes, plugin: str = "") -> bytes:
    metadata = field(9, field(1, field(1, plugin.encode()))) if plugin else b""
    return varint_field(2, 7) + field(5, field(1, field(1, b"tag") + value + metadata))


def strings(*texts: bytes) -> bytes:
    return field(8, varint_field(1, 7) + b"".join(field(8, text) for text in texts))


def doubles(shape: tuple[int, ...], *numbers: float) -> bytes:
    sizes = b"".join(field(2, varint_field(1, size)) for size in shape)
    return field(8, varint_field(1, 2) + field(2, sizes) + field(4, struct.pack(f"<{len(numbers)}d", *numbers)))


EVENTS: dict[str, tuple[Callable[[], bytes], Any]] = {
    "an image": (lambda: event(field(4, field(4, png()))), "image"),
    "a sound": (lambda: event(field(6, field(4, wav()))), "audio"),
    "an image of TensorFlow 2": (lambda: event(strings(b"5", b"4", png()), "images"), "image"),
    "images of TensorFlow 2": (lambda: event(strings(b"5", b"4", png(), png()), "images"), ["image", "image"]),
    "a sound of TensorFlow 2": (lambda: event(strings(wav(), b"label"), "audio"), "audio"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_with_a_file_is_that_file(name):
    make, expected = EVENTS[name]
    unsupported.forget()
    ((tag, value, step),) = EventReader(dict).parsed(make())
    record = logged(value).record
    found = [each["_type"] for each in record] if isinstance(record, list) else record["_type"]
    assert (tag, step, found, unsupported.counts()) == ("tag", 7, expected, {})


@pytest.mark.parametrize("plugin", ["", "tensor"])
def test_a_tensor_of_an_event_is_nested_lists(plugin):
    unsupported.forget()
    found = list(EventReader(dict).parsed(event(doubles((2, 3), *range(6)), plugin)))
    assert (found, unsupported.counts()) == ([("tag", [[0, 1, 2], [3, 4, 5]], 7)], {})


def test_an_event_of_another_kind_or_of_a_damaged_file_is_counted():
    unsupported.forget()
    reader = EventReader(dict)
    assert list(reader.parsed(event(field(4, field(4, b"no image"))))) == []
    assert list(reader.parsed(event(doubles((2,), 1, 2), "mesh"))) == []
    assert list(reader.parsed(event(doubles((5,), 1, 2)))) == []
    assert unsupported.counts() == {
        "TensorBoard's images": 1,
        "TensorBoard's values of the plugin mesh": 1,
        "TensorBoard's tensors": 1,
    }


REAL = ("torch.utils.tensorboard", "tensorboardX")


@pytest.mark.slow
@pytest.mark.parametrize("library", REAL)
def test_what_a_real_writer_is_given_is_kept_as_the_own_ones_is(offline: Offline, library: str):
    module = pytest.importorskip(library, reason=f"needs {library}: pip install 'steplog[frameworks]'")
    from steplog.compat import tensorboard_sync

    @apart
    def log() -> None:
        with steplog.init(project="mnist", name="synced") as run:
            tensorboard_sync.start(run)
            with module.SummaryWriter("files/a") as writer:
                writer.add_image("image", CHANNELS_FIRST, 1)
                writer.add_images("images", numpy.zeros((2, 3, 4, 5), numpy.uint8), 2)
                writer.add_histogram("histogram", numpy.arange(10), 3)
                writer.add_audio("audio", numpy.zeros(8, numpy.float32), 4, sample_rate=8000)
            assert unsupported.counts() == {}
            assert pixels_of(run, "image").tolist() == CHANNELS_FIRST.transpose(1, 2, 0).tolist()
        kinds = {name: offline.points("synced", name)[0][1]["_type"] for name in offline.names("synced")}
        assert kinds == {"image": "image", "images": "image", "histogram": "histogram", "audio": "audio"}

    log()


def pixels_of(run: Any, name: str) -> Any:
    ((value,),) = ([row["json"]] for row in steplog.open(run).history(name, form="long").rows())
    return numpy.asarray(PIL_Image.open(io.BytesIO(run.file(value).read())))
