"""How many numbers are in each of so many bins of equal width: by NumPy, or where that is missing, without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["binned"]


def binned(values: Any, bin_count: int) -> tuple[list[Any], list[float]]:
    """The counts, and the edges of the bins. Raises ValueError for what is not finite.

    ``values``: an array, a tensor, or numbers in lists. Where all are equal, the bins span 1.
    """
    try:
        import numpy
    except ModuleNotFoundError:
        return _counted([float(number) for number in _flat(values)], bin_count)
    counts, edges = numpy.histogram(values, bins=bin_count)
    return counts.tolist(), edges.tolist()


def _counted(numbers: list[float], bin_count: int) -> tuple[list[Any], list[float]]:
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if not all(number - number == 0 for number in numbers):
        raise ValueError("a histogram has finite numbers alone")
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = [low + (high - low) * place / bin_count for place in range(bin_count)] + [high]
    counts = [0] * bin_count
    for number in numbers:
        counts[min(int((number - low) / (high - low) * bin_count), bin_count - 1)] += 1
    return counts, edges


def _flat(values: Any) -> Iterator[Any]:
    for value in values.tolist() if hasattr(values, "tolist") else values:
        if hasattr(value, "__iter__"):
            yield from _flat(value)
        else:
            yield value
