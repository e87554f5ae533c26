"""A database removed, replaced or overwritten under its server: nothing is acknowledged that is not at its path.

What another program has put there is left as it is, and what was acknowledged before stays in the file it was written
to, wherever that is now.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, go_on, line
from server.batches import range_of
from server.process import ServerProcess, lasting_port
from steplog.errors import ConfigurationError
from steplog.server.records.batch import from_range
from steplog.server.sqlite.database_file import DatabaseFile, check_left_log
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation, RunRow, StoreGoneError, StoreReplacedError, UserRow


class Store:
    """A store with a run, to which batches of one record are added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(path)
        user: UserRow = self.store.add_user("ann", "ann@localhost").result()
        self.store.put_namespace("team").result()
        namespace = self.store.namespace("team")
        assert namespace is not None
        self.store.add_project(namespace, "p", "p", "TEAM").result()
        project = self.store.project("team", "p")
        assert project is not None
        self.run: RunRow = self.store.create_run(project, user, Creation("r")).result()[0]
        self.acknowledged = 0
        self.close = functools.cache(self.store.close)

    def add(self, records: int = 1) -> None:
        """Store so many more records, or raise."""
        end = self.acknowledged + records
        batch = from_range(range_of([("a", at) for at in range(self.acknowledged, end)], first=self.acknowledged))
        self.store.add_batch(self.run, batch).result()
        self.acknowledged = end


def run_python(program: str, *arguments: object) -> str:
    """In a process of its own: SQLite's state and locks are a process's, and this one has the database open."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout


def stored(path: Path) -> int:
    """The number of records in a database, which must be sound."""
    return int(
        run_python(
            """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
