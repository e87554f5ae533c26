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
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from steplog.server.records.chunk import Chunk, Points, decode
from steplog.server.records.grid import Axis, Curve
from steplog.server.records.summary import Entries, coarser
from steplog.server.records.summary import decode as decode_rows
from steplog.server.sqlite.schema import SERIES_SHIFT, series_bounds
from steplog.server.sqlite.summaries import HEADER, Header

__all__ = ["Grid", "Layout"]

_POINTS_A_BUCKET = 64
_COARSE_ENTRIES = 16
_SUMMARY = Chunk.__struct_fields__[:-1]
_TOP = "SELECT max(level) FROM summaries WHERE series = ?"
_ROWS = f"SELECT {HEADER} FROM summaries WHERE series = ? AND level = ? AND number >= ? AND number < ?"  # noqa: S608
_DATA = "SELECT data FROM summaries WHERE series = ? AND level = ? AND number >= ? AND number < ? ORDER BY number"
_CHUNKS = f"SELECT id, {', '.join(_SUMMARY)} FROM chunks WHERE id >= ? AND id < ?"  # noqa: S608
_POINTS = (
    f"SELECT {', '.join('c.' + name for name in _SUMMARY)}, data FROM chunks c JOIN points USING (id)"  # noqa: S608
    " WHERE c.id >= ? AND c.id < ? AND c.max_step >= ? AND c.min_step <= ? ORDER BY c.id"
)
_NUMBER_END = 1 << SERIES_SHIFT
_INTEGER_MAX = 2**63 - 1


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
    """What a series' chunks have come to: its rows of the highest levels, and its chunks without summaries."""

    def __init__(self, connection: sqlite3.Connection, series_id: int, last_time: int | None) -> None:
        """Of a series, in a snapshot; ``last_time`` is that of its last point in a chunk or later."""
        self._connection = connection
        self._series = series_id
        self._roots: list[Header] = []
        self._top = connection.execute(_TOP, (series_id,)).fetchone()[0] or 0
        end = 0
        for level in range(self._top, 0, -1):
            found = [Header(*row) for row in connection.execute(f"{_ROWS} ORDER BY number", self._key(level, end))]
            if found:
                self._roots += found
                end = found[-1].end
        rows = connection.execute(f"{_CHUNKS} ORDER BY id", series_bounds(series_id, end)).fetchall()
        chunks = [(chunk_id & _NUMBER_END - 1, Chunk(*(*summary, b""))) for chunk_id, *summary in rows]
        later = [chunk.first_time for _, chunk in chunks[1:]] + [_INTEGER_MAX if last_time is None else last_time]
        self._bare = [(*chunk, until) for chunk, until in zip(chunks, later, strict=False)]

    def extent(self, axis: Axis) -> tuple[int, int] | None:
        """The lowest and highest place on the axis of what is in chunks."""
        ends = [self._ends(root, axis) for root in self._roots]
        ends += [_chunk_ends(chunk, until, axis) for _, chunk, until in self._bare]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def place(self, curve: Curve, grid: Grid) -> None:
        """Add what is in chunks to a curve on this grid."""
        try:
            pieces = _Plan(self, grid, grid.width - 1, grid.points_max, is_strict=True).pieces
        except _TooManyError:
            low, high = self.extent(grid.axis) or (0, 0)
            buckets = max(0, min(grid.high, high) - max(grid.low, low)) // grid.width + 1
            wanted = max(grid.points_max, _POINTS_A_BUCKET * buckets)
            pieces = _Plan(self, grid, 2 * grid.width - 1, wanted, is_strict=False).pieces
        for piece in _joined(pieces):
            if piece.level:
                rows = self._connection.execute(_DATA, self._key(piece.level, piece.first, piece.end))
                entries = decode_rows(data for (data,) in rows)
                while (
                    piece.is_coarse and len(entries) > _COARSE_ENTRIES and len(fewer := coarser(entries)) < len(entries)
                ):
                    entries = fewer
                curve.add_entries(entries)
            elif piece.is_coarse:
                curve.add_entries(self._bare_entries(piece))
            else:
                for points in self._points(piece, grid):
                    curve.add_points(points)

    def _key(self, level: int, first: int, end: int = _NUMBER_END) -> tuple[int, int, int, int]:
        return self._series, level, first, end

    def _ends(self, header: Header, axis: Axis) -> tuple[int, int]:
        if axis.is_time:
            return header.min_time - axis.origin, header.max_time - axis.origin
        return header.min_step, header.max_step

    def _points(self, piece: _Piece, grid: Grid) -> Iterator[Points]:
        first = self._series << SERIES_SHIFT
        steps = (-_INTEGER_MAX - 1, _INTEGER_MAX) if grid.axis.is_time else (grid.low, grid.high)
        steps = max(steps[0], -_INTEGER_MAX - 1), min(steps[1], _INTEGER_MAX)
        for row in self._connection.execute(_POINTS, (first | piece.first, first + piece.end, *steps)):
            yield decode(Chunk(*row))

    def _bare_entries(self, piece: _Piece) -> Entries:
        chunks = [(chunk, until) for number, chunk, until in self._bare if piece.first <= number < piece.end]
        rows = [_entry_of(chunk, until) for chunk, until in chunks]
        return Entries(*zip(*rows, strict=True))


