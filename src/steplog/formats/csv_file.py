"""CSV as RFC 4180 has it, in UTF-8: a line a point. Pure.

    name,step,time,value
    loss,0,2026-11-27T05:11:27.000000000Z,0.5

With ``labels`` a first column ``run`` says whose point it is. Times are in UTC with nine decimals, and empty from a
source that keeps none. Numbers are bare, NaN and infinities ``NaN``, ``Infinity``, ``-Infinity``; every other value is
its JSON text, a text in quotes therefore. Of a run itself there is nothing but its label.

``excel``: as Excel reads it: a byte order mark, times without T and Z and to the millisecond, and an apostrophe before
what would be a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from steplog.column_format import json_text, json_value
from steplog.formats.run_info import RunInfo
from steplog.formats.run_writer import ByteSink
from steplog.reading.points import SeriesPoints
from steplog.records.dates import exact_dates

__all__ = ["Writer"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Writer:
    """``RunWriter`` of a file; ``labels``, by id, are what the column ``run`` calls the runs."""

    def __init__(self, file: ByteSink, labels: Mapping[str, str] | None = None, *, excel: bool = False) -> None:
        self._write = file.write
        self._labels = labels
        self._cell: Callable[[str], str] = _excel_cell if excel else _cell
        self._excel = excel
        self._run = ""
        columns = "name,step,time,value" if labels is None else "run,name,step,time,value"
        self._write((_BYTE_ORDER_MARK if excel else b"") + columns.encode() + b"\r\n")

    def begin(self, info: RunInfo) -> None:
        """Nothing is written before the first point."""
        self._run = "" if self._labels is None else self._cell(self._labels[info.id]) + ","

    def points(self, points: SeriesPoints) -> None:
        """Write a line a point."""
        begin = f"{self._run}{self._cell(points.name)},"
        times = [""] * len(points.steps) if points.times is None else exact_dates(points.times)
        texts = _texts(points)
        if self._excel:
            times = [f"{time[:10]} {time[11:23]}".rstrip() for time in times]
            texts = ["'-Infinity" if text == "-Infinity" else text for text in texts]
        rows = zip(points.steps, times, texts, strict=True)
        self._write("".join([f"{begin}{step},{time},{text}\r\n" for step, time, text in rows]).encode())

    def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def abandon(self) -> None:
        """Nothing."""


def _texts(points: SeriesPoints) -> Iterable[object]:
    """The values as they are in a cell, or what is printed so."""
    if points.kind == "json":
        return [_text(json_value(text)) for text in points.values]  # type: ignore[arg-type]
    if points.kind == "f8" and not math.isfinite(sum(points.values)):  # type: ignore[arg-type]
        return [_text(value) for value in points.values]
    return points.values


def _text(value: object) -> str:
    """A value's cell: ``repr`` of a float, as in a stretch of floats alone."""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else json_text(value).decode().strip('"')
    return _cell(json_text(value).decode())


def _cell(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _excel_cell(text: str) -> str:
    return _cell("'" + text if text.startswith(_FORMULA) else text)