print(connection.execute("SELECT arrivals FROM progress").fetchone()[0])
""",
            path,
        )
    )


def checkpoint(path: Path) -> None:
    """As another program that is a good neighbour does."""
    statement = "PRAGMA wal_checkpoint(TRUNCATE)"
    run_python(
        f"import sqlite3, sys; sys.exit(sqlite3.connect(sys.argv[1]).execute('{statement}').fetchone()[0])", path
    )


def copy_over(source: Path, target: Path) -> None:
    """Overwrite a file in place, in another process."""
    subprocess.run(["cp", str(source), str(target)], check=True)


@pytest.fixture
def opened(tmp_path):
    made = Store(tmp_path / "server.db")
    made.add(100)
    yield made
    made.close()


def test_a_removed_database_is_refused_until_it_is_back_and_then_goes_on(opened, tmp_path):
    away = tmp_path / "away.db"
    opened.path.rename(away)
    for _ in range(2):
        with pytest.raises(StoreGoneError, match="is not there"):
            opened.add()
        with pytest.raises(StoreGoneError):
            opened.store.namespaces()
    away.rename(opened.path)
    opened.add()
    assert opened.store.namespaces()
    opened.close()
    assert stored(opened.path) == opened.acknowledged == 101


def test_a_database_removed_before_the_commit_has_returned_is_not_acknowledged(opened, tmp_path):
    away = tmp_path / "away.db"
    removed = opened.store.database.write(lambda connection: opened.path.rename(away) and None)
    with pytest.raises(StoreGoneError):
        removed.result()


def test_what_was_acknowledged_is_in_the_moved_file_after_the_server_has_ended(opened, tmp_path):
    away = tmp_path / "away.db"
    opened.path.rename(away)
    opened.close()
    assert stored(away) == opened.acknowledged
    assert not [file.name for file in tmp_path.iterdir() if file.name.endswith(("-wal", "-shm"))]


def test_a_replaced_database_is_refused_for_good_and_the_new_one_is_not_touched(opened, tmp_path):
    away, copy = tmp_path / "away.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(opened.path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    opened.add(50)
    opened.path.rename(away)
    copy.rename(opened.path)
    before = opened.path.read_bytes()
    with pytest.raises(StoreReplacedError, match="replaced by another file"):
        opened.add()
    opened.path.rename(copy)
    away.rename(opened.path)
    with pytest.raises(StoreReplacedError):  # others may have written to either
        opened.add()
    opened.path.rename(away)
    copy.rename(opened.path)
    opened.close()
    assert opened.path.read_bytes() == before
    assert (stored(opened.path), stored(away)) == (100, 150)


def test_a_database_overwritten_by_an_older_copy_is_not_mixed_with_the_log(opened, tmp_path):
    copy, size = tmp_path / "copy.db", 0
    checkpoint(opened.path)
    copy_over(opened.path, copy)
    while size <= copy.stat().st_size:
        opened.add(1000)
        checkpoint(opened.path)
        size = opened.path.stat().st_size
    opened.add(1000)
    os.truncate(copy, size)  # as long as the database, so that the length tells nothing
    before = copy.read_bytes()
    copy_over(copy, opened.path)
    for _ in range(2):
        with pytest.raises(StoreReplacedError, match=r"overwritten by another program, its log kept as .*-wal\.1;"):
            opened.add()
    opened.close()
    assert opened.path.read_bytes() == before
    assert not (tmp_path / "server.db-wal").exists()
    run_python(
        "import sys, pathlib as p; from steplog.server.sqlite.store import *; SqliteStore(p.Path(sys.argv[1])).close()",
        opened.path,
    )
    assert stored(opened.path) == 100


def test_a_truncated_database_is_refused(opened):
    checkpoint(opened.path)
    opened.add()
    os.truncate(opened.path, opened.path.stat().st_size // 2)
    with pytest.raises(StoreReplacedError, match=r"the database .* was truncated"):
        opened.add()


def test_a_truncated_log_is_refused(opened, tmp_path):
    os.truncate(tmp_path / "server.db-wal", 0)
    with pytest.raises(StoreReplacedError, match=r"the log of the database .* was truncated"):
        opened.add()


@pytest.mark.parametrize("another", [False, True], ids=["removed", "replaced"])
def test_a_missing_log_is_refused_and_what_it_held_is_in_the_database_after_the_end(opened, tmp_path, another):
    log = tmp_path / "server.db-wal"
    log.unlink()
    if another:
        log.write_bytes(b"another program's")
    with pytest.raises(StoreReplacedError, match=r"the log of the database .* was removed or replaced"):
        opened.add()
    opened.close()
    if another:
        assert log.read_bytes() == b"another program's"
        log.unlink()
        (tmp_path / "server.db-shm").unlink()
    assert stored(opened.path) == opened.acknowledged


def test_a_checkpoint_and_a_touch_by_another_program_change_nothing(opened):
    for _ in range(3):
        opened.add(1000)
        checkpoint(opened.path)
        opened.add(1000)
        opened.path.touch()
        opened.add(1000)
    opened.close()
    assert stored(opened.path) == opened.acknowledged


class SharedFile(DatabaseFile):
    """Another process is at work while the log and its index are being looked at."""

    def at_work(self):
        """Before the index is read."""

    def at_work_later(self):
        """After that."""

    def _contents(self):
        self.at_work()
        found = super()._contents()
        self.at_work_later()
        return found


def test_a_commit_or_a_checkpoint_between_two_looks_changes_nothing(opened):
    """The log seemed shorter than its index says, as if truncated, and the server stopped."""
    opened.add()
    file = SharedFile(opened.path)
    insert = "INSERT INTO about VALUES (hex(randomblob(9)), hex(zeroblob(100000)))"
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    file.at_work = lambda: run_python(program, opened.path, insert)
    file.check()
    file.at_work = lambda: None
    file.at_work_later = lambda: checkpoint(opened.path)
    file.check()
    opened.add()
    opened.close()
    file.close()


def test_its_own_checkpoints_change_nothing(opened):
    opened.store.database.write(
        lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 3") and None
    ).result()
    for _ in range(50):
        opened.add(10)
    opened.close()
    assert stored(opened.path) == opened.acknowledged


def test_a_log_left_by_a_kill_is_not_applied_to_an_older_copy(serving, tmp_path):
    run, copy = serving.new_run(), tmp_path / "copy.db"
    log = serving.database.with_name("server.db-wal")
    for first in (0, 2000):
        assert serving.send(run, range_of([("a", at) for at in range(first, first + 2000)], first=first)).ok
        checkpoint(serving.database)
        if not first:
            copy_over(serving.database, copy)
    assert serving.send(run, range_of([("a", 1.0)], first=4000)).ok
    serving.end(signal.SIGKILL)
    assert log.stat().st_size
    whole = tmp_path / "whole.db"
    copy_over(serving.database, whole)
    copy_over(copy, serving.database)
    before = log.read_bytes()
    with pytest.raises(AssertionError, match=r"is the log of another database than .*: was a copy restored"):
        serving.start()
    assert (serving.database.read_bytes(), log.read_bytes()) == (copy.read_bytes(), before)
    copy_over(whole, serving.database)
    serving.start()
    assert serving.ask("GET", f"{run}series/").json()[0]["count"] == 4001
    serving.end(signal.SIGKILL)
    copy_over(copy, serving.database)
    log.rename(tmp_path / "moved")
    serving.start()
    assert serving.ask("GET", f"{run}series/").json()[0]["count"] == 2000
    assert serving.end() == (0, "")
    assert not serving.database.with_name("server.db-base").exists()


def test_what_a_kill_leaves_at_any_checkpoint_belongs_together(opened, tmp_path):
    left = tmp_path / "left"
    left.mkdir()
    opened.store.database.write(
        lambda connection: connection.execute("PRAGMA wal_autocheckpoint = 7") and None
    ).result()
    bases = set()
    for step in range(80):
        opened.add(1 + 37 * step)
        for ending in ("", "-wal", "-base"):
            copy_over(tmp_path / f"server.db{ending}", left / f"server.db{ending}")
        bases.add((left / "server.db-base").read_bytes())
        check_left_log(left / "server.db")
    assert len(bases) > 5
    (left / "server.db-base").write_bytes(b"torn" + bases.pop()[4:])
    check_left_log(left / "server.db")


def cut(opened: Store) -> None:
    """Leave a shorter database to the next checkpoint."""
    opened.store.database.write(_grow).result()
    checkpoint(opened.path)
    opened.store.database.write(_cut).result()


def _grow(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO about VALUES ('filler', hex(zeroblob(1000000)))")


def _cut(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM about WHERE name = 'filler'")
    while connection.execute("PRAGMA freelist_count").fetchone() != (0,):
        connection.execute("PRAGMA incremental_vacuum(1)")


def test_what_a_kill_leaves_of_a_checkpoint_that_cuts_the_file_belongs_together(opened, tmp_path):
    """The database is shorter than what was noted of it: it was taken for another."""
    left = tmp_path / "left"
    left.mkdir()
    cut(opened)
    opened.add()
    for ending in ("-wal", "-base"):
        copy_over(tmp_path / f"server.db{ending}", left / f"server.db{ending}")
    before = opened.path.stat().st_size
    checkpoint(opened.path)
    copy_over(opened.path, left / "server.db")
    assert (left / "server.db").stat().st_size < before
    check_left_log(left / "server.db")
    os.truncate(left / "server.db", before // 1000)
    with pytest.raises(ConfigurationError, match="another database"):
        check_left_log(left / "server.db")


class WatchedIndex(DatabaseFile):
    """A database whose index is read while something is at work."""

    def __init__(self, path: Path) -> None:
        self.at_work = iter(())
        super().__init__(path)

    def _read_index(self):
        next(self.at_work, None)
        return super()._read_index()


def test_a_checkpoint_that_cuts_the_file_while_it_is_looked_at_changes_nothing(opened):
    """Its size was that of before the checkpoint, its index of after it: then it seemed truncated."""
    cut(opened)
    file = WatchedIndex(opened.path)
    before = opened.path.stat().st_size
    file.at_work = (None if look == 0 else checkpoint(opened.path) for look in range(2))
    file.check()
    assert opened.path.stat().st_size < before
    file.check()
    opened.add()
    opened.close()
    file.close()


@pytest.fixture
def serving(tmp_path):
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--port", str(lasting_port())) as server:
        yield server


def test_a_truncated_database_ends_the_server_though_only_reads_are_asked_for(serving):
    run = serving.new_run()
    checkpoint(serving.database)
    os.truncate(serving.database, 5000)
    assert serving.ask("GET", run).status_code in (200, 503, 507)  # from the cache, or refused; never 500
    _, errors = serving.process.communicate(timeout=30)
    assert serving.process.returncode == 1
    assert re.fullmatch(r"steplog: the database .* was truncated by another program.*\n", errors)


LOGS_ON = """
run = begin()
for number in range(40_000):
    if number in (10_000, 30_000):
        run.flush()
        print(number, flush=True)
        sys.stdin.readline()
    run.log("loss", number + 0.5, step=number)
