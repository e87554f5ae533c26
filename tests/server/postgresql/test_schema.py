"""The tables are made once, by whichever server comes first, in a database that can hold them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

import postgresql
from server import packed
from server.batches import range_of
from server.stores import add, listed, new_run
from steplog.blobs.entries import FileEntry
from steplog.errors import ConfigurationError
from steplog.server.open_store import migrate, open_store
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.store_types import BatchResult, RunRow

TEXT = "é 日本 \\ ' \" \\n"
ODD = (
    "search_path = mine",
    "client_encoding = latin1",
    "standard_conforming_strings = off",
    "TimeZone = 'Asia/Kathmandu'",
    "DateStyle = 'German'",
    "IntervalStyle = 'iso_8601'",
    "bytea_output = 'escape'",
    "default_transaction_isolation = 'serializable'",
    "extra_float_digits = 0",
    "transform_null_equals = on",
)


def test_servers_that_start_at_once_make_the_tables_once():
    url = postgresql.new_database()

    def opened(_: int) -> str:
        with closing(PostgresqlStore(url)) as store:
            store.add_user("ann").result()
            return store.instance

    with ThreadPoolExecutor() as starting:
        ids = list(starting.map(opened, range(4)))
    assert len(set(ids)) == 1
    with closing(PostgresqlStore(url)) as store:
        assert [user.username for user in store.users()] == ["ann"]


def newer(url: str) -> str:
    with closing(open_store(url)), psycopg.connect(url) as connection:
        connection.execute("UPDATE about SET value = '999' WHERE name = 'schema'")
    return url


def of_another_encoding(url: str) -> str:
    name = url.rpartition("/")[2] + "_latin"
    with psycopg.connect(url, autocommit=True) as connection:
        options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(f"CREATE DATABASE {name} {options}".encode())
    return url.rpartition("/")[0] + f"/{name}"


def of_a_user_without_rights(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE USER weak_{url.rpartition('/')[2]}".encode())
    return url.replace("postgres@", f"weak_{url.rpartition('/')[2]}@")


def made_by_another_user(url: str) -> str:
    open_store(url).close()
    weak = of_a_user_without_rights(url)
    with psycopg.connect(url) as connection:
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak_{url.rpartition('/')[2]}".encode())
    return weak


def without_a_sequence(url: str) -> str:
    weak = made_by_another_user(url)
    with psycopg.connect(url) as connection:
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO weak_{url.rpartition('/')[2]}".encode())
    return weak


def of_another_program(url: str) -> str:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE about (text text)")
    return url


def that_only_reads(url: str) -> str:
    return f"{url}?options=-cdefault_transaction_read_only%3Don"


def without_a_schema(url: str) -> str:
    return f"{url}?options=-csearch_path%3Dnowhere"


def without_a_version(url: str) -> str:
    with closing(open_store(url)), psycopg.connect(url) as connection:
        connection.execute("DELETE FROM about WHERE name = 'schema'")
    return url


def not_there(url: str) -> str:
    return f"{url}_none"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (newer, "schema version 999, of a newer steplog, and is left as it is; this one supports 2. Type: pip install"),
        (of_another_encoding, "encoding is LATIN1. Type for another one: createdb --encoding UTF8"),
        (of_a_user_without_rights, "permission denied for schema public. Type to its owner's psql: ALTER DATABASE"),
        (
            made_by_another_user,
            "may not read and change about. Type to its owner's psql: GRANT SELECT, INSERT, UPDATE,",
        ),
        (
            without_a_sequence,
            "may not read and change artifacts_ids. Type to its owner's psql: GRANT SELECT, INSERT, UPDATE,",
        ),
        (of_another_program, "the schema public has a table about, which is not of steplog. Type: createdb"),
        (that_only_reads, "session is read-only, as a standby is. Name the one that takes writes, or all: postgresql:"),
        (without_a_schema, "no schema has been selected to create in. Type to psql: CREATE SCHEMA"),
        (without_a_version, "about has no version: restore the database from a backup"),
        (not_there, "does not exist. Type: createdb"),
    ],
)
def test_a_database_that_cannot_hold_a_store_is_refused_in_words(made: Callable[[str], str], words: str):
    url = made(postgresql.new_database())
    for use in (open_store, migrate):
        with pytest.raises(ConfigurationError) as caught:
            use(url)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_user_who_makes_no_tables_uses_those_that_an_admin_made():
    url = postgresql.new_database()
    migrate(url)
    weak = of_a_user_without_rights(url)
    with pytest.raises(ConfigurationError) as caught:
        open_store(weak)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(str(caught.value).partition("psql: ")[2].encode())
    with closing(open_store(weak)) as store:
        run = new_run(store)
        sent = range_of([("a", 1.0)])
        assert add(store, run, sent) == BatchResult(1, 0)
        packed.pack(store, run)
        project = store.project("team", "mnist")
        assert project is not None
        store.discard_run(project, run.uuid, now=True).result()
        while store.reap().result():
            pass


ADDED_2 = (
    *("files", "contents", "project_contents", "content_totals"),
    *("artifacts", "artifact_files", "artifact_aliases", "artifact_uses"),
)
TABLES = """
SELECT 'column', table_name, column_name || data_type || is_nullable || coalesce(column_default, '')
    || coalesce(collation_name, '') FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'sequence', sequencename, '' FROM pg_sequences
