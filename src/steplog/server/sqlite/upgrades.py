"""The steps from each older version of the database to the next; ``schema`` has the present one.

``UPGRADES[version]`` begins at that version. All steps run in one transaction.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain

import msgspec

from steplog.errors import FormatError
from steplog.records.by_name import points_by_name
from steplog.records.points import Points
from steplog.server.records.chunk import Chunk, decode
from steplog.server.records.log_row import decode_row

__all__ = [
    "FILES",
    "KEYS",
    "LIFE",
    "LOG",
    "MEMBERS",
    "RUNNING",
    "RUNS",
    "SESSIONS",
    "STARTED",
    "UPGRADES",
    "VIEWS",
    "execute_all",
]

_WAITING = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, first_arrival INTEGER NOT NULL,
    records INTEGER NOT NULL, bytes INTEGER NOT NULL, names INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX waiting_by_run ON waiting (run, first_arrival);
"""
_LOG_BY_RUN = "CREATE INDEX log_by_run ON log (run, first_arrival);"
_STORAGE = """
CREATE TABLE progress (
    run INTEGER PRIMARY KEY, arrivals INTEGER NOT NULL DEFAULT 0, packed INTEGER NOT NULL DEFAULT 0,
    log_bytes INTEGER NOT NULL DEFAULT 0, logged INTEGER NOT NULL DEFAULT 0, seen TEXT NOT NULL, last_point TEXT,
    sealed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX progress_due ON progress (run) WHERE packed < arrivals;
CREATE TABLE blocks (
    run INTEGER NOT NULL, first_arrival INTEGER NOT NULL, level INTEGER NOT NULL, records INTEGER NOT NULL,
    directory BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, first_arrival)
);
CREATE TABLE sealed (
    run INTEGER NOT NULL, first_arrival INTEGER NOT NULL, records INTEGER NOT NULL, error TEXT NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (run, first_arrival)
);
CREATE TABLE summaries (
    series INTEGER NOT NULL, level INTEGER NOT NULL, number INTEGER NOT NULL, chunks INTEGER NOT NULL,
    entries INTEGER NOT NULL, points INTEGER NOT NULL, min_step INTEGER NOT NULL, max_step INTEGER NOT NULL,
    min_time INTEGER NOT NULL, max_time INTEGER NOT NULL, widest_step INTEGER NOT NULL, widest_time INTEGER NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (series, level, number)
) WITHOUT ROWID;
CREATE TABLE lasts (
    project INTEGER NOT NULL, name TEXT NOT NULL, run INTEGER NOT NULL, count INTEGER NOT NULL, last NOT NULL,
    low, high, PRIMARY KEY (project, name, run)
) WITHOUT ROWID;
CREATE TABLE configs (
    project INTEGER NOT NULL, key TEXT NOT NULL, run INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (project, key, run)
) WITHOUT ROWID;
CREATE TABLE filling (first INTEGER NOT NULL, end INTEGER NOT NULL, name TEXT NOT NULL, key TEXT);
CREATE INDEX keys_started ON keys (id) WHERE origin <> 'issued' AND revoked IS NULL;
"""
LOG = (
    """
CREATE TABLE log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, first_arrival INTEGER NOT NULL,
    records INTEGER NOT NULL, bytes INTEGER NOT NULL, names INTEGER NOT NULL, body BLOB NOT NULL
);
"""
    + _LOG_BY_RUN
    + _STORAGE
)
KEYS = """
CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL REFERENCES users, hash BLOB NOT NULL UNIQUE,
    label TEXT NOT NULL, origin TEXT NOT NULL, created TEXT NOT NULL, last_used TEXT, revoked TEXT
);
"""
SESSIONS = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, key INTEGER, expires TEXT NOT NULL
);
CREATE INDEX sessions_by_key ON sessions (key, id);
"""
RUNNING = "CREATE INDEX runs_running ON runs (project, id) WHERE status = 'RUNNING' AND deleted IS NULL;"
STARTED = "CREATE INDEX runs_by_start ON runs (project, coalesce(started, date_created)) WHERE deleted IS NULL;"
RUNS = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, project INTEGER NOT NULL REFERENCES projects,
    user INTEGER NOT NULL REFERENCES users, idempotency_key TEXT, made_by TEXT, deleted TEXT,
    date_created TEXT NOT NULL, date_updated TEXT NOT NULL, status TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1, name TEXT NOT NULL, slug TEXT, started TEXT, ended TEXT,
    "group" TEXT, job_type TEXT, tags TEXT, description TEXT, notes TEXT, provenance TEXT, report TEXT
);
CREATE INDEX runs_by_project ON runs (project, deleted, id);
CREATE INDEX runs_by_slug ON runs (project, slug);
CREATE UNIQUE INDEX runs_by_name ON runs (project, name) WHERE deleted IS NULL;
CREATE UNIQUE INDEX runs_by_key ON runs (project, idempotency_key) WHERE deleted IS NULL;
CREATE INDEX runs_in_trash ON runs (deleted) WHERE deleted IS NOT NULL;
CREATE TABLE suffixes (
    project INTEGER NOT NULL, name TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (project, name)
) WITHOUT ROWID;
"""
VIEWS = """
CREATE TABLE views (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, project INTEGER NOT NULL REFERENCES projects,
    user INTEGER NOT NULL REFERENCES users, name TEXT NOT NULL, address TEXT NOT NULL, date_created TEXT NOT NULL,
    date_updated TEXT NOT NULL, UNIQUE (project, name)
);
"""
LIFE = """
CREATE TABLE config (
    run INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, generation INTEGER NOT NULL, time INTEGER NOT NULL,
    writer TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE TABLE fields (
    run INTEGER NOT NULL, field TEXT NOT NULL, generation INTEGER NOT NULL, time INTEGER NOT NULL,
    writer TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (run, field)
) WITHOUT ROWID;
CREATE TABLE generations (
    run INTEGER NOT NULL, number INTEGER NOT NULL, maker TEXT, began TEXT, PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE tombstones (
    project INTEGER NOT NULL, idempotency_key TEXT NOT NULL, deleted TEXT NOT NULL,
    PRIMARY KEY (project, idempotency_key)
) WITHOUT ROWID;
"""
MEMBERS = """
ALTER TABLE users ADD COLUMN is_admin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN removed TEXT;
ALTER TABLE keys ADD COLUMN expires TEXT;
ALTER TABLE keys ADD COLUMN project INTEGER;
ALTER TABLE keys ADD COLUMN requests_a_minute INTEGER;
ALTER TABLE keys ADD COLUMN bytes_a_minute INTEGER;
ALTER TABLE projects ADD COLUMN retention_days INTEGER;
CREATE TABLE members (
    namespace INTEGER NOT NULL, project INTEGER NOT NULL, user INTEGER NOT NULL, role TEXT NOT NULL,
    PRIMARY KEY (namespace, project, user)
) WITHOUT ROWID;
CREATE INDEX members_by_user ON members (user);
"""
FILES = """
ALTER TABLE runs ADD COLUMN files_pending INTEGER;
CREATE TABLE files (
    run INTEGER NOT NULL, number INTEGER NOT NULL, id BLOB NOT NULL, project INTEGER NOT NULL, sha256 BLOB NOT NULL,
    size INTEGER NOT NULL, type TEXT NOT NULL, path TEXT NOT NULL, suffix TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX files_by_id ON files (run, id);
CREATE INDEX files_by_path ON files (run, path, number) WHERE path <> '';
CREATE INDEX files_by_content ON files (project, sha256);
CREATE TABLE contents (
    sha256 BLOB PRIMARY KEY, size INTEGER NOT NULL, state INTEGER NOT NULL, since INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX contents_free ON contents (state, since) WHERE state > 0;
CREATE TABLE project_contents (
    project INTEGER NOT NULL, sha256 BLOB NOT NULL, size INTEGER NOT NULL, unnamed INTEGER,
    PRIMARY KEY (project, sha256)
) WITHOUT ROWID;
CREATE INDEX project_contents_by_content ON project_contents (sha256);
CREATE INDEX project_contents_unnamed ON project_contents (unnamed) WHERE unnamed IS NOT NULL;
CREATE TABLE content_totals (project INTEGER PRIMARY KEY, contents INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, project INTEGER NOT NULL, run INTEGER NOT NULL,
    date_created TEXT NOT NULL, announced INTEGER NOT NULL DEFAULT 0, present INTEGER NOT NULL DEFAULT 0, name TEXT,
    type TEXT, version INTEGER, same_as INTEGER, digest TEXT, count INTEGER, size INTEGER, aliases TEXT,
    description TEXT, metadata TEXT, UNIQUE (project, uuid)
);
CREATE UNIQUE INDEX artifacts_by_version ON artifacts (project, name, version)
    WHERE version IS NOT NULL AND same_as IS NULL;
CREATE INDEX artifacts_in_order ON artifacts (project, id) WHERE version IS NOT NULL AND same_as IS NULL;
CREATE INDEX artifacts_by_run ON artifacts (run);
CREATE INDEX artifacts_doubled ON artifacts (id) WHERE same_as IS NOT NULL AND announced > 0;
CREATE TABLE artifact_files (
    artifact INTEGER NOT NULL, path TEXT NOT NULL, id BLOB NOT NULL, project INTEGER NOT NULL, sha256 BLOB NOT NULL,
    size INTEGER NOT NULL, type TEXT NOT NULL, suffix TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (artifact, path)
) WITHOUT ROWID;
CREATE INDEX artifact_files_by_content ON artifact_files (project, sha256);
CREATE TABLE artifact_aliases (
    project INTEGER NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (project, name, alias)
) WITHOUT ROWID;
CREATE TABLE artifact_uses (run INTEGER NOT NULL, artifact INTEGER NOT NULL, PRIMARY KEY (run, artifact)) WITHOUT ROWID;
"""
# Until version 6 whoever had a key could write everywhere. So they still can in what is there: projects were made
# RESTRICTED, where a role in the namespace does not count.
_TO_VERSION_7 = """
INSERT INTO members SELECT n.id, 0, u.id, CASE n.slug WHEN u.slug THEN 'OWNER' ELSE 'MEMBER' END
    FROM namespaces n CROSS JOIN users u;
INSERT INTO members SELECT p.namespace, p.id, u.id, 'MEMBER' FROM projects p JOIN namespaces n ON n.id = p.namespace
    CROSS JOIN users u WHERE p.deleted IS NULL AND n.slug <> u.slug;
UPDATE users SET is_admin = 1 WHERE id = (
    SELECT user FROM keys WHERE origin <> 'issued' AND revoked IS NULL ORDER BY id DESC LIMIT 1);
"""
# Version 2 kept one key in each user's row, whoever the server had ever been started with, and a page token of unknown
# age, which had been printed into logs.
_TO_VERSION_3 = """
INSERT OR IGNORE INTO keys (user, hash, label, origin, created)
    SELECT id, key_hash, '', 'configured', strftime('%Y-%m-%dT%H:%M:%SZ', 'now') FROM users ORDER BY id;
CREATE TABLE users_3 (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, username TEXT NOT NULL UNIQUE, slug TEXT NOT NULL,
    email TEXT NOT NULL
);
INSERT INTO users_3 SELECT id, uuid, username, slug, email FROM users;
DROP TABLE users;
ALTER TABLE users_3 RENAME TO users;
ALTER TABLE runs ADD COLUMN report TEXT;
DELETE FROM about WHERE name = 'page_token';
"""
# Version 3 had UNIQUE (project, name) and UNIQUE (project, idempotency_key), which runs in the trash would violate. The
# numbers of runs go on where they were. Its ``waiting`` is the log. Not every chunk is read: ``next_step`` is one
# above the largest step, but where that is negative or the largest there is.
_RENAME_RUNS = "ALTER TABLE runs RENAME TO runs_3; DROP INDEX runs_by_project;"
_RENAME_LOG = "DROP INDEX waiting_by_run; ALTER TABLE waiting RENAME TO log;"
_MOVE_RUNS = """
INSERT INTO runs (id, uuid, project, user, idempotency_key, date_created, date_updated, status, name, ended,
    description, report)
    SELECT id, uuid, project, user, idempotency_key, date_created, date_updated, status, name,
        CASE status WHEN 'RUNNING' THEN NULL ELSE date_updated END, description, report FROM runs_3;
DELETE FROM sqlite_sequence WHERE name = 'runs';
INSERT INTO sqlite_sequence (name, seq) SELECT 'runs', seq FROM sqlite_sequence WHERE name = 'runs_3';
INSERT INTO filling SELECT first, last + 1, '', NULL FROM (SELECT min(id) AS first, max(id) AS last FROM runs_3)
    WHERE first IS NOT NULL;
INSERT INTO progress (run, arrivals, packed, seen) SELECT id, points, points, date_updated FROM runs_3;
DROP TABLE runs_3;
ALTER TABLE projects ADD COLUMN deleted TEXT;
UPDATE progress SET (packed, log_bytes) = (
    SELECT min(first_arrival), sum(bytes) FROM log WHERE run = progress.run)
    WHERE run IN (SELECT run FROM log);
ALTER TABLE series ADD COLUMN max_step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE series ADD COLUMN last_time INTEGER;
ALTER TABLE series ADD COLUMN chunked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE series ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
ALTER TABLE series ADD COLUMN last;
UPDATE series SET chunked = coalesce((SELECT packed FROM progress WHERE run = series.run), 0),
    max_step = CASE WHEN next_step > 0 AND next_step < 9223372036854775807 THEN next_step - 1 ELSE coalesce(
    (SELECT max(max_step) FROM chunks c WHERE c.id >= series.id << 32 AND c.id < series.id + 1 << 32), 0) END;
ALTER TABLE marks ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE marks ADD COLUMN said INTEGER NOT NULL DEFAULT -9223372036854775808;
"""
_CONFIG = "steplog/config"
_CONFIG_CHUNKS = f"""
SELECT s.run, {", ".join("c." + name for name in Chunk.__struct_fields__[:-1])}, p.data
FROM series s CROSS JOIN chunks c ON c.id >= s.id << 32 AND c.id < s.id + 1 << 32 CROSS JOIN points p ON p.id = c.id
WHERE s.name = '{_CONFIG}' ORDER BY s.run, c.first_arrival
"""  # noqa: S608 - constants
_INSERT_CONFIG = "INSERT OR REPLACE INTO config VALUES (?, ?, ?, 1, ?, '', 0)"


