"""All points of a run in order of arrival, a slice at a time.

Each slice is read in a snapshot of its own: none is held while a client takes its time. What arrives meanwhile is not
in them, and it does not matter what is packed meanwhile: a point keeps its arrival and the step that it was given.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter

from steplog.records.by_name import points_by_name
from steplog.records.numbering import assign
from steplog.records.points import Points, concatenate
from steplog.server.sql.block_reading import Blocks
from steplog.server.sql.chunk_ids import chunk_range, chunk_rows
from steplog.server.sql.connection import Connection, Snapshot
from steplog.server.sql.reading import CHUNK_COLUMNS, StoredChunk, log_rows, progress, read_chunk, summary_of
from steplog.server.store_types import MetricPoint

__all__ = ["Slices", "between", "metrics"]

_SIZE, _SIZE_MAX = 16_384, 131_072
_arrival = itemgetter(0)
_ROUNDS = 16  # a chunk is decoded anew for each slice that it reaches into
_CHUNKS_A_STEP = 32  # of a series, of which a slice seldom has more
_CHUNKS = (
    f"SELECT id, {CHUNK_COLUMNS} FROM chunks WHERE [run = :run AND] id >= :low AND id < :high"  # noqa: S608 - a constant
    " ORDER BY id LIMIT :step"
)


class Slices:
    """The points ``[first, end)`` of a run, ``read`` from one snapshot after the other.

    A slice has ``size`` of them; None: ``_SIZE``, or as many as it takes for ``_ROUNDS`` of all names, up to
    ``_SIZE_MAX``.
    """

    def __init__(self, run_id: int, first: int, end: int, size: int | None = None) -> None:
        self._run_id = run_id
        self._size = size
        self._position = first
        self._end = end
        self._first_chunks: dict[int, int] = {}  # by series, the id of the first that may have what comes next
        self._next_steps: dict[str, int] | None = None  # at the position, of names in the log; None if it is not there

    @property
    def is_done(self) -> bool:
        """Whether all slices were read."""
        return self._position >= self._end

    def read(self, connection: Connection) -> dict[str, Points]:
        """The next slice, by name. Raises MissingError without the run."""
        _, packed = progress(connection, self._run_id)
        series = connection.execute("SELECT id, name, chunked FROM series WHERE run = ?", (self._run_id,)).fetchall()
        first = self._position
        size = self._size or max(_SIZE, min(_ROUNDS * len(series), _SIZE_MAX))
        stop = min(self._end, first + size)
        parts: dict[str, list[Points]] = {}
        if first < packed:
            self._next_steps = None
            in_blocks = Blocks(connection, self._run_id, first, stop).points({row[0]: row[2] for row in series})
            for series_id, name, _ in series:
                found = self._from_chunks(connection, series_id, first, stop)
                found += [between(points, first, stop) for points in in_blocks.get(series_id, ())]
                if found:
                    parts[name] = found
        if stop > packed:
            self._add_tail(connection, parts, packed, stop)
        self._position = stop
        return {name: concatenate(found) for name, found in parts.items()}

    def _from_chunks(self, connection: Connection, series_id: int, first: int, stop: int) -> list[Points]:
        wanted = chunk_range(self._run_id, series_id)
        following = wanted["low"] = self._first_chunks.get(series_id, wanted["low"])
        found = []
        for chunk_id, *row in chunk_rows(connection, _CHUNKS, wanted, _CHUNKS_A_STEP):
            chunk = StoredChunk(chunk_id, summary_of(row))
            if chunk.summary.first_arrival >= stop:
                break
            if chunk.summary.last_arrival < stop:
                following = chunk.id + 1
            if chunk.summary.last_arrival >= first:
                found.append(between(read_chunk(connection, self._run_id, chunk), first, stop))
        self._first_chunks[series_id] = following
        return found

    def _add_tail(self, connection: Connection, parts: dict[str, list[Points]], packed: int, stop: int) -> None:
        """Add what is in the log, up to ``stop``.

        Points without a step are numbered from where the packed ones end, so from ``packed`` on, or from where the
        slice before has come to.
        """
        first = self._position
        known = {} if self._next_steps is None else self._next_steps
        begin = packed if self._next_steps is None else max(packed, first)
        for first_arrival, records in log_rows(connection, self._run_id, begin, stop):
            for name, each in points_by_name(records, first_arrival).items():
                points = between(each, begin, stop)
                if points.kinds:
                    next_step = known.get(name)
                    if next_step is None:
                        next_step = self._packed_next_step(connection, name)
                    steps, known[name] = assign(points.steps, next_step)
                    points = Points(points.kinds, points.words, steps, points.times, points.arrivals, points.payloads)
                    parts.setdefault(name, []).append(between(points, first, stop))
        self._next_steps = known

    def _packed_next_step(self, connection: Connection, name: str) -> int:
        query = "SELECT next_step FROM series WHERE run = ? AND name = ?"
        found = connection.execute(query, (self._run_id, name)).fetchone()
        return found[0] if found else 0


def metrics(
    snapshot: Snapshot, run_id: int, first: int, end: int, size: int | None = None
) -> Iterator[list[MetricPoint]]:
    """The points ``[first, end)`` of a run in order of arrival, in slices."""
    slices = Slices(run_id, first, end, size)
    while not slices.is_done:
        with snapshot() as connection:
            by_name = slices.read(connection)
        found: list[tuple[int, MetricPoint]] = []
        for name, points in by_name.items():
            entries = zip(points.arrivals, points.values(), points.steps, strict=True)
            found.extend((arrival, MetricPoint(name, value, step)) for arrival, value, step in entries)
        found.sort(key=_arrival)
        yield [point for _, point in found]


def between(points: Points, first: int, end: int) -> Points:
    """The points with arrivals in ``[first, end)``."""
    arrivals = points.arrivals
    if not points.kinds or (first <= arrivals[0] and arrivals[-1] < end):
        return points
    return points.part(bisect_left(arrivals, first), bisect_left(arrivals, end))
