"""The statements for files of runs, as their clients announce them.

1. Known by its id: a file that is announced again stays as it is.
2. An announcement reads which contents the project has, and names them, in one serializable transaction; so does
   whoever forgets contents that nothing names (``contents``). So what a client is told is there stays there.

Ids and hashes are bytes here. Functions that write are called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.server.file_types import AnnouncedFiles, FileRow
from steplog.server.sql import artifacts as artifact_statements
from steplog.server.sql import contents
from steplog.server.sql.connection import Connection
from steplog.server.sql.runs import IS_THERE
from steplog.server.store_types import MissingError

__all__ = ["announce", "by_id", "in_run"]

_INSERT = """
INSERT INTO files (run, number, id, project, sha256, size, type, path, suffix, time)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FILE = """
SELECT f.id, f.sha256, f.size, f.type, f.path, f.suffix, f.time, c.sha256 IS NOT NULL
FROM files f LEFT JOIN project_contents c ON c.project = f.project AND c.sha256 = f.sha256
"""
# As a number, which is looked up for each row that is listed; PostgreSQL would join what does not exist, of all rows.
_IS_LATEST = """
(f.path = '' OR f.number = (SELECT max(l.number) FROM files l WHERE l.run = f.run AND l.path = f.path AND l.path <> ''))
"""


def announce(
    connection: Connection,
    run_id: int,
    files: Sequence[FileEntry],
    artifacts: Sequence[ArtifactEntry],
    pending: int | None,
) -> AnnouncedFiles:
    """Note files and artifacts of a run, and how many files are to come. Raises MissingError."""
    row = connection.execute(f"SELECT project FROM runs WHERE id = ? AND {IS_THERE}", (run_id,)).fetchone()  # noqa: S608
    if row is None:
        raise MissingError("the run does not exist")
    project_id = int(row[0])
    _add(connection, run_id, project_id, [file for file in files if not file.artifact])
    of_artifacts = [file for file in files if file.artifact]
    versions = artifact_statements.announce(connection, project_id, run_id, artifacts, of_artifacts)
    if pending is not None:
        connection.execute("UPDATE runs SET files_pending = ? WHERE id = ?", (pending, run_id))
    hashes = {file.sha256: bytes.fromhex(file.sha256) for file in files}
    present = contents.of_project(connection, project_id, hashes.values())
    return AnnouncedFiles([text for text, sha256 in hashes.items() if sha256 not in present], versions)


def in_run(connection: Connection, run_id: int, after: str, limit: int, path: str, saved: bool) -> list[FileRow]:
    """The files of a run, as ``FileCatalogue.files`` has them. Raises MissingError."""
    number = -1
    if after:
        found = connection.execute("SELECT number FROM files WHERE run = ? AND id = ?", (run_id, _id_of(after)))
        if (row := found.fetchone()) is None:
            raise MissingError("the run has no such file")
        number = row[0]
    condition = f"f.run = :run AND f.number > :number AND {_IS_LATEST}"
    if path:
        condition += " AND f.path >= :path AND substr(f.path, 1, CAST(:length AS int)) = :path"
    if path or saved:
        condition += " AND f.path <> ''"
    values: dict[str, object] = {"run": run_id, "number": number, "limit": limit}
    if path:
        values |= {"path": path, "length": len(path)}
    return _rows(connection.execute(f"{_FILE} WHERE {condition} ORDER BY f.number LIMIT :limit", values).fetchall())


def by_id(connection: Connection, run_id: int, file_id: str) -> FileRow | None:
    """The file of a run with this id."""
    found = connection.execute(f"{_FILE} WHERE f.run = ? AND f.id = ?", (run_id, _id_of(file_id))).fetchall()
    return _rows(found)[0] if found else None


def _add(connection: Connection, run_id: int, project_id: int, files: Sequence[FileEntry]) -> None:
    entries = {bytes.fromhex(file.id): file for file in files}
    for part in contents.slices(entries):
        one_of_them, values = connection.among(part)
        query = f"SELECT id FROM files WHERE run = ? AND id {one_of_them}"  # noqa: S608 - question marks
        for (known,) in connection.execute(query, (run_id, *values)):
            del entries[known]
    if not entries:
        return
    query = "SELECT coalesce(max(number), -1) FROM files WHERE run = ?"
    first = connection.execute(query, (run_id,)).fetchone()[0] + 1
    rows = (
        (run_id, number, key, project_id, bytes.fromhex(f.sha256), f.size, f.type, f.path, f.suffix, f.time)
        for number, (key, f) in enumerate(entries.items(), first)
    )
    connection.executemany(_INSERT, rows)


def _id_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""  # no file has it


def _rows(found: Sequence[Sequence[object]]) -> list[FileRow]:
    return [artifact_statements.file_row(row) for row in found]