class _Plan:
    """Which pieces of a series are read for a grid, in order."""

    def __init__(self, layout: Layout, grid: Grid, limit: int, points_max: int, is_strict: bool) -> None:
        self.pieces: list[_Piece] = []
        self._layout = layout
        self._grid = grid
        self._limit = limit
        self._left = points_max
        for root in layout._roots:
            before = len(self.pieces), self._left
            try:
                self._add(root)
            except _TooManyError:
                if is_strict:
                    raise
                del self.pieces[before[0] :]
                self._left = before[1]
                self.pieces.append(_Piece(root.level, root.number, root.end, True))
        for number, chunk, until in layout._bare:
            low, high = _chunk_ends(chunk, until, grid.axis)
            if high < grid.low or low > grid.high:
                continue
            is_narrow = high - low <= limit and chunk.low is not None
            if not is_narrow and is_strict and chunk.count > self._left:
                raise _TooManyError
            is_read = not is_narrow and chunk.count <= self._left
            self._left -= chunk.count if is_read else 0
            self.pieces.append(_Piece(0, number, number + 1, not is_read))

    def _add(self, header: Header) -> None:
        layout, grid = self._layout, self._grid
        low, high = layout._ends(header, grid.axis)
        if high < grid.low or low > grid.high:
            return
        if (header.widest_time if grid.axis.is_time else header.widest_step) <= self._limit:
            self.pieces.append(_Piece(header.level, header.number, header.end))
        elif header.level > 1:
            key = layout._key(header.level - 1, header.number, header.end)
            for row in layout._connection.execute(f"{_ROWS} ORDER BY number", key).fetchall():
                self._add(Header(*row))
        else:
            self._left -= self._points_of(header)
            if self._left < 0:
                raise _TooManyError
            self.pieces.append(_Piece(0, header.number, header.end))

    def _points_of(self, header: Header) -> int:
        """How many points of a row are in chunks that reach into the grid."""
        if self._grid.axis.is_time or (header.min_step >= self._grid.low and header.max_step <= self._grid.high):
            return header.points
        first = self._layout._series << SERIES_SHIFT
        query = "SELECT sum(count) FROM chunks WHERE id >= ? AND id < ? AND max_step >= ? AND min_step <= ?"
        steps = max(self._grid.low, -_INTEGER_MAX - 1), min(self._grid.high, _INTEGER_MAX)
        row = self._layout._connection.execute(query, (first | header.number, first + header.end, *steps))
        return int(row.fetchone()[0] or 0)


def _joined(pieces: Sequence[_Piece]) -> Iterator[_Piece]:
    """The pieces, neighbours of one kind as one."""
    piece = None
    for each in pieces:
        if piece is not None and (each.level, each.first, each.is_coarse) == (piece.level, piece.end, piece.is_coarse):
            piece = piece._replace(end=each.end)
            continue
        if piece is not None:
            yield piece
        piece = each
    if piece is not None:
        yield piece


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
