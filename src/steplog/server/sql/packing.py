"""Packing a run: its log rows become blocks and chunks, a pass at a time. Whatever is packed reads as before.

1. A pass reads log rows until it has ``ENOUGH_BYTES`` and ``POINTS_A_NAME``, at most ``PASS_BYTES``, and encodes their
   points outside a transaction. One transaction, which holds up commits for some ms, then deletes exactly these rows
   and stores what was made of them, if nobody else has packed the run meanwhile. So any number of packers may work at
   once, and a kill leaves nothing half done. Of two with one run the second waits until the first has committed what
   it has deleted, and stores nothing. Rows that others want are locked last: the run's progress, then its project.
2. The points of a series go to chunks once ``CHUNK_POINTS`` of them are in none, or ``_TEXT_BYTES`` of texts are; until
   then to blocks. Its entries in blocks below ``series.chunked`` are dead from then on.
3. A pass moves ``_CHUNKED_POINTS`` points to chunks, or one series, however many are due.
4. ``FANOUT`` blocks of one level become one of the next, without dead entries. One of ``_FULL_RECORDS`` or
   ``_FULL_BYTES`` has the level ``FULL``, and goes with its last live entry. Once a run has ended, its small blocks
   become one.
5. A row that cannot be packed is sealed: kept as it is, and counted. It stops neither its run nor a read.
6. A block that cannot be read is left as it is, and what is packed later goes to blocks beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, NamedTuple

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range
from steplog.records.by_name import points_by_name
from steplog.records.points import Points, concatenate, number_range
from steplog.server.records.block import Block, Directory, encode, read_directory
from steplog.server.records.chunk import Chunk, Encoding, pieces
from steplog.server.records.log_row import decode_row, join_rows
from steplog.server.records.summary import Entries, summarize
from steplog.server.records.totals import Totals
from steplog.server.sql.block_reading import read_entries
from steplog.server.sql.chunk_ids import NUMBER_END, chunk_range
from steplog.server.sql.connection import Connection, transaction
from steplog.server.sql.runs import IS_THERE
from steplog.server.sql.summaries import Addition
from steplog.server.sql.table import put_lasts

__all__ = ["CHUNK_POINTS", "ENOUGH_BYTES", "FANOUT", "FULL", "PASS_BYTES", "POINTS_A_NAME", "pack_run"]

POINTS_A_NAME = 64
PASS_BYTES = 8 * 1024 * 1024  # of slots and payloads
ENOUGH_BYTES = 2 * 1024 * 1024
CHUNK_POINTS = 1024
FANOUT = 16
FULL = 99
_FULL_RECORDS = 16 * 1024
_FULL_BYTES = 1024 * 1024
_CHUNKED_POINTS = 512 * 1024
_TEXT_BYTES = 256 * 1024

_ROWS_MAX = 16 * 1024  # of the log, in a pass

_RUN = f"SELECT project, status FROM runs WHERE id = ? AND {IS_THERE}"  # noqa: S608 - a constant
_PROGRESS = "SELECT packed, arrivals FROM progress WHERE run = ?"
_SIZES = (  # an older version has stored rows without a record
    "SELECT first_arrival, records, bytes, names FROM log WHERE run = ? AND records > 0 ORDER BY first_arrival LIMIT ?"
)
_ROWS = (
    "SELECT first_arrival, records, bytes, names, body FROM log"
    " WHERE run = ? AND first_arrival >= ? AND first_arrival < ? AND records > 0 ORDER BY first_arrival"
)
_DELETE_ROWS = "DELETE FROM log WHERE run = ? AND first_arrival >= ? AND (first_arrival < ? OR records = 0)"
_BLOCKS = (
    "SELECT first_arrival, level, records, length(data), directory FROM blocks WHERE run = ? ORDER BY first_arrival"
)
_SUMMARY = Chunk.__struct_fields__[:-1]  # all but the data
_summary_of = attrgetter(*_SUMMARY)
_COLUMNS = (*(column.name for column in fields(Totals)), "chunked", "pending", "id")
_SERIES = f"SELECT name, {', '.join(_COLUMNS)} FROM series WHERE run = ?"  # noqa: S608 - constants, here and below
_ADD_SERIES = f"INSERT INTO series ({', '.join(_COLUMNS)}, run, name) VALUES (?, ?{', ?' * len(_COLUMNS)})"  # noqa: S608
_SET_SERIES = f"UPDATE series SET {' = ?, '.join(_COLUMNS[:-1])} = ? WHERE id = ? AND run = ?"  # noqa: S608
_SERIES_BEFORE = "SELECT max(id) FROM series [WHERE run = :run]"
_NEWEST_CHUNK = "SELECT max(id) FROM chunks WHERE [run = :run AND] id >= :low AND id < :high"
_ADD_CHUNK = f"INSERT INTO chunks ([run, ]id, {', '.join(_SUMMARY)}) VALUES ([:run, ]:id, :{', :'.join(_SUMMARY)})"  # noqa: S608
_ADD_POINTS = "INSERT INTO points ([run, ]id, data) VALUES ([:run, ]:id, :data)"
_ADD_BLOCK = "INSERT INTO blocks (run, level, first_arrival, records, directory, data) VALUES (?, ?, ?, ?, ?, ?)"
_ADD_SEALED = "INSERT INTO sealed (run, first_arrival, records, error, body) VALUES (?, ?, ?, ?, ?)"
_SET_PROGRESS = (
    "UPDATE progress SET packed = :end, sealed = sealed + :sealed,"
    " log_bytes = CASE WHEN arrivals > :end AND log_bytes > :bytes THEN log_bytes - :bytes ELSE 0 END"
    " WHERE run = :run AND packed = :packed"
)


class _ConflictError(Exception):
    """Another packer was first, or the run was deleted."""


class _UnreadableBlockError(Exception):
    """A block does not have what its series say."""


def pack_run(
    connection: Connection,
    run_id: int,
    check: Callable[[], None] = lambda: None,
    on_sealed: Callable[[int, int, str], None] = lambda run_id, records, error: None,
) -> bool:
    """Pack some of a run; whether there may be more in its log.

    ``check`` is called around the transaction, and raises StoreError (``database_file``); ``on_sealed`` is told of each
    row that is sealed: the run, the number of records, the error.
    """
    plan = _plan(connection, run_id)
    if plan is None:
        return False
    check()
    try:
        with transaction(connection, writes=True, isolated=False):
            check()
            plan.store(connection)
    except _ConflictError:
        return True
    check()
    if plan.error is not None:
        on_sealed(run_id, plan.rows[0].records, plan.error)
    return plan.is_partial


def _plan(connection: Connection, run_id: int) -> _Plan | None:
    """What to store; of fewer rows where one of them cannot be packed, which is sealed once it is the only one."""
    rows_max, with_blocks = 2**63, True
    while True:
        plan = _Plan.read(connection, run_id, rows_max)
        if plan is None:
            return None
        try:
            plan.make(connection, with_blocks)
            return plan
        except (connection.Error, MemoryError):
            raise
        except _UnreadableBlockError:
            with_blocks = False
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, the others are packed
            if len(plan.rows) == 1:
                plan.error = repr(error)
                return plan
            rows_max = len(plan.rows) // 2


class _Row(NamedTuple):
    """A row of the log."""

    first_arrival: int
    records: int
    size_bytes: int
    names: int
    body: bytes

    def decode(self) -> Range:
        """Its records. Raises FormatError."""
        stored = decode_row(self.body)
        if len(stored.slots) != self.records * slot.SLOT_BYTES:
            raise FormatError(f"{len(stored.slots) // slot.SLOT_BYTES} records, where {self.records} were counted")
        return stored


@dataclass(slots=True)
class _Series(Totals):
    """A series of what is packed."""

    chunked: int = 0
    pending: int = 0
    id: int = 0


class _StoredBlock(NamedTuple):
    """A block but for its data."""

    first_arrival: int
    level: int
    records: int
    size_bytes: int
    directory: Directory

    def live(self, chunked: Mapping[int, int]) -> Iterator[int]:
        """The entries of these series that are not in chunks, given the arrivals below which each is."""
        pairs = zip(self.directory.series, self.directory.first_arrivals, strict=True)
        return (entry for entry, (series, first) in enumerate(pairs) if first >= chunked.get(series, 2**63))


@dataclass
class _Plan:
    """What a pass has read, and what it stores."""

    run_id: int
    project_id: int
    packed: int  # as it was read
    is_last: bool  # of a run that has ended
    is_partial: bool
    rows: list[_Row]
    series: dict[str, _Series]
    series_before: int  # the largest id there was
    changed: list[tuple[str, _Series]] = field(default_factory=list)
    chunks: list[tuple[int, list[Chunk], Addition]] = field(default_factory=list)  # the first's key; with summaries
    block: tuple[int, Block] | None = None  # with its level
    gone: set[int] = field(default_factory=set)  # first arrivals of blocks
    error: str | None = None  # the one row is sealed

    @classmethod
    def read(cls, connection: Connection, run_id: int, rows_max: int) -> _Plan | None:
        """Read what is to be packed; None if there is nothing."""
        with transaction(connection, writes=False):
            run = connection.execute(_RUN, (run_id,)).fetchone()
            rows = _read_rows(connection, run_id, rows_max) if run else []
            if not rows:
                return None
            packed, arrivals = connection.execute(_PROGRESS, (run_id,)).fetchone()
            series = {name: _Series(*values) for name, *values in connection.execute(_SERIES, (run_id,))}
            before = _series_before(connection, run_id)
        project_id, status = run
        is_partial = rows[-1].first_arrival + rows[-1].records < arrivals
        is_last = status != "RUNNING" and not is_partial
        return cls(run_id, project_id, packed, is_last, is_partial, rows, series, before)

    @property
    def end(self) -> int:
        """The first arrival that is not packed yet."""
        return self.rows[-1].first_arrival + self.rows[-1].records

    def make(self, connection: Connection, with_blocks: bool) -> None:
        """Encode what is to be stored; ``with_blocks`` unless they are to be left as they are.

        Raises whatever a row that cannot be packed makes it raise, and _UnreadableBlockError.
        """
        new: dict[int, Points] = {}
        states: dict[int, _Series] = {}
        next_id = self.series_before + 1
        for name, points in _grouped(self.rows).items():
            series = self.series.get(name)
            if series is None:
                series = self.series[name] = _Series(id=next_id)
                next_id += 1
            self.changed.append((name, series))
            states[series.id] = series
            new[series.id] = series.add(points)
            series.pending += len(points.kinds)
        chosen = _chosen(new, states, with_blocks)
        with transaction(connection, writes=False):
            stored = _stored_blocks(connection, self.run_id) if new and with_blocks else []
            self._make_chunks(_Reading(connection, self.run_id), stored, new, states, chosen)
            rest = {series_id: points for series_id, points in new.items() if series_id not in chosen}
            self._make_block(_Reading(connection, self.run_id), stored, rest, states)

    def _make_chunks(
        self,
        reading: _Reading,
        stored: Sequence[_StoredBlock],
        new: Mapping[int, Points],
        states: Mapping[int, _Series],
        chosen: Collection[int],
    ) -> None:
        parts: dict[int, list[Points]] = {series_id: [] for series_id in chosen}
        chunked = {series_id: states[series_id].chunked for series_id in chosen}
        for block in stored if chosen else ():
            if not chunked.keys().isdisjoint(block.directory.series):
                reading.add(block, block.live(chunked), parts)
        for series_id, each in parts.items():
            series = states[series_id]
            each.append(new[series_id])
            if sum(len(points.kinds) for points in each) != series.pending:
                raise _UnreadableBlockError
            made = [_encoded(part) for part in pieces(_joined(each))]
            for chunk, _ in made:
                series.cover(chunk.low, chunk.high)
            key = _next_chunk(reading.connection, self.run_id, series_id)
            entries = [entries for _, entries in made]
            added = Addition(reading.connection, self.run_id, series_id, key & NUMBER_END - 1, entries)
            self.chunks.append((key, [chunk for chunk, _ in made], added))
            series.chunked, series.pending = self.end, 0

    def _make_block(
        self,
        reading: _Reading,
        stored: Sequence[_StoredBlock],
        new: Mapping[int, Points],
        states: Mapping[int, _Series],
    ) -> None:
        """The new block, merged with others where that is due, and which of those go."""
        level = _level(0, sum(len(points.kinds) for points in new.values()), sum(len(p.payloads) for p in new.values()))
        merged = _to_merge(stored, level, self.is_last) if new or self.is_last else ()
        chunked = {series.id: series.chunked for series in self.series.values()}
        parts: dict[int, list[Points]] = {}
        for block in merged:
            level = max(level, block.level + 1)
            reading.add(block, block.live(chunked), parts)
        for series_id, points in new.items():
            states[series_id].cover(*number_range(points.numbers()))
            parts.setdefault(series_id, []).append(points)
        self.gone = {block.first_arrival for block in merged}
        if self.chunks:
            self.gone |= {block.first_arrival for block in stored if next(block.live(chunked), None) is None}
        if parts:
            made = encode({series_id: _joined(each) for series_id, each in parts.items()})
            self.block = _level(level, made.records, len(made.data)), made

    def store(self, connection: Connection) -> None:
        """Store it, in the caller's transaction. Raises _ConflictError."""
        found = connection.execute(_PROGRESS, (self.run_id,)).fetchone()
        is_there = connection.execute(_RUN, (self.run_id,)).fetchone() is not None
        if not is_there or found is None or found[0] != self.packed:
            raise _ConflictError
        if connection.execute(_DELETE_ROWS, (self.run_id, self.packed, self.end)).rowcount < len(self.rows):
            raise _ConflictError
        if self.error is not None:
            row = self.rows[0]
            connection.execute(_ADD_SEALED, (self.run_id, row.first_arrival, row.records, self.error, row.body))
        else:
            self._store_points(connection)
        done = {
            "run": self.run_id,
            "packed": self.packed,
            "end": self.end,
            "bytes": sum(row.size_bytes for row in self.rows),
            "sealed": 0 if self.error is None else self.rows[0].records,
        }
        if connection.execute(_SET_PROGRESS, done).rowcount != 1:
            raise _ConflictError
        connection.execute(connection.dialect.count_pack, (self.project_id,))

    def _store_points(self, connection: Connection) -> None:
        self._store_series(connection)
        if self.gone:
            statement = "DELETE FROM blocks WHERE run = ? AND first_arrival = ?"
            gone = [(self.run_id, first_arrival) for first_arrival in self.gone]
            if connection.executemany(statement, gone).rowcount != len(gone):
                raise _ConflictError
        if self.block is not None:
            connection.execute(_ADD_BLOCK, (self.run_id, self.block[0], *self.block[1]))
        for key, chunks, added in self.chunks:
            _add_chunks(connection, self.run_id, key, chunks)
            if not added.store(connection):
                raise _ConflictError

    def _store_series(self, connection: Connection) -> None:
        changed = [(name, series, _values(connection, series)) for name, series in self.changed]
        added = [(*values, self.run_id, name) for name, series, values in changed if series.id > self.series_before]
        if added and _series_before(connection, self.run_id) != self.series_before:
            raise _ConflictError
        if added:
            connection.executemany(_ADD_SERIES, added)
        known = [(*values, self.run_id) for _, series, values in changed if series.id <= self.series_before]
        if known:
            connection.executemany(_SET_SERIES, known)
        put_lasts(connection, self.run_id, self.changed)


