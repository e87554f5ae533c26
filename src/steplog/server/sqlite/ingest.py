"""Appending batches to runs, in the single writing thread.

A run's state (marks, point count, series) is cached; ``forget`` drops it after a rollback.

- Each batch adds at least one chunk to each of its series. At most ``_MERGES_MAX`` series are compacted a batch, the
  others with their next points.
- An unpacked batch is stored as it came, and packed before anything that is not.
- A record without a step gets the next one: 0, then one above the largest so far.
- What records say about the run is applied in the transaction that stores them, also of an unpacked batch, with the
  generation in which the server first heard of the writer.
"""

from __future__ import annotations

import sqlite3
import time
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.server.records.batch import Batch, MetricBatch, from_range, is_logged, pack
from steplog.server.records.chunk import Chunk
from steplog.server.records.dates import date_of
from steplog.server.records.run_fields import TIME_MIN_NS, Changes
from steplog.server.sqlite.compaction import FANOUT, SeriesState, insert_chunks, merge, merge_size, read_tail
from steplog.server.sqlite.run_changes import apply_config, apply_fields, set_config, set_fields
from steplog.server.sqlite.runs import IS_THERE, now_text
from steplog.server.sqlite.unpacked import UnpackedTotals, take
from steplog.server.store_types import BatchResult, GapError, MissingError

__all__ = ["Ingester"]

_SERIES_CACHED_MAX = 100_000
_MERGES_MAX = 256
_STEPS_EXHAUSTED = "a metric without a step after one with the largest step"
_INSERT_SERIES = "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 0, 0, 0, 0)"
_UPDATE_SERIES = (
    "UPDATE series SET count = ?, next_step = ?, first_step = ?, last_step = ?, low = ?, high = ?, max_step = ?,"
    " last_time = ? WHERE id = ?"
)
_totals_of = attrgetter(
    "count", "next_step", "first_step", "last_step", "low", "high", "max_step", "last_time_ns", "id"
)
_UPDATE_PROGRESS = (
    "UPDATE progress SET arrivals = ?, packed = ?, log_bytes = ?, logged = ?, last_point = ?, seen = ? WHERE run = ?"
)
_PUT_MARK = (
    "INSERT INTO marks (run, writer, mark, generation, said) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (run, writer) DO UPDATE SET mark = excluded.mark, said = excluded.said"
)


class _Writer(NamedTuple):
    mark: int
    generation: int
    said_ns: int = TIME_MIN_NS  # the latest time of its records about the run


@dataclass(slots=True)
class _RunState:
    id: int
    points: int
    last_point: str | None
    writers: dict[str, _Writer]
    series: dict[str, SeriesState]
    unpacked: UnpackedTotals
    config_rows: int | None = None  # see ``apply_config``

    def note_point(self, time_ns: int | None) -> None:
        """Something that the program logged; a clock that is ahead does not count."""
        if time_ns is not None:
            self.last_point = max(self.last_point or "", date_of(min(time_ns, time.time_ns())))


