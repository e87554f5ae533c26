"""The packer packs what is due, beside a server, lives as long as that one, and holds on to nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from polling import wait_until
from server.batches import range_of
from server.logged import ENGINES, LoggedRun, expected
from server.process import SOURCES, ServerProcess
from server.stores import new_run
from server.test_packing import steps
from steplog.server.packer import packer_process
from steplog.server.postgresql import packer as postgresql_packer
from steplog.server.records.batch import from_range
from steplog.server.sql import packer as packers
from steplog.server.sql.packer import ENDED_S, IDLE_S
from steplog.server.sql.packing import POINTS_A_NAME, pack_run
from steplog.server.sqlite import packer as sqlite_packer
from steplog.server.sqlite.packer import Packer, file_id
from steplog.server.sqlite.schema import connect
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import StoreError

NOW = 1_800_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=ENGINES)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoggedRun]:
    with LoggedRun.of_engine(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def file_run(tmp_path: Path) -> Iterator[LoggedRun]:
    made = LoggedRun(tmp_path / "server.db")
    yield made
    made.connection.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def packer_of(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes a packer of a run's database that looks whenever it is asked to, and says what it says into a list.

    No packer closes its connection to a file: this does it, of all that are made meanwhile.
    """
    with ExitStack() as opened:

        def connected(*args: Any, **given: Any) -> Any:
            return opened.enter_context(closing(connect(*args, **given)))

        monkeypatch.setattr(sqlite_packer, "connect", connected)

        def made(run: LoggedRun, said: list[str] | None = None) -> Any:
            say = (said if said is not None else []).append
            if isinstance(run.place, Path):
                return Packer(run.place, file_id(run.place), say, clock)
            packer = postgresql_packer.Packer(run.place, say, clock, lambda: 0.0)
            opened.callback(packer.close)
            return packer

        yield made


def test_a_run_is_packed_once_its_names_have_enough_points(run, packer_of):
    packer, batches = packer_of(run), []
    for first in range(0, POINTS_A_NAME, 8):
        batches.append(steps(5, first, 8))
        run.append(batches[-1], logged=NOW)
        packer.work()
        assert (run.count("log") == 0) == (first + 8 == POINTS_A_NAME)
    assert run.points() == expected(batches)


@pytest.mark.parametrize(("enough_bytes", "at_once"), [(2**20, 1), (1, 3)])
def test_a_run_that_goes_on_is_packed_again_at_the_next_look(run, monkeypatch, enough_bytes, at_once, packer_of):
    packer, passes = packer_of(run), 0

    def pack_while_more_arrives(*args, **kwargs):
        nonlocal passes
        passes += 1
        is_partial = pack_run(*args, **kwargs)
        if passes < 3:
            run.append(steps(5, passes * POINTS_A_NAME, POINTS_A_NAME), logged=NOW)
        return is_partial

    monkeypatch.setattr(packers, "ENOUGH_BYTES", enough_bytes)
    for module in (sqlite_packer, postgresql_packer):
        monkeypatch.setattr(module, "pack_run", pack_while_more_arrives)
    run.append(steps(5, 0, POINTS_A_NAME), logged=NOW)
    packer.work()
    assert passes == at_once
    packer.work()
    packer.work()
    assert (passes, run.count("log")) == (3, 0)


def test_a_run_is_packed_when_nothing_was_logged_for_a_while(run, clock, packer_of):
    packer = packer_of(run)
    run.append(steps(5, 0, 8), logged=NOW)
    packer.work()
    assert run.count("log") == 1
    clock.now += IDLE_S - 1
    packer.work()
    assert run.count("log") == 1
    clock.now += 1
    packer.work()
    assert run.count("log") == 0


def test_a_run_is_packed_when_it_has_ended(run, clock, packer_of):
    packer = packer_of(run)
    run.append(steps(5, 0, 8), logged=NOW)
    packer.work()
    run.connection.execute("UPDATE runs SET status = 'COMPLETED'")
    packer.work()
    assert run.count("log") == 1, "one that goes on is not packed batch by batch"
    clock.now += ENDED_S
    packer.work()
    assert run.count("log") == 0


