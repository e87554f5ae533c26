"""Reading curves: which summaries and which points of a series make it, as few as its buckets need.

1. A row of summaries is used if none of its entries is wider than ``limit``; else the rows of the next level that it
   was made of are, and the chunks of one of level 1.
2. With ``limit`` one bucket nearly all is exact. It may take decoding ``points_max`` points. Where it would take
   more, the limit is two buckets.
3. Where that takes more than ``points_max`` and ``_POINTS_A_BUCKET`` points, as with steps in no order, what would
   cost most is drawn from few entries, and its buckets are approximate.
4. A chunk of an older version that is not summarized yet counts as one entry, if it is as narrow.
5. What is pending and the tail are placed point by point.

Which of these a series gets depends on its chunks, the grid and ``points_max`` alone: as long as no chunk is added, a
bucket changes only with points that arrive in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from steplog.records.points import Points
from steplog.server.records.chunk import Chunk, decode
from steplog.server.records.grid import Axis, Curve
from steplog.server.records.summary import Entries, coarser
from steplog.server.records.summary import decode as decode_rows
from steplog.server.sql.chunk_ids import NUMBER_END, chunk_range, chunk_rows
from steplog.server.sql.connection import Connection
from steplog.server.sql.reading import SeriesReader
from steplog.server.sql.summaries import HEADER, Header

__all__ = ["Grid", "Layout"]

_POINTS_A_BUCKET = 64
_COARSE_ENTRIES = 16
_CHUNKS_A_STEP = 64  # read at a time, of up to 256 KiB each
_SUMMARY = Chunk.__struct_fields__[:-1]
_TOP = "SELECT max(level) FROM summaries WHERE [run = :run AND] series = :series"
_OF_LEVEL = (
    "FROM summaries WHERE [run = :run AND] series = :series AND level = :level AND number >= :first AND number < :end"
    " ORDER BY number"
)
_ROWS = f"SELECT {HEADER} {_OF_LEVEL}"
_DATA = f"SELECT data {_OF_LEVEL}"
_OF_SERIES = "[run = :run AND] id >= :low AND id < :high"
_CHUNKS = f"SELECT id, {', '.join(_SUMMARY)} FROM chunks WHERE {_OF_SERIES} ORDER BY id"  # noqa: S608
_LAST_ARRIVAL = f"SELECT last_arrival FROM chunks WHERE {_OF_SERIES} ORDER BY id DESC LIMIT 1"  # noqa: S608
_WITH_STEPS = f"{_OF_SERIES} AND max_step >= :least AND min_step <= :most"
_COUNT = f"SELECT sum(count) FROM chunks WHERE {_WITH_STEPS}"  # noqa: S608
_POINTS = (
    f"SELECT id, {', '.join(_SUMMARY)}, data FROM chunks JOIN points USING ([run, ]id)"  # noqa: S608
    f" WHERE {_WITH_STEPS} ORDER BY id LIMIT :step"
)
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1


class Grid(NamedTuple):
    """The buckets wanted: those of this width in [low, high] on the axis, and how many points may be decoded."""

    axis: Axis
    width: int
    low: int
    high: int
    points_max: int


class _Piece(NamedTuple):
    """Consecutive parts of a series: rows of a level, or chunks (level 0), from one number to before another."""

    level: int
    first: int
    end: int
    is_coarse: bool = False


class _TooManyError(Exception):
    """It takes decoding more points than allowed."""


class Layout:
    """What a series' chunks have come to.

    Attributes:
        roots: its rows of the highest levels, which cover what is summarized.
        bare: the chunks without summaries: number, chunk, and until when it lasts.
    """

    def __init__(self, connection: Connection, reader: SeriesReader) -> None:
        """Of a series, in the snapshot of its reader."""
        self.connection = connection
        self.run = reader.run_id
        self.series = 0 if reader.row is None else reader.row.id
        self._rest = [part for part in (reader.pending, reader.tail) if part.kinds]
        self.roots: list[Header] = []
        self.bare: list[tuple[int, Chunk, int]] = []
        if reader.row is not None and reader.row.count > len(reader.pending.kinds):
            self._read(reader.row.last_time_ns)

    def _read(self, last_time: int | None) -> None:
        execute, end = self.connection.execute, 0
        for level in range(execute(_TOP, {"run": self.run, "series": self.series}).fetchone()[0] or 0, 0, -1):
            found = [Header(*row) for row in execute(_ROWS, self.key(level, end))]
            if found:
                self.roots += found
                end = found[-1].end
        rows = execute(_CHUNKS, self.chunks(end)).fetchall()
        chunks = [(chunk_id & NUMBER_END - 1, Chunk(*(*summary, b""))) for chunk_id, *summary in rows]
        if not chunks:
            return
        later = [chunk.first_time for _, chunk in chunks[1:]]
        later.append(self._last_time(rows[-1][0]) if last_time is None else last_time)
        self.bare = [(*chunk, until) for chunk, until in zip(chunks, later, strict=True)]

    def _last_time(self, chunk_id: int) -> int:
        """Of a chunk, for a series that an older version has stored."""
        number = chunk_id & NUMBER_END - 1
        (points,) = self._points(_Piece(0, number, number + 1), Axis(is_time=True), 0, 0)
        return max(points.times)

    def extent(self, axis: Axis) -> tuple[int, int] | None:
        """The lowest and highest place on the axis of what is in chunks."""
        ends = [self.ends(root, axis) for root in self.roots]
        ends += [_chunk_ends(chunk, until, axis) for _, chunk, until in self.bare]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def whole_extent(self, axis: Axis) -> tuple[int, int] | None:
        """The same of all points."""
        ends = [] if (packed := self.extent(axis)) is None else [packed]
        for points in self._rest:
            xs = points.times if axis.is_time else points.steps
            low, high = (xs[0], xs[-1]) if isinstance(xs, range) and xs.step > 0 else (min(xs), max(xs))
            ends.append((low - axis.origin, high - axis.origin))
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def place(self, curve: Curve, grid: Grid, within: tuple[int, int] | None = None) -> None:
        """Add all points to a curve on this grid; of those that are not ``within`` as few as may be."""
        within = within or (grid.low, grid.high)
        try:
            pieces = _Plan(self, grid, within, grid.width - 1, grid.points_max, is_strict=True).pieces
        except _TooManyError:
            low, high = self.extent(grid.axis) or (0, 0)
            buckets = max(0, min(grid.high, high) - max(grid.low, low)) // grid.width + 1
            wanted = max(grid.points_max, _POINTS_A_BUCKET * buckets)
            pieces = _Plan(self, grid, within, 2 * grid.width - 1, wanted, is_strict=False).pieces
        for piece in pieces:
            if piece.level:
                rows = self.connection.execute(_DATA, self.key(piece.level, piece.first, piece.end))
                entries = decode_rows(data for (data,) in rows)
                while (
                    piece.is_coarse and len(entries) > _COARSE_ENTRIES and len(fewer := coarser(entries)) < len(entries)
                ):
                    entries = fewer
                curve.add_entries(entries)
            elif piece.is_coarse:
                curve.add_entries(self._bare_entries(piece))
            else:
                for points in self._points(piece, grid.axis, *within):
                    curve.add_points(points)
        for points in self._rest:
            curve.add_points(points)

    def last_arrival(self) -> int:
        """Of the last point in a chunk; -1 without one."""
        row = self.connection.execute(_LAST_ARRIVAL, self.chunks()).fetchone()
        return row[0] if row else -1

    def key(self, level: int, first: int, end: int = NUMBER_END) -> dict[str, int]:
        """Of the rows of a level from one number to before another."""
        return {"run": self.run, "series": self.series, "level": level, "first": first, "end": end}

    def chunks(self, first: int = 0, end: int = NUMBER_END) -> dict[str, int]:
        """Of the chunks from one number to before another."""
        return chunk_range(self.run, self.series, first, end)

    def ends(self, header: Header, axis: Axis) -> tuple[int, int]:
        """Where a row is on the axis."""
        if axis.is_time:
            return header.min_time - axis.origin, header.max_time - axis.origin
        return header.min_step, header.max_step

    def _points(self, piece: _Piece, axis: Axis, low: int, high: int) -> Iterator[Points]:
        wanted = self.chunks(piece.first, piece.end)
        wanted["least"] = _INTEGER_MIN if axis.is_time else max(low, _INTEGER_MIN)
        wanted["most"] = _INTEGER_MAX if axis.is_time else min(high, _INTEGER_MAX)
        for _, *row in chunk_rows(self.connection, _POINTS, wanted, _CHUNKS_A_STEP):
            yield decode(Chunk(*row))

    def _bare_entries(self, piece: _Piece) -> Entries:
        chunks = [(chunk, until) for number, chunk, until in self.bare if piece.first <= number < piece.end]
        rows = [_entry_of(chunk, until) for chunk, until in chunks]
        return Entries(*zip(*rows, strict=True))


class _Plan:
    """Which pieces of a series are read for a grid, in order."""

    def __init__(
        self, layout: Layout, grid: Grid, within: tuple[int, int], limit: int, points_max: int, is_strict: bool
    ) -> None:
        self.pieces: list[_Piece] = []
        self._within = within
        self._layout = layout
        self._grid = grid
        self._limit = limit
        self._left = points_max
        for root in layout.roots:
            before = self.pieces[:], self._left
            try:
                self._add(root)
            except _TooManyError:
                if is_strict:
                    raise
                self.pieces, self._left = before
                self._take(layout.ends(root, grid.axis), _Piece(root.level, root.number, root.end, True))
        for number, chunk, until in layout.bare:
            low, high = _chunk_ends(chunk, until, grid.axis)
            if high < grid.low or low > grid.high:
                continue
            is_narrow = high - low <= limit and chunk.low is not None
            if not is_narrow and is_strict and chunk.count > self._left:
                raise _TooManyError
            is_read = not is_narrow and chunk.count <= self._left
            self._left -= chunk.count if is_read else 0
            self._take((low, high), _Piece(0, number, number + 1, not is_read))

    def _add(self, header: Header) -> None:
        layout, grid = self._layout, self._grid
        low, high = layout.ends(header, grid.axis)
        if high < grid.low or low > grid.high:
            return
        if (header.widest_time if grid.axis.is_time else header.widest_step) <= self._limit:
            self._take((low, high), _Piece(header.level, header.number, header.end))
        elif header.level > 1:
            key = layout.key(header.level - 1, header.number, header.end)
            for row in layout.connection.execute(_ROWS, key).fetchall():
                self._add(Header(*row))
        else:
            self._left -= self._points_of(header)
            if self._left < 0:
                raise _TooManyError
            self._take((low, high), _Piece(0, header.number, header.end))

    def _take(self, ends: tuple[int, int], piece: _Piece) -> None:
        if ends[1] < self._within[0] or ends[0] > self._within[1]:
            return
        last = self.pieces[-1] if self.pieces else None
        if last is not None and (piece.level, piece.first, piece.is_coarse) == (last.level, last.end, last.is_coarse):
            piece = _Piece(last.level, last.first, piece.end, last.is_coarse)
            self.pieces.pop()
        self.pieces.append(piece)

    def _points_of(self, header: Header) -> int:
        """How many points of a row are in chunks that reach into the grid."""
        if self._grid.axis.is_time or (header.min_step >= self._grid.low and header.max_step <= self._grid.high):
            return header.points
        wanted = self._layout.chunks(header.number, header.end)
        wanted["least"], wanted["most"] = max(self._grid.low, _INTEGER_MIN), min(self._grid.high, _INTEGER_MAX)
        return int(self._layout.connection.execute(_COUNT, wanted).fetchone()[0] or 0)


def _chunk_ends(chunk: Chunk, until: int, axis: Axis) -> tuple[int, int]:
    """A chunk has its first time; the next one's is taken for its last."""
    if axis.is_time:
        return chunk.first_time - axis.origin, max(until, chunk.first_time) - axis.origin
    return chunk.min_step, chunk.max_step


def _entry_of(chunk: Chunk, until: int) -> tuple[float, ...]:
    """A chunk as an entry; how many of its points are not finite is not known."""
    low, high = (math.nan if end is None or math.isinf(end) else end for end in (chunk.low, chunk.high))
    last = (
        chunk.last if isinstance(chunk.last, (int, float)) else {"true": 1, "false": 0}.get(chunk.last or "", math.nan)
    )
    steps = chunk.min_step, chunk.max_step, chunk.first_step, chunk.last_step
    times = chunk.first_time, max(until, chunk.first_time)
    infinite = int(chunk.high == math.inf), int(chunk.low == -math.inf)
    return chunk.count, *steps, *times, low, high, last, last, int(chunk.last == '"NaN"'), *infinite
