"""``wandb.Image``: a picture of an array, a tensor, a figure or a file, with boxes and masks over it.

::

    {"_type": "image", "file": …, "caption": …, "grouping": …,
     "boxes": {"predictions": {"box_data": […], "class_labels": {"1": "car"}}},
     "masks": {"predictions": {"mask": {"_type": "image", "file": …}, "class_labels": {"1": "car"}}},
     "classes": [{"id": 1, "name": "car"}]}

1. Numbers are from 0 to 255. Floats from 0 to 1 are scaled, as wandb did before 0.18: else they are black.
2. A batch of tensors (n, channels, height, width) is one image, tiled.
3. Pillow is needed for ``mode``, for ``file_type`` and for files of kinds that a browser does not show.
"""

from __future__ import annotations

import io
import numbers
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import steplog
from steplog.compat.kept_media import KeptMedia, encoded, frozen
from steplog.compat.pixels import array_of, is_tensor, tiled, uint8_of
from steplog.compat.wandb.errors import Error
from steplog.compat.wandb.media import BatchableMedia, Classes, Media
from steplog.media_value import MediaValue

__all__ = ["BoundingBoxes2D", "Image", "ImageMask"]

_FILE_TYPES = ("png", "jpg", "jpeg", "bmp")
_SHOWN = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp")  # files that are kept as they are
_GRID_COLUMNS, _GRID_PADDING = 8, 2  # as torchvision has them
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class BoundingBoxes2D(Media):
    """Boxes over an image, which are part of its value."""

    _log_type = "bounding-boxes"

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        data = val["box_data"]
        if not isinstance(data, list):
            raise TypeError("Boxes must be a list")
        for box in data:
            _check_box(box)
        found = sorted({int(box["class_id"]) for box in data if "class_id" in box})
        self._val, self._key = data, key
        self._class_labels = _labels(val.get("class_labels", {each: f"class_{each}" for each in found}))

    def to_json(self, run_or_artifact: object = None) -> Any:
        """The boxes, and the names of their classes."""
        return {"box_data": self._val, "class_labels": _texts(self._class_labels)}


class ImageMask(Media):
    """A mask over an image: a class for each pixel."""

    _log_type = "mask"

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._key = key
        if "path" in val:
            path = os.fspath(val["path"])
            self._class_labels = _labels(val.get("class_labels", {}))
            self._refer(path, lambda: frozen(steplog.Image(path)))
            return
        data = array_of(val["mask_data"])
        if data.ndim != 2:
            raise TypeError("mask_data must be a 2D array")
        if data.size and not (data.min() >= 0 and data.max() <= 255):
            raise TypeError("Mask data must be integers between 0 and 255")
        pixels = data.astype("uint8")
        found = sorted({int(each) for each in pixels.ravel().tolist()}) if "class_labels" not in val else []
        self._class_labels = _labels(val.get("class_labels", {each: f"class_{each}" for each in found}))
        self._take(lambda: steplog.Image(pixels))

    def part(self) -> Any:
        """Of the value of its image."""
        found = self.value()
        return None if found is None else {"mask": found, "class_labels": _texts(self._class_labels)}


class Image(BatchableMedia):
    """An image. Raises ValueError or OSError for what is none."""

    MAX_ITEMS = 108
    MAX_DIMENSION = 65500
    _log_type = "image-file"

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Mapping[str, Any] | None = None,
        masks: Mapping[str, Any] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        self._caption, self._grouping, self._width, self._height = caption, grouping, None, None
        self.format = file_type or "png"
        if isinstance(data_or_path, Image):
            self._be(data_or_path)
        elif isinstance(data_or_path, (str, os.PathLike)):
            self._read(os.fspath(data_or_path))
        elif self.format not in _FILE_TYPES:
            raise ValueError(f"file_type must be one of {list(_FILE_TYPES)}")
        else:
            self._take(lambda: _picture(data_or_path, mode, self.format))
        self._boxes = _all_of(BoundingBoxes2D, "boxes", boxes)
        self._masks = _all_of(ImageMask, "masks", masks)
        self._classes = _classes(classes, self._boxes, self._masks)
        if self._path is None and self._value is not None:
            self._measure()

    def _be(self, other: Image) -> None:
        """The picture of another one; its boxes and masks are its own."""
        self._path, self._value, self.format = other._path, other._value, other.format
        self._width, self._height = other._width, other._height
        self._caption = other._caption if self._caption is None else self._caption
        self._grouping = other._grouping if self._grouping is None else self._grouping

    def _read(self, path: str) -> None:
        if "://" in path:
            self._path = path  # of a reference nothing is kept
            return
        suffix = os.path.splitext(path)[1]
        self.format = suffix[1:]
        if suffix.lower() in _SHOWN:
            self._refer(path, lambda: frozen(steplog.Image(path)))
        else:
            opened = _pillow("a file of this kind").open(path)
            self._take(lambda: steplog.Image(opened))

    def _measure(self) -> None:
        value = self.value_alone()
        if value is not None:
            fields = value.content().fields
            self._width, self._height = fields.get("width"), fields.get("height")

    def value_alone(self) -> KeptMedia | None:
        """The picture without what is over it; None: it is too large to be logged."""
        found = self._value() if self._value is not None else None
        return found if isinstance(found, KeptMedia) else None

    def _fields(self) -> dict[str, Any]:
        masks = {key: mask.part() for key, mask in self._masks.items()}
        return {
            "grouping": self._grouping,
            "boxes": {key: boxes.to_json() for key, boxes in self._boxes.items()} or None,
            "masks": {key: part for key, part in masks.items() if part is not None} or None,
            "classes": None if self._classes is None else self._classes._class_set,
        }

    def to_json(self, run_or_artifact: object = None) -> Any:
        """What it says of itself."""
        found: dict[str, Any] = {
            "_type": self._log_type,
            "format": self.format,
            "width": self._width,
            "height": self._height,
        }
        found |= {"caption": self._caption, "grouping": self._grouping}
        found["boxes"] = {key: boxes.to_json() for key, boxes in self._boxes.items()} or None
        return {name: value for name, value in found.items() if value is not None}

    @property
    def image(self) -> Any:
        """The picture as Pillow has it. Raises wandb.Error where that is not installed."""
        pillow = _pillow("Image.image")
        if self._path is not None:
            return pillow.open(self._path)
        value = self.value_alone()
        return None if value is None else pillow.open(io.BytesIO(encoded(value.content())))