def execute_all(connection: sqlite3.Connection, statements: str) -> None:
    """Execute statements, in the caller's transaction (``executescript`` would commit it)."""
    for statement in statements.split(";"):
        connection.execute(statement)


def _to_version_2(connection: sqlite3.Connection) -> None:
    execute_all(connection, _WAITING)


def _to_version_3(connection: sqlite3.Connection) -> None:
    execute_all(connection, KEYS + _TO_VERSION_3)


def _to_version_4(connection: sqlite3.Connection) -> None:
    execute_all(connection, _RENAME_LOG + _LOG_BY_RUN + _STORAGE + _RENAME_RUNS + RUNS + _MOVE_RUNS + LIFE)
    connection.execute("INSERT INTO generations (run, number) SELECT id, 1 FROM runs")
    for run, time_ns, text in chain(_packed_configs(connection), _logged_configs(connection)):
        try:
            config = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, RecursionError):
            continue  # a metric of this name that is no config
        rows = [(run, key, bytes(value).decode(), time_ns) for key, value in config.items()]
        connection.executemany(_INSERT_CONFIG, rows)


def _to_version_5(connection: sqlite3.Connection) -> None:
    execute_all(connection, SESSIONS + RUNNING)


def _to_version_6(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE projects ADD COLUMN packs INTEGER NOT NULL DEFAULT 0")
    execute_all(connection, STARTED + VIEWS)


def _to_version_7(connection: sqlite3.Connection) -> None:
    execute_all(connection, MEMBERS + _TO_VERSION_7)


def _to_version_8(connection: sqlite3.Connection) -> None:
    execute_all(connection, FILES)


def _packed_configs(connection: sqlite3.Connection) -> Iterator[tuple[int, int, bytes]]:
    """Run, time and JSON text of each config, a run's in order of arrival."""
    for run, *row in connection.execute(_CONFIG_CHUNKS):
        yield from _texts(run, decode(Chunk(*row)))


def _logged_configs(connection: sqlite3.Connection) -> Iterator[tuple[int, int, bytes]]:
    """As ``_packed_configs``; what is in the log has arrived after all that is packed."""
    for run, body in connection.execute("SELECT run, body FROM log ORDER BY id"):
        with suppress(FormatError, zlib.error):  # the packer seals it
            if _CONFIG.encode() not in zlib.decompress(body):
                continue  # a third of what decoding it takes
            for points in points_by_name(decode_row(body), 0, (_CONFIG,)).values():
                yield from _texts(run, points)


def _texts(run: int, points: Points) -> Iterator[tuple[int, int, bytes]]:
    for time_ns, value in zip(points.times, points.values(), strict=True):
        if isinstance(value, msgspec.Raw):
            yield run, time_ns, bytes(value)


UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {
    1: _to_version_2,
    2: _to_version_3,
    3: _to_version_4,
    4: _to_version_5,
    5: _to_version_6,
    6: _to_version_7,
    7: _to_version_8,
}
