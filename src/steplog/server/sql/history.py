"""The history of some metrics of a run: one after the other, the points of each in order of arrival.

It ends with the arrivals that there are at its start, and is read in slices, each in a snapshot of its own. What a
slice has read of a series stays true, whatever is packed meanwhile: a point keeps its arrival and its step. So the
series is read back to front in time, and front to back in arrivals::

    chunks          from when they are wanted, below the first point that was pending
    pending points  from the beginning of a group of series
    tail            what was in the log at the start, up to ``Limits.tail_bytes``
    the rest        of a log that is longer: after all series, in slices by arrival (``slices``)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from steplog.records.by_name import points_by_name
from steplog.records.numbering import assign
from steplog.records.points import NO_POINTS, Points, concatenate
from steplog.server.records.chunk import Chunk
from steplog.server.records.text_search import having
from steplog.server.sql.block_reading import Blocks
from steplog.server.sql.chunk_ids import chunk_range
from steplog.server.sql.connection import Connection, Snapshot
from steplog.server.sql.reading import CHUNK_COLUMNS, StoredChunk, log_rows, progress, read_chunk, summary_of
from steplog.server.sql.slices import Slices, between
from steplog.server.store import History
from steplog.server.store_types import HistoryQuery, UnknownMetricError

__all__ = ["Limits", "history"]

_SERIES = "SELECT id, name, next_step FROM series WHERE run = ? AND count > 0"
_CHUNKS = (
    f"SELECT id, {CHUNK_COLUMNS} FROM chunks WHERE [run = :run AND] id >= :low AND id < :high"  # noqa: S608 - a constant
    " AND first_arrival < :end"
)
_UNLIMITED = 2**63
_OF_STEPS = " AND max_step >= :least AND min_step <= :most"


class Limits(NamedTuple):
    """What is kept in memory at a time."""

    tail_bytes: int = 16 * 1024 * 1024  # of slots and payloads: twice what the packer leaves in the log
    pending_points: int = 256 * 1024  # of a group of series
    slice_points: int = 64 * 1024
    slice_text_bytes: int = 4 * 1024 * 1024
    slice_chunks: int = 64


def history(snapshot: Snapshot, run_id: int, query: HistoryQuery, limits: Limits | None = None) -> History:
    """The points of each metric, with its name: in any number of parts, at least one of each.

    The first state is read at once. Raises MissingError, also later, and UnknownMetricError.
    """
    limits = limits or Limits()
    with snapshot() as connection:
        start = _Start.read(connection, run_id, query, limits.tail_bytes)
    return History(start.end, _Reader(snapshot, run_id, query, start, limits).parts())


@dataclass(slots=True)
class _Start:
    """The state at the start.

    Attributes:
        packed: the first arrival that was in the log, or ``end``.
        tail_end: the first that is in no tail here.
        end: the first that had not arrived, or is not asked for.
        names: of the metrics, in order of first arrival.
        tails: of each name with points in the log: those that match, with their steps.
    """

    packed: int
    tail_end: int
    end: int
    names: Sequence[str] = ()
    tails: Mapping[str, Points] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: Connection, run_id: int, query: HistoryQuery, tail_bytes: int) -> _Start:
        """Read it. Raises MissingError, UnknownMetricError."""
        end, packed = progress(connection, run_id)
        asked = end if query.arrivals is None else min(end, query.arrivals)
        start = cls(min(packed, asked), end, asked)
        wanted = None if query.names is None else frozenset(query.names)
        parts = start._read_tail(connection, run_id, wanted, packed, tail_bytes)
        next_steps = dict(_series(connection, run_id, wanted))
        start.tails = {name: _numbered(concatenate(each), next_steps.get(name, 0)) for name, each in parts.items()}
        start.names = [*next_steps, *(name for name in parts if name not in next_steps)]
        if query.names is not None:
            start.names = list(dict.fromkeys(query.names))
            for name in start.names:
                if name not in next_steps and name not in parts and start.tail_end >= end:
                    raise UnknownMetricError(f"The run has no metric {name!r}.")
        return start

    def _read_tail(
        self,
        connection: Connection,
        run_id: int,
        wanted: Collection[str] | None,
        packed: int,
        tail_bytes: int,
    ) -> dict[str, list[Points]]:
        parts: dict[str, list[Points]] = {}
        size_bytes = 0
        for first_arrival, records in log_rows(connection, run_id, packed):
            if size_bytes >= tail_bytes:
                self.tail_end = first_arrival
                break
            size_bytes += len(records.slots) + len(records.payloads)
            for name, points in points_by_name(records, first_arrival, wanted).items():
                parts.setdefault(name, []).append(between(points, packed, self.end))
        return parts


class _Reader:
    """Reads one history."""

    def __init__(self, snapshot: Snapshot, run_id: int, query: HistoryQuery, start: _Start, limits: Limits) -> None:
        self._snapshot = snapshot
        self._run_id = run_id
        self._query = query
        self._start = start
        self._limits = limits
        self._left: dict[str, int] = {}  # of ``last``, how many of a metric are in the rest of the log
        self._to_skip = dict(query.skips)
        self._room: dict[str, int] = {}  # of ``limit``, how many of a metric may still come

    def parts(self) -> Iterator[tuple[str, Points]]:
        """See ``history``."""
        names = list(self._start.names)
        if self._query.last is not None:
            for name, points in self._rest():
                self._left[name] = self._left.get(name, 0) + len(points.kinds)
        while names:
            group = self._pending(names)
            for name, (series_id, pending) in group.items():
                is_empty = True
                for points in self._of_series(name, series_id, pending):
                    kept = self._limited(name, points)
                    if kept.kinds:
                        is_empty = False
                        yield name, kept
                    if not self._room_of(name):
                        break
                if is_empty:
                    yield name, NO_POINTS
            del names[: len(group)]
        yield from self._last_of_rest()

    def _pending(self, names: Sequence[str]) -> dict[str, tuple[int | None, Points]]:
        """Of the next few names the series and what is pending of it."""
        found: dict[str, int | None] = {}
        chunked: dict[int, int] = {}
        room = self._limits.pending_points
        query = "SELECT id, chunked, pending FROM series WHERE run = ? AND name = ?"
        with self._snapshot() as connection:
            progress(connection, self._run_id)
            for name in names:
                row = connection.execute(query, (self._run_id, name)).fetchone()
                series_id, below, pending = row or (None, 0, 0)
                room -= pending
                if room < 0 and found:
                    break
                found[name] = series_id
                if series_id is not None and pending:
                    chunked[series_id] = below
            points = Blocks(connection, self._run_id, 0, self._start.packed).points(chunked) if chunked else {}
        return {
            name: (series_id, between(concatenate(points.get(series_id or 0, ())), 0, self._start.packed))
            for name, series_id in found.items()
        }

    def _of_series(self, name: str, series_id: int | None, pending: Points) -> Iterator[Points]:
        chunk_end = pending.arrivals[0] if pending.kinds else self._start.packed
        recent = [_matching(points, self._query) for points in (pending, self._start.tails.get(name, NO_POINTS))]
        first_chunk, skip = 0, 0
        if self._query.last is not None:
            wanted = max(0, self._query.last - self._left.get(name, 0))
            for at in (1, 0):
                recent[at] = _last(recent[at], wanted)
                wanted -= len(recent[at].kinds)
            if not wanted:
                series_id = None
            elif series_id is not None:
                first_chunk, skip = self._find_last(series_id, chunk_end, wanted)
        if series_id is not None:
            yield from self._of_chunks(name, series_id, first_chunk, skip, chunk_end)
        yield from (self._skipped(name, points) for points in recent)

    def _of_chunks(self, name: str, series_id: int, first_chunk: int, skip: int, end: int) -> Iterator[Points]:
        """The points that match in the chunks from this id on, without the first ``skip``, with arrivals below ``end``.

        A chunk of which all is skipped is not read.
        """
        self._to_skip[name] = skip + self._to_skip.get(name, self._query.skip)
        statement, wanted = self._statement(series_id, end)
        wanted["low"] = max(wanted["low"], first_chunk)
        is_more = True
        while is_more:
            found: list[Points] = []
            points_left = min(self._limits.slice_points, self._room_of(name))
            text_left = self._limits.slice_text_bytes
            is_more = False
            with self._snapshot() as connection:
                progress(connection, self._run_id)
                rows = connection.execute(f"{statement} ORDER BY id LIMIT :limit", wanted).fetchall()
                for number, (chunk_id, *summary) in enumerate(rows, 1):
                    chunk = StoredChunk(chunk_id, summary_of(summary))
                    wanted["low"] = chunk_id + 1
                    is_more = number == self._limits.slice_chunks
                    if self._skips_all(name, chunk, end):
                        continue
                    read, text_bytes = self._read(connection, chunk, end)
                    points = self._skipped(name, read)
                    found.append(points)
                    points_left -= len(points.kinds)
                    text_left -= text_bytes
                    is_more = is_more or points_left <= 0 or text_left <= 0
                    if is_more:
                        break
            yield from found

    def _find_last(self, series_id: int, end: int, wanted: int) -> tuple[int, int]:
        """The chunk in which the last ``wanted`` points that match begin, and how many of it come before them."""
        statement, sought = self._statement(series_id, end)
        is_more = True
        while is_more:
            is_more = False
            with self._snapshot() as connection:
                progress(connection, self._run_id)
                rows = connection.execute(f"{statement} ORDER BY id DESC LIMIT :limit", sought).fetchall()
                for number, (chunk_id, *summary) in enumerate(rows, 1):
                    chunk = StoredChunk(chunk_id, summary_of(summary))
                    is_whole = self._is_whole(chunk.summary, end)
                    wanted -= chunk.summary.count if is_whole else len(self._read(connection, chunk, end)[0].kinds)
                    if wanted <= 0:
                        return chunk_id, -wanted
                    sought["high"], is_more = chunk_id, number == self._limits.slice_chunks
        return sought["low"], 0

    def _statement(self, series_id: int, end: int) -> tuple[str, dict[str, int]]:
        """Asks for the chunks of a series that matter, with arrivals below ``end``; with its values."""
        query = self._query
        values = chunk_range(self._run_id, series_id) | {"end": end, "limit": self._limits.slice_chunks}
        if query.low is None and query.high is None:
            return _CHUNKS, values
        least, most = _bounds(query.low, query.high)
        return _CHUNKS + _OF_STEPS, values | {"least": least, "most": most}

    def _is_whole(self, summary: Chunk, end: int) -> bool:
        """Whether all its points match, with arrivals below ``end``."""
        return summary.last_arrival < end and self._matches_all(summary)

    def _skips_all(self, name: str, chunk: StoredChunk, end: int) -> bool:
        """Skip all points of a chunk, if so many are to be skipped."""
        count, left = chunk.summary.count, self._to_skip.get(name, self._query.skip)
        if count > left or not self._is_whole(chunk.summary, end):
            return False
        self._to_skip[name] = left - count
        return True

    def _skipped(self, name: str, points: Points) -> Points:
        """The points without those that are still to be skipped."""
        left, count = self._to_skip.get(name, self._query.skip), len(points.kinds)
        if not left or not count:
            return points
        self._to_skip[name] = max(0, left - count)
        return points.part(min(left, count), count)

    def _room_of(self, name: str) -> int:
        """How many of its points may still come."""
        limit = self._query.limit
        return _UNLIMITED if limit is None else self._room.get(name, limit)

    def _limited(self, name: str, points: Points) -> Points:
        """As many of the points as there is room for."""
        room, count = self._room_of(name), len(points.kinds)
        self._room[name] = room - min(room, count)
        return points if count <= room else points.part(0, room)

    def _matches_all(self, summary: Chunk) -> bool:
        query = self._query
        low, high = _bounds(query.low, query.high)
        is_any = query.from_ns is None and query.to_ns is None and query.contains is None
        return is_any and low <= summary.min_step and summary.max_step <= high

    def _read(self, connection: Connection, chunk: StoredChunk, end: int) -> tuple[Points, int]:
        """Its points that match, and how much text was read for them."""
        points = between(read_chunk(connection, self._run_id, chunk), 0, end)
        matching = points if self._matches_all(chunk.summary) else _matching(points, self._query)
        return matching, len(points.payloads)

    def _rest(self) -> Iterator[tuple[str, Points]]:
        """What matches in the rest of the log, by slices."""
        slices = Slices(self._run_id, self._start.tail_end, self._start.end, self._limits.slice_points)
        while not slices.is_done:
            with self._snapshot() as connection:
                found = slices.read(connection)
            for name, points in found.items():
                if points.kinds and (self._query.names is None or name in self._query.names):
                    yield name, _matching(points, self._query)

    def _last_of_rest(self) -> Iterator[tuple[str, Points]]:
        shown = set(self._start.names)
        for name, points in self._rest():
            count = len(points.kinds)
            left, last = self._left.get(name, 0), self._query.last
            skip = 0 if last is None else min(count, max(0, left - last))
            self._left[name] = left - skip
            kept = self._limited(name, self._skipped(name, points.part(skip, count) if skip else points))
            if kept.kinds or name not in shown:
                shown.add(name)
                yield name, kept


def _series(connection: Connection, run_id: int, wanted: Collection[str] | None) -> Iterator[tuple[str, int]]:
    """The names and next steps of the series, in order of first arrival; of ``wanted`` only those."""
    if wanted is None:
        rows = connection.execute(f"{_SERIES} ORDER BY id", (run_id,)).fetchall()
    else:
        found = (connection.execute(f"{_SERIES} AND name = ?", (run_id, name)).fetchone() for name in wanted)
        rows = sorted(row for row in found if row is not None)
    return ((name, next_step) for _, name, next_step in rows)


def _numbered(points: Points, next_step: int) -> Points:
    return replace(points, steps=assign(points.steps, next_step)[0])


def _bounds(low: int | None, high: int | None) -> tuple[int, int]:
    return -(2**63) if low is None else low, 2**63 - 1 if high is None else high


def _matching(points: Points, query: HistoryQuery) -> Points:
    """The points with a step and a time in the bounds, and the text."""
    for column, low, high in (("steps", query.low, query.high), ("times", query.from_ns, query.to_ns)):
        numbers = getattr(points, column)
        if (low is None and high is None) or not points.kinds:
            continue
        least, most = _bounds(low, high)
        if min(numbers) < least or max(numbers) > most:
            points = points.select([least <= number <= most for number in numbers])
    return points if query.contains is None or not points.kinds else having(points, query.contains)


def _last(points: Points, wanted: int) -> Points:
    count = len(points.kinds)
    return points if count <= wanted else points.part(count - wanted, count)
