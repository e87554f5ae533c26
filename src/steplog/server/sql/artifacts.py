"""The statements for artifacts, their versions and files.

A row of ``artifacts`` is what a run has logged under an id of its client. It comes about with whatever is announced of
it first, the entry or a file, and gets a version when all is there::

    announced    how many of its files are
    version      NULL: not all of it is announced
    same_as      the artifact that has this version, where its digest is the same: its own files are removed (removal)
    present      how many of its files have a content in the project
    aliases      JSON, until it gets its version

An alias means the version that was logged with it last, "latest" always the greatest; "v3" is no alias. Versions of one
name begin at 0 and are never used again. An artifact stays when its run is gone.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.server.file_types import ArtifactRow, ArtifactVersionError, FileRow
from steplog.server.sql import contents
from steplog.server.sql.connection import NO_LIMIT, Connection
from steplog.server.sql.runs import IS_THERE, now_text
from steplog.server.store_types import MissingError

__all__ = ["announce", "by_version", "file_row", "files", "in_project", "use", "used_by"]

_LATEST = "latest"
_VERSION = re.compile(r"v(0|[1-9][0-9]{0,17})")
_IS_VERSION = "a.version IS NOT NULL AND a.same_as IS NULL"
_ROW = """
SELECT a.uuid, a.name, a.type, a.version, a.digest, a.count, a.size, a.present, a.description, a.metadata,
    coalesce(r.uuid, ''), coalesce(r.name, ''), a.date_created
