"""Removing files and artifacts of what is deleted for good (see ``removal``), a little a step.

Contents that files have named are noted for ``contents.release_unnamed``; those of a project are given up at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from steplog.server.sql import contents
from steplog.server.sql.connection import Connection

__all__ = ["doubles", "of_project", "of_run"]

_FILES_A_STEP = 128
_CONTENTS_A_STEP = 16
_FILES = "SELECT number, project, sha256 FROM files WHERE run = ? ORDER BY number LIMIT ?"
_ARTIFACT_FILES = "SELECT path, project, sha256 FROM artifact_files WHERE artifact = ? ORDER BY path LIMIT ?"
_UNFINISHED = "SELECT id FROM artifacts WHERE run = ? AND (version IS NULL OR same_as IS NOT NULL) LIMIT 1"
_DOUBLE = "SELECT id FROM artifacts WHERE same_as IS NOT NULL AND announced > 0 LIMIT 1"
_CONTENTS = "SELECT sha256 FROM project_contents WHERE project = ? ORDER BY sha256 LIMIT ?"


def of_run(connection: Connection, run_id: int) -> Iterator[None]:
    """Remove the files of a run, and what of its artifacts is no version."""
    while rows := connection.execute(_FILES, (run_id, _FILES_A_STEP)).fetchall():
        _note_unnamed(connection, rows)
        connection.execute("DELETE FROM files WHERE run = ? AND number <= ?", (run_id, rows[-1][0]))
        yield
    while (found := connection.execute(_UNFINISHED, (run_id,)).fetchone()) is not None:
        yield from _artifact_steps(connection, found[0])
        connection.execute("DELETE FROM artifacts WHERE id = ?", (found[0],))
        yield
    connection.execute("DELETE FROM artifact_uses WHERE run = ?", (run_id,))


def of_project(connection: Connection, project_id: int) -> Iterator[None]:
    """Remove the artifacts of a project, which has no runs any more, and have it give up all contents."""
    query = "SELECT id FROM artifacts WHERE project = ? LIMIT 1"
    while (found := connection.execute(query, (project_id,)).fetchone()) is not None:
        yield from _artifact_steps(connection, found[0])
        connection.execute("DELETE FROM artifacts WHERE id = ?", (found[0],))
        yield
    connection.execute("DELETE FROM artifact_aliases WHERE project = ?", (project_id,))
    while rows := connection.execute(_CONTENTS, (project_id, _CONTENTS_A_STEP)).fetchall():
        for (sha256,) in rows:
            contents.release(connection, project_id, sha256, int(time.time()))
        yield
    connection.execute("DELETE FROM content_totals WHERE project = ?", (project_id,))


def doubles(connection: Connection) -> Iterator[None]:
    """Remove the files of artifacts that turned out to be a version that is there."""
    while (found := connection.execute(_DOUBLE).fetchone()) is not None:
        yield from _artifact_steps(connection, found[0])
        connection.execute("UPDATE artifacts SET announced = 0 WHERE id = ?", (found[0],))
        yield


def _artifact_steps(connection: Connection, artifact: int) -> Iterator[None]:
    while rows := connection.execute(_ARTIFACT_FILES, (artifact, _FILES_A_STEP)).fetchall():
        _note_unnamed(connection, rows)
        connection.execute("DELETE FROM artifact_files WHERE artifact = ? AND path <= ?", (artifact, rows[-1][0]))
        yield


def _note_unnamed(connection: Connection, rows: list[tuple[object, int, bytes]]) -> None:
    contents.note_unnamed(connection, rows[0][1], [sha256 for *_, sha256 in rows], int(time.time()))
