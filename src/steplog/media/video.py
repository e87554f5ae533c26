"""``Video``: frames in an array or a tensor, or a file."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from steplog.media.arrays import array_of, bytes_of, is_array, pixels_of, shape_of
from steplog.media.captions import checked_caption, with_caption
from steplog.media.files import GivenFile, check_size, given_file
from steplog.media.picture_size import picture_size
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

__all__ = ["Video"]

_CHANNELS = (1, 3, 4)
_FRAMES_A_SECOND_MAX = 1000
_FORMATS = {
    "gif": "image/gif",
    "apng": "image/apng",
    "png": "image/apng",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "ogg": "video/ogg",
}
_TAKEN = (
    "an array or a tensor of time x channels x height x width, time x height x width x channels, or time x height x "
    "width; a path, bytes or a file object of a video file"
)


class Video(MediaValue):
    """A video, for ``run.log``. What it is made of is copied when it is logged.

        run.log("rollout", steplog.Video(frames, fps=30), step=3)

    Args:
        data: an array or a tensor of time x channels x height x width, with 1, 3 or 4 channels, or with the channels
            last, or without any; its elements as those of ``Image``, of all frames together. It is kept as an animated
            PNG file, without loss and without sound. Or a path, bytes or a file object of an MP4, WebM, Ogg, GIF, WebP
            or animated PNG file, which is kept as it is.
        fps: frames a second, of an array.
        caption: shown with it.
        format: of a file, "mp4", "webm", "ogg", "gif", "webp" or "apng", if it is to be checked.

    Raises TypeError or ValueError.
    """

    def __init__(
        self,
        data: Any,
        fps: float = 4,
        caption: str | None = None,
        format: str | None = None,  # noqa: A002 - wandb's name
    ) -> None:
        self.caption = checked_caption(caption)
        self.fps = _checked_fps(fps)
        if format is not None and format not in _FORMATS:
            raise ValueError(f"format is one of {', '.join(_FORMATS)}: {format!r:.80}")
        self._file: GivenFile | None = None
        self._data: Any = data
        if is_array(data):
            _layout(shape_of(data))
            if format is not None and _FORMATS[format] != "image/apng":
                raise ValueError(
                    f"frames are kept as an animated PNG; write the {format} file yourself, and pass its path"
                )
            return
        self._file = given_file(data, "video")
        if self._file is None:
            raise TypeError(f"a video is {_TAKEN}; not {type(data).__name__}")
        found = self._file.signature.type
        if format is not None and _FORMATS[format] != found:
            raise ValueError(f"{self._file.name} is of type {found}, and format={format!r}")
        self._data = None

    def __repr__(self) -> str:
        return f"<steplog.Video{f' {self.caption!r:.60}' if self.caption else ''}>"

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        """Internal: as MediaValue says; a tensor on a GPU is waited for."""
        if self._file is not None:
            data, signature = self._file.read(bytes_max)
            size = picture_size(data, signature.type)
            fields = {} if size is None else {"width": size[0], "height": size[1]}
            made = Content("video", signature.type, signature.suffix, [data], fields)
        else:
            made = _of_array(self._data, self.fps, bytes_max)
        return with_caption(made, self.caption)


def _checked_fps(fps: Any) -> float:
    if not isinstance(fps, (int, float)) and not hasattr(fps, "__float__"):
        raise TypeError(f"fps is a number, not {type(fps).__name__}")
    found = float(fps)
    if not math.isfinite(found) or not 1 / 65535 <= found <= _FRAMES_A_SECOND_MAX:
        raise ValueError(f"fps is a number of frames a second, up to {_FRAMES_A_SECOND_MAX}: {fps!r:.80}")
    return found


def _layout(shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Height, width and channels, and whether these come before them. Raises ValueError for another shape."""
    if len(shape) == 5:
        raise ValueError(f"an array of shape {shape} is several videos: log a list, [steplog.Video(a) for a in videos]")
    if len(shape) == 3 and min(shape) > 0:
        return shape[1], shape[2], 1, False
    if len(shape) == 4 and min(shape) > 0:
        if shape[1] in _CHANNELS:
            return shape[2], shape[3], shape[1], True
        if shape[3] in _CHANNELS:
            return shape[1], shape[2], shape[3], False
    raise ValueError(f"a video is {_TAKEN}; this array is of shape {shape}")


def _of_array(data: Any, fps: float, bytes_max: int) -> Content:
    array = array_of(data)
    height, width, channels, first = _layout(array.shape)
    check_size(array.size, bytes_max)
    pixels = pixels_of(array.transpose(0, 2, 3, 1) if first else array, bytes_max)
    frames = len(array)
    delay = Fraction(1 / fps).limit_denominator(65535)
    return Content(
        "video",
        "image/apng",
        ".png",
        [bytes_of(pixels)],
        {"width": width, "height": height, "frames": frames, "fps": fps},
        {
            "format": "apng",
            "width": width,
            "height": height,
            "channels": channels,
            "depth": 8 * pixels.dtype.itemsize,
            "frames": frames,
            "delay": [delay.numerator, delay.denominator],
        },
    )
