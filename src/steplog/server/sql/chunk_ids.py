"""The ids of chunks: their series' id × 2^32 + their number in it, so that a series' chunks lie together, in order."""

from __future__ import annotations

__all__ = ["SERIES_SHIFT", "series_bounds"]

SERIES_SHIFT = 32


def series_bounds(series_id: int, first: int = 0) -> tuple[int, int]:
    """The ids of a series' chunks from number ``first`` on, as [low, high)."""
    return series_id << SERIES_SHIFT | first, series_id + 1 << SERIES_SHIFT