def _picture(data: Any, mode: str | None, file_type: str) -> MediaValue:
    """The image of steplog's of what ``wandb.Image`` takes."""
    library = (data.__name__ if isinstance(data, ModuleType) else type(data).__module__).partition(".")[0]
    if library == "matplotlib":
        return steplog.Image(_figure(data))
    if library == "PIL":
        return steplog.Image(data) if file_type == "png" else _as_file(data, file_type)
    pixels = _pixels(data)
    if file_type == "png" and mode in (None, _MODES[pixels.shape[2]]):
        return steplog.Image(pixels)
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    picture = _pillow("mode and file_type").fromarray(flat).convert(mode or _MODES[pixels.shape[2]])
    return steplog.Image(picture) if file_type == "png" else _as_file(picture, file_type)


def _figure(data: Any) -> Any:
    """The figure that is meant by ``pyplot`` itself, or by a part of one."""
    if hasattr(data, "gcf"):
        return data.gcf()
    figure = getattr(data, "figure", None)
    return figure if figure is not None and hasattr(figure, "savefig") else data


def _pixels(data: Any) -> Any:
    """Height, width, channels. Raises ValueError for another shape."""
    array = array_of(data)
    if is_tensor(data) and array.ndim >= 3:
        array = array.transpose((*range(array.ndim - 3), array.ndim - 2, array.ndim - 1, array.ndim - 3))
    if array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 4 and array.shape[3] in _MODES:
        array = tiled(uint8_of(array), _GRID_COLUMNS, _GRID_PADDING)
    elif array.ndim > 3:
        array = array.squeeze()
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in _MODES or not array.size:
        raise ValueError(f"Un-supported shape for image conversion {list(array.shape)}")
    return uint8_of(array)


def _as_file(picture: Any, file_type: str) -> MediaValue:
    kind = "JPEG" if file_type in ("jpg", "jpeg") else file_type.upper()
    written = io.BytesIO()
    (picture.convert("RGB") if kind == "JPEG" else picture).save(written, kind)
    return steplog.Image(written.getvalue())


def _pillow(what: str) -> Any:
    try:
        from PIL import Image as pillow  # noqa: N813 - a module
    except ImportError:
        raise Error(f'wandb.Image needs the PIL package for {what}. To get it, run "pip install pillow".') from None
    return pillow


def _all_of(kind: type[Any], argument: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if not given:
        return {}
    if not isinstance(given, dict):
        raise ValueError(f'Images "{argument}" argument must be a dictionary')
    return {key: each if isinstance(each, kind) else kind(each, key) for key, each in given.items()}


def _classes(given: Any, boxes: Mapping[str, Any], masks: Mapping[str, Any]) -> Classes | None:
    names: dict[Any, Any] = {}
    for each in (*boxes.values(), *masks.values()):
        names.update(each._class_labels)
    for each in () if given is None else given._class_set if isinstance(given, Classes) else given:
        names[each["id"]] = each["name"]
    return Classes([{"id": key, "name": name} for key, name in names.items()]) if names else None


def _labels(given: Mapping[Any, Any]) -> dict[Any, Any]:
    for key, name in given.items():
        if not isinstance(key, numbers.Number) or not isinstance(name, str):
            raise TypeError("Class labels must be a dictionary of numbers to strings")
    return dict(given)


def _texts(labels: Mapping[Any, str]) -> dict[str, str]:
    return {str(key): name for key, name in labels.items()}


def _check_box(box: Mapping[str, Any]) -> None:
    """Raises TypeError for what is no box, as wandb does."""
    position: Mapping[str, Any] = box.get("position", {})
    corners = all(_is_number(position.get(each)) for each in ("minX", "maxX", "minY", "maxY"))
    sized = all(_is_number(position.get(each)) for each in ("width", "height"))
    if not corners and not (sized and len(position.get("middle", ())) == 2):
        raise TypeError("Each box must contain a position with: middle, width, and height or minX, maxX, minY, maxY.")
    scores: Any = box.get("scores", {})
    if not isinstance(scores, Mapping):
        raise TypeError("Box scores must be a dictionary")
    if not all(isinstance(name, str) and isinstance(score, numbers.Number) for name, score in scores.items()):
        raise TypeError("A score has a text as its key, and a number as its value")
    if not isinstance(box.get("class_id", 0), int):
        raise TypeError("A box's class_id must be an integer")
    if not isinstance(box.get("box_caption", ""), str):
        raise TypeError("A box's caption must be a string")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Number)
