"""``steplog db`` upgrades, copies and moves databases, and shows no password."""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import postgresql
from server import stores
from server.batches import range_of
from server.moved import file_contents, store_contents
from steplog.cli import main
from steplog.server.open_store import open_store
from steplog.server.sqlite.schema import SCHEMA_VERSION

GOLDEN = Path(__file__).parents[1] / "golden"


def steplog(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One with a run."""
    path = tmp_path / "server.db"
    with closing(open_store(path)) as store:
        stores.add(store, stores.new_run(store), range_of([("loss", 0.5, 1), ("loss", 0.25, 2)]))
    return path


@pytest.fixture
def secret() -> str:
    """The URL of an empty database, with a password that nobody asks for."""
    return postgresql.new_database().replace("postgres@", "postgres:s3cret@")


def test_a_database_of_a_file_is_upgraded_or_said_to_be_due(database):
    with closing(sqlite3.connect(database)) as connection:
        (current,) = connection.execute("PRAGMA user_version").fetchone()
    assert current == SCHEMA_VERSION
    for more in ((), ("--check",)):
        done = steplog("db", "migrate", "--db", database, *more)
        assert (done.exit_code, done.stdout) == (0, f"{database}: schema version {SCHEMA_VERSION}, nothing to do\n")


def test_an_older_database_is_upgraded_by_migrate_alone(tmp_path):
    database = tmp_path / "server.db"
    database.write_bytes(gzip.decompress((GOLDEN / "database-v3.db.gz").read_bytes()))
    database.chmod(0o600)
    before = database.read_bytes()
    done = steplog("db", "migrate", "--db", database, "--check")
    assert (done.exit_code, done.stdout) == (
        1,
        f"{database}: schema version 3, to be upgraded to {SCHEMA_VERSION}. Type the same without --check\n",
    )
    assert database.read_bytes() == before
    refused = steplog("db", "move", "--db", database, "--store", postgresql.new_database())
    assert refused.exit_code == 1
    assert "has schema version 3, of an older steplog. Stop its server and type: steplog db migrate" in refused.stderr
    done = steplog("db", "migrate", "--db", database)
    assert (done.exit_code, done.stdout) == (0, f"{database}: schema version {SCHEMA_VERSION}, upgraded from 3\n")


def test_migrate_makes_no_file(tmp_path):
    for more in ((), ("--check",)):
        done = steplog("db", "migrate", "--db", tmp_path / "none.db", *more)
        assert (done.exit_code, done.stderr.partition(". ")[0]) == (
            1,
            f"steplog: there is no database {tmp_path}/none.db",
        )
    assert not list(tmp_path.iterdir())


def test_a_store_gets_its_tables_by_migrate(secret):
    shown = secret.replace(":s3cret", "")
    done = steplog("db", "migrate", "--check", STEPLOG_STORE=secret)
    assert (done.exit_code, done.stdout.partition(": ")[0]) == (1, shown)
    assert done.stdout.startswith(f"{shown}: no tables yet, to be made in version ")
    assert steplog("db", "migrate", STEPLOG_STORE=secret).stdout.endswith(", made\n")
    done = steplog("db", "migrate", "--check", STEPLOG_STORE=secret)
    assert (done.exit_code, done.stdout.rpartition(", ")[2]) == (0, "nothing to do\n")


def test_a_store_is_copied_by_pg_dump_and_restored_by_pg_restore(tmp_path, secret):
    programs = postgresql.cluster().programs
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "STEPLOG_STORE": secret}
    copy = tmp_path / "copy.dump"
    done = steplog("db", "backup", copy, **path)
    assert (done.exit_code, done.stderr) == (1, f"steplog: {secret.replace(':s3cret', '')} has no tables of steplog\n")
    with closing(open_store(secret)) as store:
        stores.add(store, stores.new_run(store), range_of([("loss", 0.5, 1)]))
    done = steplog("db", "backup", copy, **path)
    assert (done.exit_code, done.stdout.partition(", ")[0]) == (0, f"{copy}: 1 run")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [copy.name]
    again = steplog("db", "backup", copy, **path)
    assert (again.exit_code, again.stderr) == (1, f"steplog: {copy} exists; a backup replaces nothing\n")
    other = postgresql.new_database()
    subprocess.run([programs / "pg_restore", f"--dbname={other}", "--no-owner", copy], check=True, capture_output=True)
    assert store_contents(other) == store_contents(secret)
    with closing(open_store(other)) as restored:
        assert len(restored.runs(restored.project("team", "mnist"))) == 1


def test_without_pg_dump_backup_says_what_to_type(tmp_path, secret):
    done = steplog("db", "backup", tmp_path / "copy", PATH=str(tmp_path), STEPLOG_STORE=secret)
    assert done.exit_code == 1
    assert (
        "pg_dump is not on PATH. Type where it is (Debian: postgresql-client): pg_dump --format=custom" in done.stderr
    )
    assert "s3cret" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_backup_that_pg_dump_refuses_leaves_nothing(tmp_path, secret):
    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho pg_dump: error: aborting because of a mismatch >&2\nexit 1\n")
    program.chmod(0o755)
    open_store(secret).close()
    done = steplog("db", "backup", tmp_path / "copy", PATH=f"{program.parent}:/usr/bin:/bin", STEPLOG_STORE=secret)
    assert done.exit_code == 1
    assert "was not copied: pg_dump: error: aborting because of a mismatch" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["bin"]


def test_move_says_how_to_go_on_and_shows_no_password(database, secret):
    database.with_name("server.db.key").touch()
    database.with_name("server.db.blobs").joinpath("ab").mkdir(parents=True)
    done = steplog("db", "move", "--db", database, STEPLOG_STORE=secret)
    assert (done.exit_code, done.stderr) == (0, "")
    shown = secret.replace(":s3cret", "")
    assert done.stdout.splitlines()[-3:] == [
        f"steplog db move: moved 1 run with 2 points to {shown}",
        f"  kept      {database}, as it was; no server opens it any more",
        f"  start     steplog serve --store {shown} --api-key-file {database}.key --blobs {database}.blobs",
    ]
    again = steplog("db", "move", "--db", database, STEPLOG_STORE=secret)
    assert again.exit_code == 1
    assert f"has been moved to {shown}. Type: steplog serve --store {shown}" in again.stderr
    assert "s3cret" not in done.output + again.output
    assert file_contents(database)["runs"] == store_contents(secret)["runs"]


def test_move_needs_a_store_and_a_database_that_is_there(tmp_path, secret):
    assert steplog("db", "move", "--db", tmp_path / "none.db").exit_code == 2
    done = steplog("db", "move", "--db", tmp_path / "none.db", "--store", secret)
    assert (done.exit_code, done.stderr.partition(". ")[0]) == (1, f"steplog: there is no database {tmp_path}/none.db")
    done = steplog("db", "move", "--db", tmp_path / "none.db", "--store", "other.db")
    assert (done.exit_code, "a store is named by postgresql://" in done.stderr) == (1, True)


def test_what_was_moved_is_refused_by_every_command_that_would_change_it(database, secret, tmp_path):
    assert steplog("db", "move", "--db", database, "--store", secret).exit_code == 0
    for command in (("key", "issue"), ("key", "list"), ("db", "compact"), ("serve", "--port", "0")):
        done = steplog(*command, "--db", database)
        assert done.exit_code == 1, command
        assert f"{database} was moved to" in done.stderr
    assert steplog("db", "backup", "--db", database, tmp_path / "copy.db").exit_code == 0, "it changes nothing"
