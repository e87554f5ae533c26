"""The statements for runs; one in the trash is not there (see trash).

Functions that write are called inside a transaction.

Columns of ``runs`` beside the plain ones::

    idempotency_key    "id:<id>" where the caller chose the id, else a random one
    made_by            Steplog-Maker of the request that made the run
    generation         the number of the present one (see generations)
    started, ended     the run's own, not the delivery's; NULL: not known yet
    tags, provenance   JSON
    report             JSON: what its client has lost
    deleted            since when it is in the trash
    files_pending      how many of its files are to come, as its client has told last; NULL: it has not
    slug               of its name; NULL: not known yet, of a run of an older database (see table)

A name that is taken gets the smallest number that is free. ``suffixes.next`` is where to look first: every number below
is taken, so that the names of a sweep are not all read for each of its runs.

What has only its number looks for it by ``IS_THERE``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone

from slugify import slugify

from steplog.records.dates import utc_text
from steplog.server.sql.connection import NO_LIMIT, Connection, Values
from steplog.server.store_types import MissingError, RunRow

__all__ = [
    "IS_THERE",
    "by_id",
    "by_key",
    "by_name",
    "by_slug",
    "by_uuid",
    "by_uuid_in",
    "free_name",
    "hear",
    "in_project",
    "made_after",
    "note_seen",
    "now_text",
    "points_version",
    "release_name",
]

IS_THERE = "runs.deleted IS NULL AND EXISTS (SELECT 1 FROM projects WHERE id = runs.project AND deleted IS NULL)"
_PUT_SUFFIX = (
    "INSERT INTO suffixes (project, name, next) VALUES (?, ?, ?)"
    " ON CONFLICT (project, name) DO UPDATE SET next = excluded.next"
)
_SUFFIXED = re.compile(r"(.*)_([1-9][0-9]{0,17})", re.DOTALL)

_RUN = """
SELECT r.id, r.uuid, r.name, r.description, r.status, r.date_created, r.date_updated, r.project, r.idempotency_key,
       r.made_by, r.generation, (SELECT began FROM generations WHERE run = r.id AND number = r.generation), r.tags,
       r."group", r.job_type, r.notes, r.started, r.ended, r.provenance, r.report, r.deleted,
       p.uuid, p.display_name, p.slug, u.uuid, u.username, u.slug, r.files_pending
