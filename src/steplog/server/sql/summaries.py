"""Summaries of a series' chunks, in rows: written with the chunks, for those of older versions in the background.

::

    series, level              of a run, where a series' number is its run's own
    number, chunks             the first chunk that the row covers, and how many: every row covers whole chunks
    entries, points            how many of each
    min_step … max_time        their ranges
    widest_step, widest_time   the largest range that one entry has
    data                       the entries (``records.summary``)

1. The rows of a level cover chunks without a gap, beginning with chunk 0, and never overlap.
2. A row with ``ROW_ENTRIES`` or more is *full*, and never changes. All before the last ones are. Those become one as
   soon as it is full. Before that, ``_MERGED`` rows of less than 64, and of less than 256 entries become one: a level
   has few small rows, and an entry is written three to four times.
3. A full row makes a small one of the next level. What a level does not cover yet is in the small rows below it.
4. A chunk is summarized only when all before it are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec

from steplog.server.records.chunk import Chunk, decode
from steplog.server.records.summary import Entries, coarser, concatenate, encode, summarize
from steplog.server.records.summary import decode as decode_rows
from steplog.server.sql.chunk_ids import NUMBER_END, chunk_range
from steplog.server.sql.connection import Connection

__all__ = ["HEADER", "ROW_ENTRIES", "Addition", "Header", "Missing", "add", "add_missing", "find_missing", "summarized"]

ROW_ENTRIES = 512
_MERGED = 4
_TIERS = (64, 256)
_SMALL_ROWS = 3 * len(_TIERS) + 3  # of which the last three have no room in a tier
_CHUNKS_A_SLICE = 16  # at most 65,536 points are decoded at once, in some 20 ms
_SERIES_A_SLICE = 1000
_INTEGER_MAX = 2**63 - 1
_BELOW = "summaries_below"  # in ``about``: the chunks of series from this id on are summarized
_SLICES = "summaries_slices"
_CHUNKS = (
    f"SELECT id, {', '.join(Chunk.__struct_fields__[:-1])}, data FROM chunks JOIN points USING ([run, ]id)"  # noqa: S608
    " WHERE [run = :run AND] id >= :low AND id < :high ORDER BY id LIMIT :limit"
)


class Header(msgspec.Struct, frozen=True):
    """A row without its data."""

    level: int
    number: int
    chunks: int
    entries: int
    points: int
    min_step: int
    max_step: int
    min_time: int
    max_time: int
    widest_step: int
    widest_time: int

    @property
    def end(self) -> int:
        """The chunk after the last that it covers."""
        return self.number + self.chunks


HEADER = ", ".join(Header.__struct_fields__)
_COLUMNS = ("series", *Header.__struct_fields__, "data")
_INSERT = f"INSERT INTO summaries ([run, ]{', '.join(_COLUMNS)}) VALUES ([:run, ]:{', :'.join(_COLUMNS)})"  # noqa: S608
_DELETE = "DELETE FROM summaries WHERE [run = :run AND] series = :series AND level = :level AND number = :number"
_PUT = "INSERT INTO about (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_OF_LEVEL = "FROM summaries WHERE [run = :run AND] series = :series AND level = :level"
_SMALL = f"SELECT number, chunks, entries {_OF_LEVEL} ORDER BY number DESC LIMIT :limit"
_DATA = f"SELECT data {_OF_LEVEL} AND number >= :number ORDER BY number"
_LAST = f"SELECT number + chunks {_OF_LEVEL} ORDER BY number DESC LIMIT 1"
_ANY_CHUNK = "SELECT 1 FROM chunks WHERE [run = :run AND] id >= :low AND id < :high LIMIT 1"


class _Small(NamedTuple):
    """A row that is not full, of the chunks ``[number, end)``; ``made``: its entries, unless it is stored."""

    number: int
    end: int
    entries: int
    made: Entries | None


class Missing(NamedTuple):
    """Chunks of an older version without summaries, and theirs; ``below``: how far the search has come."""

    run: int
    series: int
    number: int
    entries: list[Entries]
    below: int


class Addition:
    """The rows that new chunks of a series make: worked out in a snapshot, stored with the chunks."""

    def __init__(
        self, connection: Connection, run_id: int, series_id: int, number: int, entries: Sequence[Entries]
    ) -> None:
        """Of ``number`` and those that follow, given their summaries.

        Where chunks before them are not summarized, these wait, too.
        """
        self._connection = connection
        self._series = {"run": run_id, "series": series_id}
        self._end = _end(connection, run_id, series_id)
        self._small: dict[int, list[_Small]] = {}  # of a level, by number
        self._gone: list[dict[str, int]] = []
        self._rows: list[dict[str, Any]] = []
        gap = chunk_range(run_id, series_id, self._end, number)
        if self._end == number or (self._end < number and connection.execute(_ANY_CHUNK, gap).fetchone() is None):
            self._add(number, entries)
        for level, rows in self._small.items():
            self._rows += [self._row(level, row.number, row.end, row.made) for row in rows if row.made is not None]

    def store(self, connection: Connection) -> bool:
        """Store it in a transaction; False, and nothing is, if the series has been summarized further meanwhile."""
        if _end(connection, self._series["run"], self._series["series"]) != self._end:
            return False
        connection.executemany(_DELETE, self._gone)
        connection.executemany(_INSERT, self._rows)
        return True

    def _add(self, number: int, entries: Sequence[Entries]) -> None:
        waiting: list[Entries] = []
        first, total = self._end, 0
        for place, of_chunk in enumerate(entries, number + 1):
            waiting.append(of_chunk)
            total += len(of_chunk)
            if total >= ROW_ENTRIES or place == number + len(entries):
                self._append(1, first, place, concatenate(waiting))
                waiting, first, total = [], place, 0

    def _append(self, level: int, number: int, end: int, entries: Entries) -> None:
        """Add entries of the chunks ``[number, end)`` to the end of a level."""
        small = self._small.get(level)
        if small is None:
            small = self._small[level] = self._read_small(level)
        kept = len(small) + 1 - _due([len(entries), *(row.entries for row in reversed(small))])
        if kept < len(small):
            number = small[kept].number
            stored = [self._series | {"level": level, "number": row.number} for row in small[kept:] if row.made is None]
            before = [row.made for row in small[kept:] if row.made is not None]
            if stored:
                before.insert(0, decode_rows(data for (data,) in self._connection.execute(_DATA, stored[0])))
            entries = concatenate([*before, entries])
            self._gone += stored
            del small[kept:]
        if len(entries) < ROW_ENTRIES:
            small.append(_Small(number, end, len(entries), entries))
            return
        self._rows.append(self._row(level, number, end, entries))
        self._append(level + 1, number, end, coarser(entries))

    def _read_small(self, level: int) -> list[_Small]:
        rows = self._connection.execute(_SMALL, self._series | {"level": level, "limit": _SMALL_ROWS})
        few = takewhile(lambda row: row[2] < ROW_ENTRIES, rows)
        return [_Small(number, number + chunks, entries, None) for number, chunks, entries in few][::-1]

    def _row(self, level: int, number: int, end: int, entries: Entries) -> dict[str, Any]:
        widest = (min(width, _INTEGER_MAX) for width in entries.widest)
        ranges = min(entries.min_steps), max(entries.max_steps), min(entries.min_times), max(entries.max_times)
        totals = end - number, len(entries), sum(entries.counts)
        row = self._series["series"], level, number, *totals, *ranges, *widest, encode(entries)
        return {"run": self._series["run"], **dict(zip(_COLUMNS, row, strict=True))}


def add(connection: Connection, run_id: int, series_id: int, number: int, entries: Sequence[Entries]) -> None:
    """Work out and store an ``Addition``, in the transaction that stores the chunks."""
    Addition(connection, run_id, series_id, number, entries).store(connection)


def find_missing(connection: Connection) -> Missing | None:
    """The next chunks without summaries, decoded; None if there are none. In a read transaction."""
    row = connection.execute("SELECT value FROM about WHERE name = ?", (_BELOW,)).fetchone()
    query = "SELECT run, id FROM series WHERE id < ? ORDER BY id DESC LIMIT ?"
    below = int(row[0]) if row is not None else _INTEGER_MAX
    found = connection.execute(query, (below, _SERIES_A_SLICE)).fetchall()
    for run_id, series_id in found:
        number = _end(connection, run_id, series_id)
        wanted = chunk_range(run_id, series_id, number) | {"limit": _CHUNKS_A_SLICE}
        rows = connection.execute(_CHUNKS, wanted).fetchall()
        if rows:
            first = rows[0][0]
            known = [
                summarize(decode(Chunk(*row))) for at, (chunk_id, *row) in enumerate(rows) if chunk_id == first + at
            ]
            return Missing(run_id, series_id, first & NUMBER_END - 1, known, series_id + 1)
        below = series_id
    if not found:
        return None
    return Missing(0, 0, 0, [], below)


def add_missing(connection: Connection, found: Missing) -> None:
    """Store what was found, in a transaction; nothing of it if another packer has."""
    if found.entries:
        query = "SELECT count(*) FROM chunks WHERE [run = :run AND] id >= :low AND id < :high"
        bounds = chunk_range(found.run, found.series, found.number, found.number + len(found.entries))
        if connection.execute(query, bounds).fetchone()[0] == len(found.entries):
            add(connection, found.run, found.series, found.number, found.entries)
            connection.execute(_PUT, (_SLICES, str(summarized(connection) + 1)))
    connection.execute(_PUT, (_BELOW, str(found.below)))


def summarized(connection: Connection) -> int:
    """How many slices of chunks of older versions were summarized, which changes how they are drawn."""
    row = connection.execute("SELECT value FROM about WHERE name = ?", (_SLICES,)).fetchone()
    return int(row[0]) if row else 0


def _due(counts: Sequence[int]) -> int:
    """How many of the small rows become one, given the numbers of their entries, the newest first."""
    if sum(counts) >= ROW_ENTRIES:
        return len(counts)
    due = 1
    for limit in _TIERS:
        few = next((at for at, count in enumerate(counts) if count >= limit), len(counts))
        if few >= _MERGED:
            due = few
    return due


def _end(connection: Connection, run_id: int, series_id: int) -> int:
    """The first chunk of a series that is not summarized."""
    row = connection.execute(_LAST, {"run": run_id, "series": series_id, "level": 1}).fetchone()
    return row[0] if row else 0