report = run.finish(timeout=60)
print(report.delivered, report.pending, report.ambiguous)
"""


def test_a_run_loses_nothing_while_the_database_is_away(serving, tmp_path):
    host, away = Host(tmp_path, serving), tmp_path / "away.db"
    program = host.start(LOGS_ON)
    assert line(program) == "10000"
    serving.database.rename(away)
    assert serving.ask("GET", "/team/projects/").status_code == 503
    errors = serving.process.stderr
    assert errors is not None
    assert re.fullmatch(r"steplog serve: the database .* is not there .*; everything is refused.*\n", errors.readline())
    go_on(program)
    away.rename(serving.database)
    assert errors.readline() == "steplog serve: the database is back\n"
    assert line(program) == "30000"
    go_on(program)
    done = ended(program)
    assert (done.code, done.out) == (0, "40000 0 0\n")
    assert host.server.values("run", "loss") == [number + 0.5 for number in range(40_000)]
    assert serving.end() == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("overwritten", [False, True], ids=["replaced", "overwritten"])
def test_a_run_loses_nothing_when_a_copy_takes_the_place_of_the_database(serving, tmp_path, overwritten):
    host, copy = Host(tmp_path, serving), tmp_path / "copy.db"
    program = host.start(LOGS_ON)
    assert line(program) == "10000"
    run_python(
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', sys.argv[2:])",
        serving.database,
        copy,
    )
    if overwritten:
        copy_over(copy, serving.database)
    else:
        copy.rename(serving.database)
    go_on(program)
    _, errors = serving.process.communicate(timeout=30)
    assert serving.process.returncode == 1
    assert re.fullmatch(
        r"steplog: the database .* was (replaced|overwritten|truncated) by .*; start the server again .*\n", errors
    )
    serving.start()
    assert line(program) == "30000"
    go_on(program)
    done = ended(program)
    assert (done.code, done.out) == (0, "40000 0 0\n")
    assert host.server.values("run", "loss") == [number + 0.5 for number in range(40_000)]
