"""A database has one server, whatever path that was given, and whatever version it is of."""

from __future__ import annotations

import fcntl
import gzip
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.process import DEADLINE_S, SOURCES, ServerProcess
from steplog.errors import ConfigurationError
from steplog.server.sqlite.schema import prepare

GOLDEN = Path(__file__).parents[1] / "golden" / "database-v2.db.gz"
# As a server of 0.1 has its database: the lock beside its path, and a connection in WAL mode.
OLDER_SERVER = """
import fcntl, sqlite3, sys
lock = open(sys.argv[1] + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("SELECT count(*) FROM about").fetchone()
print("serves", flush=True)
sys.stdin.read()
"""


def serve(database: Path) -> subprocess.CompletedProcess[str]:
    """A second server, which is to be refused; one that starts ends at the deadline."""
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(database.parent / "second")}
    command = [sys.executable, "-m", "steplog", "serve", "--port", "0", "--db", str(database)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S / 3, check=False)


@contextmanager
def other_path(kind: str, database: Path) -> Iterator[Path]:
    """Another path of a database that is there."""
    other = database.with_name("other.db")
    folder = database.parent.with_name("folder")
    match kind:
        case "hard link":
            os.link(database, other)
            yield other
        case "link above":
            folder.symlink_to(database.parent.parent)
            yield folder / database.parent.name / database.name
        case "mounted file":
            other.touch()
            with mounted(database, other):
                yield other
        case "mounted directory":
            folder.mkdir()
            with mounted(database.parent, folder):
                yield folder / database.name


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    done = subprocess.run(["mount", "--bind", str(source), str(target)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


KINDS = ["hard link", "link above", "mounted file", "mounted directory"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_database_has_one_server_whatever_path_leads_to_it(tmp_path, kind):
    """The lock was a file beside the path: two servers gave the same numbers to different records."""
    with ServerProcess(tmp_path / "state") as server, other_path(kind, server.database) as path:
        done = serve(path)
        advice = "stop that one, or name another database: --db other.db"
        assert done.returncode == 1
        assert done.stderr == f"steplog: {path} is in use by another steplog server; {advice}\n"
        assert server.ask("GET", "/verify-api-key/").status_code == 200
        server.new_run()


def test_once_its_server_has_ended_it_can_be_served_by_another_path(tmp_path):
    with ServerProcess(tmp_path / "state") as server:
        server.end()
        with other_path("hard link", server.database) as path:
            prepare(path).release()
            lock = prepare(server.database)
            with pytest.raises(ConfigurationError, match="in use by another steplog server"):
                prepare(path)
            lock.release()
            prepare(path).release()


@contextmanager
def served_by_0_1(tmp_path: Path) -> Iterator[Path]:
    database = tmp_path / "state" / "older.db"
    database.parent.mkdir(mode=0o700)
    database.write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    command = [sys.executable, "-c", OLDER_SERVER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as older:
        assert older.stdout is not None
        assert older.stdout.readline() == "serves\n"
        yield database
        older.communicate(timeout=DEADLINE_S)


def version_of(database: Path) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["the same", *KINDS])
def test_what_a_server_of_0_1_has_open_is_neither_served_nor_upgraded(tmp_path, kind):
    with served_by_0_1(tmp_path) as database:
        with other_path(kind, database) if kind != "the same" else nothing(database) as path:
            done = serve(path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "is in use by another steplog server" in done.stderr or "is open in another program" in done.stderr
        assert version_of(database) == 2
    lock = prepare(database)
    lock.release()
    assert version_of(database) == 4


@contextmanager
def nothing(database: Path) -> Iterator[Path]:
    yield database


def test_a_server_of_0_1_is_kept_out_by_the_lock_beside_the_path(tmp_path):
    database = tmp_path / "a.db"
    lock = prepare(database)
    with open(f"{database}.lock", "rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release()


def test_a_reader_of_a_database_of_this_version_keeps_no_server_out(tmp_path):
    database = tmp_path / "a.db"
    prepare(database).release()
    reader = sqlite3.connect(database)
    reader.execute("SELECT count(*) FROM about").fetchone()
    prepare(database).release()
    reader.close()
