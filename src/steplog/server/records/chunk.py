"""Chunks: up to ``POINTS_MAX`` points of one metric in one row.

Pure. A *summary* is all that a long curve needs; the *data* restores every point exactly, as a MessagePack array::

    kinds      the kind of all points (slot.KIND_*), or one byte a point
    words      ┐ the 64 bits of each value: float64, int64, 0 or 1, or the length of its JSON text
    steps      │
    times      │ columns (see columns)
    arrivals   ┘
    deflated   ┐ the streams with the planes of the columns, in this order
    noise      ┘
    payloads   the JSON texts, concatenated and deflated

The columns' first entries are in the row, so a chunk is packed before its place in the run is known. *Arrival* is a
point's index in its run, in order of storage.

``low`` and ``high`` cover numbers (booleans as 0 and 1, no NaN); None without any. ``last`` is the last value: a number
or JSON text up to ``LAST_BYTES_MAX``, else None.
"""

from __future__ import annotations

import math
import zlib
from array import array
from itertools import pairwise

import msgspec

from steplog.journal import slot
from steplog.records.cells import LAST_BYTES_MAX
from steplog.records.points import Number, Points, number_range
from steplog.server.records.columns import Column, ColumnReader, ColumnWriter

__all__ = [
    "POINTS_MAX",
    "Chunk",
    "Encoding",
    "decode",
    "encode",
    "last_value",
    "pieces",
]

POINTS_MAX = 4096
_PAYLOAD_BYTES_MAX = 256 * 1024  # in a chunk, unless a single payload is longer


class Chunk(msgspec.Struct, frozen=True):
    """A summary, the first entries of the columns, and the data."""

    count: int
    first_arrival: int
    last_arrival: int
    first_step: int
    last_step: int
    min_step: int
    max_step: int
    first_time: int
    first_word: int
    low: Number | None
    high: Number | None
    last: Number | str | None
    data: bytes


class _Data(msgspec.Struct, array_like=True):
    kinds: int | bytes
    words: Column
    steps: Column
    times: Column
    arrivals: Column
    deflated: bytes
    noise: bytes
    payloads: bytes


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Data).decode


def encode(points: Points) -> Chunk:
    """Encode at least one point."""
    return Encoding(points).chunk(*number_range(points.numbers()))


class Encoding:
    """At least one point, encoded but for the range of its numbers.

    Attributes:
        is_ascending: no time is before the one of the point before, as far as it was seen while encoding.
    """

    def __init__(self, points: Points) -> None:
        self._points = points
        columns = ColumnWriter()
        kind = points.kind
        data = _Data(
            points.kinds if kind is None else kind,
            columns.words(points.words),
            columns.numbers(points.steps),
            columns.numbers(points.times),
            columns.numbers(points.arrivals),
            b"",
            b"",
            zlib.compress(points.payloads, 1) if points.payloads else b"",
        )
        data.deflated, data.noise = columns.streams()
        self.is_ascending = data.times.is_ascending
        self._are_steps_ramp = data.steps.is_ramp
        self._data = _pack(data)

    def chunk(self, low: Number | None, high: Number | None) -> Chunk:
        """The chunk, given the range of the numbers (``number_range``)."""
        points, steps = self._points, self._points.steps
        extremes = (steps[0], steps[-1]) if self._are_steps_ramp else steps
        return Chunk(
            len(points.kinds),
            points.arrivals[0],
            points.arrivals[-1],
            steps[0],
            steps[-1],
            min(extremes),
            max(extremes),
            points.times[0],
            points.words[0],
            low,
            high,
            last_value(points),
            self._data,
        )


def pieces(points: Points) -> list[Points]:
    """At least one point, in parts of about equal size, a chunk each."""
    count = len(points.kinds)
    wanted = max(-(-count // POINTS_MAX), min(count, -(-len(points.payloads) // _PAYLOAD_BYTES_MAX)))
    if wanted == 1:
        return [points]
    cuts = [count * piece // wanted for piece in range(wanted + 1)]
    return [points.part(a, b) for a, b in pairwise(cuts)]


def decode(chunk: Chunk, *, values_only: bool = False) -> Points:
    """Decode a chunk; ``values_only`` leaves out times and arrivals."""
    data = _unpack(chunk.data)
    columns = ColumnReader(chunk.count, data.deflated, data.noise)
    words = columns.take(data.words, chunk.first_word)
    steps = columns.take(data.steps, chunk.first_step)
    kinds = bytes((data.kinds,)) * chunk.count if isinstance(data.kinds, int) else data.kinds
    times = () if values_only else columns.take(data.times, chunk.first_time)
    arrivals = () if values_only else columns.take(data.arrivals, chunk.first_arrival)
    payloads = zlib.decompress(data.payloads) if data.payloads else b""
    return Points(kinds, array("q", words), steps, times, arrivals, payloads)


def last_value(points: Points) -> Number | str | None:
    """The last value as a row has it."""
    kind, word = points.kinds[-1], points.words[-1]
    if kind == slot.KIND_JSON:
        text = points.payloads[len(points.payloads) - word :]
        return text.decode() if len(text) <= LAST_BYTES_MAX else None
    if kind == slot.KIND_BOOL:
        return "true" if word else "false"
    if kind == slot.KIND_INT:
        return word
    number = array("d", points.words[-1:].tobytes())[0]
    # SQLite stores NaN as NULL.
    return '"NaN"' if math.isnan(number) else number