class _Reading(NamedTuple):
    """Reads the points of a run's blocks, in a snapshot."""

    connection: Connection
    run_id: int

    def add(self, block: _StoredBlock, entries: Iterable[int], parts: dict[int, list[Points]]) -> None:
        """Add the points of entries, ascending, to those of their series."""
        try:
            for series_id, points in read_entries(
                self.connection, (self.run_id, block.first_arrival), block.size_bytes, block.directory, list(entries)
            ):
                parts.setdefault(series_id, []).append(points)
        except self.connection.Error:
            raise
        except Exception as error:
            raise _UnreadableBlockError from error


def _read_rows(connection: Connection, run_id: int, rows_max: int) -> list[_Row]:
    """The log rows of a pass."""
    first = end = size_bytes = records = names_max = 0
    sizes = connection.execute(_SIZES, (run_id, min(rows_max, _ROWS_MAX)))
    for row_first, row_records, row_bytes, names in sizes.fetchall():
        size_bytes += row_bytes
        if records and size_bytes > PASS_BYTES:
            break
        first, end = first if records else row_first, row_first + row_records
        records += row_records
        names_max = max(names_max, names)
        if size_bytes >= ENOUGH_BYTES and records >= POINTS_A_NAME * names_max:
            break
    return list(map(_Row._make, connection.execute(_ROWS, (run_id, first, end)))) if records else []


