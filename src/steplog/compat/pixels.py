"""Arrays of images, of NumPy or of a tensor library, in the shapes and ranges that other loggers take.

NumPy is imported where there is such an array.
"""

from __future__ import annotations

import math
from typing import Any

from steplog import Video
from steplog.media_value import MediaValue

__all__ = ["array_of", "is_tensor", "tiled", "uint8_of", "video_of"]


def is_tensor(data: Any) -> bool:
    """Whether it is a tensor of PyTorch, whose channels come first."""
    return type(data).__module__.partition(".")[0] == "torch" and hasattr(data, "detach")


def array_of(data: Any) -> Any:
    """A NumPy array. Waits for a GPU."""
    import numpy

    if is_tensor(data):
        data = data.detach().cpu()
        if str(data.dtype) == "torch.bfloat16":  # which NumPy has not
            data = data.float()
        return data.numpy()
    return numpy.asarray(data.numpy() if hasattr(data, "numpy") and not hasattr(data, "__array__") else data)


def uint8_of(array: Any) -> Any:
    """Numbers from 0 to 255. Floats and booleans from 0 to 1 are scaled; with negative ones, the range is."""
    import numpy

    if array.dtype == numpy.uint8:
        return array
    if array.dtype == bool:
        return array.astype(numpy.uint8) * 255
    if array.dtype.kind == "f":
        array = numpy.nan_to_num(array.astype(numpy.float32, copy=False), posinf=255.0, neginf=0.0)
        least, most = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if least < 0:
            array = (array - least) * (255.0 / ((most - least) or 1.0))
        elif most <= 1:
            array = array * 255.0
    return array.clip(0, 255).astype(numpy.uint8)


def video_of(videos: Any, fps: float, columns: int = 0) -> MediaValue:
    """The video of a batch (n, frames, height, width, channels), tiled. Raises ValueError for other channels."""
    import numpy

    if len(videos) == 1:
        frames = videos[0]
    else:
        frames = numpy.stack([tiled(videos[:, at], columns) for at in range(videos.shape[1])])
    return Video(frames.transpose(0, 3, 1, 2), fps=fps)  # channels first, which cannot be taken for a height


def tiled(batch: Any, columns: int = 0, padding: int = 0) -> Any:
    """One image of a batch (n, height, width, channels), row by row; ``columns`` 0: about as many as rows."""
    import numpy

    count, height, width, channels = batch.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = -(-count // columns) if count else 0
    shape = rows * (height + padding) + padding, columns * (width + padding) + padding, channels
    image = numpy.zeros(shape, batch.dtype)
    for at in range(count):
        top, left = (
            padding + place * (size + padding) for place, size in zip(divmod(at, columns), (height, width), strict=True)
        )
        image[top : top + height, left : left + width] = batch[at]
    return image
