"""JSON lines: a line that says what the run is, then one for each point. Pure.

    {"run": {"id": "first", "name": "first", …}}
    {"name": "loss", "step": 0, "time": "2026-11-27T05:11:27.000000000Z", "value": 0.5}

The first line has the fields of ``RunInfo``, those that are set. Several runs follow one another. Times are in UTC with
nine decimals, and missing from a source that keeps none. Values are JSON; NaN and infinities are the strings ``"NaN"``,
``"Infinity"`` and ``"-Infinity"``, of which a value that is such a text differs by an escape
(``column_format.json_text``). So nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from steplog.column_format import float_texts, json_text, json_value
from steplog.formats.run_info import RunInfo
from steplog.formats.run_writer import ByteSink
from steplog.reading.points import SeriesPoints
from steplog.records.dates import exact_dates

__all__ = ["Writer"]


class Writer:
    """``RunWriter`` of a file."""

    def __init__(self, file: ByteSink) -> None:
        self._write = file.write

    def begin(self, info: RunInfo) -> None:
        """Write the run's line."""
        self._write(b'{"run":' + msgspec.json.encode(info) + b"}\n")

    def points(self, points: SeriesPoints) -> None:
        """Write a line a point."""
        begin = '{"name":' + msgspec.json.encode(points.name).decode() + ',"step":'
        if points.times is None:
            untimed = zip(points.steps, _texts(points), strict=True)
            self._write("".join([f'{begin}{step},"value":{text}}}\n' for step, text in untimed]).encode())
            return
        rows = zip(points.steps, exact_dates(points.times), _texts(points), strict=True)
        self._write(
            "".join([f'{begin}{step},"time":"{time}","value":{text}}}\n' for step, time, text in rows]).encode()
        )

    def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def abandon(self) -> None:
        """Nothing."""


def _texts(points: SeriesPoints) -> Iterable[object]:
    """The values as JSON, or what is printed so."""
    values: Sequence[Any] = points.values
    if points.kind == "json":
        return [json_text(json_value(text)).decode() for text in values]
    if points.kind == "i8":
        return values
    return float_texts(values) or [json_text(value).decode() for value in values]
