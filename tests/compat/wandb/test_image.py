"""``wandb.Image``: what of arrays, tensors, figures and files is kept, with boxes and masks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog.compat.wandb as wandb
from compat.files_kept import logged
from steplog.compat.unsupported import unsupported
from steplog.media_value import LOGGED_BYTES_MAX

PIL_Image = pytest.importorskip("PIL.Image", reason="compares with Pillow: pip install pillow")

RAMP = numpy.arange(48, dtype=numpy.uint8).reshape(4, 4, 3)
BOXES = {
    "predictions": {
        "box_data": [
            {
                "position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4},
                "class_id": 1,
                "scores": {"acc": 0.5},
                "box_caption": "a car",
            },
            {"position": {"middle": [1, 2], "width": 3, "height": 4}, "class_id": 2, "domain": "pixel"},
        ],
        "class_labels": {1: "car", 2: "tree"},
    }
}


def pixels(image: wandb.Image) -> Any:
    return numpy.asarray(logged(image.kept()).picture())


def test_an_array_is_kept_as_it_was_when_the_image_was_made():
    array = RAMP.copy()
    image = wandb.Image(array, caption="ramp", grouping=3)
    array[:] = 0
    kept = logged(image.kept())
    assert (kept.record["_type"], kept.record["caption"], kept.record["grouping"]) == ("image", "ramp", 3)
    assert (kept.record["width"], kept.record["height"], image._width, image._height) == (4, 4, 4, 4)
    assert (pixels(image) == RAMP).all()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RAMP[:, :, 0], RAMP[:, :, 0]),
        (RAMP[:, :, :1], RAMP[:, :, 0]),
        (RAMP.astype(numpy.int64), RAMP),
        (RAMP.astype(numpy.float32), RAMP),
        (numpy.array([[0.0, 0.5, 1.0]]), [[0, 127, 255]]),
        (numpy.array([[-1.0, 0.0, 1.0]]), [[0, 127, 255]]),
        (numpy.array([[-5, 300]]), [[0, 255]]),
        (numpy.array([[True, False]]), [[255, 0]]),
        (numpy.array([[numpy.nan, 1.0]]), [[0, 255]]),
    ],
)
def test_numbers_are_those_that_wandb_shows_or_scaled_from_0_to_1(given, expected):
    assert numpy.abs(pixels(wandb.Image(given)).astype(int) - numpy.asarray(expected)).max() <= 1


def test_a_tensor_has_its_channels_first_and_a_batch_is_tiled():
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch")
    tensor = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    assert (pixels(wandb.Image(tensor)) == tensor.permute(1, 2, 0).numpy()).all()
    assert pixels(wandb.Image(torch.rand(9, 1, 6, 5, requires_grad=True))).shape == (2 * 8 + 2, 8 * 7 + 2)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6, 7), (4, 4, 5), (7,), (0, 3, 3)])
def test_an_array_of_another_shape_raises_as_wandb_does(shape):
    with pytest.raises(ValueError, match="Un-supported shape"):
        wandb.Image(numpy.zeros(shape))


def test_a_figure_is_drawn_when_the_image_is_made():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib: pip install matplotlib")
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    images = [wandb.Image(pyplot), wandb.Image(figure), wandb.Image(axes)]
    pyplot.clf()
    pyplot.close("all")
    for image in images:
        shown = pixels(image)
        assert shown.shape[:2] == (480, 640)
        assert shown.min() < 255


def test_a_picture_of_pillow_and_its_mode_and_file_type():
    picture = PIL_Image.fromarray(RAMP)
    assert (pixels(wandb.Image(picture)) == RAMP).all()
    assert logged(wandb.Image(RAMP, mode="L").kept()).picture().mode == "L"
    jpeg = logged(wandb.Image(RAMP, file_type="jpg").kept())
    assert (jpeg.record["type"], jpeg.picture().format) == ("image/jpeg", "JPEG")
    with pytest.raises(ValueError, match="file_type must be one of"):
        wandb.Image(RAMP, file_type="tiff")
    assert wandb.Image(RAMP).image.size == (4, 4)


def test_a_file_is_kept_as_it_is_and_read_when_it_is_logged(tmp_path: Path):
    path = tmp_path / "a.png"
    PIL_Image.fromarray(RAMP).save(path)
    kept = logged(wandb.Image(str(path), caption="c").kept())
    assert (kept.file(), kept.record["type"]) == (path.read_bytes(), "image/png")
    tiff = tmp_path / "a.tiff"
    PIL_Image.fromarray(RAMP).save(tiff)
    assert (pixels(wandb.Image(tiff)) == RAMP).all()
    with pytest.raises(FileNotFoundError):
        wandb.Image("missing.png")


def test_a_file_that_has_gone_before_it_is_logged_is_counted(tmp_path: Path):
    path = tmp_path / "a.png"
    PIL_Image.fromarray(RAMP).save(path)
    image = wandb.Image(path)
    path.unlink()
    unsupported.forget()
    assert image.value() is None
    assert unsupported.counts() == {"wandb.log() of wandb.Image, not readable": 1}


def test_an_image_of_an_image_has_its_picture_and_not_its_boxes():
    first = wandb.Image(RAMP, caption="first", boxes=BOXES)
    second = wandb.Image(first, caption="second")
    record = logged(second.kept()).record
    assert (record["caption"], "boxes" in record) == ("second", False)
    assert (pixels(second) == RAMP).all()


def test_boxes_are_part_of_the_record():
    record = logged(wandb.Image(RAMP, boxes=BOXES, classes=[{"id": 3, "name": "sky"}]).kept()).record
    assert record["boxes"]["predictions"] == {
        "box_data": BOXES["predictions"]["box_data"],
        "class_labels": {"1": "car", "2": "tree"},
    }
    assert record["classes"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "tree"}, {"id": 3, "name": "sky"}]


def test_a_mask_is_an_image_of_its_own_with_the_classes_as_they_are():
    mask = numpy.array([[0, 1], [2, 255]])
    kept = logged(wandb.Image(RAMP, masks={"truth": {"mask_data": mask, "class_labels": {1: "car"}}}).kept())
    part = kept.record["masks"]["truth"]
    assert (part["mask"]["_type"], part["class_labels"]) == ("image", {"1": "car"})
    place = int(part["mask"]["file"], 16)
    assert (numpy.asarray(kept.picture(place)) == mask).all()
    assert wandb.Image(RAMP, masks={"m": {"mask_data": mask}})._masks["m"]._class_labels[255] == "class_255"


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ({"box_data": "all"}, "Boxes must be a list"),
        ({"box_data": [{"position": {"minX": 1}}]}, "Each box must contain a position"),
        ({"box_data": [{**BOXES["predictions"]["box_data"][0], "scores": 1}]}, "scores must be a dictionary"),
        ({"box_data": [{**BOXES["predictions"]["box_data"][0], "class_id": "a"}]}, "class_id must be an integer"),
        ({"box_data": [{**BOXES["predictions"]["box_data"][0], "box_caption": 1}]}, "caption must be a string"),
        ({"box_data": [], "class_labels": {"a": "b"}}, "Class labels must be a dictionary"),
    ],
)
def test_boxes_that_are_none_raise_as_wandbs_do(boxes, words):
    with pytest.raises(TypeError, match=words):
        wandb.Image(RAMP, boxes={"predictions": boxes})


@pytest.mark.parametrize(
    ("mask", "kind"),
    [({}, KeyError), ({"mask_data": numpy.zeros(3)}, TypeError), ({"mask_data": numpy.array([[256]])}, TypeError)],
)
def test_masks_that_are_none_raise_as_wandbs_do(mask, kind):
    with pytest.raises(kind):
        wandb.Image(RAMP, masks={"m": mask})


def test_an_image_larger_than_log_copies_is_encoded_by_its_caller():
    large = numpy.zeros((3000, 3000, 3), numpy.uint8)
    assert large.nbytes > LOGGED_BYTES_MAX
    large[1000, 2000] = 7, 8, 9
    kept = logged(wandb.Image(large).kept())
    assert kept.contents[0].encoding == {}
    assert kept.picture().getpixel((2000, 1000)) == (7, 8, 9)


def test_what_is_too_large_even_encoded_is_counted_where_it_is_logged():
    noise = numpy.random.default_rng(0).integers(0, 256, (3000, 3000, 3), dtype=numpy.uint8)
    image = wandb.Image(noise)
    unsupported.forget()
    assert image.value() is None
    assert unsupported.counts() == {"wandb.log() of wandb.Image, too large": 1}


def test_a_stream_is_no_image():
    with pytest.raises(ValueError, match="Un-supported shape"):
        wandb.Image(io.BytesIO(b"x"))