def _stored_blocks(connection: Connection, run_id: int) -> list[_StoredBlock]:
    try:
        rows = connection.execute(_BLOCKS, (run_id,))
        return [_StoredBlock._make([*values, read_directory(directory)]) for *values, directory in rows]
    except connection.Error:
        raise
    except Exception as error:
        raise _UnreadableBlockError from error


def _grouped(rows: Sequence[_Row]) -> dict[str, Points]:
    """The points of each name, in order of first arrival. Raises whatever a bad row makes it raise."""
    parts: dict[str, list[Points]] = {}
    arrival = rows[0].first_arrival
    group: list[Range] = []
    first = arrival
    for row in rows:
        if row.first_arrival != arrival:  # what lies between is sealed
            _add(parts, group, first)
            group, first = [], row.first_arrival
        group.append(row.decode())
        arrival = row.first_arrival + row.records
    _add(parts, group, first)
    return {name: _joined(each) for name, each in parts.items()}


def _add(parts: dict[str, list[Points]], group: Sequence[Range], first_arrival: int) -> None:
    for name, points in points_by_name(join_rows(group), first_arrival).items():
        parts.setdefault(name, []).append(points)


def _chosen(new: Mapping[int, Points], states: Mapping[int, _Series], with_blocks: bool) -> set[int]:
    """The series that go to chunks, those with the most pending points first."""
    due = [
        (states[series_id].pending, series_id)
        for series_id, points in new.items()
        if states[series_id].pending >= CHUNK_POINTS or len(points.payloads) >= _TEXT_BYTES
        if with_blocks or states[series_id].pending == len(points.kinds)
    ]
    chosen: set[int] = set()
    room = _CHUNKED_POINTS
    for pending, series_id in sorted(due, reverse=True):
        room -= pending
        if chosen and room < 0:
            break
        chosen.add(series_id)
    return chosen


