"""The statements for saved views of a project's page.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

import uuid

from steplog.server.sql.connection import Connection
from steplog.server.sql.runs import now_text
from steplog.server.store_types import MissingError, TakenError, TooManyViewsError, ViewRow

__all__ = ["VIEWS_MAX", "add", "delete", "edit", "in_project"]

VIEWS_MAX = 1000  # of a project
_VIEW = """
SELECT v.uuid, v.name, v.address, u.uuid, u.username, u.slug, v.date_created, v.date_updated
FROM views v JOIN users u ON u.id = v."user"
"""
_IS_THERE = "project = (SELECT id FROM projects WHERE id = ? AND deleted IS NULL)"


def in_project(connection: Connection, project_id: int) -> list[ViewRow]:
    """The views of a project, oldest first."""
    return [ViewRow(*row) for row in connection.execute(f"{_VIEW} WHERE v.{_IS_THERE} ORDER BY v.id", (project_id,))]


def add(connection: Connection, project_id: int, user_id: int, name: str, address: str) -> ViewRow:
    """Save a view. Raises MissingError without the project, TakenError, TooManyViewsError."""
    if connection.execute("SELECT 1 FROM projects WHERE id = ? AND deleted IS NULL", (project_id,)).fetchone() is None:
        raise MissingError("the project does not exist")
    (count,) = connection.execute("SELECT count(*) FROM views WHERE project = ?", (project_id,)).fetchone()
    if count >= VIEWS_MAX:
        raise TooManyViewsError(f"A project has at most {VIEWS_MAX} views.")
    _check_name(connection, project_id, name, "")
    view_uuid, now = str(uuid.uuid4()), now_text()
    connection.execute(
        'INSERT INTO views (uuid, project, "user", name, address, date_created, date_updated)'
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (view_uuid, project_id, user_id, name, address, now, now),
    )
    return _by_uuid(connection, project_id, view_uuid)


def edit(connection: Connection, project_id: int, view_uuid: str, name: str | None, address: str | None) -> ViewRow:
    """Set what is given of a view. Raises MissingError, TakenError."""
    _by_uuid(connection, project_id, view_uuid)
    if name is not None:
        _check_name(connection, project_id, name, view_uuid)
    connection.execute(
        "UPDATE views SET name = coalesce(?, name), address = coalesce(?, address), date_updated = ? WHERE uuid = ?",
        (name, address, now_text(), view_uuid),
    )
    return _by_uuid(connection, project_id, view_uuid)


def delete(connection: Connection, project_id: int, view_uuid: str) -> None:
    """Delete a view. Raises MissingError."""
    _by_uuid(connection, project_id, view_uuid)
    connection.execute("DELETE FROM views WHERE uuid = ?", (view_uuid,))


def _by_uuid(connection: Connection, project_id: int, view_uuid: str) -> ViewRow:
    row = connection.execute(f"{_VIEW} WHERE v.{_IS_THERE} AND v.uuid = ?", (project_id, view_uuid)).fetchone()
    if row is None:
        raise MissingError("the view does not exist")
    return ViewRow(*row)


def _check_name(connection: Connection, project_id: int, name: str, view_uuid: str) -> None:
    query = "SELECT 1 FROM views WHERE project = ? AND name = ? AND uuid <> ?"
    if connection.execute(query, (project_id, name, view_uuid)).fetchone() is not None:
        raise TakenError("the project has a view of this name")
