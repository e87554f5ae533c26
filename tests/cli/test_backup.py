"""``steplog db backup`` copies a server's database while it is written to; ``steplog db compact`` rewrites it."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, SOURCES, ServerProcess
from steplog.errors import ConfigurationError
from steplog.server.blobs.folder import FolderContents
from steplog.server.open_store import back_up, open_store
from steplog.server.sqlite.store import SqliteStore

GOLDEN = Path(__file__).parents[1] / "golden"
FILLER = 8_000_000


class Machine:
    """A directory with a server, and the command line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / "server.db"
        self._environment = {n: v for n, v in os.environ.items() if not n.startswith(("STEPLOG_", "TELLURIO_"))} | {
            "STEPLOG_DIR": str(directory),
            "PYTHONPATH": str(SOURCES),
            "NO_COLOR": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "steplog", *arguments],
            env=self._environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def steplog(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, errors

    def names(self) -> set[str]:
        return set(os.listdir(self.directory))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    tmp_path.chmod(0o700)
    return Machine(tmp_path)


def grow(database: Path) -> None:
    """By half of what is removed again."""
    with closing(sqlite3.connect(database)) as connection:
        for name in ("filler", "kept"):
            connection.execute("INSERT INTO about VALUES (?, zeroblob(?))", (name, FILLER))
        connection.execute("DELETE FROM about WHERE name = 'filler'")
        connection.commit()


def one(database: Path, query: str) -> object:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchone()[0]


class Writer(threading.Thread):
    """A client that writes 0, 1, 2, …, each in a batch of its own."""

    def __init__(self, server: ServerProcess, run: str) -> None:
        super().__init__()
        self._server, self._run = server, run
        self.acknowledged = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            self._server.send(
                self._run, range_of([("a", self.acknowledged)], first=self.acknowledged)
            ).raise_for_status()
            self.acknowledged += 1


@pytest.mark.slow
def test_a_backup_of_a_server_that_is_written_to_has_a_beginning_of_what_was_written(machine):
    """Another server serves it."""
    with ServerProcess(machine.directory) as server:
        run = server.new_run()
        writer = Writer(server, run)
        writer.start()
        try:
            wait_until(lambda: writer.acknowledged > 5)
            before = writer.acknowledged
            code, out, errors = machine.steplog("db", "backup", "copy.db")
            after = writer.acknowledged
            assert (code, errors) == (0, "")
            wait_until(lambda: writer.acknowledged > after)
        finally:
            writer.stopped.set()
            writer.join()
        assert server.end() == (0, "")
    copy = machine.directory / "copy.db"
    assert re.fullmatch(rf"{re.escape(str(copy))}: 1 run, [\d.]+ KiB\n", out)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert one(copy, "PRAGMA integrity_check") == "ok"
    assert not [name for name in machine.names() if name.startswith((".", "copy.db-"))]
    (restored := machine.directory / "restored").mkdir(mode=0o700)
    copy.rename(restored / "server.db")
    with ServerProcess(restored) as server:
        values = [point["value"] for point in server.ask("GET", f"{run}metrics/").json()]
        assert values == list(range(len(values)))
        assert before <= len(values) <= after + 1
        assert server.end() == (0, "")


def test_a_backup_says_where_the_contents_of_files_are(machine):
    open_store(machine.database).close()
    contents = FolderContents(machine.directory / "server.db.blobs")
    assert machine.steplog("db", "backup", "empty.db")[1].count("\n") == 1
    contents.append("0-0", 0, b"a")
    contents.verify("0-0", sha256(b"a").hexdigest(), 1)
    contents.put("0-0", sha256(b"a").hexdigest())
    assert f"their contents are in {contents.root}: copy it" in machine.steplog("db", "backup", "copy.db")[1]
    told = json.loads(machine.steplog("db", "backup", "json.db", "--json")[1])
    assert told["contents"] == str(contents.root)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_backup_replaces_nothing(machine, kind):
    SqliteStore(machine.database).close()
    there = machine.directory / "copy.db"
    if kind == "file":
        there.write_text("mine")
    else:
        there.symlink_to("nowhere")
    before = machine.names()
    code, out, errors = machine.steplog("db", "backup", "copy.db")
    assert (code, out) == (1, "")
    assert errors == f"steplog: {there} exists; a backup replaces nothing\n"
    assert machine.names() == before
    assert there.read_text() == "mine" if kind == "file" else not there.exists()


def test_a_backup_into_a_directory_that_is_missing_names_the_file_that_was_asked_for(machine):
    """It named the file it is written to at first, and another directory to set."""
    SqliteStore(machine.database).close()
    copy = machine.directory / "missing" / "copy.db"
    code, out, errors = machine.steplog("db", "backup", str(copy))
    assert (code, out) == (1, "")
    assert errors == f"steplog: {copy} cannot be written: No such file or directory\n"


def test_a_file_that_appears_while_a_backup_is_made_is_not_replaced(machine, monkeypatch):
    SqliteStore(machine.database).close()
    copy, link = machine.directory / "copy.db", os.link

    def late(source: Path, target: Path) -> None:
        target.write_text("mine")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(ConfigurationError, match="exists; a backup replaces nothing"):
        back_up(machine.database, copy)
    assert copy.read_text() == "mine"
    assert not [name for name in machine.names() if name.startswith(".")]


def test_a_backup_goes_to_a_file_system_without_hard_links(machine, monkeypatch):
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    SqliteStore(machine.database).close()
    made = back_up(machine.database, machine.directory / "copy.db")
    assert Path(made.path).stat().st_size == made.bytes
    assert not [name for name in machine.names() if name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "Ctrl-C"])
