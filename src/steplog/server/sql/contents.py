"""The statements for contents, which a ``ContentStore`` keeps by their hash, and the projects that have them.

::

                    expect                          add
    (no row) ─────────────▶ UNUSED (bytes may be there) ─────▶ HELD by one project or several
        ▲                     │    ▲                             │
        │ forget              │    └──── release, by the last ◀──┘
        │         condemn,    ▼
        └────── (bytes) ◀── CONDEMNED
               removed

1. There is a row before there are bytes, so that none is left behind without one. The bytes are written and removed
   between transactions: no storage holds up the database.
2. Whoever makes a content HELD or gives it up locks its row first, and reads afterwards who else has it.
3. CONDEMNED is never HELD again: a content that comes back meanwhile waits until the bytes are removed. Who finds a
   content CONDEMNED, or without a row, once it has written the bytes, writes them again.
4. A project gives up a content that no file has named for ``UNNAMED_S``. ``project_contents.unnamed`` says since when
   that may be so; whoever collects looks whether it is. Files are announced in isolation from that (``files``).
5. Who condemns removes at once, or not at all (``REMOVAL_S``): then somebody else does.

Times are in seconds since the epoch. Functions that write are called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from steplog.server.sql.connection import Connection
from steplog.server.store_types import MissingError, StoreBusyError

__all__ = [
    "REMOVAL_S",
    "UNNAMED_S",
    "UNUSED_S",
    "add",
    "condemn",
    "condemned",
    "expect",
    "forget",
    "is_due",
    "note_unnamed",
    "of_project",
    "release",
    "release_unnamed",
    "size",
    "slices",
    "total",
    "totals",
]

UNNAMED_S = 24 * 3600
UNUSED_S = 3600  # more than it takes to put a content in its place
REMOVAL_S = 60  # no more than that from condemning a content to the end of its removal
_HELD, _UNUSED, _CONDEMNED = range(3)
_SLICE = 64
_VALUES_MAX = 500  # of one statement
_LOCK = "UPDATE contents SET size = size WHERE sha256 = ?"
_SET = "UPDATE contents SET state = ?, since = ? WHERE sha256 = ?"
_PUT_TOTAL = """
INSERT INTO content_totals (project, contents, bytes) VALUES (?, ?, ?) ON CONFLICT (project) DO UPDATE
SET contents = content_totals.contents + excluded.contents, bytes = content_totals.bytes + excluded.bytes
"""
_NAMED = """
SELECT EXISTS (SELECT 1 FROM files WHERE project = :project AND sha256 = :content)
    OR EXISTS (SELECT 1 FROM artifact_files WHERE project = :project AND sha256 = :content)
