"""Run blocks: the points of many metrics of a run's stretch in one row, until a metric has enough for a chunk.

Pure. An *entry* is the points of one series. Entries of the same number and kind of points make a *segment*, of about
``_SEGMENT_POINTS``: the unit that is decoded. The data is the segments, one after the other, each a MessagePack array::

    kinds      the kind of all points (slot.KIND_*), or one byte a point
    words      │ a column (see columns) of the values, an entry after the other
    base       its first number
    steps      ┐
    times      │ lagged columns, a row an entry: metrics that are logged together share their steps, and their times
    arrivals   ┘ are some µs apart
    deflated   ┐ the streams of the columns
    noise      ┘
    payloads   the JSON texts, concatenated and deflated

The directory says where an entry is, as a MessagePack array::

    series     ┐ a column each, with its base: the entries' series, and the arrival of their first points
    first      ┘
    segments   entries, points of each, and bytes of each segment
    deflated   ┐ the streams of the columns
    noise      ┘
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from operator import attrgetter
from typing import NamedTuple

import msgspec

from steplog.journal import slot
from steplog.records.points import Points
from steplog.server.records.columns import Column, ColumnReader, ColumnWriter, Lagged

__all__ = ["Block", "Directory", "Segment", "SegmentReader", "encode", "read_directory"]

_SEGMENT_POINTS = 1024
_SEGMENT_PAYLOAD_BYTES = 256 * 1024  # about; a single entry may have more
_MIXED = 256  # in place of a kind


class Block(NamedTuple):
    """An encoded block."""

    first_arrival: int
    records: int
    directory: bytes
    data: bytes


class Segment(NamedTuple):
    """Where a segment is in its block's data, and which entries it has: ``[first, first + entries)``."""

    first: int
    entries: int
    each: int  # points of an entry
    offset: int
    size_bytes: int

    def read(self, data: bytes, *, values_only: bool = False) -> SegmentReader:
        """Decode the segment, given its bytes; ``values_only`` leaves out times and arrivals."""
        return SegmentReader(self, data, values_only)


class Directory(NamedTuple):
    """What a block has: of each entry the series and the arrival of its first point, and the segments."""

    series: Sequence[int]
    first_arrivals: Sequence[int]
    segments: Sequence[Segment]

    def find(self, series_id: int) -> tuple[int, Segment] | None:
        """The entry of a series and its segment; None if it has none."""
        try:
            entry = self.series.index(series_id)
        except ValueError:
            return None
        return entry, self.segment(entry)

    def segment(self, entry: int) -> Segment:
        """The segment that an entry is in."""
        return self.segments[bisect_right(self.segments, entry, key=attrgetter("first")) - 1]

    def points(self, data: bytes, entries: Iterable[int] | None = None) -> Iterator[tuple[int, Points]]:
        """The series and points of these ``entries``, ascending (None: of all), given the block's data."""
        wanted = iter(range(len(self.series)) if entries is None else entries)
        entry = next(wanted, None)
        for segment in self.segments:
            end, reader = segment.first + segment.entries, None
            while entry is not None and entry < end:
                if reader is None:
                    reader = segment.read(data[segment.offset : segment.offset + segment.size_bytes])
                yield self.series[entry], reader.points(entry)
                entry = next(wanted, None)


class _Data(msgspec.Struct, array_like=True):
    kinds: int | bytes
    words: Column
    base: int
    steps: Lagged
    times: Lagged
    arrivals: Lagged
    deflated: bytes
    noise: bytes
    payloads: bytes


class _Directory(msgspec.Struct, array_like=True):
    series: Column
    series_base: int
    first: Column
    first_base: int
    segments: list[tuple[int, int, int]]
    deflated: bytes
    noise: bytes


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Data).decode
_unpack_directory = msgspec.msgpack.Decoder(_Directory).decode


