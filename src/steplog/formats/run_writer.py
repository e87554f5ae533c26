"""How a format is written: run by run, of each its points, metric after metric. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steplog.formats.run_info import RunInfo
from steplog.reading.arrow_table import ArrowColumn
from steplog.reading.points import SeriesPoints

__all__ = ["ByteSink", "RunWriter", "WideWriter"]


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


class WideWriter(Protocol):
    """Writes rows with a column a metric; of a format that has it, ``WideWriter`` of its module."""

    def begin(self, info: RunInfo) -> None:
        """Begin a run."""

    def rows(self, columns: Sequence[ArrowColumn]) -> None:
        """Some rows of the run: their steps, their times, and the columns that were said to be."""

    def close(self) -> None:
        """The file is whole: write what is left."""

    def abandon(self) -> None:
        """The file will not be whole, whatever comes: write nothing more."""
