"""Images, videos and sounds that a ``SummaryWriter`` is given, as values of a run.

uint8 is kept as it is, other numbers are from 0 to 1, as TensorBoard has them; what is outside is clipped. A batch is
one image, tiled. What cannot be kept, such as what is too large, is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import steplog
from steplog.compat.kept_media import KeptMedia, kept_or_counted
from steplog.compat.pixels import array_of, tiled, video_of
from steplog.compat.unsupported import unsupported
from steplog.media_value import MediaValue

__all__ = ["audio", "boxed_image", "figure", "file_of", "image", "video"]

_COLUMNS = 8  # of a batch, as TensorBoard has them


def image(tensor: Any, formats: str, call: str) -> MediaValue | None:
    """An image, or a batch of them; ``formats`` names the axes, such as "CHW". Raises AssertionError for others."""
    pixels = _bytes(_placed(array_of(tensor), formats))
    return kept_or_counted(lambda: steplog.Image(pixels), call)


def boxed_image(tensor: Any, boxes: Any, formats: str, labels: Any, call: str) -> MediaValue | None:
    """An image with boxes (left, top, right, bottom, in pixels), which its record has as wandb's do."""
    value = image(tensor, formats, call)
    if not isinstance(value, KeptMedia):
        return value
    found = []
    for at, (left, top, right, bottom) in enumerate(array_of(boxes).reshape(-1, 4).tolist()):
        box: dict[str, Any] = {
            "position": {"minX": left, "minY": top, "maxX": right, "maxY": bottom},
            "domain": "pixel",
        }
        found.append(box if labels is None else {**box, "box_caption": str(labels[at])})
    return value.with_fields({"boxes": {"boxes": {"box_data": found, "class_labels": {}}}})


def figure(given: Any, call: str) -> Any:
    """A figure of Matplotlib's, or a list of them."""
    if isinstance(given, (list, tuple)):
        return [figure(each, call) for each in given]
    return kept_or_counted(lambda: steplog.Image(given), call)


def video(tensor: Any, fps: float, formats: str, call: str) -> MediaValue | None:
    """A video of a batch (n, frames, channels, height, width), tiled. Raises AssertionError for another shape."""
    array = array_of(tensor)
    _check(array, formats)
    videos = _bytes(array.transpose([formats.index(axis) for axis in "NTHWC"]))
    rows = 2 ** ((len(videos).bit_length() - 1) // 2)
    return kept_or_counted(lambda: video_of(videos, fps, -(-len(videos) // rows)), call)


def audio(tensor: Any, sample_rate: int, call: str) -> MediaValue | None:
    """A sound of numbers from -1 to 1. Raises AssertionError for several channels."""
    samples = array_of(tensor).squeeze()
    if samples.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    samples = samples.astype("float32")
    return kept_or_counted(lambda: steplog.Audio(samples, int(sample_rate)), call)


def file_of(data: bytes, kind: Callable[[bytes], MediaValue], call: str) -> MediaValue | None:
    """An image or a sound as its file; None, and counted: of a kind that is not known, or too large."""
    try:
        return kept_or_counted(lambda: kind(data), call)
    except (TypeError, ValueError) as error:
        unsupported.note(call, f"its file is of a kind that is not kept: {error!s:.200}")
        return None


def _check(array: Any, formats: str) -> None:
    if len(set(formats)) != len(formats):
        raise AssertionError(f"You can not use the same dimension shorthand twice. input_format: {formats}")
    if array.ndim != len(formats):
        raise AssertionError(
            f"size of input tensor and input format are different. tensor shape: {array.shape}, input_format: {formats}"
        )


def _placed(array: Any, formats: str) -> Any:
    """Height, width, channels."""
    formats = formats.upper()
    _check(array, formats)
    if len(formats) == 4:
        return tiled(array.transpose([formats.index(axis) for axis in "NHWC"]), min(_COLUMNS, len(array)))
    if len(formats) == 3:
        return array.transpose([formats.index(axis) for axis in "HWC"])
    return array.transpose([formats.index(axis) for axis in "HW"])[:, :, None]


def _bytes(array: Any) -> Any:
    import numpy

    if array.dtype == numpy.uint8:
        return array
    scaled = numpy.nan_to_num(array.astype(numpy.float32)) * numpy.float32(255)
    return scaled.clip(0, 255).astype(numpy.uint8)
