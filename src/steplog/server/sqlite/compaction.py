"""Compaction: small chunks of a series are merged into larger ones.

``FANOUT`` chunks of one tier (1, 16, 256 points up) at the end of a series are merged, until full (``_FULL`` points or
``_FULL_BYTES``). A point is rewritten at most three times; at most 45 chunks, besides deferred merges, are not full.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from operator import attrgetter

from steplog.journal import slot
from steplog.server.records.chunk import Chunk, Number, concatenate, decode, pack
from steplog.server.sqlite.schema import SERIES_SHIFT, delete_chunks, series_bounds

__all__ = ["CHUNK_COLUMNS", "FANOUT", "SeriesState", "insert_chunks", "merge", "merge_size", "read_tail"]

FANOUT = 16
_TIERS = (16, 256, 1024)
_FULL = _TIERS[-1]
_FULL_BYTES = 64 * 1024
_TAIL_MAX = 1024
_SUMMARY = Chunk.__struct_fields__[:-1]  # all but the data
_summary_of = attrgetter(*_SUMMARY)
CHUNK_COLUMNS = ", ".join(_SUMMARY)
_INSERT_CHUNK = f"INSERT INTO chunks (id, {CHUNK_COLUMNS}) VALUES (?{', ?' * len(_SUMMARY)})"  # noqa: S608 - constants


@dataclass(slots=True)
class SeriesState:
    """The state needed to append to a series."""

    id: int
    count: int = 0
    next_step: int = 0
    first_step: int = 0
    last_step: int = 0
    low: Number | None = None
    high: Number | None = None
    max_step: int = slot.NO_STEP
    last_time_ns: int | None = None
    chunks: int = 0  # the next chunk's number
    tail: list[tuple[int, int]] = field(default_factory=list)  # (number, count) of the last chunks that are not full
    tail_known: bool = False

    def add(self, chunk: Chunk) -> int:
        """Add a chunk to the totals and the tail; returns its id."""
        if self.count == 0:
            self.first_step = chunk.first_step
        self.count += chunk.count
        self.last_step = chunk.last_step
        self.max_step = max(self.max_step, chunk.max_step)
        self.next_step = max(self.next_step, min(chunk.max_step + 1, slot.STEP_MAX))
        if chunk.low is not None and (self.low is None or chunk.low < self.low):
            self.low = chunk.low
        if chunk.high is not None and (self.high is None or chunk.high > self.high):
            self.high = chunk.high
        number = self.chunks
        self.chunks += 1
        if _is_full(chunk.count, len(chunk.data)):
            self.tail.clear()
        else:
            self.tail.append((number, chunk.count))
        return self.id << SERIES_SHIFT | number


def insert_chunks(connection: sqlite3.Connection, chunks: Sequence[tuple[int, Chunk]]) -> None:
    """Insert chunks with these ids."""
    connection.executemany(_INSERT_CHUNK, [(chunk_id, *_summary_of(chunk)) for chunk_id, chunk in chunks])
    connection.executemany("INSERT INTO points VALUES (?, ?)", [(chunk_id, chunk.data) for chunk_id, chunk in chunks])


def read_tail(connection: sqlite3.Connection, series: SeriesState) -> None:
    """Read a series' last chunks that are not full."""
    newest = connection.execute(
        "SELECT chunks.id, count, length(data) FROM chunks JOIN points USING (id)"
        " WHERE chunks.id >= ? AND chunks.id < ? ORDER BY chunks.id DESC LIMIT ?",
        (*series_bounds(series.id), _TAIL_MAX),
    ).fetchall()
    if newest:
        series.chunks = (newest[0][0] & (1 << SERIES_SHIFT) - 1) + 1
    small = takewhile(lambda row: not _is_full(row[1], row[2]), newest)
    series.tail = [(chunk_id & (1 << SERIES_SHIFT) - 1, count) for chunk_id, count, _ in small][::-1]
    series.tail_known = True


def merge_size(tail: Sequence[tuple[int, int]]) -> int:
    """How many chunks at the end are due for merging."""
    for limit in _TIERS:
        small = 0
        while small < len(tail) and tail[-1 - small][1] < limit:
            small += 1
        if small >= FANOUT:
            return small
    return 0


def merge(connection: sqlite3.Connection, series: SeriesState, count: int) -> None:
    """Merge the last ``count`` chunks."""
    first = series.tail[-count][0]
    bounds = series_bounds(series.id, first)
    rows = connection.execute(
        f"SELECT {CHUNK_COLUMNS}, data FROM chunks JOIN points USING (id)"  # noqa: S608 - a constant
        " WHERE chunks.id >= ? AND chunks.id < ? ORDER BY chunks.id",
        bounds,
    ).fetchall()
    merged = pack(concatenate([decode(Chunk(*row)) for row in rows]))
    delete_chunks(connection, bounds)
    insert_chunks(connection, [(bounds[0] + place, chunk) for place, chunk in enumerate(merged)])
    del series.tail[-count:]
    # Large payloads can keep the number of chunks up; such chunks count as full.
    if len(merged) > count // 2 or any(_is_full(chunk.count, len(chunk.data)) for chunk in merged):
        series.tail.clear()
    else:
        series.tail.extend((first + place, chunk.count) for place, chunk in enumerate(merged))
    series.chunks = first + len(merged)


def _is_full(count: int, data_bytes: int) -> bool:
    return count >= _FULL or data_bytes >= _FULL_BYTES
