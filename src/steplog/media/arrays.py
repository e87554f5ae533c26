"""Arrays and tensors of any library as NumPy has them, which is imported with the first one.

Shapes and types are looked at when a value is made, the elements when it is logged: that waits for a GPU.
"""

from __future__ import annotations

from typing import Any

from steplog.media.files import check_size

__all__ = ["array_of", "bytes_of", "is_array", "is_tensor", "pixels_of", "shape_of"]

_BAND = 1 << 18  # elements that are converted at once


def is_array(value: Any) -> bool:
    """Whether it is an array of NumPy's, a tensor, or what gives one."""
    is_given = hasattr(value, "__array__") or hasattr(value, "__array_interface__") or is_tensor(value)
    return is_given and not isinstance(value, type) and getattr(value, "shape", None) is not None


def is_tensor(value: Any) -> bool:
    """Whether it is one of PyTorch's, whose images have the channels first."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape. Raises TypeError for elements that are not real numbers."""
    dtype = getattr(value, "dtype", None)
    kind, name = getattr(dtype, "kind", None), str(dtype)
    if (kind not in (None, "b", "i", "u", "f") and "float" not in name) or "complex" in name:
        raise TypeError(f"an array of numbers is needed, not of {name}")
    return tuple(int(size) for size in value.shape)


def array_of(value: Any) -> Any:
    """A NumPy array of the elements; the same memory where that can be. Raises TypeError."""
    import numpy

    if is_tensor(value):
        value = value.detach().cpu()
        if "float8" in str(value.dtype) or "bfloat16" in str(value.dtype):  # NumPy has none of these
            value = value.float()
        return value.numpy()
    found = numpy.asarray(value)
    if found.dtype.kind not in "biuf":  # bfloat16 of ml_dtypes has the kind V
        if "float" not in found.dtype.name:
            raise TypeError(f"an array of numbers is needed, not of {found.dtype}")
        found = found.astype(numpy.float32)
    return found


def bytes_of(array: Any) -> memoryview:
    """The memory of a contiguous array."""
    import numpy

    return memoryview(array.reshape(-1).view(numpy.uint8))


def pixels_of(array: Any, bytes_max: int) -> Any:
    """An array as pixels of 8 or 16 bits: contiguous, of uint8, or of uint16 with the most significant byte first.

    uint8 and uint16 stay as they are, and False and True are 0 and 255. Other numbers: where all lie in [0, 1], these
    are 0 and 255; where all lie in [-1, 1], those are; else they are clipped to 0 to 255. NaN is 0, infinities are
    clipped. Raises TooLargeToLogError.
    """
    import numpy

    is_16_bits = array.dtype.kind == "u" and array.dtype.itemsize == 2  # in any order of bytes
    check_size(array.size * (2 if is_16_bits else 1), bytes_max)
    if array.dtype == numpy.uint8:
        return numpy.ascontiguousarray(array)
    if is_16_bits:
        return numpy.ascontiguousarray(array, dtype=">u2")
    if array.dtype == numpy.bool_:
        return numpy.ascontiguousarray(array).view(numpy.uint8) * numpy.uint8(255)
    return _scaled(array)


def _scaled(array: Any) -> Any:
    import numpy

    low, high, is_finite = _range_of(array)
    is_clipped = low < -1 or high > 1
    scale, offset = (1.0, 0.0) if is_clipped else (255.0, 0.0) if low >= 0 else (127.5, 127.5)
    made = numpy.empty(array.shape, dtype=numpy.uint8)
    kind = numpy.float64 if array.dtype.itemsize > 4 or array.dtype.kind != "f" else numpy.float32
    step = max(1, _BAND // max(1, array[0].size))
    for start in range(0, len(array), step):
        band = numpy.multiply(array[start : start + step], scale, dtype=kind)
        band += offset + 0.5  # casts below cut off what comes after the point
        if not is_finite:
            numpy.nan_to_num(band, copy=False, nan=0.0, posinf=255.5, neginf=0.0)
        if is_clipped:
            numpy.clip(band, 0, 255.5, out=band)
        made[start : start + step] = band
    return made


def _range_of(array: Any) -> tuple[float, float, bool]:
    """The least and the largest finite element, and whether all are finite."""
    import numpy

    low, high = float(array.min()), float(array.max())
    if numpy.isfinite(low) and numpy.isfinite(high):
        return low, high, True
    finite = numpy.isfinite(array)
    if not finite.any():
        return 0.0, 0.0, False
    return float(array.min(where=finite, initial=numpy.inf)), float(array.max(where=finite, initial=-numpy.inf)), False