class Ingester:
    """Appends to runs, in the caller's transaction and one thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, _RunState] = OrderedDict()

    def forget(self, run_id: int | None = None) -> None:
        """Drop the cached state, of one run or of all."""
        if run_id is None:
            self._runs.clear()
        else:
            self._runs.pop(run_id, None)

    def add_batch(self, connection: sqlite3.Connection, run_id: int, batch: Batch, generation: int = 1) -> BatchResult:
        """See ``SqliteStore.add_batch``."""
        run = self._run(connection, run_id)
        source, taken = batch.source, batch.records + batch.applied
        mark, generation, said_ns = writer = run.writers.get(source.writer, _Writer(0, generation))
        if source.first > mark:
            raise GapError(mark)
        new = batch
        if source.end > mark:
            if source.first < mark:
                new = batch.above(mark)
            self._store(connection, run, new)
            if new.changes is not None:
                self._apply(connection, run, new.changes, source.writer, writer)
                said_ns = max(said_ns, new.changes.latest_ns)
            run.writers[source.writer] = writer = _Writer(source.end, generation, said_ns)
            connection.execute(_PUT_MARK, (run.id, source.writer, *writer))
            stored = new.records + new.applied
        else:
            stored = 0
        _save(connection, run)
        if batch.changes is None or not batch.changes.fields:
            return BatchResult(stored, taken - stored)
        name = connection.execute("SELECT name FROM runs WHERE id = ?", (run_id,)).fetchone()[0]
        return BatchResult(stored, taken - stored, name)

    def add_metric(
        self, connection: sqlite3.Connection, run_id: int, metric: MetricBatch | None, changes: Changes | None = None
    ) -> int | None:
        """See ``SqliteStore.add_metric``."""
        run = self._run(connection, run_id)
        if metric is not None:
            self._pack(connection, run)
            self._append(connection, run, (metric,), metric.records)
            run.note_point(metric.last_time_ns if is_logged(metric.name) else None)
        if changes is not None:
            (generation,) = connection.execute("SELECT generation FROM runs WHERE id = ?", (run_id,)).fetchone()
            said = changes.fields, changes.config
            fields, config = ({key: change.value for key, change in each.items()} for each in said)
            set_fields(connection, run_id, fields, generation)
            run.config_rows = set_config(connection, run_id, config, generation, run.config_rows)
        _save(connection, run)
        return None if metric is None else run.series[metric.name].last_step

    def pack(self, connection: sqlite3.Connection, run_id: int) -> None:
        """Pack every unpacked range of a run."""
        run = self._run(connection, run_id)
        self._pack(connection, run)
        connection.execute("UPDATE progress SET packed = ?, log_bytes = 0 WHERE run = ?", (run.points, run.id))

    def _store(self, connection: sqlite3.Connection, run: _RunState, batch: Batch) -> None:
        if batch.body:
            run.unpacked.add(connection, run.id, batch, run.points)
            run.points += batch.records
            if run.unpacked.is_due:
                self._pack(connection, run)
        else:
            self._pack(connection, run)
            self._append(connection, run, batch.metrics, batch.records)
        run.note_point(batch.last_time_ns)

    def _apply(
        self, connection: sqlite3.Connection, run: _RunState, changes: Changes, name: str, writer: _Writer
    ) -> None:
        fields, config = (
            [(key, change.order(writer.generation, name, writer.said_ns), change.value) for key, change in each.items()]
            for each in (changes.fields, changes.config)
        )
        if fields:
            apply_fields(connection, run.id, fields)
        if config:
            run.config_rows = apply_config(connection, run.id, config, run.config_rows)

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
            series.last_time_ns = metric.last_time_ns
            totals.append(_totals_of(series))
            if len(series.tail) >= FANOUT:
                to_merge.append(series)
        insert_chunks(connection, chunks)
        connection.executemany(_UPDATE_SERIES, totals)
        for series in islice(to_merge, _MERGES_MAX):
            while count := merge_size(series.tail):
                merge(connection, series, count)
        run.points += records

    def _run(self, connection: sqlite3.Connection, run_id: int) -> _RunState:
        run = self._runs.get(run_id)
        if run is not None:
            self._runs.move_to_end(run_id)
            return run
        found = connection.execute(
            f"SELECT arrivals, last_point FROM runs JOIN progress ON run = id WHERE id = ? AND {IS_THERE}",  # noqa: S608
            (run_id,),
        ).fetchone()
        if found is None:
            raise MissingError("the run does not exist")
        marks = connection.execute("SELECT writer, mark, generation, said FROM marks WHERE run = ?", (run_id,))
        writers = {writer: _Writer(*values) for writer, *values in marks}
        rows = connection.execute(
            "SELECT name, id, count, next_step, first_step, last_step, low, high, max_step, last_time"
            " FROM series WHERE run = ?",
            (run_id,),
        )
        series = {name: SeriesState(*values) for name, *values in rows}
        waiting = UnpackedTotals.read(connection, run_id)
        run = self._runs[run_id] = _RunState(run_id, found[0], found[1], writers, series, waiting)
        while len(self._runs) > 1 and sum(1 + len(kept.series) for kept in self._runs.values()) > _SERIES_CACHED_MAX:
            self._runs.popitem(last=False)
        return run


def _save(connection: sqlite3.Connection, run: _RunState) -> None:
    packed = run.points - run.unpacked.records
    values = (run.points, packed, run.unpacked.size_bytes, int(time.time()), run.last_point, now_text(), run.id)
    connection.execute(_UPDATE_PROGRESS, values)


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