def _to_merge(stored: Sequence[_StoredBlock], level: int, all_small: bool) -> Sequence[_StoredBlock]:
    """The last blocks, those that are merged with a new one of this level; ``all_small``: all but full ones."""
    first = len(stored)
    if level == FULL:
        return ()
    while True:
        start = first
        while start and stored[start - 1].level <= (FULL - 1 if all_small else level):
            start -= 1
        if first == start or (first - start + 1 < FANOUT and not all_small):
            return stored[first:]
        first, level = start, level + 1


def _level(level: int, records: int, size_bytes: int) -> int:
    return FULL if records >= _FULL_RECORDS or size_bytes >= _FULL_BYTES else level


def _encoded(points: Points) -> tuple[Chunk, Entries]:
    """A chunk, and what sums it up."""
    encoding = Encoding(points)
    entries = summarize(points, encoding.is_ascending)
    known = None if points.kind is None else entries.number_range  # which are floats if any number is
    return encoding.chunk(*(known or number_range(points.numbers()))), entries


def _joined(parts: Sequence[Points]) -> Points:
    return concatenate(parts) if len(parts) > 1 else parts[0]


def _series_before(connection: Connection, run_id: int) -> int:
    """The largest id that a series has, of this run or of any: below those of the next ones."""
    (largest,) = connection.execute(_SERIES_BEFORE, {"run": run_id}).fetchone()
    return largest or 0