FROM artifacts a LEFT JOIN runs r ON r.id = a.run AND r.deleted IS NULL
"""
_COMPLETE = """
SELECT name, version, digest, count, announced, aliases FROM artifacts WHERE id = ?
"""
_GREATEST = """
SELECT id, version, digest FROM artifacts WHERE project = ? AND name = ? AND version IS NOT NULL AND same_as IS NULL
ORDER BY version DESC LIMIT 1
"""
_PUT_ALIAS = """
INSERT INTO artifact_aliases (project, name, alias, version) VALUES (?, ?, ?, ?)
ON CONFLICT (project, name, alias) DO UPDATE SET version = excluded.version
"""
_INSERT_FILE = """
INSERT INTO artifact_files (artifact, path, id, project, sha256, size, type, suffix, time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FILE = """
SELECT f.id, f.sha256, f.size, f.type, f.path, f.suffix, f.time, c.sha256 IS NOT NULL
FROM artifact_files f LEFT JOIN project_contents c ON c.project = f.project AND c.sha256 = f.sha256
"""


def announce(
    connection: Connection,
    project_id: int,
    run_id: int,
    entries: Sequence[ArtifactEntry],
    of_artifacts: Sequence[FileEntry],
) -> dict[str, int]:
    """Note artifacts of a run, and files of such; the version of each that has one, by its id."""
    ids: dict[str, int] = {}
    for entry in entries:
        ids[entry.id] = _row_of(connection, project_id, run_id, entry.id)
        _describe(connection, ids[entry.id], entry)
    by_artifact: defaultdict[str, list[FileEntry]] = defaultdict(list)
    for file in of_artifacts:
        by_artifact[file.artifact].append(file)
    for uuid, some in by_artifact.items():
        if uuid not in ids:
            ids[uuid] = _row_of(connection, project_id, run_id, uuid)
        _add_files(connection, project_id, ids[uuid], some)
    versions = {uuid: _version_of(connection, project_id, artifact) for uuid, artifact in ids.items()}
    return {uuid: version for uuid, version in versions.items() if version is not None}


def in_project(
    connection: Connection,
    project_id: int,
    name: str,
    kind: str,
    run_id: int | None,
    entry: str,
    limit: int | None,
    before: str,
) -> list[ArtifactRow]:
    """The versions of a project, the newest first, as ``FileCatalogue.artifacts`` has them."""
    conditions: list[tuple[str, Any]] = [("a.project = ?", project_id)]
    if name:
        conditions.append(("a.name = ?", name))
    if kind:
        conditions.append(("a.type = ?", kind))
    if run_id is not None:
        of_run = "SELECT coalesce(same_as, id) FROM artifacts WHERE run = ? AND version IS NOT NULL"
        conditions.append((f"a.id IN ({of_run})", run_id))
    if entry:
        of_entry = "SELECT coalesce(o.same_as, o.id) FROM artifacts o WHERE o.project = a.project AND o.uuid = ?"
        conditions.append((f"a.id IN ({of_entry})", entry))
    if before:
        conditions.append(("a.id < ?", _id_of(connection, project_id, before) or 0))
    wanted = " AND ".join([_IS_VERSION, *(each for each, _ in conditions)])
    bound = [*(value for _, value in conditions), NO_LIMIT if limit is None else limit]
    return _rows(connection, project_id, f"{_ROW} WHERE {wanted} ORDER BY a.id DESC LIMIT ?", bound)


def by_version(connection: Connection, project_id: int, name: str, version: str) -> ArtifactRow:
    """The version of this number ("v3") or alias. Raises ArtifactVersionError."""
    numbered = _VERSION.fullmatch(version)
    if numbered:
        number: Any = int(numbered[1])
    elif version == _LATEST:
        row = connection.execute(_GREATEST, (project_id, name)).fetchone()
        number = None if row is None else row[1]
    else:
        query = "SELECT version FROM artifact_aliases WHERE project = ? AND name = ? AND alias = ?"
        row = connection.execute(query, (project_id, name, version)).fetchone()
        number = None if row is None else row[0]
    condition = f"a.project = ? AND a.name = ? AND a.version = ? AND {_IS_VERSION}"
    found = _rows(connection, project_id, f"{_ROW} WHERE {condition}", (project_id, name, number))
    if not found:
        raise ArtifactVersionError(f"the project has no artifact {name}:{version}")
    return found[0]


def files(
    connection: Connection, project_id: int, uuid: str, after: str, limit: int | None, path: str | None = None
) -> list[FileRow]:
    """The files of an artifact, by path, from after a path on; ``path``: the one that has it."""
    condition = "f.artifact = ? AND f.path > ?" if path is None else "f.artifact = ? AND f.path = ?"
    artifact = _id_of(connection, project_id, uuid)
    values = artifact, after if path is None else path, NO_LIMIT if limit is None else limit
    rows = connection.execute(f"{_FILE} WHERE {condition} ORDER BY f.path LIMIT ?", values)
    return [file_row(row) for row in rows]


def use(connection: Connection, run_id: int, uuid: str) -> None:
    """Note that a run uses a version. Raises MissingError."""
    query = f"SELECT project FROM runs WHERE id = ? AND {IS_THERE}"  # noqa: S608 - a constant
    row = connection.execute(query, (run_id,)).fetchone()
    artifact = None if row is None else _id_of(connection, row[0], uuid)
    if artifact is None:
        raise MissingError("the run or the artifact does not exist")
    statement = "INSERT INTO artifact_uses (run, artifact) VALUES (?, ?) ON CONFLICT (run, artifact) DO NOTHING"
    connection.execute(statement, (run_id, artifact))


def used_by(connection: Connection, project_id: int, run_id: int) -> list[ArtifactRow]:
    """The versions that a run uses."""
    condition = "a.id IN (SELECT artifact FROM artifact_uses WHERE run = ?)"
    return _rows(connection, project_id, f"{_ROW} WHERE {condition} ORDER BY a.name, a.version", (run_id,))


def file_row(row: Sequence[Any]) -> FileRow:
    """A file as ``_FILE`` has it."""
    key, sha256, size, kind, path, suffix, time_ns, present = row
    return FileRow(key.hex(), sha256.hex(), size, kind, path, suffix, time_ns, bool(present))


def _id_of(connection: Connection, project_id: int, uuid: str) -> int | None:
    row = connection.execute("SELECT id FROM artifacts WHERE project = ? AND uuid = ?", (project_id, uuid)).fetchone()
    return None if row is None else int(row[0])


def _row_of(connection: Connection, project_id: int, run_id: int, uuid: str) -> int:
    """The row with this id, made where missing."""
    found = _id_of(connection, project_id, uuid)
    if found is not None:
        return found
    statement = "INSERT INTO artifacts (uuid, project, run, date_created) VALUES (?, ?, ?, ?)"
    connection.execute(statement, (uuid, project_id, run_id, now_text()))
    return _row_of(connection, project_id, run_id, uuid)


def _describe(connection: Connection, artifact: int, entry: ArtifactEntry) -> None:
    encode = msgspec.json.encode
    values = (
        *(entry.name, entry.type, entry.digest, entry.count, entry.size, encode(entry.aliases).decode()),
        *(entry.description, encode(entry.metadata).decode(), artifact),
    )
    connection.execute(
        "UPDATE artifacts SET name = ?, type = ?, digest = ?, count = ?, size = ?, aliases = ?, description = ?,"
        " metadata = ? WHERE id = ? AND version IS NULL",
        values,
    )


def _add_files(connection: Connection, project_id: int, artifact: int, some: Sequence[FileEntry]) -> None:
    """Add files that are not there yet; of one that has its version they all are."""
    query = "SELECT 1 FROM artifacts WHERE id = ? AND version IS NULL"
    if connection.execute(query, (artifact,)).fetchone() is None:
        return
    new = {file.path: file for file in some}
    paths = list(new)
    for at in range(0, len(paths), 500):
        one_of_them, values = connection.among(paths[at : at + 500])
        query = f"SELECT path FROM artifact_files WHERE artifact = ? AND path {one_of_them}"  # noqa: S608
        for (known,) in connection.execute(query, (artifact, *values)):
            del new[known]
    if not new:
        return
    hashes = {path: bytes.fromhex(file.sha256) for path, file in new.items()}
    rows = (
        (artifact, path, bytes.fromhex(f.id), project_id, hashes[path], f.size, f.type, f.suffix, f.time)
        for path, f in new.items()
    )
    connection.executemany(_INSERT_FILE, rows)
    there = contents.of_project(connection, project_id, hashes.values())
    present = sum(sha256 in there for sha256 in hashes.values())
    statement = "UPDATE artifacts SET announced = announced + ?, present = present + ? WHERE id = ?"
    connection.execute(statement, (len(new), present, artifact))


def _version_of(connection: Connection, project_id: int, artifact: int) -> int | None:
    """The version of an artifact, which it gets now if all of it is announced."""
    name, version, digest, count, announced, aliases = connection.execute(_COMPLETE, (artifact,)).fetchone()
    if version is not None:
        return int(version)
    if name is None or not digest or announced < count:
        return None
    greatest = connection.execute(_GREATEST, (project_id, name)).fetchone()
    if greatest is not None and greatest[2] == digest:
        number, same_as = greatest[1], greatest[0]
    else:
        number, same_as = 0 if greatest is None else greatest[1] + 1, None
    statement = "UPDATE artifacts SET version = ?, same_as = ?, aliases = NULL WHERE id = ?"
    connection.execute(statement, (number, same_as, artifact))
    for alias in msgspec.json.decode(aliases, type=list[str]):
        if alias != _LATEST and not _VERSION.fullmatch(alias):
            connection.execute(_PUT_ALIAS, (project_id, name, alias, number))
    return int(number)


def _rows(connection: Connection, project_id: int, query: str, values: Sequence[Any]) -> list[ArtifactRow]:
    found = connection.execute(query, values).fetchall()
    aliases: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for name in sorted({row[1] for row in found}):
        greatest = connection.execute(_GREATEST, (project_id, name)).fetchone()
        aliases[name, greatest[1]].append(_LATEST)
        query = "SELECT version, alias FROM artifact_aliases WHERE project = ? AND name = ? ORDER BY alias"
        for version, alias in connection.execute(query, (project_id, name)):
            aliases[name, version].append(alias)
    return [_artifact_row(row, aliases[row[1], row[3]]) for row in found]


def _artifact_row(row: Sequence[Any], aliases: Sequence[str]) -> ArtifactRow:
    uuid, name, kind, version, digest, count, size, present, description, metadata, run, run_name, created = row
    return ArtifactRow(
        *(uuid, name, kind, version, digest, count, size, present, tuple(aliases), description),
        *(msgspec.json.decode(metadata, type=dict[str, Any]), run, run_name, created),
    )
