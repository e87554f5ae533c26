"""Packs a run's log into chunks, in the writing thread."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from steplog.server.records.batch import Batch
from steplog.server.records.chunk import Chunk, pack
from steplog.server.sqlite.compaction import FANOUT, SeriesState, insert_chunks, merge, merge_size, read_tail
from steplog.server.sqlite.reading import RunReader

__all__ = ["BYTES_MAX", "POINTS_A_NAME", "UnpackedTotals", "pack_log"]

BYTES_MAX = 8 * 1024 * 1024  # of slots and payloads
POINTS_A_NAME = 64
_MERGES_MAX = 256
_TOTALS = "count, next_step, first_step, last_step, low, high, max_step, last_time"
_SERIES = f"SELECT id, {_TOTALS} FROM series WHERE run = ? AND name = ?"  # noqa: S608 - constants
_INSERT_SERIES = "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 0, 0, 0, 0)"
_UPDATE_SERIES = (
    "UPDATE series SET count = ?, next_step = ?, first_step = ?, last_step = ?, low = ?, high = ?, max_step = ?,"
    " last_time = ?, last = ?, chunked = ? WHERE id = ?"
)
_totals_of = attrgetter("count", "next_step", "first_step", "last_step", "low", "high", "max_step", "last_time_ns")


@dataclass(slots=True)
class UnpackedTotals:
    """Totals of a run's log; ``names`` is the maximum."""

    records: int = 0
    size_bytes: int = 0
    names: int = 0

    @property
    def is_due(self) -> bool:
        """Whether it is worth packing."""
        return self.size_bytes >= BYTES_MAX or self.records >= POINTS_A_NAME * self.names > 0

    @classmethod
    def read(cls, connection: sqlite3.Connection, run_id: int) -> UnpackedTotals:
        """Read it from the database."""
        totals = "coalesce(sum(records), 0), coalesce(sum(bytes), 0), coalesce(max(names), 0)"
        return cls(*connection.execute(f"SELECT {totals} FROM log WHERE run = ?", (run_id,)).fetchone())  # noqa: S608

    def add(self, batch: Batch) -> None:
        """Add a log row."""
        self.records += batch.records
        self.size_bytes += batch.size_bytes
        self.names = max(self.names, len(batch.source.names))


def pack_log(connection: sqlite3.Connection, run_id: int) -> None:
    """Pack all of a run's log, in the caller's transaction."""
    (arrivals,) = connection.execute("SELECT arrivals FROM progress WHERE run = ?", (run_id,)).fetchone()
    chunks: list[tuple[int, Chunk]] = []
    totals: list[tuple[object, ...]] = []
    to_merge: list[SeriesState] = []
    for each in RunReader(connection, run_id).all_series():
        name, points = each.name, each.tail
        if not points.kinds:
            continue
        row = connection.execute(_SERIES, (run_id, name)).fetchone()
        series = SeriesState(*(row or (connection.execute(_INSERT_SERIES, (run_id, name)).lastrowid or 0,)))
        read_tail(connection, series)
        packed = pack(points)
        chunks.extend([(series.add(chunk), chunk) for chunk in packed])
        series.last_time_ns = points.times[-1]
        totals.append((*_totals_of(series), packed[-1].last, arrivals, series.id))
        if len(series.tail) >= FANOUT:
            to_merge.append(series)
    insert_chunks(connection, chunks)
    connection.executemany(_UPDATE_SERIES, totals)
    for series in islice(to_merge, _MERGES_MAX):
        while count := merge_size(series.tail):
            merge(connection, series, count)
    connection.execute("DELETE FROM log WHERE run = ?", (run_id,))
    connection.execute("UPDATE progress SET packed = arrivals, log_bytes = 0 WHERE run = ?", (run_id,))
