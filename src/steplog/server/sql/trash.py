"""Deleting runs: into the trash, out of it, and for good.

::

    alive ──discard──▶ in the trash ──a day later──▶ condemned ──reap, slice by slice──▶ gone
      ▲                     │                            ▲
      └───────restore───────┘            discard(now), deleting its project

``runs.deleted`` is NULL, the date at which it came into the trash, or "" once it is condemned.

- A run in the trash is not there for anything but ``in_trash``, ``restore`` and ``discard(now)``. Its name and its id
  are free. A random key leaves a tombstone for ``TOMBSTONE_DAYS``, since its client may not know that it is gone. A
  tombstone means nothing while a run has its key.
- What is condemned has no name and no way back. It is removed bit by bit (see removal).
- A deleted project has no slug, and ``projects.deleted`` is the date. Its runs are not there, whatever they say.
"""

from __future__ import annotations

from slugify import slugify

from steplog.server.sql import runs
from steplog.server.sql.connection import Connection
from steplog.server.store_types import ID_PREFIX, MissingError, RunRow

__all__ = ["CONDEMNED", "TOMBSTONE_DAYS", "TRASH_HOURS", "delete_project", "discard", "in_trash", "restore"]

TRASH_HOURS = 24
TOMBSTONE_DAYS = 30
CONDEMNED = ""
_PUT_TOMBSTONE = """
INSERT INTO tombstones (project, idempotency_key, deleted) VALUES (?, ?, ?)
ON CONFLICT (project, idempotency_key) DO UPDATE SET deleted = excluded.deleted
"""


def discard(connection: Connection, project_id: int, run_uuid: str, now: bool) -> int:
    """Move a run to the trash, or condemn it, also from the trash; its number. Raises MissingError."""
    state = "deleted IS NULL OR deleted <> ?" if now else "deleted IS NULL AND ? = ''"
    project = "(SELECT id FROM projects WHERE id = ? AND deleted IS NULL)"
    found = connection.execute(
        f"SELECT id, idempotency_key, deleted, name FROM runs WHERE project = {project} AND uuid = ? AND ({state})",  # noqa: S608
        (project_id, run_uuid, CONDEMNED),
    ).fetchone()
    if found is None:
        raise MissingError("the run does not exist")
    run_id, key, deleted, name = found
    date = runs.now_text()
    connection.execute("UPDATE runs SET deleted = ? WHERE id = ?", (CONDEMNED if now else date, run_id))
    if deleted is None:
        runs.release_name(connection, project_id, name)
    if deleted is None and key is not None and not key.startswith(ID_PREFIX):
        connection.execute(_PUT_TOMBSTONE, (project_id, key, date))
    return int(run_id)


def restore(connection: Connection, project_id: int, run_uuid: str) -> RunRow:
    """Take a run out of the trash, under another name or without its id where those are taken. Raises MissingError.

    One that is alive stays as it is.
    """
    found = connection.execute(
        "SELECT id, name, idempotency_key, deleted FROM runs"
        " WHERE project = ? AND uuid = ? AND (deleted IS NULL OR deleted <> ?)",
        (project_id, run_uuid, CONDEMNED),
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


def in_trash(connection: Connection, project_id: int, offset: int, limit: int | None) -> list[RunRow]:
    """The runs of a project that are in the trash, oldest first."""
    return runs.in_project(connection, project_id, offset, limit, f"<> '{CONDEMNED}'")


def delete_project(connection: Connection, project_id: int) -> None:
    """Delete a project, with its runs; who has its number later has neither its members nor its service keys."""
    connection.execute(
        "DELETE FROM members WHERE namespace = (SELECT namespace FROM projects WHERE id = ?) AND project = ?",
        (project_id, project_id),
    )
    connection.execute(
        "UPDATE keys SET revoked = ? WHERE project = ? AND revoked IS NULL", (runs.now_text(), project_id)
    )
    connection.execute(
        "UPDATE projects SET deleted = ?, slug = slug || '~' || id WHERE id = ? AND deleted IS NULL",
        (runs.now_text(), project_id),
    )
