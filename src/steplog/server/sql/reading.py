"""Reading one run: the points that are packed, and those that are still in the log, as of one snapshot.

A read never writes. The points of a series are those of its chunks, then those pending in blocks, then its tail: what
is in the log, numbered from where the packed ones end. All are in order of arrival.

A log row that cannot be decoded is left out, as the packer will leave it out: the rest of its run stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range
from steplog.records.by_name import points_by_name
from steplog.records.dates import date_of
from steplog.records.numbering import assign
from steplog.records.points import NO_POINTS, Number, Points, concatenate, number_range
from steplog.server.records.chunk import Chunk, decode
from steplog.server.records.log_row import decode_row, join_rows
from steplog.server.sql.block_reading import Blocks
from steplog.server.sql.chunk_ids import chunk_range
from steplog.server.sql.connection import Connection
from steplog.server.sql.runs import IS_THERE
from steplog.server.store_types import MissingError, SeriesSummary

__all__ = [
    "CHUNK_COLUMNS",
    "RunReader",
    "SeriesReader",
    "SeriesRow",
    "SeriesTotals",
    "StoredChunk",
    "arrivals",
    "log_rows",
    "progress",
    "read_chunk",
    "series",
    "snapshot_of",
    "summary_of",
]

_LOG_ROWS = """
SELECT first_arrival, records, body FROM log
WHERE run = :run AND records > 0 AND first_arrival < :end AND first_arrival >= {} ORDER BY first_arrival LIMIT :limit
"""
_LOG_ROWS_FROM = _LOG_ROWS.format(":first")
_LOG_ROWS_WITH = _LOG_ROWS.format(
    "coalesce("
    "(SELECT max(first_arrival) FROM log WHERE run = :run AND records > 0 AND first_arrival <= :first), :first)"
)
_SERIES = (
    "SELECT name, id, count, next_step, first_step, last_step, max_step, low, high, last_time, last, chunked, pending"
    " FROM series WHERE run = ?"
)
_ARRIVALS_END = 2**63 - 1
_WINDOW_POINTS = 256 * 1024
_LOG_ROWS_FIRST = 32  # read at a time, and then as many as have some
_LOG_STEP_BYTES = 2 * 1024 * 1024
CHUNK_COLUMNS = ", ".join(Chunk.__struct_fields__[:-1])  # all but the data
_OF_SERIES = f"SELECT id, {CHUNK_COLUMNS} FROM chunks WHERE [run = :run AND] id >= :low AND id < :high"  # noqa: S608
_JOINED_BYTES = 128 * 1024


class SeriesTotals(msgspec.Struct, frozen=True):
    """The totals of a series, its tail included."""

    count: int
    first_step: int
    last_step: int
    max_step: int
    low: Number | None
    high: Number | None
    last_time_ns: int | None  # None where an older version has stored the last point

    def with_points(self, points: Points) -> SeriesTotals:
        """Those with later points, at least one."""
        low, high = number_range(points.numbers())
        return SeriesTotals(
            self.count + len(points.kinds),
            self.first_step if self.count else points.steps[0],
            points.steps[-1],
            max(self.max_step, *points.steps),
            self.low if low is None or (self.low is not None and self.low <= low) else +low,  # of a bool 0 or 1
            self.high if high is None or (self.high is not None and self.high >= high) else +high,
            points.times[-1],
        )


_NO_TOTALS = SeriesTotals(0, 0, 0, slot.NO_STEP, None, None, None)


class StoredChunk(NamedTuple):
    """A chunk's id, and its summary: the chunk without its data."""

    id: int
    summary: Chunk


class SeriesRow(msgspec.Struct, frozen=True):
    """A row of ``series``: what is packed of one."""

    name: str
    id: int
    count: int
    next_step: int
    first_step: int
    last_step: int
    max_step: int
    low: Number | None
    high: Number | None
    last_time_ns: int | None
    last: Number | str | None
    chunked: int
    pending: int

    @property
    def totals(self) -> SeriesTotals:
        """Those of what is packed."""
        row = self
        return SeriesTotals(row.count, row.first_step, row.last_step, row.max_step, row.low, row.high, row.last_time_ns)