def test_a_run_is_packed_at_many_bytes_and_though_the_clock_was_set_back(run, packer_of):
    packer = packer_of(run)
    run.append(steps(300, 0, 1), logged=NOW)
    run.connection.execute("UPDATE progress SET log_bytes = 8 * 1024 * 1024")
    packer.work()
    assert run.count("log") == 0
    run.append(steps(300, 1, 1), logged=NOW + 3600)
    packer.work()
    assert run.count("log") == 0


def test_what_is_sealed_is_said_once_a_run(run, packer_of):
    said = []
    packer = packer_of(run, said)
    run.append(steps(2, 0, 4), steps(2, 4, 4), body=b"nonsense")
    packer.work()
    assert run.count("sealed") == 2
    assert [line.partition(" (")[0] for line in said] == ["8 records of run run cannot be read"]


def test_a_database_that_is_not_there_or_is_another_one_is_not_touched(file_run, clock, tmp_path, packer_of):
    opened = file_id(file_run.database)
    missing = tmp_path / "missing.db"
    with pytest.raises(StoreError):
        Packer(missing, opened, print, clock)
    assert not missing.exists()
    (tmp_path / "other").mkdir()
    with LoggedRun.of_engine("sqlite", tmp_path / "other") as other:
        with pytest.raises(StoreError, match="another file"):
            Packer(other.database, opened, print, clock)
        packer = packer_of(other)
        other.append(steps(2, 0, 4))
        other.database.rename(tmp_path / "moved.db")
        with pytest.raises(StoreError):
            packer.work()
        (tmp_path / "moved.db").rename(other.database)
        packer.work()
        assert other.count("log") == 0


def children(pid: int) -> list[int]:
    found = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in found for child in text.split()]


def packer_pids() -> list[int]:
    pids = []
    for child in children(os.getpid()):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"steplog.server.packer" in command:
            pids.append(child)
    return pids


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_process_packs_and_ends_with_who_started_it(run):
    batches = [steps(3, first, POINTS_A_NAME) for first in range(0, 3 * POINTS_A_NAME, POINTS_A_NAME)]
    run.append(*batches)
    with packer_process(run.place):
        wait_until(lambda: run.count("log") == 0)
        (pid,) = packer_pids()
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
        assert os.getsid(pid) == pid
        opened = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        sockets = [name for name in opened if name.startswith("socket:")]
        assert len(sockets) == (not isinstance(run.place, Path)), "but for a connection of its own"
        assert not [name for name in opened if name.endswith(".lock")]
        assert os.readlink(f"/proc/{pid}/fd/1") == os.devnull
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        settings = [each.partition(b"=")[0] for each in environment.split(b"\0") if each.startswith(b"STEPLOG_")]
        assert settings == ([] if isinstance(run.place, Path) else [b"STEPLOG_STORE"])
    assert is_gone(pid)
    assert run.points() == expected(batches)


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again(run):
    with packer_process(run.place, restart_s=0.01):
        wait_until(lambda: len(packer_pids()) == 1)
        (first,) = packer_pids()
        os.kill(first, signal.SIGKILL)
        run.append(steps(3, 0, POINTS_A_NAME))
        wait_until(lambda: run.count("log") == 0)
        (second,) = packer_pids()
        assert second != first
        assert not Path(f"/proc/{first}").exists(), "a zombie"


