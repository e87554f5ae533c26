"""``Image``: an array, a tensor, an image of Pillow's, a figure of Matplotlib's, or a file."""

from __future__ import annotations

from typing import Any

from steplog.media.arrays import array_of, bytes_of, is_array, is_tensor, pixels_of, shape_of
from steplog.media.captions import checked_caption, with_caption
from steplog.media.files import GivenFile, check_size, given_file
from steplog.media.picture_size import picture_size
from steplog.media.pictures import as_figure, checked_mode, is_pillow_image, png_of_figure, with_pixels
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

__all__ = ["Image"]

_MODES = {"L": 1, "RGB": 3, "RGBA": 4}
_TAKEN = (
    "an array of height x width, or height x width x 1, 3 or 4 channels; a tensor of PyTorch's with the channels "
    "first; an image of Pillow's; a figure or axes of Matplotlib's; a path, bytes or a file object of an image file"
)


class Image(MediaValue):
    """An image, for ``run.log``. What it is made of is copied when it is logged.

        run.log("sample", steplog.Image(pixels, caption="epoch 3"), step=3)

    Args:
        data: an array of height x width (grey), or height x width x 1, 3 (RGB) or 4 (RGBA) channels; a PyTorch tensor
            of the same with the channels first; an image of Pillow's; a figure or axes of Matplotlib's; a path, bytes
            or a file object of a PNG, JPEG, GIF, WebP, AVIF or BMP file, which is kept as it is. uint8 and uint16 are
            kept as they are, of bool True is white. Other numbers in [0, 1], or else in [-1, 1], are from black to
            white; others are clipped to 0 to 255.
        caption: shown with it.
        mode: of Pillow, such as "L", "RGB" or "RGBA": an image of Pillow's is converted to it, an array has as many
            channels.

    Raises TypeError or ValueError. Of several images in one array pass a list of images.
    """

    def __init__(self, data: Any, caption: str | None = None, mode: str | None = None) -> None:
        self.caption = checked_caption(caption)
        self._mode = mode
        self._file: GivenFile | None = None
        self._data: Any = data
        if is_pillow_image(data):
            if mode is not None:
                checked_mode(mode)
            return
        if self._is_figure():
            return
        if is_array(data):
            _layout(shape_of(data), is_tensor(data), mode)
            return
        self._file = given_file(data, "image")
        if self._file is None:
            raise TypeError(f"an image is {_TAKEN}; not {type(data).__name__}")
        if mode is not None:
            raise ValueError("mode is for arrays and images of Pillow's; a file is kept as it is")
        self._data = None

    def __repr__(self) -> str:
        return f"<steplog.Image{f' {self.caption!r:.60}' if self.caption else ''}>"

    def _is_figure(self) -> bool:
        figure = as_figure(self._data)
        if figure is not None and self._mode is not None:
            raise ValueError("mode is for arrays and images of Pillow's, not for figures")
        if figure is not None:
            self._data = figure
        return figure is not None

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        """Internal: as MediaValue says; a figure is drawn, and a tensor on a GPU waited for."""
        if self._file is not None:
            made = _of_file(*self._file.read(bytes_max))
        elif is_pillow_image(self._data):
            made = _of_pillow(self._data, self._mode, bytes_max)
        elif is_array(self._data):
            made = _of_array(self._data, self._mode, bytes_max)
        else:
            drawn = png_of_figure(self._data)
            check_size(len(drawn), bytes_max)
            made = _content(drawn, "image/png", ".png", picture_size(drawn, "image/png"))
        return with_caption(made, self.caption)


def _layout(shape: tuple[int, ...], is_tensor: bool, mode: str | None) -> tuple[int, int, int, bool]:
    """Height, width and channels, and whether these come first. Raises ValueError for another shape."""
    channels, size, first = 1, shape, False
    if len(shape) == 3:
        first = is_tensor and shape[0] in (1, 3, 4)
        channels, size = (shape[0], shape[1:]) if first else (shape[2], shape[:2])
    if len(shape) == 4:
        raise ValueError(f"an array of shape {shape} is several images: log a list, [steplog.Image(a) for a in images]")
    if len(size) != 2 or channels not in (1, 3, 4) or min(size) < 1:
        raise ValueError(f"an image is {_TAKEN}; this array is of shape {shape}{_hint(shape)}")
    if mode is not None and _MODES.get(mode) != channels:
        raise ValueError(f"mode {mode!r} is not of {channels} channels; an array is {', '.join(map(repr, _MODES))}")
    return size[0], size[1], channels, first


def _hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return ": move the channels last, numpy.moveaxis(a, 0, -1)"
    return ": for several images log a list of steplog.Image" if len(shape) == 3 and min(shape) > 0 else ""


def _of_array(data: Any, mode: str | None, bytes_max: int) -> Content:
    array = array_of(data)
    height, width, channels, first = _layout(array.shape, is_tensor(data), mode)
    check_size(array.size, bytes_max)
    pixels = pixels_of(array.transpose(1, 2, 0) if first else array, bytes_max)
    return _of_pixels(bytes_of(pixels), width, height, channels, 8 * pixels.dtype.itemsize)


def _of_pillow(image: Any, mode: str | None, bytes_max: int) -> Content:
    width, height = image.size
    check_size(width * height, bytes_max)  # before it is read of its file
    image, depth = with_pixels(image, mode)
    channels = 1 if depth == 16 else len(image.getbands())
    check_size(width * height * channels * depth // 8, bytes_max)
    if min(width, height) < 1:
        raise ValueError(f"an image of {width} x {height} pixels is empty")
    pixels = image.tobytes() if depth == 8 else image.tobytes("raw", "I;16B")
    return _of_pixels(pixels, width, height, channels, depth)


def _of_pixels(pixels: bytes | memoryview, width: int, height: int, channels: int, depth: int) -> Content:
    encoding = {"format": "png", "width": width, "height": height, "channels": channels, "depth": depth}
    return Content("image", "image/png", ".png", [pixels], {"width": width, "height": height}, encoding)


def _of_file(data: bytes, signature: Any) -> Content:
    return _content(data, signature.type, signature.suffix, picture_size(data, signature.type))


def _content(data: bytes, media_type: str, suffix: str, size: tuple[int, int] | None) -> Content:
    fields = {} if size is None else {"width": size[0], "height": size[1]}
    return Content("image", media_type, suffix, [data], fields)
