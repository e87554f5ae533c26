"""The points of a run that are in its blocks, and not dead: read by series, or by arrival.

Blocks cover stretches of arrivals that do not overlap. An entry whose points have gone to chunks since is dead: it
begins below ``series.chunked``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from steplog.records.points import Points
from steplog.server.records.block import Directory, read_directory
from steplog.server.sql.connection import Connection

__all__ = ["Blocks", "read_entries"]

_FEW_SERIES = 8  # looked for one by one
_WHOLE_BYTES = 64 * 1024  # a block's data up to here is read whole
_BLOCKS = """
SELECT first_arrival, length(data), directory FROM blocks WHERE run = :run AND first_arrival < :end AND first_arrival >=
    coalesce((SELECT max(first_arrival) FROM blocks WHERE run = :run AND first_arrival <= :first), :first)
ORDER BY first_arrival
"""
_DATA = "SELECT data FROM blocks WHERE run = ? AND first_arrival = ?"
_SEGMENT = "SELECT substr(data, CAST(? AS integer), CAST(? AS integer)) FROM blocks WHERE run = ? AND first_arrival = ?"


class _Stored(NamedTuple):
    """A block but for its data."""

    first_arrival: int
    size_bytes: int
    directory: Directory


class Blocks:
    """The blocks of a run that may have points with arrivals in ``[first, end)``; their directories are read once."""

    def __init__(self, connection: Connection, run_id: int, first: int = 0, end: int = 2**63 - 1) -> None:
        self._connection = connection
        self._run_id = run_id
        self._place = {"run": run_id, "first": first, "end": end}

    def points(self, chunked: Mapping[int, int]) -> dict[int, list[Points]]:
        """The points of these series in order of arrival, given below which arrival each is in chunks."""
        found: dict[int, list[Points]] = {}
        for block in self._stored:
            key, entries = (self._run_id, block.first_arrival), _live(block.directory, chunked)
            for series_id, points in read_entries(self._connection, key, block.size_bytes, block.directory, entries):
                found.setdefault(series_id, []).append(points)
        return found

    @cached_property
    def _stored(self) -> list[_Stored]:
        rows = self._connection.execute(_BLOCKS, self._place)
        return [_Stored(first, size_bytes, read_directory(directory)) for first, size_bytes, directory in rows]


def read_entries(
    connection: Connection,
    key: tuple[int, int],
    size_bytes: int,
    directory: Directory,
    entries: Sequence[int],
) -> Iterator[tuple[int, Points]]:
    """The series and the points of these entries of a block, ascending; ``key`` is its run and first arrival."""
    if not entries:
        return
    if size_bytes <= _WHOLE_BYTES or 2 * len(entries) > len(directory.series):
        yield from directory.points(connection.execute(_DATA, key).fetchone()[0], entries)
        return
    for segment, wanted in groupby(entries, directory.segment):
        place = segment.offset + 1, segment.size_bytes
        reader = segment.read(connection.execute(_SEGMENT, (*place, *key)).fetchone()[0])
        for entry in wanted:
            yield directory.series[entry], reader.points(entry)


def _live(directory: Directory, chunked: Mapping[int, int]) -> list[int]:
    """The entries of these series that are not dead, ascending."""
    series, first = directory.series, directory.first_arrivals
    if len(chunked) <= _FEW_SERIES:
        entries = sorted(series.index(series_id) for series_id in chunked if series_id in series)
    else:
        entries = [entry for entry, series_id in enumerate(series) if series_id in chunked]
    return [entry for entry in entries if first[entry] >= chunked[series[entry]]]
