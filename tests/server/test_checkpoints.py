"""Checkpoints are made beside the commits, and what they leave is known before the log begins anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polling import wait_until
from server.batches import range_of
from server.stores import add, new_run
from steplog.server.sql.packing import pack_run
from steplog.server.sqlite import checkpoints
from steplog.server.sqlite.checkpoints import Checkpoints
from steplog.server.sqlite.database_file import DatabaseFile, check_left_log
from steplog.server.sqlite.schema import WAL_BYTES_MAX, connect
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import HistoryQuery, RunRow

SLICE = 10_000

ROWS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO about VALUES (hex(randomblob(9)), hex(zeroblob(?)))", (int(sys.argv[2]),))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


def commit(path: Path, size: int) -> None:
    """As another process does."""
    subprocess.run([sys.executable, "-c", ROWS, str(path), str(size // 2)], check=True)


def grow(store: SqliteStore, size: int) -> None:
    """As the server does."""
    insert = "INSERT INTO about VALUES (hex(randomblob(9)), zeroblob(?))"
    store.database.write(lambda connection: connection.execute(insert, (size,)) and None).result()


class FileBesideCommits(DatabaseFile):
    """A database to which another process commits just before what a checkpoint has left is noted."""

    def __init__(self, path: Path) -> None:
        self.left: Path | None = None
        super().__init__(path)

    def check(self) -> None:
        if self.left is not None and self.log_state().to_copy_bytes == 0:
            commit(self._path, 10_000)
            for ending in ("", "-wal", "-base"):
                subprocess.run(["cp", f"{self._path}{ending}", f"{self.left}{ending}"], check=True)  # locks are ours
            self.left = None
        super().check()


@pytest.fixture
def made(path: Path, file: FileBesideCommits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkpoints]:
    """It looks when it is told to."""
    monkeypatch.setattr(checkpoints, "_LOOK_INTERVAL_S", 1000.0)
    opened = Checkpoints(path, file)
    yield opened
    opened.stop()
    for connection in opened.connections:
        connection.close()


@pytest.fixture
def file(path: Path) -> Iterator[FileBesideCommits]:
    SqliteStore(path).close()
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO about VALUES ('a', 'b')")
        opened = FileBesideCommits(path)
        yield opened
    opened.close()


def test_the_log_does_not_begin_anew_before_a_checkpoint_is_noted(made, file, path, tmp_path, monkeypatch):
    """A server that was killed then had a log that seemed to be another database's."""
    monkeypatch.setattr(checkpoints, "COPY_BYTES", 0)
    for number in range(3):
        commit(path, 30_000)
        file.left = tmp_path / f"left{number}.db"
        made.look()
        assert file.left is None, "nothing was copied"
        check_left_log(tmp_path / f"left{number}.db")


def test_little_is_copied_when_nothing_more_comes_or_after_a_while(made, file, path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_QUIET_LOOKS", 3)
    monkeypatch.setattr(checkpoints, "_LOOKS_MAX", 5)

    def looks_until_copied(commits: bool) -> int:
        looks = 0
        while file.log_state().to_copy_bytes:
            if commits and looks:
                commit(path, 100)
            made.look()
            looks += 1
        return looks

    assert looks_until_copied(commits=False) == 4, "the first sees that something has come"
    commit(path, 100)
    assert looks_until_copied(commits=True) == 5


class FileAtWork(DatabaseFile):
    """A database to which another process commits a little before each look."""

    def __init__(self, path: Path) -> None:
        self.commits = 0
        super().__init__(path)

    def check(self) -> None:
        if self.commits:
            self.commits -= 1
            commit(self._path, 100)
        super().check()


def test_what_comes_while_a_checkpoint_is_made_is_copied_too_if_it_is_little(path, monkeypatch):
    """Else a database whose free pages were cut off kept its size for as long as somebody wrote."""
    monkeypatch.setattr(checkpoints, "_LOOK_INTERVAL_S", 1000.0)
    monkeypatch.setattr(checkpoints, "COPY_BYTES", 0)
    SqliteStore(path).close()
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO about VALUES ('a', 'b')")
        file = FileAtWork(path)
        made = Checkpoints(path, file)
        file.commits = 2  # before and after the first
        made.look()
        assert (file.commits, file.log_state().to_copy_bytes) == (0, 0)
        made.stop()
        for each in made.connections:
            each.close()
    file.close()


@pytest.mark.slow
def test_what_is_committed_is_copied_while_commits_go_on(path, monkeypatch):
    """The file of the database grows, and the log begins anew."""
    monkeypatch.setattr(checkpoints, "COPY_BYTES", 1_000_000)
    store = SqliteStore(path)
    for _ in range(30):
        grow(store, 4_000_000)
    log = path.with_name("a.db-wal")
    wait_until(lambda: path.stat().st_size > 110_000_000, 20)
    assert log.stat().st_size < WAL_BYTES_MAX + 10_000_000
    store.close()


@pytest.mark.slow
def test_a_log_that_has_grown_is_emptied_once_it_is_copied_and_all_is_quiet(path, monkeypatch):
    """A reader had kept it from being copied."""
    monkeypatch.setattr(checkpoints, "WAL_BYTES_MAX", 1_000_000)
    store = SqliteStore(path)
    log = path.with_name("a.db-wal")
    with store.database.snapshot() as connection:
        connection.execute("SELECT count(*) FROM runs").fetchone()
        for _ in range(3):
            grow(store, 4_000_000)
        grown = log.stat().st_size
    assert grown > 10_000_000
    wait_until(lambda: log.stat().st_size == 0, 20)
    grow(store, 10)
    store.close()


READS: dict[str, Callable[[SqliteStore, RunRow], Iterator[object]]] = {
    "metrics": lambda store, run: store.metric_slices(run, 0, store.point_count(run)),
    "history": lambda store, run: store.history(run, HistoryQuery()),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("packed", [False, True], ids=["log", "packed"])
def test_a_reader_that_takes_its_time_keeps_no_log(path, read, packed):
    """Between two parts of what it reads, all that was committed can be copied, and the log emptied."""
    store = SqliteStore(path)
    run = new_run(store)
    for first in range(0, 3 * SLICE, SLICE):
        add(store, run, range_of([(f"m{at % 3}", at) for at in range(first, first + SLICE)], first))
    with closing(connect(path, wait_s=0)) as connection:
        while packed and pack_run(connection, run.id):
            pass
        parts = read(store, run)
        next(parts)
        grow(store, 1000)
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert path.with_name("a.db-wal").stat().st_size == 0
        assert sum(1 for _ in parts) >= 1
        with store.database.snapshot() as reader:
            reader.execute("SELECT count(*) FROM runs").fetchone()
            grow(store, 1000)
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 1, "as it is with one"
    store.close()
