"""How a format is written: run by run, of each its points, metric after metric. Pure."""

from __future__ import annotations

from typing import Protocol

from steplog.formats.run_info import RunInfo
from steplog.reading.points import SeriesPoints

__all__ = ["ByteSink", "RunWriter"]


class ByteSink(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> object:
        """Write all of it."""


class RunWriter(Protocol):
    """Writes runs, one after the other: ``begin``, ``points`` any number of times, ``end``; at last ``close``.

    Each module of a format has one, called ``Writer``: of a ``ByteSink``, or of a directory where a run is more than
    one file. What it holds is bounded. What is written depends on the runs and their points alone, and not on how the
    points come in stretches.
    """

    def begin(self, info: RunInfo) -> None:
        """Begin a run."""

    def points(self, points: SeriesPoints) -> None:
        """A stretch of points of the run; those of one metric follow one another."""

    def end(self) -> None:
        """The run is whole."""

    def close(self) -> None:
        """The file is whole: write what is left."""

    def abandon(self) -> None:
        """The file will not be whole, whatever comes: write nothing more."""
