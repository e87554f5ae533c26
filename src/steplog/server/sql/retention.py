"""The statements for what a project's owners set: its name, who sees it, and how long runs that have ended are kept.

A run is kept for ``projects.retention_days`` after its end and after it was made here: what is imported may have ended
long ago. Functions that write are called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from steplog.records.dates import utc_text
from steplog.server.sql import catalog, trash
from steplog.server.sql.connection import Connection
from steplog.server.store_types import MissingError, ProjectRow

__all__ = ["EDITABLE", "due", "edit", "expire"]

EDITABLE = ("display_name", "visibility", "retention_days")
_RUNS_A_READ = 500
_PROJECTS = "SELECT id, retention_days FROM projects WHERE deleted IS NULL AND retention_days IS NOT NULL ORDER BY id"
_HAS_ENDED = "deleted IS NULL AND status <> 'RUNNING' AND coalesce(ended, date_updated) <= ? AND date_created <= ?"


def edit(
    connection: Connection, namespace_slug: str, project: ProjectRow, values: Mapping[str, str | int | None]
) -> ProjectRow:
    """Set some of ``EDITABLE``; the slug stays, since programs and addresses name the project by it.

    Raises MissingError.
    """
    for column in EDITABLE:
        if column in values:
            connection.execute(
                f"UPDATE projects SET {column} = ? WHERE id = ? AND deleted IS NULL",  # noqa: S608 - of EDITABLE
                (values[column], project.id),
            )
    found = catalog.project(connection, namespace_slug, project.slug)
    if found is None or found.id != project.id:
        raise MissingError("the project does not exist")
    return found


def due(connection: Connection, now: datetime | None) -> list[tuple[int, str, str]]:
    """Some runs that have been kept for long enough: their project, uuid, and the date that both dates are before."""
    found: list[tuple[int, str, str]] = []
    moment = datetime.now(timezone.utc) if now is None else now
    for project_id, days in connection.execute(_PROJECTS).fetchall():
        before = utc_text(moment - timedelta(days=days))
        rows = connection.execute(
            f"SELECT uuid FROM runs WHERE project = ? AND {_HAS_ENDED} ORDER BY id LIMIT ?",  # noqa: S608 - constants
            (project_id, before, before, _RUNS_A_READ - len(found)),
        )
        found += [(project_id, uuid, before) for (uuid,) in rows]
    return found


def expire(connection: Connection, project_id: int, run_uuid: str, before: str) -> int | None:
    """Move a run to the trash, if it still is one that ended before this date; its number."""
    row = connection.execute(
        f"SELECT 1 FROM runs WHERE project = ? AND uuid = ? AND {_HAS_ENDED}",  # noqa: S608 - constants
        (project_id, run_uuid, before, before),
    ).fetchone()
    return None if row is None else trash.discard(connection, project_id, run_uuid, now=False)
