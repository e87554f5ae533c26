"""Figures, images and videos that Stable-Baselines3's logger records, as values of a run."""

from __future__ import annotations

from typing import Any

import numpy
from stable_baselines3.common.logger import Figure, Image

import steplog

__all__ = ["picture_of"]


def picture_of(value: Any) -> Any:
    """A figure or an image as an image, a batch of videos as a list. Raises TypeError, ValueError."""
    if isinstance(value, Figure):
        return steplog.Image(value.figure)
    if isinstance(value, Image):
        axes = [value.dataformats.index(axis) for axis in "HWC" if axis in value.dataformats]
        return steplog.Image(numpy.asarray(value.image).transpose(axes))
    return [steplog.Video(frames, fps=value.fps) for frames in value.frames]
