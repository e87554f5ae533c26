"""Appending: how batches become rows, in the one thread that writes.

What is needed of a run to append to it (its marks, how many points it has, and for each series the sums, the
next step, and the chunks that may still be merged) is read once and remembered. ``forget`` drops it all, which
is right after anything was rolled back.

**Merging.** A batch adds at least one chunk to each series it holds, however small. Chunks below ``_FULL`` points
are merged when ``_FANOUT`` of about one size have gathered at the end of the series (sizes of 1, 16 and 256
points up), so a point is written anew at most three times, and a series has at most 45 chunks that are not full.

**Steps.** A record without a step gets the series' next one: 0 at first, then one above the largest step that the
series has had, given by the server or by the client.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.server.batch import Batch, Part, chunks_of
from steplog.server.chunk import Chunk, Number, decode, joined
from steplog.server.schema import SERIES_SHIFT
from steplog.server.store import GapError, MissingError, Stored

__all__ = ["CHUNK_COLUMNS", "Appender"]

_FANOUT = 16
_TIERS = (16, 256, 1024)
_FULL = _TIERS[-1]
_FULL_BYTES = 64 * 1024
_SERIES_KEPT_MAX = 100_000
_NO_STEP_LEFT = "a metric without a step, after one with the largest step there is"
_SUMMARY = [entry.name for entry in fields(Chunk) if entry.name != "data"]
_summary_of = attrgetter(*_SUMMARY)
CHUNK_COLUMNS = ", ".join(_SUMMARY)
_INSERT_CHUNK = f"INSERT INTO chunks (id, {CHUNK_COLUMNS}) VALUES (?{', ?' * len(_SUMMARY)})"  # noqa: S608 - constants
_INSERT_POINTS = "INSERT INTO points VALUES (?, ?)"
_UPDATE_SERIES = (
    "UPDATE series SET count = ?, next_step = ?, first_step = ?, last_step = ?, low = ?, high = ? WHERE id = ?"
)


@dataclass(slots=True)
class _Series:
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


@dataclass(slots=True)
class _Run:
    id: int
    points: int
    marks: dict[str, int]
    series: dict[str, _Series]


@dataclass(slots=True)
class _Rows:
    """What one batch writes, gathered so that each statement runs once."""

    chunks: list[tuple[object, ...]] = field(default_factory=list)
    data: list[tuple[int, bytes]] = field(default_factory=list)
    series: list[tuple[object, ...]] = field(default_factory=list)
    to_merge: dict[int, _Series] = field(default_factory=dict)


class Appender:
    """Appends to runs; used by one thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, _Run] = OrderedDict()

    def forget(self) -> None:
        """Read everything anew from the database."""
        self._runs.clear()

    def add_batch(self, connection: sqlite3.Connection, run_id: int, batch: Batch) -> Stored:
        """Store what of a batch is not below its writer's mark, and move the mark."""
        run = self._run(connection, run_id)
        source = batch.source
        mark = run.marks.get(source.writer, 0)
        if source.first > mark:
            raise GapError(mark)
        if source.end <= mark:
            return Stored(0, batch.records)
        rest = batch if source.first == mark else batch.rest(mark)
        self._append(connection, run, rest.parts, rest.records)
        connection.execute(
            "INSERT INTO marks VALUES (?, ?, ?) ON CONFLICT (run, writer) DO UPDATE SET mark = excluded.mark",
            (run.id, source.writer, source.end),
        )
        run.marks[source.writer] = source.end
        return Stored(rest.records, batch.records - rest.records)

    def add_part(self, connection: sqlite3.Connection, run_id: int, part: Part) -> int:
        """Store points that no mark guards; the step of the last of them."""
        count = len(part.mixed.kinds) if part.mixed else sum(chunk.count for chunk in part.chunks)
        run = self._run(connection, run_id)
        self._append(connection, run, (part,), count)
        return run.series[part.name].last_step

    def _append(self, connection: sqlite3.Connection, run: _Run, parts: Sequence[Part], records: int) -> None:
        rows = _Rows()
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
        connection.executemany(_INSERT_CHUNK, rows.chunks)
        connection.executemany(_INSERT_POINTS, rows.data)
        connection.executemany(_UPDATE_SERIES, rows.series)
        for series in rows.to_merge.values():
            while due := _due(series.tail):
                _merge(connection, series, due)
        run.points += records
        connection.execute("UPDATE runs SET points = ? WHERE id = ?", (run.points, run.id))

    def _take(self, connection: sqlite3.Connection, series: _Series, chunk: Chunk, rows: _Rows) -> None:
        if not series.tail_known:
            _read_tail(connection, series)
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
        rows.chunks.append(_row(chunk_id, chunk))
        rows.data.append((chunk_id, chunk.data))
        if _is_full(chunk.count, len(chunk.data)):
            series.tail.clear()
            return
        series.tail.append((number, chunk.count))
        if len(series.tail) >= _FANOUT:
            rows.to_merge[series.id] = series

    def _run(self, connection: sqlite3.Connection, run_id: int) -> _Run:
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
        run = _Run(run_id, row[0], marks, {name: _Series(*values) for name, *values in rows})
        self._runs[run_id] = run
        while len(self._runs) > 1 and sum(1 + len(kept.series) for kept in self._runs.values()) > _SERIES_KEPT_MAX:
            self._runs.popitem(last=False)
        return run

    def _series(self, connection: sqlite3.Connection, run: _Run, name: str) -> _Series:
        series = run.series.get(name)
        if series is None:
            made = connection.execute(
                "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 0, 0, 0, 0)",
                (run.id, name),
            )
            series = run.series[name] = _Series(made.lastrowid or 0, tail_known=True)
        return series


