"""Images of Pillow's, and figures of Matplotlib's, if their libraries are loaded: else nothing is one of these."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any

from steplog.loaded import loaded

__all__ = ["as_figure", "checked_mode", "is_pillow_image", "png_of_figure", "with_pixels"]

_PLAIN_MODES = ("L", "LA", "RGB", "RGBA")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


def is_pillow_image(value: Any) -> bool:
    """Whether it is an image of Pillow's."""
    module = loaded("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def checked_mode(mode: str) -> None:
    """Raises ValueError for a mode that Pillow does not have."""
    modes = sys.modules["PIL.Image"].MODES
    if mode not in modes:
        raise ValueError(f"mode is one of {', '.join(modes)}: {mode!r:.80}")


def with_pixels(image: Any, mode: str | None) -> tuple[Any, int]:
    """The image in a mode whose pixels PNG has, and the bits of a channel. Raises ValueError, OSError."""
    if mode is not None and image.mode != mode:
        image = image.convert(mode)
    if image.mode in _DEEP_MODES:
        return image, 16
    if image.mode in _PLAIN_MODES:
        return image, 8
    if image.mode == "1":
        return image.convert("L"), 8
    has_alpha = image.mode in ("PA", "RGBa", "La") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB"), 8


def as_figure(value: Any) -> Any:
    """The figure of Matplotlib's that ``value`` is or belongs to, or pyplot's current one; None: it is neither."""
    if isinstance(value, ModuleType):
        return value.gcf() if value.__name__ == "matplotlib.pyplot" else None
    figures, axes = loaded("matplotlib.figure"), loaded("matplotlib.axes")
    if axes is not None and isinstance(value, axes.Axes):
        value = value.figure
    if figures is None or not isinstance(value, figures.FigureBase):
        return None
    while not isinstance(value, figures.Figure):  # a part of a figure
        value = value.figure
    return value


def png_of_figure(figure: Any) -> bytes:
    """The figure as a PNG file, drawn in this thread: Matplotlib is not safe with several."""
    made = io.BytesIO()
    figure.savefig(made, format="png", pil_kwargs={"compress_level": 1})
    return made.getvalue()