def test_a_backup_that_is_stopped_is_not_there(machine, number):
    SqliteStore(machine.database).close()
    with closing(sqlite3.connect(machine.database)) as connection:
        connection.executemany("INSERT INTO tombstones VALUES (1, ?, 'x')", ((f"{n:0100}",) for n in range(500_000)))
        connection.commit()
    before = machine.names()
    process = machine.start("db", "backup", "copy.db")
    scratch = re.compile(r"\.copy\.db\.[0-9a-f]{16}")
    wait_until(lambda: any(scratch.fullmatch(name) for name in machine.names()))
    process.send_signal(number)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    left = machine.names() - before
    assert "copy.db" not in left
    assert left == set() or number == signal.SIGKILL
    assert machine.steplog("db", "backup", "copy.db")[0] == 0
    assert one(machine.directory / "copy.db", "SELECT count(*) FROM tombstones") == 500_000


def test_a_backup_without_room_for_it_is_not_there(machine):
    """A limit on the size of files stands in for a full disk."""
    SqliteStore(machine.database).close()
    grow(machine.database)
    before = machine.names()
    process = machine.start("db", "backup", "copy.db")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, errors.count("\n")) == (1, "", 1)
    assert machine.names() == before


def test_a_backup_of_an_older_database_is_of_its_version(machine):
    """It is made before the upgrade, and while the older server runs."""
    machine.database.write_bytes(gzip.decompress((GOLDEN / "database-v2.db.gz").read_bytes()))
    before = machine.database.read_bytes()
    code, out, errors = machine.steplog("db", "backup", "--json", "copy.db")
    told = json.loads(out)
    copy = machine.directory / "copy.db"
    assert (code, errors, told["file"], told["bytes"]) == (0, "", str(copy), copy.stat().st_size)
    assert one(copy, "PRAGMA user_version") == one(machine.database, "PRAGMA user_version") == 2
    assert one(copy, "SELECT count(*) FROM series") == one(machine.database, "SELECT count(*) FROM series") > 0
    assert machine.database.read_bytes() == before


def test_what_is_no_database_is_not_copied(machine):
    code, _, errors = machine.steplog("db", "backup", "copy.db")
    assert (code, errors) == (
        1,
        f"steplog: there is no database {machine.database}. Type: steplog serve; or name one: --db FILE\n",
    )
    machine.database.write_text("notes " * 99)
    assert (
        machine.steplog("db", "backup", "copy.db")[2]
        == f"steplog: {machine.database} is not a database; it was not changed\n"
    )
    assert machine.names() == {"server.db"}


@pytest.mark.slow
def test_a_database_that_is_compacted_takes_no_more_room_than_it_needs(machine):
    """One of an older version, which gives room back by itself from then on."""
    machine.database.write_bytes(gzip.decompress((GOLDEN / "database-v2.db.gz").read_bytes()))
    runs = one(machine.database, "SELECT count(*) FROM runs")
    grow(machine.database)
    before = machine.database.stat().st_size
    assert before > 2 * FILLER
    code, out, errors = machine.steplog("db", "compact")
    after = machine.database.stat().st_size
    assert (code, errors) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(machine.database))}: [\d.]+ MiB, [\d.]+ MiB before\n", out)
    assert 0 <= after - (before - FILLER) < 300_000
    assert one(machine.database, "PRAGMA auto_vacuum") == 2
    assert machine.database.stat().st_mode & 0o777 == 0o600
    with ServerProcess(machine.directory) as server:
        assert one(machine.database, "SELECT count(*) FROM runs") == runs
        assert server.end() == (0, "")
    assert not [name for name in machine.names() if name.startswith(".")]


@pytest.mark.slow
def test_a_database_that_another_program_has_open_is_not_compacted(machine):
    with ServerProcess(machine.directory) as server:
        code, _, errors = machine.steplog("db", "compact")
        advice = "stop that one, or name another database: --db other.db"
        assert (code, errors) == (1, f"steplog: {machine.database} is in use by another steplog server; {advice}\n")
        assert server.ask("GET", "/team/projects/").status_code in (200, 404)
        assert server.end() == (0, "")
    before = machine.database.read_bytes()
    with closing(sqlite3.connect(machine.database)) as connection:
        connection.execute("SELECT * FROM about").fetchall()
        code, _, errors = machine.steplog("db", "compact")
        assert code == 1
        assert "locked" in errors or "open in another program" in errors
    assert machine.database.read_bytes() == before
