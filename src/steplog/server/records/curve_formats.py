"""Curves of many runs as JSON and as columns. Pure.

Both have the same header, which says what the buckets are of. Columns that have nothing to tell (nothing is NaN,
infinite or approximate) are left out of JSON, and empty otherwise.

Values travel as float32 where no series loses more than a 4,096th of its range by it, and float64 else; steps and
buckets as float64, and int64 where one is beyond 2^53.
"""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steplog.column_format import MEDIA_TYPE, Column, encode, numbers
from steplog.records.dates import date_of
from steplog.records.finite import finite
from steplog.server.records.curve_query import CurveAnswer

__all__ = ["MEDIA_TYPES", "as_columns", "as_json"]

MEDIA_TYPES = ("application/json", MEDIA_TYPE)
_NAMES = {"place": "bucket", "low": "min", "high": "max", "nans": "nan", "infs": "inf", "ninfs": "-inf"}
_VALUES = ("low", "high", "last")
_SPARSE = ("nans", "infs", "ninfs", "approximate")
_EXACT = 2**53
_FLOAT32_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
_PRECISION = 2**-24  # of float32, relative
_LEAST = 2**-150  # and absolute
_PARTS = 4096
_FINENESS = 256


def as_json(answer: CurveAnswer, x: str, token: str) -> bytes:
    """The header with ``buckets``, a list of objects: series, bucket, step, min, max, last, count, time."""
    columns = answer.columns
    shown = ["series", "place", "step", *_VALUES, "count", "time", *(n for n in _SPARSE if any(columns[n]))]
    rows = []
    for at in range(len(columns["series"])):
        row = {_NAMES.get(name, name): columns[name][at] for name in shown}
        has_number = columns["low"][at] == columns["low"][at] or any(columns[name][at] for name in _SPARSE[:3])
        for name in ("min", "max"):
            row[name] = row[name] if row[name] == row[name] else None
        row["last"] = finite(row["last"]) if has_number else None
        row["time"] = date_of(row["time"])
        for name in _SPARSE:
            key = _NAMES.get(name, name)
            if not row.get(key):
                row.pop(key, None)
        if "approximate" in row:
            row["approximate"] = True
        rows.append(row)
    return msgspec.json.encode({**_header(answer, x, token), "buckets": rows})


def as_columns(answer: CurveAnswer, x: str, token: str) -> bytes:
    """The header and the columns: series, bucket, at, step, min, max, last, count, nan, inf, -inf, approximate."""
    given = answer.columns
    columns = [numbers("series", "u4", given["series"]), _integers("bucket", given["place"])]
    columns.append(numbers("at", "f4", _parts_of_buckets(answer) if x != "step" else ()))
    columns.append(_integers("step", given["step"]))
    kind = "f4" if _fits_float32(given) else "f8"
    columns += [numbers(_NAMES.get(name, name), kind, given[name]) for name in _VALUES]
    columns.append(_counts("count", given["count"]))
    columns += [_counts(_NAMES.get(name, name), given[name] if any(given[name]) else ()) for name in _SPARSE]
    return encode(columns, _header(answer, x, token))


def _header(answer: CurveAnswer, x: str, token: str) -> dict[str, Any]:
    return {
        "x": x,
        "reset": answer.is_reset,
        "runs": answer.runs,
        "names": answer.names,
        "widths": answer.widths,
        "series": answer.series,
        "whole": answer.whole,
        "missing": answer.missing,
        "since": token,
    }


def _parts_of_buckets(answer: CurveAnswer) -> list[float]:
    """How far in its bucket the latest point of each is, as a part of its width: a multiple of a 256th."""
    of_series = [(answer.origins[run], answer.widths[name]) for run, name in answer.series]
    rows = zip(answer.columns["series"], answer.columns["place"], answer.columns["time"], strict=True)
    parts = []
    for series, place, time in rows:
        origin, width = of_series[series]
        parts.append(min(_FINENESS - 1, max(0, (time - origin - place * width) * _FINENESS // width)) / _FINENESS)
    return parts


def _integers(name: str, values: Sequence[int]) -> Column:
    if values and not -_EXACT <= min(values) <= max(values) <= _EXACT:
        return numbers(name, "i8", values)
    return numbers(name, "f8", values)


def _counts(name: str, values: Sequence[int]) -> Column:
    return numbers(name, "u4" if not values or max(values) < 2**32 else "f8", values)


def _fits_float32(columns: Mapping[str, Sequence[Any]]) -> bool:
    series, first = columns["series"], 0
    while first < len(series):
        end = bisect_right(series, series[first], first)
        if not _fits(columns["low"][first:end], columns["high"][first:end]):
            return False
        first = end
    return True


def _fits(lows: Sequence[float], highs: Sequence[float]) -> bool:
    """Whether a series of this range keeps its shape."""
    low, high = _finite(min, lows), _finite(max, highs)
    if low is None or high is None:
        return True  # nothing is finite
    most = max(abs(low), abs(high))
    if most > _FLOAT32_MAX:
        return False
    if most * _PRECISION + _LEAST <= (high - low) / _PARTS:
        return True
    kept = array("f", (low, high))
    return low == high and kept[0] == low


def _finite(end: Any, values: Sequence[float]) -> float | None:
    found = end(values)
    if not math.isfinite(found) or not math.isfinite(sum(values)):
        known = [value for value in values if math.isfinite(value)]
        return end(known) if known else None
    return float(found)
