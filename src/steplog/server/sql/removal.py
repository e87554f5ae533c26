"""Removing what is deleted for good (see trash), in slices that hold nobody up.

1. A slice ends after ``_SLICE_S``, whatever it is at: the next one goes on with what is left, also in another process.
   No slice waits for the disk. ``read_ahead`` has the kernel read before what would have to be read meanwhile.
2. A run's ``progress`` goes first, so that nobody packs it any more, and its row in ``runs`` last.
3. Of a deleted project only its own row says so, until its runs are gone, too: to mark 50,000 of them takes long.
   Its number is free, for another project, only then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from steplog.records.dates import utc_text
from steplog.server.sql import file_removal
from steplog.server.sql.chunk_ids import chunk_range
from steplog.server.sql.connection import Connection
from steplog.server.sql.table import forget_config, forget_metric
from steplog.server.sql.trash import CONDEMNED, TOMBSTONE_DAYS, TRASH_HOURS

__all__ = ["read_ahead", "reap"]

_SLICE_S = 0.003  # no more than a thread runs for at a time, so that a slice is seldom interrupted
_CHUNKS_A_STEP = 16  # of up to 256 KiB each
_ROWS_A_STEP = 512
_READ_AHEAD_BYTES = 2 << 20
_ROW_BYTES = 4096  # at least, of what is read ahead
_RUNS_READ_AHEAD = 64

_IN_TRASH_FOR_LONG = "SELECT id FROM runs WHERE deleted <= ? ORDER BY deleted LIMIT ?"
_DELETED_PROJECT = "SELECT id FROM projects WHERE deleted IS NOT NULL LIMIT 1"
_CONDEMN = (  # unless it was restored meanwhile
    "UPDATE runs SET deleted = ? WHERE id = ?"
    " AND (deleted <= ? OR project IN (SELECT id FROM projects WHERE deleted IS NOT NULL))"
)
# The last first: what comes last in the file is cut off, and need not be moved.
_OF_PROJECT = "SELECT id FROM runs WHERE project = ? ORDER BY deleted DESC, id DESC LIMIT ?"
_LARGE = {"log": "body", "blocks": "data", "sealed": "body"}
_OF_RUN = "run = :run"
_OF_SERIES = "[run = :run AND] series = :series"
_CHUNKS = "[run = :run AND] id >= :low AND id < :high"


def reap(connection: Connection, now: datetime | None = None) -> bool:
    """Remove a slice of what is condemned or has been in the trash for long enough; whether there was anything."""
    stop_at, removed = time.monotonic() + _SLICE_S, False
    for _ in _steps(connection, now):
        removed = True
        if time.monotonic() >= stop_at:
            break
    return removed


def read_ahead(connection: Connection, now: datetime | None = None) -> None:
    """Read what the next slice removes."""
    left = _READ_AHEAD_BYTES
    for (run_id,) in _doomed(connection, now, _RUNS_READ_AHEAD):
        for size in _large_rows(connection, run_id):
            left -= max(size, _ROW_BYTES)
            if left <= 0:
                return


def _doomed(connection: Connection, now: datetime | None, limit: int) -> list[tuple[int]]:
    """The runs that are removed next."""
    found = connection.execute(_IN_TRASH_FOR_LONG, (_long_ago(now, TRASH_HOURS), limit)).fetchall()
    if not found and (project := connection.execute(_DELETED_PROJECT).fetchone()) is not None:
        found = connection.execute(_OF_PROJECT, (*project, limit)).fetchall()
    return found


def _long_ago(now: datetime | None, hours: int) -> str:
    return utc_text((datetime.now(timezone.utc) if now is None else now) - timedelta(hours=hours))


def _large_rows(connection: Connection, run_id: int) -> Iterator[int]:
    """Read the large rows of a run, in the order in which they are removed; the size of each."""
    for table, column in _LARGE.items():
        for (data,) in connection.execute(f"SELECT {column} FROM {table} WHERE run = ?", (run_id,)):  # noqa: S608
            yield len(data)
    for (series,) in connection.execute("SELECT id FROM series WHERE run = ?", (run_id,)):
        chunks = chunk_range(run_id, series)
        for (data,) in connection.execute(f"SELECT data FROM points WHERE {_CHUNKS}", chunks):  # noqa: S608 - constants
            yield len(data)
        connection.execute(f"SELECT max(count) FROM chunks WHERE {_CHUNKS}", chunks).fetchone()  # noqa: S608
        yield 0


def _steps(connection: Connection, now: datetime | None) -> Iterator[None]:
    """Remove a little a step, as long as there is something."""
    while doomed := _doomed(connection, now, 1):
        (run_id,) = doomed[0]
        if connection.execute(_CONDEMN, (CONDEMNED, run_id, _long_ago(now, TRASH_HOURS))).rowcount:
            yield from _run_steps(connection, run_id)
    if (project := connection.execute(_DELETED_PROJECT).fetchone()) is not None:  # it has no runs any more
        values = {"project": project[0]}
        for table, key in (("tombstones", "idempotency_key"), ("suffixes", "name"), ("views", "id")):
            while _some(connection, table, (key,), "project = :project", values, _ROWS_A_STEP):
                yield
        yield from file_removal.of_project(connection, project[0])
        connection.execute("DELETE FROM projects WHERE id = ?", project)
        yield
    yield from file_removal.doubles(connection)
    condition, values = "deleted <= :old", {"old": _long_ago(now, 24 * TOMBSTONE_DAYS)}
    while _some(connection, "tombstones", ("project", "idempotency_key"), condition, values, _ROWS_A_STEP):
        yield


def _run_steps(connection: Connection, run_id: int) -> Iterator[None]:
    connection.execute("DELETE FROM progress WHERE run = ?", (run_id,))
    run = {"run": run_id}
    for table in ("log", "blocks", "sealed"):
        while _some(connection, table, ("first_arrival",), _OF_RUN, run, 1):
            yield
    query = "SELECT id, name FROM series WHERE run = ? LIMIT 1"
    while (found := connection.execute(query, (run_id,)).fetchone()) is not None:
        series, name = found
        for table in ("points", "chunks"):
            while _some(connection, table, ("id",), _CHUNKS, chunk_range(run_id, series), _CHUNKS_A_STEP):
                yield
        values = {"run": run_id, "series": series}
        while _some(connection, "summaries", ("level", "number"), _OF_SERIES, values, _CHUNKS_A_STEP):
            yield
        forget_metric(connection, run_id, name)
        connection.execute("DELETE FROM series WHERE run = ? AND id = ?", (run_id, series))
        yield
    while forget_config(connection, run_id):
        yield
    for table, key in (("fields", "field"), ("generations", "number"), ("marks", "writer")):
        while _some(connection, table, (key,), _OF_RUN, run, _ROWS_A_STEP):
            yield
    yield from file_removal.of_run(connection, run_id)
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
    yield


def _some(
    connection: Connection, table: str, key: Sequence[str], condition: str, values: Mapping[str, object], limit: int
) -> bool:
    """Delete at most about ``limit`` rows, the first by their key; whether there were any."""
    columns, wanted = ", ".join(key), ", ".join(f":{column}" for column in key)
    some = f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY {columns} LIMIT {limit}"  # noqa: S608 - constants
    found = connection.execute(some, values).fetchall()
    if found:
        last = dict(zip(key, found[-1], strict=True))
        statement = f"DELETE FROM {table} WHERE {condition} AND ({columns}) <= ({wanted})"  # noqa: S608
        connection.execute(statement, {**values, **last})
    return bool(found)