def _placed(part: Part, series: _Series, arrivals: int) -> Iterable[Chunk]:
    """The chunks of a part with their place in the run, and the steps that the server gives."""
    if part.mixed is not None:
        steps = _given(part.mixed.steps, series.next_step)
        return [chunk.moved(arrivals) for chunk in chunks_of(replace(part.mixed, steps=steps))]
    if part.numbered:
        count = sum(chunk.count for chunk in part.chunks)
        if series.next_step > slot.STEP_MAX - count:
            raise FormatError(_NO_STEP_LEFT)
        return [chunk.moved(arrivals, series.next_step) for chunk in part.chunks]
    return [chunk.moved(arrivals) for chunk in part.chunks]


def _given(steps: Sequence[int], next_step: int) -> array[int]:
    """The steps, with one above the largest so far where there is none."""
    given = array("q")
    for step in steps:
        if step == slot.NO_STEP and next_step == slot.STEP_MAX:
            raise FormatError(_NO_STEP_LEFT)
        given.append(next_step if step == slot.NO_STEP else step)
        next_step = max(next_step, min(given[-1] + 1, slot.STEP_MAX))
    return given


def _row(chunk_id: int, chunk: Chunk) -> tuple[object, ...]:
    return (chunk_id, *_summary_of(chunk))


def _is_full(count: int, data_bytes: int) -> bool:
    return count >= _FULL or data_bytes >= _FULL_BYTES


def _read_tail(connection: sqlite3.Connection, series: _Series) -> None:
    """Find the chunks at the end of a series that may still be merged."""
    newest = connection.execute(
        "SELECT chunks.id, count, length(data) FROM chunks JOIN points USING (id)"
        " WHERE chunks.id >= ? AND chunks.id < ? ORDER BY chunks.id DESC LIMIT 64",
        (series.id << SERIES_SHIFT, series.id + 1 << SERIES_SHIFT),
    ).fetchall()
    if newest:
        series.chunks = (newest[0][0] & (1 << SERIES_SHIFT) - 1) + 1
    tail = []
    for chunk_id, count, data_bytes in newest:
        if _is_full(count, data_bytes):
            break
        tail.append((chunk_id & (1 << SERIES_SHIFT) - 1, count))
    series.tail = tail[::-1]
    series.tail_known = True


def _due(tail: Sequence[tuple[int, int]]) -> int:
    """How many of the last chunks are to be merged into one."""
    for limit in _TIERS:
        small = 0
        while small < len(tail) and tail[-1 - small][1] < limit:
            small += 1
        if small >= _FANOUT:
            return small
    return 0


def _merge(connection: sqlite3.Connection, series: _Series, due: int) -> None:
    """Put the last ``due`` chunks together; the new ones take the numbers of the first of them."""
    first = series.tail[-due][0]
    bounds = (series.id << SERIES_SHIFT | first, series.id + 1 << SERIES_SHIFT)
    rows = connection.execute(
        f"SELECT {CHUNK_COLUMNS}, data FROM chunks JOIN points USING (id)"  # noqa: S608 - a constant
        " WHERE chunks.id >= ? AND chunks.id < ? ORDER BY chunks.id",
        bounds,
    ).fetchall()
    merged = chunks_of(joined([decode(Chunk(*row)) for row in rows]))
    connection.execute("DELETE FROM chunks WHERE id >= ? AND id < ?", bounds)
    connection.execute("DELETE FROM points WHERE id >= ? AND id < ?", bounds)
    ids = [bounds[0] + place for place in range(len(merged))]
    connection.executemany(_INSERT_CHUNK, [_row(*pair) for pair in zip(ids, merged, strict=True)])
    connection.executemany(_INSERT_POINTS, [(at, chunk.data) for at, chunk in zip(ids, merged, strict=True)])
    del series.tail[-due:]
    # Payloads can keep chunks from becoming fewer; then they are left as they are.
    if len(merged) > due // 2 or any(_is_full(chunk.count, len(chunk.data)) for chunk in merged):
        series.tail.clear()
    else:
        series.tail.extend((first + place, chunk.count) for place, chunk in enumerate(merged))
    series.chunks = first + len(merged)
