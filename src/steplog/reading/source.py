"""Where a run is read from: a server, or the journals of this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from steplog.reading.points import Selection, SeriesPoints

__all__ = ["RunSource", "SeriesRow"]


class SeriesRow(msgspec.Struct):
    """What a row of a server's ``series/`` has at least; ``min`` and ``max`` are of what it stores as numbers."""

    name: str
    count: int
    first_step: int
    last_step: int
    last: Any
    min: Any
    max: Any


class RunSource(Protocol):
    """One run, as it is now at each call.

    Raises ServerUnavailableError without an answer, RunNotFoundError if the run is gone, InvalidAPIKeyError.
    """

    def document(self) -> dict[str, Any]:
        """The run as the server's JSON has it: uuid, name, status, tags, … (``docs/api.md``); maybe no config."""

    def config(self) -> dict[str, Any]:
        """The config, for a document without it."""

    def series(self) -> list[dict[str, Any]]:
        """A row a metric: name, count, first_step, last_step, max_step, last, min, max, last_time (``docs/api.md``)."""

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        """The points, metric after metric, those of each as they arrived. Raises KeyError for an unknown name."""
