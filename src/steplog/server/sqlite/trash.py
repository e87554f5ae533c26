"""Deleting runs: into the trash, out of it, and for good.

::

    alive ──discard──▶ in the trash ──a day later──▶ condemned ──reap, slice by slice──▶ gone
      ▲                     │                            ▲
      └───────restore───────┘            discard(now), deleting its project

``runs.deleted`` is NULL, the date at which it came into the trash, or "" once it is condemned.

- A run in the trash is not there for anything but ``in_trash``, ``restore`` and ``discard(now)``. Its name and its id
  are free. A random key leaves a tombstone for ``TOMBSTONE_DAYS``, since its client may not know that it is gone. A
  tombstone means nothing while a run has its key.
- What is condemned has no name and no way back. ``reap`` removes it in transactions of about ``_SLICE_S``, so that a
  large run does not hold up the batches of others.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from slugify import slugify

from steplog.server.records.dates import utc_text
from steplog.server.sqlite import runs
from steplog.server.sqlite.schema import series_bounds
from steplog.server.sqlite.table import forget_config, forget_metric
from steplog.server.store_types import ID_PREFIX, MissingError, RunRow

__all__ = ["TOMBSTONE_DAYS", "TRASH_HOURS", "condemn_project", "discard", "in_trash", "reap", "restore"]

TRASH_HOURS = 24
TOMBSTONE_DAYS = 30
_CONDEMNED = ""
_SLICE_S = 0.01
_CHUNKS_A_STEP = 16  # of up to 256 KiB each
_ROWS_A_STEP = 512


def discard(connection: sqlite3.Connection, project_id: int, run_uuid: str, now: bool) -> int:
    """Move a run to the trash, or condemn it, also from the trash; its number. Raises MissingError."""
    state = "deleted IS NULL OR deleted <> ?" if now else "deleted IS NULL AND ? = ''"
    found = connection.execute(
        f"SELECT id, idempotency_key, deleted, name FROM runs WHERE project = ? AND uuid = ? AND ({state})",  # noqa: S608
        (project_id, run_uuid, _CONDEMNED),
    ).fetchone()
    if found is None:
        raise MissingError("the run does not exist")
    run_id, key, deleted, name = found
    date = runs.now_text()
    connection.execute("UPDATE runs SET deleted = ? WHERE id = ?", (_CONDEMNED if now else date, run_id))
    if deleted is None:
        runs.release_name(connection, project_id, name)
    if deleted is None and key is not None and not key.startswith(ID_PREFIX):
        connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)", (project_id, key, date))
    return int(run_id)


def restore(connection: sqlite3.Connection, project_id: int, run_uuid: str) -> RunRow:
    """Take a run out of the trash, under another name or without its id where those are taken. Raises MissingError.

    One that is alive stays as it is.
    """
    found = connection.execute(
        "SELECT id, name, idempotency_key, deleted FROM runs"
        " WHERE project = ? AND uuid = ? AND (deleted IS NULL OR deleted <> ?)",
        (project_id, run_uuid, _CONDEMNED),
    ).fetchone()
    if found is None:
        raise MissingError("the run does not exist")
    run_id, name, key, deleted = found
    if deleted is not None:
        kept = key if key is not None and runs.by_key(connection, project_id, key) is None else None
        name = runs.free_name(connection, project_id, name)
        connection.execute(
            "UPDATE runs SET deleted = NULL, name = ?, slug = ?, idempotency_key = ?, date_updated = ? WHERE id = ?",
            (name, slugify(name), kept, runs.now_text(), run_id),
        )
    return runs.by_id(connection, run_id)


def in_trash(connection: sqlite3.Connection, project_id: int, offset: int, limit: int | None) -> list[RunRow]:
    """The runs of a project that are in the trash, oldest first."""
    return runs.in_project(connection, project_id, offset, limit, f"<> '{_CONDEMNED}'")


def condemn_project(connection: sqlite3.Connection, project_id: int) -> None:
    """Condemn every run of a project, and delete the project."""
    connection.execute("UPDATE runs SET deleted = ? WHERE project = ?", (_CONDEMNED, project_id))
    connection.execute("DELETE FROM tombstones WHERE project = ?", (project_id,))
    connection.execute("DELETE FROM suffixes WHERE project = ?", (project_id,))
    connection.execute("DELETE FROM projects WHERE id = ?", (project_id,))


def reap(connection: sqlite3.Connection, now: datetime | None = None) -> bool:
    """Remove a slice of what is condemned or has been in the trash for long enough; whether more is left."""
    at = datetime.now(timezone.utc) if now is None else now
    due, old = utc_text(at - timedelta(hours=TRASH_HOURS)), utc_text(at - timedelta(days=TOMBSTONE_DAYS))
    stop_at = time.monotonic() + _SLICE_S
    query = "SELECT id FROM runs WHERE deleted <= ? ORDER BY deleted LIMIT 1"
    while (found := connection.execute(query, (due,)).fetchone()) is not None:
        for _ in _steps(connection, found[0]):
            if time.monotonic() >= stop_at:
                return True
    connection.execute("DELETE FROM tombstones WHERE deleted <= ?", (old,))
    return False


def _steps(connection: sqlite3.Connection, run_id: int) -> Iterator[None]:
    """Remove a run, a little a step; another call may go on with the rest."""
    connection.execute("UPDATE runs SET deleted = ? WHERE id = ?", (_CONDEMNED, run_id))
    for table, key in (("log", "id"), ("blocks", "first_arrival"), ("sealed", "first_arrival")):
        while _some(connection, table, key, "run = ?", run_id, limit=1):
            yield
    query = "SELECT id, name FROM series WHERE run = ? LIMIT 1"
    while (found := connection.execute(query, (run_id,)).fetchone()) is not None:
        for table in ("points", "chunks"):
            while _some(connection, table, "id", "id >= ? AND id < ?", *series_bounds(found[0]), limit=_CHUNKS_A_STEP):
                yield
        while _some(connection, "summaries", "number", "series = ?", found[0], limit=_CHUNKS_A_STEP):
            yield
        forget_metric(connection, run_id, found[1])
        connection.execute("DELETE FROM series WHERE id = ?", found[:1])
    while forget_config(connection, run_id):
        yield
    for table, key in (("fields", "field"), ("generations", "number"), ("marks", "writer")):
        while _some(connection, table, key, "run = ?", run_id, limit=_ROWS_A_STEP):
            yield
    connection.execute("DELETE FROM progress WHERE run = ?", (run_id,))
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
    yield


def _some(connection: sqlite3.Connection, table: str, key: str, condition: str, *values: int, limit: int) -> bool:
    """Delete at most ``limit`` rows; whether there were any."""
    some = f"SELECT {key} FROM {table} WHERE {condition} LIMIT {limit}"  # noqa: S608 - constants, here and below
    statement = f"DELETE FROM {table} WHERE {condition} AND {key} IN ({some})"  # noqa: S608
    return connection.execute(statement, (*values, *values)).rowcount > 0