class SegmentReader:
    """The entries of one segment."""

    def __init__(self, segment: Segment, data: bytes, values_only: bool) -> None:
        content = _unpack(data)
        count = segment.entries * segment.each
        columns = ColumnReader(count, content.deflated, content.noise)
        self._segment = segment
        self._kinds = content.kinds
        self._words = array("q", columns.take(content.words, content.base))
        lagged = (content.steps,) if values_only else (content.steps, content.times, content.arrivals)
        self._rows = [_Rows(columns.rows(column, segment.each)) for column in lagged]
        self._payloads = zlib.decompress(content.payloads) if content.payloads else b""

    def points(self, entry: int) -> Points:
        """The points of an entry, numbered as in the directory."""
        count = self._segment.each
        row = entry - self._segment.first
        first, end = row * count, (row + 1) * count
        kinds = bytes((self._kinds,)) * count if isinstance(self._kinds, int) else self._kinds[first:end]
        columns: list[Sequence[int]] = [rows[row] for rows in self._rows]
        steps, times, arrivals = columns if len(columns) > 1 else (columns[0], (), ())
        return Points(kinds, self._words[first:end], steps, times, arrivals, self._payload(first, end))

    def _payload(self, first: int, end: int) -> bytes:
        if not self._payloads:
            return b""
        before, inside = (self._payload_bytes(a, b) for a, b in ((0, first), (first, end)))
        return self._payloads[before : before + inside]

    def _payload_bytes(self, first: int, end: int) -> int:
        if isinstance(self._kinds, int):
            return sum(self._words[first:end]) if self._kinds == slot.KIND_JSON else 0
        pairs = zip(self._kinds[first:end], self._words[first:end], strict=True)
        return sum(word for kind, word in pairs if kind == slot.KIND_JSON)


class _Rows:
    """Rows that are worked out when they are asked for, each from the one before."""

    def __init__(self, rows: Iterator[Sequence[int]]) -> None:
        self._rest = rows
        self._known: list[Sequence[int]] = []

    def __getitem__(self, row: int) -> Sequence[int]:
        if row >= len(self._known):
            self._known.extend(islice(self._rest, row + 1 - len(self._known)))
        return self._known[row]


def encode(points: Mapping[int, Points]) -> Block:
    """Encode the points of each series; at least one of each, and of at least one."""
    ordered = sorted(points.items(), key=_order)
    segments: list[tuple[int, int, int]] = []
    pieces = []
    for group in _cut(ordered):
        count = len(group[0].kinds)
        pieces.append(_segment(group, count))
        segments.append((len(group), count, len(pieces[-1])))
    columns = ColumnWriter()
    series = array("q", [series_id for series_id, _ in ordered])
    first = array("q", [part.arrivals[0] for _, part in ordered])
    directory = _Directory(columns.numbers(series), series[0], columns.numbers(first), first[0], segments, b"", b"")
    directory.deflated, directory.noise = columns.streams()
    records = sum(entries * count for entries, count, _ in segments)
    return Block(min(first), records, _pack(directory), b"".join(pieces))


def read_directory(directory: bytes) -> Directory:
    """Decode a block's directory."""
    content = _unpack_directory(directory)
    total = sum(entries for entries, _, _ in content.segments)
    columns = ColumnReader(total, content.deflated, content.noise)
    series = columns.take(content.series, content.series_base)
    first = columns.take(content.first, content.first_base)
    starts = accumulate((entries for entries, _, _ in content.segments), initial=0)
    offsets = accumulate((size for _, _, size in content.segments), initial=0)
    placed = zip(starts, content.segments, offsets, strict=False)
    segments = [Segment(start, entries, each, offset, size) for start, (entries, each, size), offset in placed]
    return Directory(series, first, segments)


def _order(item: tuple[int, Points]) -> tuple[int, int, int]:
    """What sorts entries of the same number and kind of points together."""
    points = item[1]
    kind = points.kind
    return len(points.kinds), _MIXED if kind is None else kind, points.arrivals[0]


def _cut(ordered: Sequence[tuple[int, Points]]) -> Iterator[list[Points]]:
    """The entries of each segment."""
    group: list[Points] = []
    kept: tuple[int, int] | None = None
    payload_bytes = 0
    for item in ordered:
        points = item[1]
        sort = _order(item)[:2]
        payload_bytes += len(points.payloads)
        full = (len(group) + 1) * sort[0] > _SEGMENT_POINTS or payload_bytes > _SEGMENT_PAYLOAD_BYTES
        if group and (sort != kept or full):
            yield group
            group, payload_bytes = [], len(points.payloads)
        group.append(points)
        kept = sort
    yield group


def _segment(group: Sequence[Points], count: int) -> bytes:
    words, steps, times, arrivals = (array("q") for _ in range(4))
    for points in group:
        words.extend(points.words)
        steps.extend(points.steps)
        times.extend(points.times)
        arrivals.extend(points.arrivals)
    kind = group[0].kind
    columns = ColumnWriter()
    payloads = b"".join([points.payloads for points in group])
    data = _Data(
        b"".join([points.kinds for points in group]) if kind is None else kind,
        columns.words(words),
        words[0],
        columns.lagged(steps, count),
        columns.lagged(times, count),
        columns.lagged(arrivals, count),
        b"",
        b"",
        zlib.compress(payloads, 1) if payloads else b"",
    )
    data.deflated, data.noise = columns.streams()
    return _pack(data)