PARENT = """
import sys, time
from pathlib import Path
from steplog.server.packer import packer_process
from steplog.server.records.batch import from_range
place = sys.argv[1]
with packer_process(place if "://" in place else Path(place)):
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_when_its_server_is_killed(run, how):
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(run.place)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    wait_until(lambda: len(children(parent.pid)) == 1)
    (pid,) = children(parent.pid)
    run.append(steps(3, 0, POINTS_A_NAME))
    wait_until(lambda: run.count("log") == 0)
    parent.send_signal(how)
    _, errors = parent.communicate(timeout=30)
    wait_until(lambda: is_gone(pid))
    assert errors.count("Traceback") <= (how == signal.SIGINT), errors


def test_modules_in_the_working_directory_are_not_the_packer_s(run, tmp_path, monkeypatch):
    (tmp_path / "msgspec.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    run.append(range_of([("a", at) for at in range(POINTS_A_NAME)]))
    with packer_process(run.place, restart_s=30):
        wait_until(lambda: run.count("log") == 0)


def test_what_an_older_version_did_not_write_is_added_when_nothing_is_due(file_run, packer_of):
    run = file_run
    run.append(*[steps(3, first, 512) for first in (0, 512)], logged=NOW)
    packer = packer_of(run)
    packer.work()
    written = {table: run.count(table) for table in ("chunks", "summaries", "lasts")}
    assert min(written.values()) == 3
    run.connection.execute("DELETE FROM summaries")
    run.connection.execute("DELETE FROM lasts")
    run.connection.execute("DELETE FROM about WHERE name LIKE 'summaries%'")
    run.connection.execute("INSERT INTO filling SELECT min(id), max(id) + 1, '', NULL FROM runs")
    packer = packer_of(run)
    while packer.work():
        pass
    assert {table: run.count(table) for table in written} == written
    assert packer.work() is False


@pytest.mark.slow
def test_records_that_a_server_cannot_read_are_counted_and_do_not_stop_their_run(tmp_path):
    with ServerProcess(tmp_path) as server:
        path = server.new_run()
        assert "unreadable" not in server.ask("GET", path).json()
        for at in range(3):
            assert server.send(path, range_of([("a", at), ("b", at)], 2 * at)).ok
        with closing(connect(server.database)) as connection:
            connection.execute("UPDATE log SET body = x'00' WHERE first_arrival = 2")
        assert [point["value"] for point in server.ask("GET", f"{path}metrics/").json()] == [0, 0, 2, 2]
        assert server.ask("PATCH", path, json={"status": "COMPLETED"}).ok
        wait_until(lambda: server.ask("GET", path).json().get("unreadable") == 2)
        listed = server.ask("GET", f"{path.partition('/runs/')[0]}/runs/").json()
        assert [run["unreadable"] for run in listed] == [2]
        assert [point["value"] for point in server.ask("GET", f"{path}metrics/").json()] == [0, 0, 2, 2]
        assert [row["count"] for row in server.ask("GET", f"{path}series/").json()] == [2, 2]
        code, said = server.end()
    assert code == 0
    assert said.count("\n") == 1
    assert said.startswith(f"steplog serve: 2 records of run {path.split('/')[-2]} cannot be read")


@pytest.mark.slow
def test_a_server_has_a_packer_and_takes_it_along_when_it_is_killed(tmp_path):
    with ServerProcess(tmp_path) as server:
        path, pids = server.new_run(), []
        for at in range(3):
            (pid,) = children(server.process.pid)
            pids.append(pid)
            assert server.send(path, range_of([("a", v) for v in range(200 * at, 200 * at + 200)], 200 * at)).ok
            wait_until(lambda: logged(server.database) == 0)
            server.end(signal.SIGKILL)
            wait_until(lambda: is_gone(pids[-1]))
            server.start()
            wait_until(lambda: len(children(server.process.pid)) == 1)
        assert [point["value"] for point in server.ask("GET", f"{path}metrics/").json()] == list(range(600))
        assert server.end() == (0, "")
        assert not server.database.with_name("server.db-wal").exists()
        assert not server.database.with_name("server.db-base").exists()


def logged(database: Path) -> int:
    with closing(connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM log").fetchone()[0])


def test_the_server_packs_a_log_that_its_packer_does_not_keep_up_with(tmp_path, monkeypatch):
    monkeypatch.setattr("steplog.server.sqlite.packer.BACKLOG_BYTES", 32 * 100)
    store = SqliteStore(tmp_path / "a.db")
    long, short = new_run(store), new_run(store)
    for run, count in ((long, 101), (short, 100)):
        store.add_batch(run, from_range(range_of([("a", at) for at in range(count)]))).result()
    store.pack_backlog()
    assert [point.value for point in store.metrics(long, 0, 200)] == list(range(101))
    store.close()
    assert not (tmp_path / "a.db-wal").exists()
    with closing(connect(tmp_path / "a.db")) as connection:
        assert connection.execute("SELECT run, records FROM log").fetchall() == [(short.id, 100)]