UNION ALL SELECT 'about', name, value FROM about WHERE name = 'schema' ORDER BY 1, 2, 3
"""


def tables(url: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(TABLES).fetchall()


def of_version_1(url: str) -> RunRow:
    """Make a database what one of version 1 was; a run of it."""
    with closing(open_store(url)) as store:
        run = new_run(store)
        add(store, run, range_of([("a", 1.0)]))
    with psycopg.connect(url) as connection:
        for name in ADDED_2:
            connection.execute(f"DROP TABLE {name}".encode())
        connection.execute("DROP SEQUENCE artifacts_ids")
        connection.execute("ALTER TABLE runs DROP COLUMN files_pending")
        connection.execute("UPDATE about SET value = '1' WHERE name = 'schema'")
    return run


def test_servers_that_start_at_once_upgrade_the_tables_of_an_older_version_once():
    url, new = postgresql.new_database(), postgresql.new_database()
    migrate(new)
    run = of_version_1(url)

    def opened(_: int) -> list[str]:
        with closing(PostgresqlStore(url)) as store:
            return [found.uuid for found in store.runs(store.project("team", "mnist"))]

    with ThreadPoolExecutor() as starting:
        assert list(starting.map(opened, range(4))) == [[run.uuid]] * 4
    assert tables(url) == tables(new)
    with closing(PostgresqlStore(url)) as store:
        assert [point["value"] for point in listed(store, run)] == [1.0]
        assert store.announce_files(run, [FileEntry(id="0" * 32, sha256="0" * 64)], ()).result().missing == ["0" * 64]


def test_who_may_not_upgrade_the_tables_is_told_who_may():
    url = postgresql.new_database()
    of_version_1(url)
    weak = of_a_user_without_rights(url)
    with psycopg.connect(url) as connection:
        for what in ("TABLES", "SEQUENCES"):
            connection.execute(f"GRANT ALL ON ALL {what} IN SCHEMA public TO weak_{url.rpartition('/')[2]}".encode())
    with pytest.raises(ConfigurationError, match="type as a user who may make them: steplog db migrate"):
        open_store(weak)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT value FROM about WHERE name = 'schema'").fetchone() == ("1",)


def test_tables_are_where_the_search_path_of_a_user_with_odd_settings_says():
    url = postgresql.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA mine; CREATE TABLE public.about (text text)")
        for setting in ODD:
            connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}".encode())
    with closing(open_store(f"{url}?client_encoding=latin1")) as store:
        run = new_run(store)
        assert store.edit_run(run, {"description": TEXT}).result().description == TEXT
        assert add(store, run, range_of([(TEXT, 1.0)])) == BatchResult(1, 0)
        packed.pack(store, run)
        assert [point["name"] for point in listed(store, run)] == [TEXT]
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'runs'").fetchall()
    assert found == [("mine",)]


def test_ids_beyond_32_bits_are_as_others():
    url = postgresql.new_database()
    with closing(open_store(url)) as store, psycopg.connect(url, autocommit=True) as operator:
        sequences = operator.execute("SELECT sequencename FROM pg_sequences").fetchall()
        assert len(sequences) == 8
        for (name,) in sequences:
            operator.execute("SELECT setval(%s, %s)", (name, 2**31 - 1))
        runs = [new_run(store) for _ in range(2)]
        for run in runs:
            assert run.id >= 2**31
            assert add(store, run, range_of([("a", 0.5), ("b", 1.5), ("a", 2.5)])) == BatchResult(3, 0)
            packed.pack(store, run, chunk_points=2)
            assert add(store, run, range_of([("a", 3.5)], 3)) == BatchResult(1, 0)
            assert [point["value"] for point in listed(store, run)] == [0.5, 1.5, 2.5, 3.5]