def _next_chunk(connection: Connection, run_id: int, series_id: int) -> int:
    """The key of a series' next chunk."""
    bounds = chunk_range(run_id, series_id)
    (newest,) = connection.execute(_NEWEST_CHUNK, bounds).fetchone()
    return bounds["low"] if newest is None else int(newest) + 1


def _add_chunks(connection: Connection, run_id: int, first: int, chunks: Sequence[Chunk]) -> None:
    """Add chunks to the end of a series."""
    rows = [
        {"run": run_id, "id": first + at, **dict(zip(_SUMMARY, _summary_of(chunk), strict=True))}
        for at, chunk in enumerate(chunks)
    ]
    for row in rows:
        for column in ("low", "high", "last"):
            row[column] = connection.cell(row[column])
    connection.executemany(_ADD_CHUNK, rows)
    data = [{"run": run_id, "id": first + at, "data": chunk.data} for at, chunk in enumerate(chunks)]
    connection.executemany(_ADD_POINTS, data)


def _values(connection: Connection, series: _Series) -> tuple[Any, ...]:
    """A series' ``_COLUMNS``."""
    cell = connection.cell
    return (
        series.count, series.next_step, series.first_step, series.last_step, series.max_step, cell(series.low),
        cell(series.high), cell(series.last), series.last_time, series.chunked, series.pending, series.id,
    )  # fmt: skip