FROM runs r JOIN projects p ON p.id = r.project JOIN users u ON u.id = r."user"
"""
_PROGRESS = "SELECT run, seen, last_point, sealed FROM progress WHERE run"


def in_project(
    connection: Connection, project_id: int, offset: int, limit: int | None, deleted: str = "IS NULL"
) -> list[RunRow]:
    """Runs of a project, oldest first; ``deleted`` is a condition."""
    # The inner one reads an index alone, also where it skips.
    live = "(SELECT id FROM projects WHERE id = ? AND deleted IS NULL)"
    ids = f"SELECT id FROM runs WHERE project = {live} AND deleted {deleted} ORDER BY id LIMIT ? OFFSET ?"  # noqa: S608
    values = project_id, NO_LIMIT if limit is None else limit, offset
    return _read(connection, f"{_RUN} WHERE r.id IN ({ids}) ORDER BY r.id", values)


def made_after(connection: Connection, project_id: int, run_uuid: str, limit: int | None) -> list[RunRow]:
    """Runs of a project that were made after this one, which may be in the trash. Raises MissingError."""
    found = connection.execute("SELECT id FROM runs WHERE project = ? AND uuid = ?", (project_id, run_uuid)).fetchone()
    if found is None:
        raise MissingError("the run does not exist")
    ids = "SELECT id FROM runs WHERE project = ? AND deleted IS NULL AND id > ? ORDER BY id LIMIT ?"
    values = project_id, found[0], NO_LIMIT if limit is None else limit
    return _read(connection, f"{_RUN} WHERE r.id IN ({ids}) ORDER BY r.id", values)


def by_slug(connection: Connection, project_id: int, slug: str, trashed: bool = False) -> list[RunRow]:
    """The runs whose name has this slug, in the trash or not, oldest first; unlike names, slugs are not unique."""
    deleted = "deleted <> ''" if trashed else "deleted IS NULL"
    query = f"SELECT id, slug, name FROM runs WHERE project = ? AND {deleted} AND slug"  # noqa: S608 - one of two
    rows = connection.execute(f"{query} = ?", (project_id, slug)).fetchall()
    rows += connection.execute(f"{query} IS NULL", (project_id,)).fetchall()
    ids = sorted(run_id for run_id, known, name in rows if (slugify(name) if known is None else known) == slug)
    return _by_ids(connection, ids)


def by_id(connection: Connection, run_id: int | None) -> RunRow:
    """The run with this number. Raises MissingError."""
    run = _one(connection, "r.id = ?", run_id)
    if run is None:
        raise MissingError("the run does not exist")
    return run


def by_key(connection: Connection, project_id: int, idempotency_key: str) -> RunRow | None:
    """The run that was made with this key."""
    return _one(connection, "r.project = ? AND r.idempotency_key = ?", project_id, idempotency_key)


def by_name(connection: Connection, project_id: int, name: str) -> RunRow | None:
    """The run that has this name now."""
    return _one(connection, "r.project = ? AND r.name = ?", project_id, name)


def by_uuid_in(connection: Connection, project_id: int, run_uuid: str) -> RunRow | None:
    """The run of a project with this uuid."""
    return _one(connection, "r.project = ? AND r.uuid = ?", project_id, run_uuid)


def by_uuid(connection: Connection, namespace_slug: str, project_slug: str, run_uuid: str) -> RunRow | None:
    """The run with this uuid."""
    slugs = "p.slug = ? AND p.namespace = (SELECT id FROM namespaces WHERE slug = ?)"
    return _one(connection, f"r.uuid = ? AND {slugs}", run_uuid, project_slug, namespace_slug)


def note_seen(connection: Connection, run_id: int, now: str) -> None:
    """Note that a client of the run was heard of."""
    connection.execute("UPDATE progress SET seen = ? WHERE run = ?", (now, run_id))


def hear(connection: Connection, run_id: int) -> RunRow:
    """The run, of which a client was heard."""
    note_seen(connection, run_id, now_text())
    return by_id(connection, run_id)


def points_version(connection: Connection, run_id: int) -> str:
    """What is another one once points of the run have arrived, or could not be packed."""
    row = connection.execute("SELECT arrivals, sealed FROM progress WHERE run = ?", (run_id,)).fetchone()
    return f"{row[0]}-{row[1]}" if row else "0"


def free_name(connection: Connection, project_id: int, name: str, run_id: int = 0) -> str:
    """The name, with a number where another run of the project than this one has it; for the run to take now."""

    def is_taken(wanted: str) -> bool:
        query = "SELECT 1 FROM runs WHERE project = ? AND name = ? AND deleted IS NULL AND id <> ?"
        return connection.execute(query, (project_id, wanted, run_id)).fetchone() is not None

    if not is_taken(name):
        return name
    row = connection.execute("SELECT next FROM suffixes WHERE project = ? AND name = ?", (project_id, name)).fetchone()
    number = row[0] if row else 1
    present = connection.execute("SELECT name FROM runs WHERE id = ?", (run_id,)).fetchone()
    own = _SUFFIXED.fullmatch(present[0]) if present else None
    if own is not None and own[1] == name and int(own[2]) < number:
        return own[0]
    while is_taken(f"{name}_{number}"):
        number += 1
    connection.execute(_PUT_SUFFIX, (project_id, name, number + 1))
    return f"{name}_{number}"


def release_name(connection: Connection, project_id: int, name: str) -> None:
    """Note that a run of the project has this name no more."""
    suffixed = _SUFFIXED.fullmatch(name)
    if suffixed is not None:
        number = int(suffixed[2])
        connection.execute(
            "UPDATE suffixes SET next = ? WHERE project = ? AND name = ? AND next > ?",
            (number, project_id, suffixed[1], number),
        )


def now_text() -> str:
    """The time in ISO 8601."""
    return utc_text(datetime.now(timezone.utc))


def _by_ids(connection: Connection, ids: Sequence[int]) -> list[RunRow]:
    """The runs with these numbers, in the trash or not, oldest first."""
    one_of_them, numbers = connection.among(ids)
    return _read(connection, f"{_RUN} WHERE r.id {one_of_them} ORDER BY r.id", numbers)


def _one(connection: Connection, condition: str, *values: object) -> RunRow | None:
    found = _read(connection, f"{_RUN} WHERE {condition} AND r.deleted IS NULL AND p.deleted IS NULL", values)
    return found[0] if found else None


def _read(connection: Connection, query: str, values: Values) -> list[RunRow]:
    """The runs that a query by ``_RUN`` finds. Their progress is not of the catalogue, and asked by itself."""
    rows = connection.execute(query, values).fetchall()
    if not rows:
        return []
    one_of_them, numbers = connection.among([row[0] for row in rows])
    progress = {of_run[0]: of_run[1:] for of_run in connection.execute(f"{_PROGRESS} {one_of_them}", numbers)}
    return [RunRow(*row, *progress[row[0]]) for row in rows if row[0] in progress]
