"""The statements for users, namespaces, projects and runs.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from datetime import datetime, timezone

from slugify import slugify

from steplog.server.schema import delete_chunks, series_bounds
from steplog.server.store_types import MissingError, NamespaceRow, ProjectRow, RefusedError, RunRow, TakenError, UserRow

__all__ = [
    "add_project",
    "add_run",
    "add_user",
    "delete_project",
    "namespace",
    "namespaces",
    "project",
    "projects",
    "put_namespace",
    "put_user",
    "run",
    "runs",
    "runs_of_slug",
    "update_run",
    "user",
]

_USER = "SELECT id, uuid, username, slug, email FROM users"
_NAMESPACE = "SELECT id, uuid, slug, display_name FROM namespaces"
_PROJECT = """
SELECT p.id, p.uuid, p.slug, p.display_name, p.visibility, p.date_created,
       (SELECT date_created FROM runs WHERE project = p.id ORDER BY id DESC LIMIT 1)
FROM projects p JOIN namespaces n ON n.id = p.namespace
"""
_RUN = """
SELECT r.id, r.uuid, r.name, r.description, r.status, r.date_created, r.date_updated, r.report,
       p.uuid, p.display_name, p.slug, u.uuid, u.username, u.slug
FROM runs r JOIN projects p ON p.id = r.project JOIN users u ON u.id = r.user
"""
_FIRST_WORDS = (  # noqa: SIM905 - a text, not a column of words
    "amber bold brave bright brisk calm clever cosmic crisp curious daring dreamy eager fancy fluffy gentle golden "
    "happy humble icy jolly keen lively lucky mellow merry mighty misty nimble noble patient proud quick quiet "
    "rapid shiny silent smooth sunny swift tender tidy vivid warm wild wise witty young zesty"
).split()
_SECOND_WORDS = (  # noqa: SIM905
    "apple bagel basil berry biscuit bread brownie carrot cashew cherry cocoa cookie curry dumpling falafel fig "
    "ginger granola gravy hazelnut honey kiwi lemon lentil mango maple melon muffin noodle nutmeg olive onion "
    "pancake pasta peach pepper pickle pizza pretzel pumpkin radish ramen rice saffron sorbet soup taco toffee waffle"
).split()


def user(connection: sqlite3.Connection, username: str) -> UserRow | None:
    """The user of this name."""
    row = connection.execute(f"{_USER} WHERE username = ?", (username,)).fetchone()
    return UserRow(*row) if row else None


def put_user(connection: sqlite3.Connection, username: str, slug: str, email: str) -> UserRow:
    """Create the user, or set its email."""
    connection.execute(
        "INSERT INTO users (uuid, username, slug, email) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (username) DO UPDATE SET email = excluded.email",
        (str(uuid.uuid4()), username, slug, email),
    )
    return UserRow(*connection.execute(f"{_USER} WHERE username = ?", (username,)).fetchone())


def add_user(connection: sqlite3.Connection, username: str, email: str | None = None) -> UserRow:
    """The user of this name, created with a namespace if missing; sets the email if given.

    Raises RefusedError for a name without a slug.
    """
    slug = slugify(username)
    if not slug:
        raise RefusedError("a user name needs a letter or a digit")
    put_namespace(connection, slug)
    known = user(connection, username)
    if known is not None and email is None:
        return known
    return put_user(connection, username, slug, email or f"{slug}@localhost")


def namespace(connection: sqlite3.Connection, slug: str) -> NamespaceRow | None:
    """The namespace with this slug."""
    row = connection.execute(f"{_NAMESPACE} WHERE slug = ?", (slug,)).fetchone()
    return NamespaceRow(*row) if row else None


def namespaces(connection: sqlite3.Connection) -> list[NamespaceRow]:
    """Every namespace, oldest first."""
    return [NamespaceRow(*row) for row in connection.execute(f"{_NAMESPACE} ORDER BY id")]


def put_namespace(connection: sqlite3.Connection, slug: str) -> NamespaceRow:
    """The namespace with this slug, created if missing."""
    connection.execute(
        "INSERT INTO namespaces (uuid, slug, display_name) VALUES (?, ?, ?) ON CONFLICT (slug) DO NOTHING",
        (str(uuid.uuid4()), slug, slug),
    )
    return NamespaceRow(*connection.execute(f"{_NAMESPACE} WHERE slug = ?", (slug,)).fetchone())


def projects(connection: sqlite3.Connection, namespace_id: int) -> list[ProjectRow]:
    """The projects of a namespace, oldest first."""
    rows = connection.execute(f"{_PROJECT} WHERE p.namespace = ? ORDER BY p.id", (namespace_id,))
    return [ProjectRow(*row) for row in rows]


def project(connection: sqlite3.Connection, namespace_slug: str, slug: str) -> ProjectRow | None:
    """The project with these slugs."""
    row = connection.execute(f"{_PROJECT} WHERE n.slug = ? AND p.slug = ?", (namespace_slug, slug)).fetchone()
    return ProjectRow(*row) if row else None


def add_project(
    connection: sqlite3.Connection, namespace_row: NamespaceRow, slug: str, display_name: str, visibility: str
) -> ProjectRow:
    """Create a project; TakenError if the slug is in use."""
    if project(connection, namespace_row.slug, slug) is not None:
        raise TakenError(f"{namespace_row.slug} already has a project {slug}")
    connection.execute(
        "INSERT INTO projects (uuid, namespace, slug, display_name, visibility, date_created)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (str(uuid.uuid4()), namespace_row.id, slug, display_name, visibility, _now()),
    )
    created = project(connection, namespace_row.slug, slug)
    if created is None:
        raise MissingError("the namespace does not exist")
    return created


def delete_project(connection: sqlite3.Connection, project_id: int) -> None:
    """Delete a project, its runs and their metrics."""
    for (run_id,) in connection.execute("SELECT id FROM runs WHERE project = ?", (project_id,)).fetchall():
        for (series_id,) in connection.execute("SELECT id FROM series WHERE run = ?", (run_id,)).fetchall():
            delete_chunks(connection, series_bounds(series_id))
        for table in ("series", "marks", "waiting"):
            connection.execute(f"DELETE FROM {table} WHERE run = ?", (run_id,))  # noqa: S608 - constants
    connection.execute("DELETE FROM runs WHERE project = ?", (project_id,))
    connection.execute("DELETE FROM projects WHERE id = ?", (project_id,))


def runs(connection: sqlite3.Connection, project_id: int, offset: int, limit: int | None) -> list[RunRow]:
    """Runs of a project, oldest first."""
    rows = connection.execute(
        f"{_RUN} WHERE r.project = ? ORDER BY r.id LIMIT ? OFFSET ?",
        (project_id, -1 if limit is None else limit, offset),
    )
    return [RunRow(*row) for row in rows]


def runs_of_slug(connection: sqlite3.Connection, project_id: int, slug: str) -> list[RunRow]:
    """The runs whose name has this slug, oldest first; unlike names, slugs are not unique."""
    rows = connection.execute("SELECT id, name FROM runs WHERE project = ? ORDER BY id", (project_id,)).fetchall()
    return [_run_by_id(connection, run_id) for run_id, name in rows if slugify(name) == slug]


def run(connection: sqlite3.Connection, namespace_slug: str, project_slug: str, run_uuid: str) -> RunRow | None:
    """The run with this uuid."""
    row = connection.execute(
        f"{_RUN} JOIN namespaces n ON n.id = p.namespace WHERE r.uuid = ? AND p.slug = ? AND n.slug = ?",
        (run_uuid, project_slug, namespace_slug),
    ).fetchone()
    return RunRow(*row) if row else None


def add_run(
    connection: sqlite3.Connection,
    project_id: int,
    user_id: int,
    name: str | None,
    description: str | None,
    status: str,
    idempotency_key: str | None,
) -> RunRow:
    """Create a run, or return the one created with this key."""
    if idempotency_key is not None:
        query = f"{_RUN} WHERE r.project = ? AND r.idempotency_key = ?"
        row = connection.execute(query, (project_id, idempotency_key)).fetchone()
        if row:
            return RunRow(*row)
    if connection.execute("SELECT 1 FROM projects WHERE id = ?", (project_id,)).fetchone() is None:
        raise MissingError("the project does not exist")
    if name is None:
        name = f"{random.choice(_FIRST_WORDS)}_{random.choice(_SECOND_WORDS)}_{random.randint(100, 999)}"
    name, created = _free_name(connection, project_id, name), _now()
    inserted = connection.execute(
        "INSERT INTO runs (uuid, project, user, name, description, status, date_created, date_updated,"
        " idempotency_key, points) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        (str(uuid.uuid4()), project_id, user_id, name, description, status, created, created, idempotency_key),
    )
    return _run_by_id(connection, inserted.lastrowid)


def update_run(connection: sqlite3.Connection, run_id: int, status: str | None, report: str | None) -> RunRow:
    """Set a run's status and report, unless None, and its date of change."""
    connection.execute(
        "UPDATE runs SET status = coalesce(?, status), report = coalesce(?, report), date_updated = ? WHERE id = ?",
        (status, report, _now(), run_id),
    )
    return _run_by_id(connection, run_id)


def _run_by_id(connection: sqlite3.Connection, run_id: int | None) -> RunRow:
    row = connection.execute(f"{_RUN} WHERE r.id = ?", (run_id,)).fetchone()
    if row is None:
        raise MissingError("the run does not exist")
    return RunRow(*row)


def _free_name(connection: sqlite3.Connection, project_id: int, name: str) -> str:
    free, number = name, 0
    while connection.execute("SELECT 1 FROM runs WHERE project = ? AND name = ?", (project_id, free)).fetchone():
        number += 1
        free = f"{name}_{number}"
    return free


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
