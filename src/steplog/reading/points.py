"""Points of one metric, as they are read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Selection", "SeriesPoints"]


class SeriesPoints(NamedTuple):
    """A stretch of one metric's points, in the order of their arrival; the sequences are of one length.

    Attributes:
        name: the metric.
        kind: "f8", "i8" or "json": what ``values`` are. It may change from one stretch of a metric to the next.
        steps: int64.
        times: ns since the epoch, int64; None from a source that keeps none (a stock server).
        values: floats; integers; or JSON texts, as bytes, of which ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are
            numbers (``column_format.json_value``).
    """

    name: str
    kind: str
    steps: Sequence[int]
    times: Sequence[int] | None
    values: Sequence[float] | Sequence[int] | Sequence[bytes]


class Selection(NamedTuple):
    """Which points of a run.

    Attributes:
        names: of these metrics, in this order; None: of all.
        start, end: the least and the greatest step.
        last: of each metric the last so many of those that match.
        skip: of a metric, leave out the first so many of those that match.
    """

    names: tuple[str, ...] | None = None
    start: int | None = None
    end: int | None = None
    last: int | None = None
    skip: Mapping[str, int] = {}
