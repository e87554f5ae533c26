"""Queries for the points of a run: in order of arrival, as series, as a curve."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from steplog.server.records.chunk import Chunk, Points, decode
from steplog.server.records.curve import Bucket, downsample
from steplog.server.records.dates import date_of
from steplog.server.sqlite.compaction import CHUNK_COLUMNS
from steplog.server.sqlite.schema import SERIES_SHIFT, series_bounds
from steplog.server.store_types import MetricPoint, SeriesSummary

__all__ = ["count", "curve", "metrics", "series"]

_OVERLAPPING = f"""
SELECT s.name, {", ".join("c." + name for name in CHUNK_COLUMNS.split(", "))}, p.data
FROM series s
JOIN chunks c ON c.id >= s.id << {SERIES_SHIFT} AND c.id < s.id + 1 << {SERIES_SHIFT}
JOIN points p ON p.id = c.id
WHERE s.run = ? AND c.first_arrival < ? AND c.last_arrival >= ?
"""  # noqa: S608 - constants, here and below
_SERIES = f"""
SELECT s.name, s.count, s.first_step, s.last_step, s.max_step, s.low, s.high, s.last_time, c.id, c.last
FROM series s CROSS JOIN chunks c
    ON c.id = (SELECT max(id) FROM chunks WHERE id >= s.id << {SERIES_SHIFT} AND id < s.id + 1 << {SERIES_SHIFT})
WHERE s.run = ? AND s.count > 0 ORDER BY s.id
"""  # noqa: S608


def count(connection: sqlite3.Connection, run_id: int) -> int:
    """The number of points of a run."""
    row = connection.execute("SELECT arrivals FROM progress WHERE run = ?", (run_id,)).fetchone()
    return row[0] if row else 0


def metrics(connection: sqlite3.Connection, run_id: int, first: int, end: int) -> list[MetricPoint]:
    """The points whose arrival is in ``[first, end)``, in order."""
    found: list[tuple[int, MetricPoint]] = []
    for name, *row in connection.execute(_OVERLAPPING, (run_id, end, first)):
        points = decode(Chunk(*row))
        entries = zip(points.arrivals, points.values(), points.steps, strict=True)
        found.extend(
            (arrival, MetricPoint(name, value, step)) for arrival, value, step in entries if first <= arrival < end
        )
    found.sort(key=lambda entry: entry[0])
    return [metric for _, metric in found]


def series(connection: sqlite3.Connection, run_id: int) -> list[SeriesSummary]:
    """The metrics of a run, in order of first arrival."""
    summaries = []
    for name, number, first, last, most, low, high, time_ns, chunk_id, kept in connection.execute(_SERIES, (run_id,)):
        value = _last_value(connection, chunk_id, kept)
        time = None if time_ns is None else date_of(time_ns)
        summaries.append(SeriesSummary(name, number, first, last, most, value, low, high, time))
    return summaries


def curve(
    connection: sqlite3.Connection, run_id: int, name: str, points: int, low: int | None, high: int | None
) -> list[Bucket] | None:
    """One metric in at most ``points`` buckets; None if missing."""
    row = connection.execute("SELECT id FROM series WHERE run = ? AND name = ?", (run_id, name)).fetchone()
    if row is None:
        return None
    summaries = f"SELECT id, {CHUNK_COLUMNS} FROM chunks WHERE id >= ? AND id < ? ORDER BY id"  # noqa: S608
    rows = connection.execute(summaries, series_bounds(row[0]))
    ids = {Chunk(*(*summary, b"")): chunk_id for chunk_id, *summary in rows}
    return downsample(
        list(ids),
        points,
        low,
        high,
        read=lambda chunk: _points(connection, ids[chunk]),
        last=lambda chunk: _last_value(connection, ids[chunk], chunk.last),
    )


def _points(connection: sqlite3.Connection, chunk_id: int) -> Points:
    query = f"SELECT {CHUNK_COLUMNS}, data FROM chunks JOIN points USING (id) WHERE chunks.id = ?"  # noqa: S608
    return decode(Chunk(*connection.execute(query, (chunk_id,)).fetchone()), values_only=True)


def _last_value(connection: sqlite3.Connection, chunk_id: int, kept: int | float | str | None) -> Any:
    if kept is None:
        points = _points(connection, chunk_id)
        return points.part(len(points.kinds) - 1, len(points.kinds)).values()[0]
    return msgspec.Raw(kept.encode()) if isinstance(kept, str) else kept
