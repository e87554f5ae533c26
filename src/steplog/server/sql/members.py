"""The statements for roles: who is a member of which namespace and project, and what decides over a project.

``members.project`` is 0 where the role is one in the whole namespace. ``permissions`` says what a role means. Functions
that write are called inside a transaction.
"""

from __future__ import annotations

from steplog.server.permissions import Facts
from steplog.server.sql.connection import Connection
from steplog.server.store_types import MemberRow, MissingError

__all__ = ["WHOLE_NAMESPACE", "by_namespace", "every", "facts", "facts_of", "of", "put", "remove"]

WHOLE_NAMESPACE = 0
_FACTS = """
SELECT p.namespace, p.id, p.visibility, n.role, m.role FROM projects p
LEFT JOIN members n ON n.namespace = p.namespace AND n.project = 0 AND n."user" = ?
LEFT JOIN members m ON m.namespace = p.namespace AND m.project = p.id AND m."user" = ?
WHERE p.deleted IS NULL
"""
_MEMBER = """
SELECT n.slug, p.slug, u.username, m.role FROM members m JOIN namespaces n ON n.id = m.namespace
JOIN users u ON u.id = m."user" LEFT JOIN projects p ON p.id = m.project
"""


def facts_of(connection: Connection, user_id: int, namespace_slug: str, slug: str) -> Facts | None:
    """What decides over the project with these slugs, for a user."""
    place = "p.namespace = (SELECT id FROM namespaces WHERE slug = ?) AND p.slug = ?"
    row = connection.execute(f"{_FACTS} AND {place}", (user_id, user_id, namespace_slug, slug)).fetchone()
    return None if row is None else Facts(*row)


def facts(connection: Connection, user_id: int, namespace_id: int | None) -> list[Facts]:
    """What decides over each project, of a namespace or of all, for a user."""
    if namespace_id is None:
        rows = connection.execute(_FACTS, (user_id, user_id))
    else:
        rows = connection.execute(f"{_FACTS} AND p.namespace = ?", (user_id, user_id, namespace_id))
    return [Facts(*row) for row in rows]


def by_namespace(connection: Connection, user_id: int) -> dict[int, str]:
    """The roles of a user in whole namespaces, by the namespace's number."""
    return dict(
        connection.execute(
            'SELECT namespace, role FROM members WHERE "user" = ? AND project = 0', (user_id,)
        ).fetchall()
    )


def of(connection: Connection, namespace_id: int, project_id: int) -> list[MemberRow]:
    """The members of a project, or of a whole namespace, by name."""
    rows = connection.execute(
        f"{_MEMBER} WHERE m.namespace = ? AND m.project = ? ORDER BY u.username", (namespace_id, project_id)
    )
    return [MemberRow(*row) for row in rows]


def every(connection: Connection, user_id: int) -> list[MemberRow]:
    """The roles of a user, by place."""
    rows = connection.execute(f'{_MEMBER} WHERE m."user" = ? ORDER BY n.slug, m.project', (user_id,))
    return [MemberRow(*row) for row in rows]


def put(connection: Connection, namespace_id: int, project_id: int, user_id: int, role: str) -> None:
    """Give a user a role in a project, or in a whole namespace. Raises MissingError without the project."""
    there = "SELECT 1 FROM projects WHERE id = ? AND deleted IS NULL"
    if project_id != WHOLE_NAMESPACE and connection.execute(there, (project_id,)).fetchone() is None:
        raise MissingError("the project does not exist")
    connection.execute(
        'INSERT INTO members (namespace, project, "user", role) VALUES (?, ?, ?, ?)'
        ' ON CONFLICT (namespace, project, "user") DO UPDATE SET role = excluded.role',
        (namespace_id, project_id, user_id, role),
    )


def remove(connection: Connection, namespace_id: int, project_id: int, user_id: int) -> None:
    """Take the role away. Raises MissingError."""
    removed = connection.execute(
        'DELETE FROM members WHERE namespace = ? AND project = ? AND "user" = ?', (namespace_id, project_id, user_id)
    )
    if removed.rowcount < 1:
        raise MissingError("the user has no role of its own there")
