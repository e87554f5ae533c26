"""Merging: small chunks of a series become large ones.

Chunks below ``_FULL`` points are merged when ``FANOUT`` of about one size have gathered at the end of the series
(sizes of 1, 16 and 256 points up), so a point is written anew at most three times, and a series has at most 45 chunks
that are not full, or as many more as wait for their turn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter

from steplog.server.batch import pack
from steplog.server.chunk import Chunk, Number, concatenate, decode
from steplog.server.schema import SERIES_SHIFT

__all__ = [
    "CHUNK_COLUMNS",
    "FANOUT",
    "INSERT_CHUNK",
    "INSERT_POINTS",
    "SeriesState",
    "due",
    "is_full",
    "merge",
    "read_tail",
    "row",
]

FANOUT = 16
_TIERS = (16, 256, 1024)
_FULL = _TIERS[-1]
_FULL_BYTES = 64 * 1024
_TAIL_MAX = 1024
_SUMMARY = [entry.name for entry in fields(Chunk) if entry.name != "data"]
_summary_of = attrgetter(*_SUMMARY)
CHUNK_COLUMNS = ", ".join(_SUMMARY)
INSERT_CHUNK = f"INSERT INTO chunks (id, {CHUNK_COLUMNS}) VALUES (?{', ?' * len(_SUMMARY)})"  # noqa: S608 - constants
INSERT_POINTS = "INSERT INTO points VALUES (?, ?)"


@dataclass(slots=True)
class SeriesState:
    """What is needed of a series to append to it."""

    id: int
    count: int = 0
    next_step: int = 0
    first_step: int = 0
    last_step: int = 0
    low: Number | None = None
    high: Number | None = None
    chunks: int = 0  # how many numbers of chunks have been used
    tail: list[tuple[int, int]] = field(default_factory=list)  # number and size of the chunks that may be merged
    tail_known: bool = False


def row(chunk_id: int, chunk: Chunk) -> tuple[object, ...]:
    """A row of ``chunks``."""
    return (chunk_id, *_summary_of(chunk))


def is_full(count: int, data_bytes: int) -> bool:
    """Whether a chunk is merged no more."""
    return count >= _FULL or data_bytes >= _FULL_BYTES


def read_tail(connection: sqlite3.Connection, series: SeriesState) -> None:
    """Find the chunks at the end of a series that may still be merged."""
    newest = connection.execute(
        "SELECT chunks.id, count, length(data) FROM chunks JOIN points USING (id)"
        " WHERE chunks.id >= ? AND chunks.id < ? ORDER BY chunks.id DESC LIMIT ?",
        (series.id << SERIES_SHIFT, series.id + 1 << SERIES_SHIFT, _TAIL_MAX),
    ).fetchall()
    if newest:
        series.chunks = (newest[0][0] & (1 << SERIES_SHIFT) - 1) + 1
    tail = []
    for chunk_id, count, data_bytes in newest:
        if is_full(count, data_bytes):
            break
        tail.append((chunk_id & (1 << SERIES_SHIFT) - 1, count))
    series.tail = tail[::-1]
    series.tail_known = True


def due(tail: Sequence[tuple[int, int]]) -> int:
    """How many of the last chunks are to be merged into one."""
    for limit in _TIERS:
        small = 0
        while small < len(tail) and tail[-1 - small][1] < limit:
            small += 1
        if small >= FANOUT:
            return small
    return 0


def merge(connection: sqlite3.Connection, series: SeriesState, count: int) -> None:
    """Put the last ``count`` chunks together; the new ones take the numbers of the first of them."""
    first = series.tail[-count][0]
    bounds = (series.id << SERIES_SHIFT | first, series.id + 1 << SERIES_SHIFT)
    rows = connection.execute(
        f"SELECT {CHUNK_COLUMNS}, data FROM chunks JOIN points USING (id)"  # noqa: S608 - a constant
        " WHERE chunks.id >= ? AND chunks.id < ? ORDER BY chunks.id",
        bounds,
    ).fetchall()
    merged = pack(concatenate([decode(Chunk(*found)) for found in rows]))
    connection.execute("DELETE FROM chunks WHERE id >= ? AND id < ?", bounds)
    connection.execute("DELETE FROM points WHERE id >= ? AND id < ?", bounds)
    ids = [bounds[0] + place for place in range(len(merged))]
    connection.executemany(INSERT_CHUNK, [row(*pair) for pair in zip(ids, merged, strict=True)])
    connection.executemany(INSERT_POINTS, [(at, chunk.data) for at, chunk in zip(ids, merged, strict=True)])
    del series.tail[-count:]
    # Payloads can keep chunks from becoming fewer; then they are left as they are.
    if len(merged) > count // 2 or any(is_full(chunk.count, len(chunk.data)) for chunk in merged):
        series.tail.clear()
    else:
        series.tail.extend((first + place, chunk.count) for place, chunk in enumerate(merged))
    series.chunks = first + len(merged)