class SeriesReader:
    """One series of a run, as of the snapshot of its ``RunReader``.

    Attributes:
        run_id: the run's number.
        name: of the metric.
        row: what is packed of it; None if all of it is in the log.
        tail: the points in the log, with the steps that they will have when they are packed.
    """

    def __init__(
        self,
        connection: Connection,
        run_id: int,
        name: str,
        row: SeriesRow | None,
        tail: Points,
        pending: Callable[[SeriesRow], Points],
    ) -> None:
        self._connection = connection
        self.run_id = run_id
        self.name = name
        self.row = row
        self.tail = tail
        self._pending = pending

    @cached_property
    def totals(self) -> SeriesTotals:
        """The totals of all its points."""
        packed = _NO_TOTALS if self.row is None else self.row.totals
        return packed.with_points(self.tail) if self.tail.kinds else packed

    @cached_property
    def chunks(self) -> list[StoredChunk]:
        """Its chunks; ``read`` gives their points."""
        if self.row is None:
            return []
        rows = self._connection.execute(f"{_OF_SERIES} ORDER BY id", chunk_range(self.run_id, self.row.id))
        return [StoredChunk(chunk_id, summary_of(summary)) for chunk_id, *summary in rows]

    def read(self, chunk: StoredChunk, *, values_only: bool = False) -> Points:
        """The points of a chunk; ``values_only`` leaves out times and arrivals."""
        return read_chunk(self._connection, self.run_id, chunk, values_only=values_only)

    @cached_property
    def pending(self) -> Points:
        """The points that are in blocks."""
        return NO_POINTS if self.row is None or not self.row.pending else self._pending(self.row)

    @property
    def last(self) -> Any:
        """The value that arrived last: a number, a bool, or ``msgspec.Raw`` with JSON text."""
        if self.tail.kinds or self.row is None:
            return _last_of(self.tail)
        kept = self.row.last
        if kept is None and self.pending.kinds:  # too long to be kept
            return _last_of(self.pending)
        if kept is None:  # or stored by an older version
            chunk = self._last_chunk(self.row)
            kept = chunk.summary.last
            if kept is None:
                return _last_of(self.read(chunk))
        return msgspec.Raw(kept.encode()) if isinstance(kept, str) else kept

    def _last_chunk(self, row: SeriesRow) -> StoredChunk:
        query = f"{_OF_SERIES} ORDER BY id DESC LIMIT 1"
        chunk_id, *summary = self._connection.execute(query, chunk_range(self.run_id, row.id)).fetchone()
        return StoredChunk(chunk_id, summary_of(summary))


class RunReader:
    """One run, as of the snapshot that ``connection`` is in; of its log, only what these ``names`` have is decoded.

    Raises MissingError if there is no such run, or it is in the trash.

    Attributes:
        arrivals: how many points have arrived.
        packed: the first of them that is in the log.
    """

    def __init__(self, connection: Connection, run_id: int, names: Collection[str] | None = None) -> None:
        self._connection = connection
        self._run_id = run_id
        self._names = names
        self._blocks = Blocks(connection, run_id)
        self.arrivals, self.packed = progress(connection, run_id)

    def summaries(self, points_max: int = _WINDOW_POINTS) -> Iterator[tuple[str, SeriesTotals, Any]]:
        """Of each series its name, totals and last value, in order of first arrival.

        However long the log is, ``points_max`` of its points are held at a time, and those of one row.
        """
        found: dict[str, tuple[SeriesTotals, Any]] = {}
        next_steps: dict[str, int] = {}
        for window in self._windows(points_max):
            for name, parts in window.items():
                row, points = self._rows.get(name), concatenate(parts)
                if name not in found:
                    found[name] = _NO_TOTALS if row is None else row.totals, None
                    next_steps[name] = 0 if row is None else row.next_step
                steps, next_steps[name] = assign(points.steps, next_steps[name])
                numbered = Points(points.kinds, points.words, steps, points.times, points.arrivals, points.payloads)
                found[name] = found[name][0].with_points(numbered), _last_of(numbered)
        for name, row in self._rows.items():
            series = SeriesReader(self._connection, self._run_id, name, row, NO_POINTS, self._pending_of)
            yield name, *(found.pop(name, None) or (row.totals, series.last))
        for name, (totals, last) in found.items():
            yield name, totals, last

    def _windows(self, points_max: int) -> Iterator[dict[str, list[Points]]]:
        """The points in the log by name, not numbered, a part of the log after the other."""
        names = None if self._names is None else frozenset(self._names)
        window: dict[str, list[Points]] = {}
        count = 0
        for first, records in _joined(log_rows(self._connection, self._run_id, self.packed)):
            for name, points in points_by_name(records, first, names).items():
                window.setdefault(name, []).append(points)
                count += len(points.kinds)
            if count >= points_max:
                yield window
                window, count = {}, 0
        yield window

    def series(self, name: str) -> SeriesReader | None:
        """A series by name; None if the run has none of this name."""
        row, tail = self._rows.get(name), self._tail.get(name, NO_POINTS)
        if row is None and not tail.kinds:
            return None
        return SeriesReader(self._connection, self._run_id, name, row, tail, self._pending_of)

    def all_series(self) -> list[SeriesReader]:
        """All series, or those of ``names``, in order of first arrival."""
        names = [*self._rows, *(name for name in self._tail if name not in self._rows)]
        return [found for name in names if (found := self.series(name)) is not None]

    @cached_property
    def _rows(self) -> dict[str, SeriesRow]:
        if self._names is None:
            found = self._connection.execute(f"{_SERIES} AND count > 0 ORDER BY id", (self._run_id,)).fetchall()
        else:
            query = f"{_SERIES} AND count > 0 AND name = ?"
            rows = [self._connection.execute(query, (self._run_id, name)).fetchone() for name in set(self._names)]
            found = sorted((row for row in rows if row is not None), key=lambda row: int(row[1]))
        return {row[0]: SeriesRow(*row) for row in found}

    def _pending_of(self, row: SeriesRow) -> Points:
        """Those of all ``names`` are read together, since a segment of a block has points of many."""
        if self._names is None:
            return concatenate(self._blocks.points({row.id: row.chunked}).get(row.id, ()))
        return concatenate(self._pending.get(row.id, ()))

    @cached_property
    def _pending(self) -> dict[int, list[Points]]:
        return self._blocks.points({row.id: row.chunked for row in self._rows.values() if row.pending})

    @cached_property
    def _tail(self) -> dict[str, Points]:
        (window,) = self._windows(_ARRIVALS_END)
        return {name: self._numbered(name, concatenate(parts)) for name, parts in window.items()}

    def _numbered(self, name: str, points: Points) -> Points:
        row = self._rows.get(name)
        steps, _ = assign(points.steps, 0 if row is None else row.next_step)
        return Points(points.kinds, points.words, steps, points.times, points.arrivals, points.payloads)


