"""``Histogram``: how many values are in which bin, kept in the record: ``{"_type": "histogram", "values", "bins"}``.

"values" are the counts, "bins" the edges, one more; "nan" and "infinite" say how many were left out, if any.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from steplog.media.arrays import array_of, is_array, shape_of
from steplog.media_value import Content, MediaValue

__all__ = ["BINS_MAX", "Histogram", "histogram_value"]

BINS_MAX = 512


class Histogram(MediaValue):
    """A histogram, for ``run.log``, of values or of bins that are counted already.

        run.log("gradients", steplog.Histogram(gradients), step=3)
        run.log("weights", steplog.Histogram(counts=counts, edges=edges), step=3)

    Args:
        values: an array, a tensor, or numbers in lists; counted when it is logged. NaN and infinities are left out, and
            the record says how many.
        counts, edges: a count for each bin, and their edges, one more, ascending.
        bins: how many, of equal width, from the least value to the largest.

    Raises TypeError or ValueError.
    """

    def __init__(self, values: Any = None, *, counts: Any = None, edges: Any = None, bins: int = 64) -> None:
        if (values is None) == (counts is None) or (counts is None) != (edges is None):
            raise ValueError("a histogram is of values, or of counts and edges")
        if bins not in range(1, BINS_MAX + 1):
            raise ValueError(f"bins is a number from 1 to {BINS_MAX}: {bins!r:.80}")
        self._bins = bins
        self._values = values
        self._made: dict[str, Any] | None = None
        if values is None:
            self._made = histogram_value(_numbers(counts, "counts"), _numbers(edges, "edges"))
        elif is_array(values):
            shape_of(values)  # raises TypeError
        elif isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            raise TypeError(f"values are an array, a tensor, or numbers in lists, not {type(values).__name__}")
        elif not isinstance(values, Sequence):
            self._values = list(values)

    def __repr__(self) -> str:
        return "<steplog.Histogram>"

    def logged(self, keep: Callable[[Content], str], convert: Callable[[object, int], Any]) -> dict[str, Any]:
        """Internal: as MediaValue says; a tensor on a GPU is waited for."""
        if self._made is not None:
            return self._made
        if is_array(self._values):
            return _of_array(array_of(self._values), self._bins)
        return _of_numbers([float(number) for number in _flat(self._values)], self._bins)


def histogram_value(counts: Sequence[Any], edges: Sequence[Any], nan: int = 0, infinite: int = 0) -> dict[str, Any]:
    """The record of bins. Raises ValueError for edges that do not fit."""
    if len(edges) != len(counts) + 1 or len(counts) > BINS_MAX:
        raise ValueError(
            f"{len(counts)} counts need {len(counts) + 1} edges, not {len(edges)}; there are {BINS_MAX} counts at most"
        )
    if not all(math.isfinite(number) for number in (*counts, *edges)):
        raise ValueError("counts and edges of a histogram are finite")
    if any(count < 0 for count in counts):
        raise ValueError("the counts of a histogram are not negative")
    if any(low > high for low, high in pairwise(edges)):
        raise ValueError("the edges of a histogram ascend")
    left_out = {name: count for name, count in (("nan", nan), ("infinite", infinite)) if count}
    return {"_type": "histogram", "values": list(counts), "bins": list(edges), **left_out}


def _numbers(given: Any, name: str) -> list[Any]:
    found = array_of(given).tolist() if is_array(given) else given
    if not isinstance(found, (list, tuple)) or not all(hasattr(number, "__float__") for number in found):
        raise TypeError(f"{name} are numbers in a list or an array of one dimension, not {type(given).__name__}")
    return [number if isinstance(number, (int, float)) else float(number) for number in found]


def _of_array(array: Any, bins: int) -> dict[str, Any]:
    import numpy

    flat = array.reshape(-1)
    nan = infinite = 0
    if flat.dtype.kind == "f":
        if flat.dtype.itemsize < 4:
            flat = flat.astype(numpy.float32)  # half of the edges of float16 would be the same
        finite = numpy.isfinite(flat)
        if not finite.all():
            nan = int(numpy.isnan(flat).sum())
            infinite = int(flat.size - finite.sum()) - nan
            flat = flat[finite]
    elif flat.dtype.kind == "b":
        flat = flat.view(numpy.uint8)
    if not flat.size:
        return histogram_value([], [0.0], nan, infinite)
    low, high = float(flat.min()), float(flat.max())
    try:
        if not math.isfinite(high - low):
            raise ValueError("the width of the bins is no float")
        counts, edges = numpy.histogram(flat, bins=bins, range=(low, high))
    except ValueError:  # a range of fewer floats than bins, or of more than a float holds
        counts, edges = numpy.histogram(flat, bins=numpy.array(_edges(low, high, bins)))
    return histogram_value(counts.tolist(), edges.tolist(), nan, infinite)


def _of_numbers(numbers: list[float], bins: int) -> dict[str, Any]:
    finite = [number for number in numbers if math.isfinite(number)]
    nan = sum(map(math.isnan, numbers))
    infinite = len(numbers) - len(finite) - nan
    if not finite:
        return histogram_value([], [0.0], nan, infinite)
    edges = _edges(min(finite), max(finite), bins)
    counts = [0] * bins
    for number in finite:
        counts[min(bisect_right(edges, number), bins) - 1] += 1
    return histogram_value(counts, edges, nan, infinite)


def _edges(low: float, high: float, bins: int) -> list[float]:
    """Of bins of equal width; where all values are equal, they span 1, as NumPy's do."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [*(low * (1 - place / bins) + high * (place / bins) for place in range(bins)), high]


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if is_array(value):
            yield from array_of(value).reshape(-1).tolist()
        elif hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
            yield from _flat(value)
        else:
            yield value
