"""The statements for namespaces and projects; ``users``, ``members`` and ``runs`` have those for these.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

import uuid

from steplog.server.sql.connection import Connection
from steplog.server.sql.runs import now_text
from steplog.server.store_types import (
    MissingError,
    NamespaceRow,
    ProjectActivity,
    ProjectRow,
    TakenError,
)

__all__ = [
    "activity",
    "add_project",
    "namespace",
    "namespaces",
    "project",
    "projects",
    "put_namespace",
]

_NAMESPACE = "SELECT id, uuid, slug, display_name FROM namespaces"
_PROJECT = """
SELECT p.id, p.uuid, p.slug, p.display_name, p.visibility, p.date_created,
       (SELECT date_created FROM runs WHERE project = p.id AND deleted IS NULL ORDER BY id DESC LIMIT 1),
       p.retention_days, p.namespace
FROM projects p JOIN namespaces n ON n.id = p.namespace AND p.deleted IS NULL
"""

_ACTIVITY = """
SELECT p.id, (SELECT count(*) FROM runs WHERE project = p.id AND deleted IS NULL),
       (SELECT max(id) FROM runs WHERE project = p.id AND deleted IS NULL)
FROM projects p WHERE p.namespace = ? AND p.deleted IS NULL
"""
# SQLite would not take this index by itself.
_RUNNING = """
SELECT p.id, r.id FROM projects p
JOIN runs r INDEXED BY runs_running ON r.project = p.id AND r.status = 'RUNNING' AND r.deleted IS NULL
WHERE p.namespace = ? AND p.deleted IS NULL
"""


def namespace(connection: Connection, slug: str) -> NamespaceRow | None:
    """The namespace with this slug."""
    row = connection.execute(f"{_NAMESPACE} WHERE slug = ?", (slug,)).fetchone()
    return NamespaceRow(*row) if row else None


def namespaces(connection: Connection) -> list[NamespaceRow]:
    """Every namespace, oldest first."""
    return [NamespaceRow(*row) for row in connection.execute(f"{_NAMESPACE} ORDER BY id")]


def put_namespace(connection: Connection, slug: str) -> NamespaceRow:
    """The namespace with this slug, created if missing."""
    connection.execute(
        "INSERT INTO namespaces (uuid, slug, display_name) VALUES (?, ?, ?) ON CONFLICT (slug) DO NOTHING",
        (str(uuid.uuid4()), slug, slug),
    )
    return NamespaceRow(*connection.execute(f"{_NAMESPACE} WHERE slug = ?", (slug,)).fetchone())


def projects(connection: Connection, namespace_id: int) -> list[ProjectRow]:
    """The projects of a namespace, oldest first."""
    rows = connection.execute(f"{_PROJECT} WHERE p.namespace = ? ORDER BY p.id", (namespace_id,))
    return [ProjectRow(*row) for row in rows]


def activity(connection: Connection, namespace_id: int) -> dict[int, ProjectActivity]:
    """What goes on in each project of a namespace, by the project's id."""
    rows = connection.execute(_ACTIVITY, (namespace_id,)).fetchall()
    running: dict[int, list[int]] = {project_id: [] for project_id, *_ in rows}
    for project_id, run_id in connection.execute(_RUNNING, (namespace_id,)):
        running[project_id].append(run_id)
    # Last heard of are the runs that go on, some of which began long ago, or the newest.
    asked = {
        project_id: {*running[project_id], *([] if newest is None else [newest])} for project_id, _, newest in rows
    }
    one_of_them, numbers = connection.among(sorted(set[int]().union(*asked.values())))
    seen = dict(connection.execute(f"SELECT run, seen FROM progress WHERE run {one_of_them}", numbers).fetchall())  # noqa: S608
    return {
        project_id: ProjectActivity(
            count,
            len(running[project_id]),
            max((seen[run_id] for run_id in asked[project_id] if run_id in seen), default=None),
        )
        for project_id, count, _ in rows
    }


def project(connection: Connection, namespace_slug: str, slug: str) -> ProjectRow | None:
    """The project with these slugs."""
    row = connection.execute(f"{_PROJECT} WHERE n.slug = ? AND p.slug = ?", (namespace_slug, slug)).fetchone()
    return ProjectRow(*row) if row else None


def add_project(
    connection: Connection, namespace_row: NamespaceRow, slug: str, display_name: str, visibility: str
) -> ProjectRow:
    """Create a project; TakenError if the slug is in use."""
    if project(connection, namespace_row.slug, slug) is not None:
        raise TakenError(f"{namespace_row.slug} already has a project {slug}")
    connection.execute(
        "INSERT INTO projects (uuid, namespace, slug, display_name, visibility, date_created)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (str(uuid.uuid4()), namespace_row.id, slug, display_name, visibility, now_text()),
    )
    created = project(connection, namespace_row.slug, slug)
    if created is None:
        raise MissingError("the namespace does not exist")
    return created