@contextmanager
def snapshot_of(connection: Connection) -> Iterator[Connection]:
    """A transaction whose reads all see the same state."""
    connection.begin(writes=False)
    try:
        yield connection
    finally:
        connection.execute("COMMIT")


def progress(connection: Connection, run_id: int) -> tuple[int, int]:
    """How many points have arrived, and the first of them that is in the log. Raises MissingError without the run."""
    is_there = connection.execute(f"SELECT 1 FROM runs WHERE id = ? AND {IS_THERE}", (run_id,)).fetchone()  # noqa: S608
    found = connection.execute("SELECT arrivals, packed FROM progress WHERE run = ?", (run_id,)).fetchone()
    if is_there is None or found is None:
        raise MissingError("the run does not exist")
    arrived, packed = found
    return arrived, packed


def arrivals(connection: Connection, run_id: int) -> int:
    """How many points of a run have arrived."""
    return progress(connection, run_id)[0]


def log_rows(connection: Connection, run_id: int, first: int, end: int = _ARRIVALS_END) -> Iterator[tuple[int, Range]]:
    """The log rows with arrivals in ``[first, end)``, each with its first arrival, in order."""
    statement, limit = _LOG_ROWS_WITH, _LOG_ROWS_FIRST
    while True:
        rows = connection.execute(statement, {"run": run_id, "first": first, "end": end, "limit": limit}).fetchall()
        for first_arrival, count, body in rows:
            try:
                records = decode_row(body)
            except FormatError:
                continue
            if len(records.slots) == count * slot.SLOT_BYTES:
                yield first_arrival, records
        if len(rows) < limit:
            return
        statement, first = _LOG_ROWS_FROM, rows[-1][0] + 1
        limit = max(1, _LOG_STEP_BYTES * len(rows) // max(1, sum(len(body) for _, _, body in rows)))


def _joined(rows: Iterable[tuple[int, Range]]) -> Iterator[tuple[int, Range]]:
    """Log rows, those that are small and follow one another as one: what is split by name then is long."""
    group: list[Range] = []
    first = end = size_bytes = 0
    for first_arrival, records in rows:
        row_bytes = len(records.slots) + len(records.payloads)
        if group and (first_arrival != end or size_bytes + row_bytes > _JOINED_BYTES):
            yield first, join_rows(group) if len(group) > 1 else group[0]
            group, size_bytes = [], 0
        first = first if group else first_arrival
        end = first_arrival + len(records.slots) // slot.SLOT_BYTES
        group.append(records)
        size_bytes += row_bytes
    if group:
        yield first, join_rows(group) if len(group) > 1 else group[0]


def summary_of(row: Sequence[Any]) -> Chunk:
    """A chunk without its data, of ``CHUNK_COLUMNS``."""
    return Chunk(*(*row, b""))


def read_chunk(connection: Connection, run_id: int, chunk: StoredChunk, *, values_only: bool = False) -> Points:
    """The points of a chunk."""
    query = "SELECT data FROM points WHERE [run = :run AND] id = :id"
    (data,) = connection.execute(query, {"run": run_id, "id": chunk.id}).fetchone()
    return decode(msgspec.structs.replace(chunk.summary, data=data), values_only=values_only)


def series(connection: Connection, run_id: int) -> list[SeriesSummary]:
    """The metrics of a run, in order of first arrival."""
    found = []
    for name, totals, last in RunReader(connection, run_id).summaries():
        count, first, last_step, most, low, high, time_ns = msgspec.structs.astuple(totals)
        time = None if time_ns is None else date_of(time_ns)
        found.append(SeriesSummary(name, count, first, last_step, most, last, low, high, time))
    return found


def _last_of(points: Points) -> Any:
    count = len(points.kinds)
    return points.part(count - 1, count).values()[0]
