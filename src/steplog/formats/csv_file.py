"""CSV as RFC 4180 has it, in UTF-8: a line a point. Pure.

    name,step,time,value
    loss,0,2026-11-27T05:11:27.000000000Z,0.5

With ``labels`` a first column ``run`` says whose point it is. Times are in UTC with nine decimals, and empty from a
source that keeps none. Numbers are bare, NaN and infinities ``NaN``, ``Infinity``, ``-Infinity``; every other value is
its JSON text, a text in quotes therefore. Of a run itself there is nothing but its label.

Wide, a line is a step, and a column a metric::

    step,time,loss,accuracy
    0,2026-11-27T05:11:27.000000000Z,0.5,

A cell is empty where a metric has no value.

``excel``: as Excel reads it: a byte order mark, times without T and Z and to the millisecond, and an apostrophe before
what would be a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from steplog.column_format import float_texts, json_text, json_value
from steplog.formats.run_info import RunInfo
from steplog.formats.run_writer import ByteSink
from steplog.reading.arrow_table import ArrowColumn
from steplog.reading.points import SeriesPoints
from steplog.records.dates import exact_dates

__all__ = ["WideWriter", "Writer"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CELLS_AT_ONCE = 256 * 1024
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
        texts = _texts(points.kind, points.values)
        if self._excel:
            times, texts = list(map(_excel_time, times)), list(map(_excel_value, texts))
        rows = zip(points.steps, times, texts, strict=True)
        self._write("".join([f"{begin}{step},{time},{text}\r\n" for step, time, text in rows]).encode())

    def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def abandon(self) -> None:
        """Nothing."""


class WideWriter:
    """``WideWriter`` of ``run_writer``: rows by steps, with the columns of ``names``."""

    def __init__(
        self, sink: ByteSink, names: Sequence[str], labels: Mapping[str, str] | None = None, *, excel: bool = False
    ) -> None:
        self._write = sink.write
        self._labels = labels
        self._cell: Callable[[str], str] = _excel_cell if excel else _cell
        self._excel = excel
        self._run = ""
        columns = ["step", "time", *names] if labels is None else ["run", "step", "time", *names]
        header = ",".join(map(self._cell, columns)) + "\r\n"
        self._write((_BYTE_ORDER_MARK if excel else b"") + header.encode())

    def begin(self, info: RunInfo) -> None:
        """Nothing is written before the first row."""
        self._run = "" if self._labels is None else self._cell(self._labels[info.id]) + ","

    def rows(self, columns: Sequence[ArrowColumn]) -> None:
        """Write a line a row."""
        at_once = max(1, _CELLS_AT_ONCE // len(columns))
        for first in range(0, len(columns[0].values), at_once):
            texts = [self._column(_slice(column, first, first + at_once)) for column in columns]
            lines = map(",".join, zip(*texts, strict=True))
            self._write("".join([f"{self._run}{line}\r\n" for line in lines]).encode())

    def close(self) -> None:
        """Nothing."""

    def abandon(self) -> None:
        """Nothing."""

    def _column(self, column: ArrowColumn) -> list[str]:
        if column.kind == "time":
            texts = exact_dates(column.values)
            texts = list(map(_excel_time, texts)) if self._excel else texts
        else:
            texts = list(map(_excel_value if self._excel else str, _texts(column.kind, column.values)))
        if column.valid is None:
            return texts
        return [text if there else "" for text, there in zip(texts, column.valid, strict=True)]


def _slice(column: ArrowColumn, first: int, end: int) -> ArrowColumn:
    valid = None if column.valid is None else column.valid[first:end]
    return column._replace(values=column.values[first:end], valid=valid)


def _texts(kind: str, values: Sequence[Any]) -> Iterable[object]:
    """Values as they are in cells, or what is printed so; "" for a text that is missing."""
    if kind == "json":
        return [_text(json_value(text)) if text else "" for text in values]
    if kind == "i8":
        return values
    return float_texts(values) or [_text(value) for value in values]


def _text(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return json_text(value).decode().strip('"')
    return _cell(msgspec.json.encode(value).decode())


def _cell(text: str) -> str:
    if any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _excel_cell(text: str) -> str:
    return _cell("'" + text if text.startswith(_FORMULA) else text)


def _excel_time(date: str) -> str:
    return f"{date[:10]} {date[11:23]}".rstrip()


def _excel_value(text: object) -> str:
    return "'-Infinity" if text == "-Infinity" else str(text)
