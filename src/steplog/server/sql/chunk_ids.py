"""The ids of chunks: their series' id × 2^32 + their number in it, so that a series' chunks lie together, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steplog.server.sql.connection import Connection

__all__ = ["NUMBER_END", "SERIES_SHIFT", "chunk_range", "chunk_rows"]

SERIES_SHIFT = 32
NUMBER_END = 1 << SERIES_SHIFT


def chunk_range(run_id: int, series_id: int, first: int = 0, end: int = NUMBER_END) -> dict[str, int]:
    """The chunks of a series with numbers in ``[first, end)``, as values of a statement on chunks or points.

    Its condition is ``[run = :run AND] id >= :low AND id < :high``.
    """
    low = series_id << SERIES_SHIFT
    return {"run": run_id, "low": low | first, "high": low + end}


def chunk_rows(connection: Connection, statement: str, values: dict[str, int], step: int) -> Iterator[Any]:
    """The rows of a statement on the chunks of a ``chunk_range``, read ``step`` of them at a time.

    Its first column is ``id``; it ends with ``ORDER BY id LIMIT :step``.
    """
    values = values | {"step": step}
    while True:
        rows = connection.execute(statement, values).fetchall()
        yield from rows
        if len(rows) < step:
            return
        values["low"] = rows[-1][0] + 1
