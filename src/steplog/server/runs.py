"""The statements for runs. Functions that write are called inside a transaction.

Columns of ``runs`` beside the plain ones::

    idempotency_key    "id:<id>" where the caller chose the id, else a random one
    made_by            Steplog-Maker of the request that made the run
    generation         the present generation of ownership; owner: its Steplog-Maker; began: when its process did
    seen               when a client was last heard of
    last_point         when what the program logged last was logged; NULL: nothing yet, or by an older version
    started, ended     the run's own, not the delivery's; NULL: not known yet
    tags, provenance   JSON
    report             JSON: what its client has lost
    deleted            since when it is in the trash
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from datetime import datetime, timezone

from slugify import slugify

from steplog.server.dates import utc_text
from steplog.server.store_types import MissingError, RunRow

__all__ = ["add", "by_slug", "by_uuid", "free_name", "in_project", "now_text", "update"]

_RUN = """
SELECT r.id, r.uuid, r.name, r.description, r.status, r.date_created, r.date_updated, r.project, r.idempotency_key,
       r.made_by, r.generation, r.tags, r."group", r.job_type, r.notes, r.started, r.ended, r.seen,
       r.last_point, r.provenance, r.report, r.deleted, p.uuid, p.display_name, p.slug, u.uuid, u.username, u.slug
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


def in_project(connection: sqlite3.Connection, project_id: int, offset: int, limit: int | None) -> list[RunRow]:
    """Runs of a project, oldest first."""
    rows = connection.execute(
        f"{_RUN} WHERE r.project = ? AND r.deleted IS NULL ORDER BY r.id LIMIT ? OFFSET ?",
        (project_id, -1 if limit is None else limit, offset),
    )
    return [RunRow(*row) for row in rows]


def by_slug(connection: sqlite3.Connection, project_id: int, slug: str) -> list[RunRow]:
    """The runs whose name has this slug, oldest first; unlike names, slugs are not unique."""
    rows = connection.execute(
        "SELECT id, name FROM runs WHERE project = ? AND deleted IS NULL ORDER BY id", (project_id,)
    ).fetchall()
    return [_by_id(connection, run_id) for run_id, name in rows if slugify(name) == slug]


def by_uuid(connection: sqlite3.Connection, namespace_slug: str, project_slug: str, run_uuid: str) -> RunRow | None:
    """The run with this uuid."""
    row = connection.execute(
        f"{_RUN} JOIN namespaces n ON n.id = p.namespace"
        " WHERE r.uuid = ? AND r.deleted IS NULL AND p.slug = ? AND n.slug = ?",
        (run_uuid, project_slug, namespace_slug),
    ).fetchone()
    return RunRow(*row) if row else None


def add(
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
        query = f"{_RUN} WHERE r.project = ? AND r.idempotency_key = ? AND r.deleted IS NULL"
        row = connection.execute(query, (project_id, idempotency_key)).fetchone()
        if row:
            return RunRow(*row)
    if connection.execute("SELECT 1 FROM projects WHERE id = ?", (project_id,)).fetchone() is None:
        raise MissingError("the project does not exist")
    if name is None:
        name = f"{random.choice(_FIRST_WORDS)}_{random.choice(_SECOND_WORDS)}_{random.randint(100, 999)}"
    name, created = _free_name(connection, project_id, name, 0), now_text()
    inserted = connection.execute(
        "INSERT INTO runs (uuid, project, user, name, description, status, date_created, date_updated, seen,"
        " idempotency_key, points) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        (str(uuid.uuid4()), project_id, user_id, name, description, status, created, created, created, idempotency_key),
    )
    return _by_id(connection, inserted.lastrowid)


def update(connection: sqlite3.Connection, run_id: int, status: str | None, report: str | None) -> RunRow:
    """Set a run's status and report, unless None, and its date of change."""
    connection.execute(
        "UPDATE runs SET status = coalesce(?, status), report = coalesce(?, report), date_updated = ? WHERE id = ?",
        (status, report, now_text(), run_id),
    )
    return _by_id(connection, run_id)


def _by_id(connection: sqlite3.Connection, run_id: int | None) -> RunRow:
    row = connection.execute(f"{_RUN} WHERE r.id = ?", (run_id,)).fetchone()
    if row is None:
        raise MissingError("the run does not exist")
    return RunRow(*row)


def free_name(connection: sqlite3.Connection, run_id: int, name: str) -> str:
    """The name, with a suffix if another run of the project has it."""
    project_id = connection.execute("SELECT project FROM runs WHERE id = ?", (run_id,)).fetchone()[0]
    return _free_name(connection, project_id, name, run_id)


def _free_name(connection: sqlite3.Connection, project_id: int, name: str, run_id: int) -> str:
    query = "SELECT 1 FROM runs WHERE project = ? AND name = ? AND deleted IS NULL AND id <> ?"
    free, number = name, 0
    while connection.execute(query, (project_id, free, run_id)).fetchone():
        number += 1
        free = f"{name}_{number}"
    return free


def now_text() -> str:
    """The time in ISO 8601."""
    return utc_text(datetime.now(timezone.utc))
