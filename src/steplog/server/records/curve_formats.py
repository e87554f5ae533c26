"""Curves of many runs as JSON and as columns. Pure.

Both have the same header, which says what the buckets are of. Columns that have nothing to tell (nothing is NaN,
infinite or approximate) are left out.

Values travel as float32 where no series loses more than a 4,096th of its range by it, and float64 else. Of the random
bits of a mantissa none are sent in vain: a least and a greatest number that is the last one is infinity, and in float32
others have only the bits that the range needs, rounded outwards, so that no spike becomes smaller; ``digits`` in the
header says how many decimal digits of these are good. Steps and buckets travel as 32 bits where they fit, else as
float64, and int64 where one is beyond 2^53.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steplog.column_format import MEDIA_TYPE, Column, encode, numbers, planes
from steplog.records.dates import date_of
from steplog.records.finite import finite
from steplog.server.records.curve_query import CurveAnswer

__all__ = ["MEDIA_TYPES", "as_columns", "as_json"]

MEDIA_TYPES = ("application/json", MEDIA_TYPE)
_NAMES = {"place": "bucket", "low": "min", "high": "max", "nans": "nan", "infs": "inf", "ninfs": "-inf"}
_VALUES = ("low", "high", "last")
_SPARSE = ("nans", "infs", "ninfs", "approximate")
_EXACT = 2**53
_FLOAT32_MAX = struct.unpack("<f", b"\x00\x00\x7f\x7f")[0]  # what is rounded up is not infinite
_BITS_MIN = 12
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


def as_columns(answer: CurveAnswer, x: str, token: str, *, in_planes: bool = False) -> bytes:
    """The header and the columns: series, bucket, at, step, min, max, last, count, nan, inf, -inf, approximate."""
    given = answer.columns
    columns = [numbers("series", "u4", given["series"]), _integers("bucket", given["place"])]
    columns.append(numbers("at", "f4", _parts_of_buckets(answer) if x != "step" else ()))
    columns.append(_integers("step", given["step"]))
    bits = _mantissa_bits(given)
    columns += _values(given, bits)
    columns.append(_counts("count", given["count"]))
    columns += [_counts(_NAMES.get(name, name), given[name] if any(given[name]) else ()) for name in _SPARSE]
    columns = [column for column in columns if column.count]
    header = _header(answer, x, token) | ({"digits": math.floor((bits - 1) * math.log10(2))} if bits else {})
    return encode([*map(planes, columns)] if in_planes else columns, header)


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


def _values(given: Mapping[str, Sequence[Any]], bits: int) -> list[Column]:
    """The columns min, max and last."""
    kind = "f4" if bits else "f8"
    found = []
    for name in ("low", "high"):
        values = [math.inf if end == last else end for end, last in zip(given[name], given["last"], strict=True)]
        packed = array("f" if bits else "d", values)
        found.append(numbers(_NAMES[name], kind, _rounded(packed, bits, up=name == "high") if bits else packed))
    return [*found, numbers("last", kind, given["last"])]


def _rounded(values: array[float], bits: int, *, up: bool) -> array[float]:
    """Float32 with that many bits of their mantissas, the others zero; none is inside of what it was."""
    spare = 23 - bits
    if spare <= 0 or not values:
        return values
    lanes = int.from_bytes(array("I", [1]) * len(values), sys.byteorder)
    words = int.from_bytes(values, sys.byteorder)
    signs = (words >> 31) & lanes
    away = lanes ^ signs if up else signs  # the lanes that go away from zero
    words = (words + away * ((1 << spare) - 1)) & (lanes * (0xFFFFFFFF >> spare << spare))
    return array("f", words.to_bytes(4 * len(values), sys.byteorder))


def _integers(name: str, values: Sequence[int]) -> Column:
    low, high = (min(values), max(values)) if values else (0, 0)
    kind = "u4" if low >= 0 and high < 2**32 else "f8" if low >= -_EXACT and high <= _EXACT else "i8"
    return numbers(name, kind, values)


def _counts(name: str, values: Sequence[int]) -> Column:
    return numbers(name, "u4" if not values or max(values) < 2**32 else "f8", values)


def _mantissa_bits(columns: Mapping[str, Sequence[Any]]) -> int:
    """How many bits of a float32 keep the shape of all series; 0: these are not enough."""
    series, first, most = columns["series"], 0, _BITS_MIN
    while first < len(series):
        end = bisect_right(series, series[first], first)
        bits = _bits_of(columns["low"][first:end], columns["high"][first:end])
        if not bits:
            return 0
        most, first = max(most, bits), end
    return most


def _bits_of(lows: Sequence[float], highs: Sequence[float]) -> int:
    """How many bits keep the shape of a series of this range."""
    low, high = _finite(min, lows), _finite(max, highs)
    if low is None or high is None:
        return _BITS_MIN  # nothing is finite
    most = max(abs(low), abs(high))
    if most > _FLOAT32_MAX:
        return 0
    if most * _PRECISION + _LEAST <= (high - low) / _PARTS:
        return min(23, math.ceil(math.log2(most / (high - low) * _PARTS)) + 1)
    kept = array("f", (low, high))
    return _BITS_MIN if low == high and kept[0] == low else 0


def _finite(end: Any, values: Sequence[float]) -> float | None:
    found = end(values)
    if not math.isfinite(found) or not math.isfinite(sum(values)):
        known = [value for value in values if math.isfinite(value)]
        return end(known) if known else None
    return float(found)