"""
_UNNAMED = "SELECT project, sha256 FROM project_contents WHERE unnamed <= ? ORDER BY unnamed LIMIT ?"
_FREE = "SELECT sha256 FROM contents WHERE state = ? AND since <= ? ORDER BY since LIMIT ?"
_IS_HELD = "SELECT 1 FROM project_contents WHERE sha256 = ? LIMIT 1"


def slices(hashes: Collection[bytes]) -> Iterator[Sequence[bytes]]:
    """Each once, in order, as many at a time as a statement takes."""
    found = sorted(set(hashes))
    return (found[at : at + _VALUES_MAX] for at in range(0, len(found), _VALUES_MAX))


def of_project(connection: Connection, project_id: int, hashes: Collection[bytes]) -> set[bytes]:
    """Which of these a project has."""
    present: set[bytes] = set()
    for part in slices(hashes):
        one_of_them, values = connection.among(part)
        query = f"SELECT sha256 FROM project_contents WHERE project = ? AND sha256 {one_of_them}"  # noqa: S608
        present.update(row[0] for row in connection.execute(query, (project_id, *values)))
    return present


def size(connection: Connection, project_id: int, sha256: bytes) -> int | None:
    """Of a content that a project has."""
    query = "SELECT size FROM project_contents WHERE project = ? AND sha256 = ?"
    row = connection.execute(query, (project_id, sha256)).fetchone()
    return None if row is None else int(row[0])


def total(connection: Connection, project_id: int) -> int:
    """Bytes of all contents of a project."""
    row = connection.execute("SELECT bytes FROM content_totals WHERE project = ?", (project_id,)).fetchone()
    return 0 if row is None else int(row[0])


def totals(connection: Connection) -> tuple[int, int]:
    """Contents of all projects, and their bytes; one that several have counts for each."""
    query = (
        "SELECT CAST(coalesce(sum(contents), 0) AS bigint), CAST(coalesce(sum(bytes), 0) AS bigint) FROM content_totals"
    )
    count, size_of_all = connection.execute(query).fetchone()
    return int(count), int(size_of_all)


def expect(connection: Connection, sha256: bytes, size_of_it: int, now: int) -> None:
    """Before the bytes of a content are written. Raises StoreBusyError while they are being removed."""
    row = connection.execute("SELECT state FROM contents WHERE sha256 = ?", (sha256,)).fetchone()
    if row is None:
        values = sha256, size_of_it, _UNUSED, now
        connection.execute("INSERT INTO contents (sha256, size, state, since) VALUES (?, ?, ?, ?)", values)
    elif row[0] == _CONDEMNED:
        raise StoreBusyError("the content is being removed, since nothing has named it: send it again in a minute")
    elif row[0] == _UNUSED:
        connection.execute(_SET, (_UNUSED, now, sha256))


def add(connection: Connection, project_id: int, sha256: bytes, now: int) -> bool:
    """Have a content, whose bytes are written, in a project; False: they may have been removed meanwhile.

    Raises MissingError without the project.
    """
    if connection.execute("SELECT 1 FROM projects WHERE id = ? AND deleted IS NULL", (project_id,)).fetchone() is None:
        raise MissingError("the project does not exist")
    connection.execute(_LOCK, (sha256,))
    row = connection.execute("SELECT state, size FROM contents WHERE sha256 = ?", (sha256,)).fetchone()
    if row is None or row[0] == _CONDEMNED:
        return False
    connection.execute(_SET, (_HELD, now, sha256))
    if size(connection, project_id, sha256) is None:
        unnamed = None if _is_named(connection, project_id, sha256) else now
        values = project_id, sha256, row[1], unnamed
        connection.execute("INSERT INTO project_contents (project, sha256, size, unnamed) VALUES (?, ?, ?, ?)", values)
        connection.execute(_PUT_TOTAL, (project_id, 1, row[1]))
        _count_in_artifacts(connection, project_id, sha256)
    return True


def note_unnamed(connection: Connection, project_id: int, hashes: Collection[bytes], now: int) -> None:
    """Perhaps no file of the project names these any more."""
    for part in slices(hashes):
        one_of_them, values = connection.among(part)
        statement = f"UPDATE project_contents SET unnamed = ? WHERE project = ? AND sha256 {one_of_them}"  # noqa: S608
        connection.execute(statement, (now, project_id, *values))


def is_due(connection: Connection, now: int) -> bool:
    """Whether there is something to release, condemn or remove."""
    found = connection.execute(_UNNAMED, (now - UNNAMED_S, 1)).fetchone()
    for state, age in ((_UNUSED, UNUSED_S), (_CONDEMNED, 2 * REMOVAL_S)):
        found = found or connection.execute(_FREE, (state, now - age, 1)).fetchone()
    return found is not None


def release_unnamed(connection: Connection, now: int) -> int | None:
    """Have projects give up some of what no file has named for long; how many they were. None: nothing is due."""
    found = connection.execute(_UNNAMED, (now - UNNAMED_S, _SLICE)).fetchall()
    released = 0
    for project_id, sha256 in sorted(found, key=lambda each: (each[1], each[0])):
        if _is_named(connection, project_id, sha256):
            statement = "UPDATE project_contents SET unnamed = NULL WHERE project = ? AND sha256 = ?"
            connection.execute(statement, (project_id, sha256))
        else:
            release(connection, project_id, sha256, now)
            released += 1
    return released if found else None


def release(connection: Connection, project_id: int, sha256: bytes, now: int) -> None:
    """Have a project give up a content."""
    connection.execute(_LOCK, (sha256,))
    size_of_it = size(connection, project_id, sha256)
    if size_of_it is None:
        return
    connection.execute("DELETE FROM project_contents WHERE project = ? AND sha256 = ?", (project_id, sha256))
    connection.execute(_PUT_TOTAL, (project_id, -1, -size_of_it))
    if connection.execute(_IS_HELD, (sha256,)).fetchone() is None:
        connection.execute(_SET, (_UNUSED, now, sha256))


def condemn(connection: Connection, now: int) -> list[bytes]:
    """Some contents whose bytes are to be removed at once, since no project has had them for long."""
    doomed = []
    for (sha256,) in connection.execute(_FREE, (_UNUSED, now - UNUSED_S, _SLICE)).fetchall():
        connection.execute(_LOCK, (sha256,))
        is_held = connection.execute(_IS_HELD, (sha256,)).fetchone() is not None
        connection.execute(_SET, (_HELD if is_held else _CONDEMNED, now, sha256))
        if not is_held:
            doomed.append(sha256)
    return doomed


def condemned(connection: Connection, now: int) -> list[bytes]:
    """Some that another process has condemned, and not removed: they are to be removed by this one."""
    found = connection.execute(_FREE, (_CONDEMNED, now - 2 * REMOVAL_S, _SLICE)).fetchall()
    for (sha256,) in found:
        connection.execute(_SET, (_CONDEMNED, now, sha256))
    return [sha256 for (sha256,) in found]


def forget(connection: Connection, sha256: bytes) -> None:
    """The bytes of a content that was condemned are removed."""
    connection.execute("DELETE FROM contents WHERE sha256 = ? AND state = ?", (sha256, _CONDEMNED))


def _is_named(connection: Connection, project_id: int, sha256: bytes) -> bool:
    return bool(connection.execute(_NAMED, {"project": project_id, "content": sha256}).fetchone()[0])


def _count_in_artifacts(connection: Connection, project_id: int, sha256: bytes) -> None:
    query = "SELECT artifact, count(*) FROM artifact_files WHERE project = ? AND sha256 = ? GROUP BY artifact"
    for artifact, count in connection.execute(query, (project_id, sha256)).fetchall():
        connection.execute("UPDATE artifacts SET present = present + ? WHERE id = ?", (count, artifact))
