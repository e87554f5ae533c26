"""``Audio``: samples in an array or a tensor, or a file."""

from __future__ import annotations

import operator
import re
from typing import Any

from steplog.media.arrays import array_of, bytes_of, is_array, is_tensor, shape_of
from steplog.media.captions import checked_caption, with_caption
from steplog.media.files import GivenFile, check_size, given_file
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

__all__ = ["Audio"]

_CHANNELS_MAX = 64
_RATE_MAX = 768_000  # Hz
_TAKEN = (
    "an array of samples, or of samples x channels, with a sample_rate; a tensor of PyTorch's of channels x samples; "
    "a path, bytes or a file object of a sound file"
)


class Audio(MediaValue):
    """A sound, for ``run.log``. What it is made of is copied when it is logged.

        run.log("voice", steplog.Audio(samples, sample_rate=16_000), step=3)

    Args:
        data: an array of samples, or of samples x channels; a PyTorch tensor may have the channels first, as torchaudio
            does. Floats are clipped to -1 to 1; int16 is kept as it is, and int32 loses its lower 16 bits. Or a path,
            bytes or a file object of a WAV, MP3, Ogg, FLAC, MP4 or WebM file, which is kept as it is.
        sample_rate: samples a second, of an array; a file says that itself.
        caption: shown with it.

    Raises TypeError or ValueError.
    """

    def __init__(self, data: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        self.caption = checked_caption(caption)
        self.sample_rate = None if sample_rate is None else _checked_rate(sample_rate)
        self._file: GivenFile | None = None
        self._data: Any = data
        if is_array(data):
            _layout(shape_of(data), is_tensor(data))
            _check_type(str(data.dtype))
            if sample_rate is None:
                raise ValueError("an array of samples needs a sample_rate, in samples a second")
            return
        self._file = given_file(data, "audio")
        if self._file is None:
            raise TypeError(f"a sound is {_TAKEN}; not {type(data).__name__}")
        self._data = None

    def __repr__(self) -> str:
        return f"<steplog.Audio{f' {self.caption!r:.60}' if self.caption else ''}>"

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        """Internal: as MediaValue says; a tensor on a GPU is waited for."""
        if self._file is not None:
            data, signature = self._file.read(bytes_max)
            made = Content("audio", signature.type, signature.suffix, [data])
        else:
            made = _of_array(self._data, self.sample_rate or 0, bytes_max)
        return with_caption(made, self.caption)


def _checked_rate(sample_rate: Any) -> int:
    try:
        rate = operator.index(sample_rate)
    except TypeError:
        rate = int(sample_rate) if isinstance(sample_rate, float) and sample_rate.is_integer() else 0
    if not 0 < rate <= _RATE_MAX:
        raise ValueError(
            f"sample_rate is a whole number of samples a second, from 1 to {_RATE_MAX}: {sample_rate!r:.80}"
        )
    return rate


def _check_type(name: str) -> None:
    if "float" not in name and not re.search(r"\bint(16|32)\b", name):
        raise TypeError(f"samples are floats from -1 to 1, int16 or int32, not {name}")


def _layout(shape: tuple[int, ...], is_tensor: bool) -> tuple[int, int, bool]:
    """Samples and channels, and whether these come first. Raises ValueError for another shape."""
    if len(shape) == 1 and shape[0]:
        return shape[0], 1, False
    if len(shape) == 2 and min(shape) > 0:
        if is_tensor and shape[0] <= _CHANNELS_MAX:
            return shape[1], shape[0], True
        if shape[1] <= _CHANNELS_MAX:
            return shape[0], shape[1], False
        raise ValueError(f"this array has {shape[1]} channels; it is of samples x channels: transpose it, a.T")
    raise ValueError(f"a sound is {_TAKEN}; this array is of shape {shape}")


def _of_array(data: Any, sample_rate: int, bytes_max: int) -> Content:
    import numpy

    array = array_of(data)
    count, channels, first = _layout(array.shape, is_tensor(data))
    check_size(2 * array.size, bytes_max)
    if first:
        array = array.T
    if array.dtype.kind == "f":
        wide = numpy.nan_to_num(array.astype(numpy.float32), copy=False, nan=0.0)
        array = numpy.rint(numpy.clip(wide, -1.0, 1.0, out=wide) * numpy.float32(32767), out=wide)
    elif array.dtype.itemsize == 4:
        array = array >> 16
    samples = numpy.ascontiguousarray(array, dtype="<i2")
    return Content(
        "audio",
        "audio/wav",
        ".wav",
        [bytes_of(samples)],
        {"sample_rate": sample_rate, "channels": channels, "duration_s": round(count / sample_rate, 6)},
        {"format": "wav", "sample_rate": sample_rate, "channels": channels},
    )
