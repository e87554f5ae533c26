"""Appending: how batches become rows, in the one thread that writes.

What is needed of a run to append to it (its marks, how many points it has, and for each series the sums, the
next step, and the chunks that may still be merged) is read once and remembered. ``forget`` drops it all, which
is right after anything was rolled back.

**Merging.** A batch adds at least one chunk to each series it holds, however small, and small ones are merged
(``merging``): no more than ``_MERGES_MAX`` series at a time, so that thousands whose turn comes together hold nobody
up. The others are merged with their next points.

**Waiting.** A batch that is not packed is kept as it is (``unpacked``), and packed with others later, or at once before
something that is.

**Steps.** A record without a step gets the series' next one: 0 at first, then one above the largest step that the
series has had, given by the server or by the client.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.server.batch import Batch, MetricBatch, from_range, pack
from steplog.server.chunk import Chunk
from steplog.server.compaction import (
    FANOUT,
    INSERT_CHUNK,
    INSERT_POINTS,
    SeriesState,
    due,
    is_full,
    merge,
    read_tail,
    row,
)
from steplog.server.schema import SERIES_SHIFT
from steplog.server.store_types import BatchResult, GapError, MissingError
from steplog.server.unpacked import Unpacked, take

__all__ = ["Ingester"]

_SERIES_KEPT_MAX = 100_000
_MERGES_MAX = 256
_NO_STEP_LEFT = "a metric without a step, after one with the largest step there is"
_UPDATE_SERIES = (
    "UPDATE series SET count = ?, next_step = ?, first_step = ?, last_step = ?, low = ?, high = ? WHERE id = ?"
)


@dataclass(slots=True)
class _RunState:
    id: int
    points: int
    marks: dict[str, int]
    series: dict[str, SeriesState]
    unpacked: Unpacked


@dataclass(slots=True)
class _NewRows:
    """What one batch writes, gathered so that each statement runs once."""

    chunks: list[tuple[object, ...]] = field(default_factory=list)
    data: list[tuple[int, bytes]] = field(default_factory=list)
    series: list[tuple[object, ...]] = field(default_factory=list)
    to_merge: dict[int, SeriesState] = field(default_factory=dict)


class Ingester:
    """Appends to runs; used by one thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, _RunState] = OrderedDict()

    def forget(self) -> None:
        """Read everything anew from the database."""
        self._runs.clear()

    def add_batch(self, connection: sqlite3.Connection, run_id: int, batch: Batch) -> BatchResult:
        """Store what of a batch is not below its writer's mark, and move the mark."""
        run = self._run(connection, run_id)
        source = batch.source
        mark = run.marks.get(source.writer, 0)
        if source.first > mark:
            raise GapError(mark)
        if source.end <= mark:
            return BatchResult(0, batch.records)
        rest = batch if source.first == mark else batch.rest(mark)
        if rest.body:
            self._keep(connection, run, rest)
        else:
            self._pack(connection, run)
            self._append(connection, run, rest.parts, rest.records)
        connection.execute(
            "INSERT INTO marks VALUES (?, ?, ?) ON CONFLICT (run, writer) DO UPDATE SET mark = excluded.mark",
            (run.id, source.writer, source.end),
        )
        run.marks[source.writer] = source.end
        return BatchResult(rest.records, batch.records - rest.records)

    def add_part(self, connection: sqlite3.Connection, run_id: int, part: MetricBatch) -> int:
        """Store points that no mark guards; the step of the last of them."""
        count = len(part.mixed.kinds) if part.mixed else sum(chunk.count for chunk in part.chunks)
        run = self._run(connection, run_id)
        self._pack(connection, run)
        self._append(connection, run, (part,), count)
        return run.series[part.name].last_step

    def pack(self, connection: sqlite3.Connection, run_id: int) -> None:
        """Let nothing of a run wait any more: somebody reads it."""
        self._pack(connection, self._run(connection, run_id))

    def _keep(self, connection: sqlite3.Connection, run: _RunState, batch: Batch) -> None:
        run.unpacked.keep(connection, run.id, batch, run.points)
        run.points += batch.records
        connection.execute("UPDATE runs SET points = ? WHERE id = ?", (run.points, run.id))
        if run.unpacked.enough:
            self._pack(connection, run)

    def _pack(self, connection: sqlite3.Connection, run: _RunState) -> None:
        if run.unpacked.records:
            run.points -= run.unpacked.records
            run.unpacked = Unpacked()
            for records in take(connection, run.id):
                batch = from_range(records)
                self._append(connection, run, batch.parts, batch.records)

    def _append(
        self, connection: sqlite3.Connection, run: _RunState, parts: Sequence[MetricBatch], records: int
    ) -> None:
        rows = _NewRows()
        for part in parts:
            series = self._series(connection, run, part.name)
            for chunk in _placed(part, series, run.points):
                self._take(connection, series, chunk, rows)
            rows.series.append(
                (
                    series.count,
                    series.next_step,
                    series.first_step,
                    series.last_step,
                    series.low,
                    series.high,
                    series.id,
                )
            )
        connection.executemany(INSERT_CHUNK, rows.chunks)
        connection.executemany(INSERT_POINTS, rows.data)
        connection.executemany(_UPDATE_SERIES, rows.series)
        for series in islice(rows.to_merge.values(), _MERGES_MAX):
            while count := due(series.tail):
                merge(connection, series, count)
        run.points += records
        connection.execute("UPDATE runs SET points = ? WHERE id = ?", (run.points, run.id))

    def _take(self, connection: sqlite3.Connection, series: SeriesState, chunk: Chunk, rows: _NewRows) -> None:
        if not series.tail_known:
            read_tail(connection, series)
        if series.count == 0:
            series.first_step = chunk.first_step
        series.count += chunk.count
        series.last_step = chunk.last_step
        series.next_step = max(series.next_step, min(chunk.max_step + 1, slot.STEP_MAX))
        if chunk.low is not None and (series.low is None or chunk.low < series.low):
            series.low = chunk.low
        if chunk.high is not None and (series.high is None or chunk.high > series.high):
            series.high = chunk.high
        number = series.chunks
        series.chunks += 1
        chunk_id = series.id << SERIES_SHIFT | number
        rows.chunks.append(row(chunk_id, chunk))
        rows.data.append((chunk_id, chunk.data))
        if is_full(chunk.count, len(chunk.data)):
            series.tail.clear()
            return
        series.tail.append((number, chunk.count))
        if len(series.tail) >= FANOUT:
            rows.to_merge[series.id] = series

    def _run(self, connection: sqlite3.Connection, run_id: int) -> _RunState:
        run = self._runs.get(run_id)
        if run is not None:
            self._runs.move_to_end(run_id)
            return run
        row = connection.execute("SELECT points FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise MissingError("the run is gone")
        marks = dict(connection.execute("SELECT writer, mark FROM marks WHERE run = ?", (run_id,)).fetchall())
        rows = connection.execute(
            "SELECT name, id, count, next_step, first_step, last_step, low, high FROM series WHERE run = ?", (run_id,)
        )
        run = _RunState(run_id, row[0], marks, {name: SeriesState(*values) for name, *values in rows}, Unpacked())
        run.unpacked = Unpacked.read(connection, run_id)
        self._runs[run_id] = run
        while len(self._runs) > 1 and sum(1 + len(kept.series) for kept in self._runs.values()) > _SERIES_KEPT_MAX:
            self._runs.popitem(last=False)
        return run

    def _series(self, connection: sqlite3.Connection, run: _RunState, name: str) -> SeriesState:
        series = run.series.get(name)
        if series is None:
            made = connection.execute(
                "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 0, 0, 0, 0)",
                (run.id, name),
            )
            series = run.series[name] = SeriesState(made.lastrowid or 0, tail_known=True)
        return series


def _placed(part: MetricBatch, series: SeriesState, arrivals: int) -> Iterable[Chunk]:
    """The chunks of a part with their place in the run, and the steps that the server gives."""
    if part.mixed is not None:
        steps = _given(part.mixed.steps, series.next_step)
        return [chunk.shifted(arrivals) for chunk in pack(replace(part.mixed, steps=steps))]
    if part.stepless:
        count = sum(chunk.count for chunk in part.chunks)
        if series.next_step > slot.STEP_MAX - count:
            raise FormatError(_NO_STEP_LEFT)
        return [chunk.shifted(arrivals, series.next_step) for chunk in part.chunks]
    return [chunk.shifted(arrivals) for chunk in part.chunks]


def _given(steps: Sequence[int], next_step: int) -> array[int]:
    """The steps, with one above the largest so far where there is none."""
    given = array("q")
    for step in steps:
        if step == slot.NO_STEP and next_step == slot.STEP_MAX:
            raise FormatError(_NO_STEP_LEFT)
        given.append(next_step if step == slot.NO_STEP else step)
        next_step = max(next_step, min(given[-1] + 1, slot.STEP_MAX))
    return given
