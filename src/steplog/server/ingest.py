"""Appending batches to runs, in the single writing thread.

A run's state (marks, point count, series) is cached; ``forget`` drops it after a rollback.

- Each batch adds at least one chunk to each of its series. At most ``_MERGES_MAX`` series are compacted a batch, the
  others with their next points.
- An unpacked batch is stored as it came, and packed before anything that is not.
- A record without a step gets the next one: 0, then one above the largest so far.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.server.batch import Batch, MetricBatch, from_range, pack
from steplog.server.chunk import Chunk
from steplog.server.compaction import FANOUT, SeriesState, insert_chunks, merge, merge_size, read_tail
from steplog.server.store_types import BatchResult, GapError, MissingError
from steplog.server.unpacked import UnpackedTotals, take

__all__ = ["Ingester"]

_SERIES_CACHED_MAX = 100_000
_MERGES_MAX = 256
_STEPS_EXHAUSTED = "a metric without a step after one with the largest step"
_INSERT_SERIES = "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 0, 0, 0, 0)"
_UPDATE_SERIES = (
    "UPDATE series SET count = ?, next_step = ?, first_step = ?, last_step = ?, low = ?, high = ? WHERE id = ?"
)
_totals_of = attrgetter("count", "next_step", "first_step", "last_step", "low", "high", "id")


@dataclass(slots=True)
class _RunState:
    id: int
    points: int
    marks: dict[str, int]
    series: dict[str, SeriesState]
    unpacked: UnpackedTotals


class Ingester:
    """Appends to runs, in the caller's transaction and one thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, _RunState] = OrderedDict()

    def forget(self) -> None:
        """Drop the cached state."""
        self._runs.clear()

    def add_batch(self, connection: sqlite3.Connection, run_id: int, batch: Batch) -> BatchResult:
        """See ``SqliteStore.add_batch``."""
        run = self._run(connection, run_id)
        source = batch.source
        mark = run.marks.get(source.writer, 0)
        if source.first > mark:
            raise GapError(mark)
        if source.end <= mark:
            return BatchResult(0, batch.records)
        new = batch if source.first == mark else batch.above(mark)
        if new.body:
            run.unpacked.add(connection, run.id, new, run.points)
            _add_points(connection, run, new.records)
            if run.unpacked.is_due:
                self._pack(connection, run)
        else:
            self._pack(connection, run)
            self._append(connection, run, new.metrics, new.records)
        connection.execute(
            "INSERT INTO marks (run, writer, mark) VALUES (?, ?, ?)"
            " ON CONFLICT (run, writer) DO UPDATE SET mark = excluded.mark",
            (run.id, source.writer, source.end),
        )
        run.marks[source.writer] = source.end
        return BatchResult(new.records, batch.records - new.records)

    def add_metric(self, connection: sqlite3.Connection, run_id: int, metric: MetricBatch) -> int:
        """See ``SqliteStore.add_metric``."""
        run = self._run(connection, run_id)
        self._pack(connection, run)
        self._append(connection, run, (metric,), metric.records)
        return run.series[metric.name].last_step

    def pack(self, connection: sqlite3.Connection, run_id: int) -> None:
        """Pack every unpacked range of a run."""
        self._pack(connection, self._run(connection, run_id))

    def _pack(self, connection: sqlite3.Connection, run: _RunState) -> None:
        if run.unpacked.records:
            run.points -= run.unpacked.records
            run.unpacked = UnpackedTotals()
            for records in take(connection, run.id):
                batch = from_range(records)
                self._append(connection, run, batch.metrics, batch.records)

    def _append(
        self, connection: sqlite3.Connection, run: _RunState, metrics: Sequence[MetricBatch], records: int
    ) -> None:
        chunks: list[tuple[int, Chunk]] = []
        totals: list[tuple[object, ...]] = []
        to_merge: list[SeriesState] = []
        for metric in metrics:
            series = run.series.get(metric.name)
            if series is None:
                added = connection.execute(_INSERT_SERIES, (run.id, metric.name))
                series = run.series[metric.name] = SeriesState(added.lastrowid or 0, tail_known=True)
            if not series.tail_known:
                read_tail(connection, series)
            chunks.extend([(series.add(chunk), chunk) for chunk in _placed(metric, series, run.points)])
            totals.append(_totals_of(series))
            if len(series.tail) >= FANOUT:
                to_merge.append(series)
        insert_chunks(connection, chunks)
        connection.executemany(_UPDATE_SERIES, totals)
        for series in islice(to_merge, _MERGES_MAX):
            while count := merge_size(series.tail):
                merge(connection, series, count)
        _add_points(connection, run, records)

    def _run(self, connection: sqlite3.Connection, run_id: int) -> _RunState:
        run = self._runs.get(run_id)
        if run is not None:
            self._runs.move_to_end(run_id)
            return run
        found = connection.execute("SELECT points FROM runs WHERE id = ? AND deleted IS NULL", (run_id,)).fetchone()
        if found is None:
            raise MissingError("the run does not exist")
        marks = dict(connection.execute("SELECT writer, mark FROM marks WHERE run = ?", (run_id,)).fetchall())
        rows = connection.execute(
            "SELECT name, id, count, next_step, first_step, last_step, low, high FROM series WHERE run = ?", (run_id,)
        )
        series = {name: SeriesState(*values) for name, *values in rows}
        run = self._runs[run_id] = _RunState(run_id, found[0], marks, series, UnpackedTotals.read(connection, run_id))
        while len(self._runs) > 1 and sum(1 + len(kept.series) for kept in self._runs.values()) > _SERIES_CACHED_MAX:
            self._runs.popitem(last=False)
        return run


def _add_points(connection: sqlite3.Connection, run: _RunState, records: int) -> None:
    run.points += records
    connection.execute("UPDATE runs SET points = ? WHERE id = ?", (run.points, run.id))


def _placed(metric: MetricBatch, series: SeriesState, arrivals: int) -> list[Chunk]:
    """The chunks, with arrivals in the run and steps assigned."""
    chunks, points, first_step = metric.chunks, metric.mixed, 0
    if points is not None:
        chunks = pack(replace(points, steps=_assigned(points.steps, series.next_step)))
    elif metric.stepless:
        first_step = series.next_step
        if first_step > slot.STEP_MAX - metric.records:
            raise FormatError(_STEPS_EXHAUSTED)
    return [chunk.shifted(arrivals, first_step) for chunk in chunks]


def _assigned(steps: Sequence[int], next_step: int) -> array[int]:
    assigned = array("q")
    for step in steps:
        if step == slot.NO_STEP and next_step == slot.STEP_MAX:
            raise FormatError(_STEPS_EXHAUSTED)
        assigned.append(next_step if step == slot.NO_STEP else step)
        next_step = max(next_step, min(assigned[-1] + 1, slot.STEP_MAX))
    return assigned
