"""The tables in PostgreSQL: those of ``sqlite.schema``, which says what is in them, and what is different here.

1. Tables of points (``POINTS``) lead each key with ``run``, whose rows lie together, and have no foreign key: an engine
   that spreads runs over nodes could keep them. A series' id is unique in its run.
2. Ids of the others come from sequences of our own.
3. Text is compared by its bytes, whatever the database's collation. Numbers, texts and bytes in one column are the type
   ``cell`` (``connection``).
4. ``changes`` has how often each project has changed (``versions``). The tables ``turns_0`` and so on have no rows:
   they are locked (``lanes``).
5. ``append`` adds a batch to a run (``appender``): the mark of its writer before that, NULL without the run, -1 while
   somebody else has the run locked.

Servers that start at once make the tables one after the other, under an advisory lock. The search path decides the
schema.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg

from steplog.errors import ConfigurationError
from steplog.server.postgresql.connection import adapt
from steplog.server.postgresql.folding import FOLDED

__all__ = ["POINTS", "SCHEMA_VERSION", "STATEMENTS", "TURNS", "found_version", "prepare"]

SCHEMA_VERSION = 2
POINTS = ("progress", "marks", "log", "blocks", "sealed", "series", "chunks", "points", "summaries")
_LOCK = 0x7374_706C_0000  # of pg_advisory_lock
TURNS = 16
_LOWEST = 15  # of PostgreSQL
_ID = re.compile(r"ID\((\w+)\)")

_TABLES = """
CREATE TYPE cell AS (kind smallint, number numeric, words bytea);

CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE users (
    id ID(users), uuid TEXT NOT NULL, username TEXT NOT NULL UNIQUE, slug TEXT NOT NULL, email TEXT NOT NULL,
    is_admin bigint NOT NULL DEFAULT 0, removed TEXT
);
CREATE TABLE namespaces (
    id ID(namespaces), uuid TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL
);
CREATE TABLE projects (
    id ID(projects), uuid TEXT NOT NULL, namespace bigint NOT NULL REFERENCES namespaces, slug TEXT NOT NULL,
    display_name TEXT NOT NULL, visibility TEXT NOT NULL, date_created TEXT NOT NULL, deleted TEXT,
    retention_days bigint, UNIQUE (namespace, slug)
);
CREATE TABLE members (
    namespace bigint NOT NULL, project bigint NOT NULL, "user" bigint NOT NULL, role TEXT NOT NULL,
    PRIMARY KEY (namespace, project, "user")
);
CREATE INDEX members_by_user ON members ("user");
CREATE TABLE keys (
    id ID(keys), "user" bigint NOT NULL REFERENCES users, hash bytea NOT NULL UNIQUE, label TEXT NOT NULL,
    origin TEXT NOT NULL, created TEXT NOT NULL, last_used TEXT, revoked TEXT, expires TEXT, project bigint,
    requests_a_minute bigint, bytes_a_minute bigint
);
CREATE INDEX keys_started ON keys (id) WHERE origin <> 'issued' AND revoked IS NULL;
CREATE TABLE sessions (id ID(sessions), hash bytea NOT NULL UNIQUE, key bigint, expires TEXT NOT NULL);
CREATE INDEX sessions_by_key ON sessions (key, id);
CREATE TABLE runs (
    id ID(runs), uuid TEXT NOT NULL UNIQUE, project bigint NOT NULL REFERENCES projects,
    "user" bigint NOT NULL REFERENCES users, idempotency_key TEXT, made_by TEXT, deleted TEXT,
    date_created TEXT NOT NULL, date_updated TEXT NOT NULL, status TEXT NOT NULL, generation bigint NOT NULL DEFAULT 1,
    name TEXT NOT NULL, slug TEXT, started TEXT, ended TEXT, "group" TEXT, job_type TEXT, tags TEXT, description TEXT,
    notes TEXT, provenance TEXT, report TEXT
);
CREATE INDEX runs_by_project ON runs (project, deleted, id);
CREATE INDEX runs_by_slug ON runs (project, slug);
CREATE UNIQUE INDEX runs_by_name ON runs (project, name) WHERE deleted IS NULL;
CREATE UNIQUE INDEX runs_by_key ON runs (project, idempotency_key) WHERE deleted IS NULL;
CREATE INDEX runs_in_trash ON runs (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX runs_alive_in_order ON runs (project, id) WHERE deleted IS NULL;
CREATE INDEX runs_in_trash_in_order ON runs (project, id) WHERE deleted IS NOT NULL;
CREATE INDEX runs_running ON runs (project, id) WHERE status = 'RUNNING' AND deleted IS NULL;
CREATE INDEX runs_by_start ON runs (project, (coalesce(started, date_created)), id) WHERE deleted IS NULL;
CREATE TABLE suffixes (project bigint NOT NULL, name TEXT NOT NULL, next bigint NOT NULL, PRIMARY KEY (project, name));
CREATE TABLE views (
    id ID(views), uuid TEXT NOT NULL UNIQUE, project bigint NOT NULL REFERENCES projects,
    "user" bigint NOT NULL REFERENCES users, name TEXT NOT NULL, address TEXT NOT NULL, date_created TEXT NOT NULL,
    date_updated TEXT NOT NULL, UNIQUE (project, name)
);
CREATE TABLE config (
    run bigint NOT NULL, key TEXT NOT NULL, value TEXT, generation bigint NOT NULL, time bigint NOT NULL,
    writer TEXT NOT NULL, position bigint NOT NULL, PRIMARY KEY (run, key)
);
CREATE TABLE fields (
    run bigint NOT NULL, field TEXT NOT NULL, generation bigint NOT NULL, time bigint NOT NULL, writer TEXT NOT NULL,
    position bigint NOT NULL, PRIMARY KEY (run, field)
);
CREATE TABLE generations (
    run bigint NOT NULL, number bigint NOT NULL, maker TEXT, began TEXT, PRIMARY KEY (run, number)
);
CREATE TABLE tombstones (
    project bigint NOT NULL, idempotency_key TEXT NOT NULL, deleted TEXT NOT NULL,
    PRIMARY KEY (project, idempotency_key)
);
CREATE TABLE lasts (
    project bigint NOT NULL, name TEXT NOT NULL, run bigint NOT NULL, count bigint NOT NULL, last cell NOT NULL,
    low cell, high cell, PRIMARY KEY (project, name, run)
);
CREATE INDEX lasts_by_last ON lasts (project, name, last, run);
CREATE TABLE configs (
    project bigint NOT NULL, key TEXT NOT NULL, run bigint NOT NULL, value cell NOT NULL,
    PRIMARY KEY (project, key, run)
);
CREATE INDEX configs_by_value ON configs (project, key, value, run);
CREATE TABLE changes (project bigint NOT NULL, part TEXT NOT NULL, number bigint NOT NULL);
CREATE INDEX changes_by_project ON changes (project);
CREATE TABLE filling (first bigint NOT NULL, "end" bigint NOT NULL, name TEXT NOT NULL, key TEXT);

CREATE TABLE progress (
    run bigint PRIMARY KEY, arrivals bigint NOT NULL DEFAULT 0, packed bigint NOT NULL DEFAULT 0,
    log_bytes bigint NOT NULL DEFAULT 0, logged bigint NOT NULL DEFAULT 0, seen TEXT NOT NULL, last_point TEXT,
    sealed bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE marks (
    run bigint NOT NULL, writer TEXT NOT NULL, mark bigint NOT NULL, generation bigint NOT NULL DEFAULT 1,
    said bigint NOT NULL DEFAULT -9223372036854775808, PRIMARY KEY (run, writer)
) WITH (fillfactor = 50);
CREATE TABLE log (
    run bigint NOT NULL, first_arrival bigint NOT NULL, records bigint NOT NULL, bytes bigint NOT NULL,
    names bigint NOT NULL, body bytea NOT NULL, PRIMARY KEY (run, first_arrival)
);
CREATE TABLE blocks (
    run bigint NOT NULL, first_arrival bigint NOT NULL, level bigint NOT NULL, records bigint NOT NULL,
    directory bytea NOT NULL, data bytea NOT NULL, PRIMARY KEY (run, first_arrival)
);
CREATE TABLE sealed (
    run bigint NOT NULL, first_arrival bigint NOT NULL, records bigint NOT NULL, error TEXT NOT NULL,
    body bytea NOT NULL, PRIMARY KEY (run, first_arrival)
);
CREATE TABLE series (
    run bigint NOT NULL, id bigint NOT NULL, name TEXT NOT NULL, count bigint NOT NULL, next_step bigint NOT NULL,
    first_step bigint NOT NULL, last_step bigint NOT NULL, low cell, high cell, max_step bigint NOT NULL DEFAULT 0,
    last_time bigint, chunked bigint NOT NULL DEFAULT 0, pending bigint NOT NULL DEFAULT 0, last cell,
    PRIMARY KEY (run, id), UNIQUE (run, name)
) WITH (fillfactor = 50);
CREATE TABLE chunks (
    run bigint NOT NULL, id bigint NOT NULL, count bigint NOT NULL, first_arrival bigint NOT NULL,
    last_arrival bigint NOT NULL, first_step bigint NOT NULL, last_step bigint NOT NULL, min_step bigint NOT NULL,
    max_step bigint NOT NULL, first_time bigint NOT NULL, first_word bigint NOT NULL, low cell, high cell, last cell,
    PRIMARY KEY (run, id)
);
CREATE TABLE points (run bigint NOT NULL, id bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (run, id));
CREATE TABLE summaries (
    run bigint NOT NULL, series bigint NOT NULL, level bigint NOT NULL, number bigint NOT NULL, chunks bigint NOT NULL,
    entries bigint NOT NULL, points bigint NOT NULL, min_step bigint NOT NULL, max_step bigint NOT NULL,
    min_time bigint NOT NULL, max_time bigint NOT NULL, widest_step bigint NOT NULL, widest_time bigint NOT NULL,
    data bytea NOT NULL, PRIMARY KEY (run, series, level, number)
);
ALTER TABLE log ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE blocks ALTER COLUMN directory SET STORAGE EXTERNAL, ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE sealed ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE points ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE summaries ALTER COLUMN data SET STORAGE EXTERNAL;
"""
_FILES = """
ALTER TABLE runs ADD COLUMN files_pending bigint;
CREATE TABLE files (
    run bigint NOT NULL, number bigint NOT NULL, id bytea NOT NULL, project bigint NOT NULL, sha256 bytea NOT NULL,
    size bigint NOT NULL, type TEXT NOT NULL, path TEXT NOT NULL, suffix TEXT NOT NULL, time bigint NOT NULL,
    PRIMARY KEY (run, number)
);
CREATE UNIQUE INDEX files_by_id ON files (run, id);
CREATE INDEX files_by_path ON files (run, path, number) WHERE path <> '';
CREATE INDEX files_by_content ON files (project, sha256);
CREATE TABLE contents (
    sha256 bytea PRIMARY KEY, size bigint NOT NULL, state bigint NOT NULL, since bigint NOT NULL
);
CREATE INDEX contents_free ON contents (state, since) WHERE state > 0;
CREATE TABLE project_contents (
    project bigint NOT NULL, sha256 bytea NOT NULL, size bigint NOT NULL, unnamed bigint, PRIMARY KEY (project, sha256)
);
CREATE INDEX project_contents_by_content ON project_contents (sha256);
CREATE INDEX project_contents_unnamed ON project_contents (unnamed) WHERE unnamed IS NOT NULL;
CREATE TABLE content_totals (project bigint PRIMARY KEY, contents bigint NOT NULL, bytes bigint NOT NULL);
CREATE TABLE artifacts (
    id ID(artifacts), uuid TEXT NOT NULL, project bigint NOT NULL, run bigint NOT NULL, date_created TEXT NOT NULL,
    announced bigint NOT NULL DEFAULT 0, present bigint NOT NULL DEFAULT 0, name TEXT, type TEXT, version bigint,
    same_as bigint, digest TEXT, count bigint, size bigint, aliases TEXT, description TEXT, metadata TEXT,
    UNIQUE (project, uuid)
);
CREATE UNIQUE INDEX artifacts_by_version ON artifacts (project, name, version)
    WHERE version IS NOT NULL AND same_as IS NULL;
CREATE INDEX artifacts_in_order ON artifacts (project, id) WHERE version IS NOT NULL AND same_as IS NULL;
CREATE INDEX artifacts_by_run ON artifacts (run);
CREATE INDEX artifacts_doubled ON artifacts (id) WHERE same_as IS NOT NULL AND announced > 0;
CREATE TABLE artifact_files (
    artifact bigint NOT NULL, path TEXT NOT NULL, id bytea NOT NULL, project bigint NOT NULL, sha256 bytea NOT NULL,
    size bigint NOT NULL, type TEXT NOT NULL, suffix TEXT NOT NULL, time bigint NOT NULL, PRIMARY KEY (artifact, path)
);
CREATE INDEX artifact_files_by_content ON artifact_files (project, sha256);
CREATE TABLE artifact_aliases (
    project bigint NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, version bigint NOT NULL,
    PRIMARY KEY (project, name, alias)
);
CREATE TABLE artifact_uses (run bigint NOT NULL, artifact bigint NOT NULL, PRIMARY KEY (run, artifact));
"""
_APPEND = """
CREATE OR REPLACE FUNCTION append(
    p_run bigint, p_writer text, p_first bigint, p_end bigint, p_records bigint, p_bytes bigint, p_names bigint,
    p_body bytea, p_logged bigint, p_seen text, p_point text, p_generation bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    arrived bigint;
    before bigint;
BEGIN
    SELECT arrivals INTO arrived FROM progress WHERE run = p_run FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        PERFORM 1 FROM progress WHERE run = p_run;
        RETURN CASE WHEN FOUND THEN -1 END;
    END IF;
    UPDATE marks SET mark = p_end WHERE run = p_run AND writer = p_writer AND mark = p_first AND p_first < p_end;
    IF NOT FOUND THEN
        SELECT mark INTO before FROM marks WHERE run = p_run AND writer = p_writer;
        IF before IS NOT NULL OR p_first > 0 OR p_end = 0 THEN
            before := coalesce(before, 0);
            IF before >= p_end THEN
                UPDATE progress SET seen = p_seen WHERE run = p_run;
            END IF;
            RETURN before;
        END IF;
        INSERT INTO marks (run, writer, mark, generation) VALUES (p_run, p_writer, p_end, p_generation);
    END IF;
    IF p_records > 0 THEN
        INSERT INTO log (run, first_arrival, records, bytes, names, body)
            VALUES (p_run, arrived, p_records, p_bytes, p_names, p_body);
    END IF;
    UPDATE progress SET arrivals = arrived + p_records, log_bytes = log_bytes + p_bytes, logged = p_logged,
        seen = p_seen, last_point = greatest(last_point, p_point) WHERE run = p_run;
    RETURN p_first;
END
$$;
"""
# What is beside the table in any version.
_FOREIGN = """
SELECT c.relnamespace::regnamespace::text FROM pg_class c
WHERE c.oid = to_regclass('about') AND NOT (
    SELECT count(*) = 3 FROM pg_class each
    WHERE each.relnamespace = c.relnamespace AND each.relname IN ('runs', 'progress', 'marks')
)
"""
_WITHHELD = """
SELECT each.relname, each.relnamespace::regnamespace::text FROM pg_class c
JOIN pg_class each ON each.relnamespace = c.relnamespace AND each.relname = ANY(%s)
WHERE c.oid = to_regclass('about') AND NOT CASE each.relkind WHEN 'S' THEN has_sequence_privilege(each.oid, 'USAGE')
    ELSE has_table_privilege(each.oid, 'SELECT') AND has_table_privilege(each.oid, 'INSERT')
        AND has_table_privilege(each.oid, 'UPDATE') AND has_table_privilege(each.oid, 'DELETE') END
ORDER BY each.relkind DESC, each.relname LIMIT 1
"""


def _made(statements: str) -> list[str]:
    sequences = [f"CREATE SEQUENCE {name}_ids" for name in _ID.findall(statements)]
    statements = _ID.sub(r"bigint PRIMARY KEY DEFAULT nextval('\1_ids')", statements)
    statements = statements.replace("TEXT", 'text COLLATE "C"')
    return sequences + [each for each in map(str.strip, statements.split(";")) if each]


_UPGRADES = {1: _made(_FILES)}  # from each older version to the next
STATEMENTS = (
    *_made(_TABLES + _FILES),
    *(f"CREATE TABLE turns_{number} ()" for number in range(TURNS)),
    _APPEND,
    FOLDED,
)
_NAMES = re.findall(r"CREATE (?:TABLE|SEQUENCE) (\w+)", "\n".join(STATEMENTS))


def found_version(connection: psycopg.Connection[Any]) -> int:
    """The version of the tables, 0 where there are none. Raises ConfigurationError where there cannot be any."""
    if connection.info.server_version < _LOWEST * 10_000:
        version = connection.info.server_version // 10_000
        raise ConfigurationError(f"the database is PostgreSQL {version}; steplog needs {_LOWEST} or newer")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        name = f"--encoding UTF8 --template template0 {connection.info.dbname}"
        raise ConfigurationError(f"the database's encoding is {encoding}. Type for another one: createdb {name}")
    if connection.execute("SELECT to_regclass('about')").fetchone() == (None,):
        return 0
    foreign = connection.execute(_FOREIGN).fetchone()
    if foreign is not None:
        raise ConfigurationError(
            f"the schema {foreign[0]} has a table about, which is not of steplog. Type: createdb --encoding UTF8"
            " --template template0 NAME, for a database of its own"
        )
    withheld = connection.execute(_WITHHELD, (list(_NAMES),)).fetchone()
    if withheld is not None:
        (table, schema), user = withheld, connection.info.user
        raise ConfigurationError(
            f"the user {user} may not read and change {table}. Type to its owner's psql: GRANT SELECT, INSERT, UPDATE,"
            f" DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema}"
            f" TO {user};"
        )
    found = connection.execute("SELECT value FROM about WHERE name = 'schema'").fetchone()
    if found is None:
        raise ConfigurationError("the database's table about has no version: restore the database from a backup")
    return int(found[0])


def prepare(connection: psycopg.Connection[Any], *, is_moving: bool = False) -> str:
    """Make or upgrade the tables, and adapt the connection; the id of the database.

    ``is_moving``: even of one that another database is being moved into. Raises ConfigurationError.
    """
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (_LOCK,))
        version = found_version(connection)
        if not version:
            for statement in STATEMENTS:
                connection.execute(statement.encode())
            about = [("instance", uuid.uuid4().hex), ("schema", str(SCHEMA_VERSION))]
            connection.cursor().executemany("INSERT INTO about (name, value) VALUES (%s, %s)", about)
        elif version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"the database has schema version {version}, of a newer steplog, and is left as it is; this one"
                f" supports {SCHEMA_VERSION}. Type: pip install --upgrade 'steplog[postgres]'"
            )
        else:
            _upgrade(connection, version)
        kept = dict(connection.execute("SELECT name, value FROM about").fetchall())
    if "moving_from" in kept and not is_moving:
        raise ConfigurationError(
            "a database is being moved into this store. Type its steplog db move again, to the end"
        )
    adapt(connection)
    return str(kept["instance"])


def _upgrade(connection: psycopg.Connection[Any], version: int) -> None:
    for step in range(version, SCHEMA_VERSION):
        for statement in _UPGRADES[step]:
            connection.execute(statement.encode())
    if version < SCHEMA_VERSION:
        connection.execute("UPDATE about SET value = %s WHERE name = 'schema'", (str(SCHEMA_VERSION),))
