"""The packers of several servers share the runs of a database; one that is killed leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

import postgresql
from polling import wait_until
from postgresql import Cluster
from server.logged import LoggedRun, expected
from server.test_packer import packer_pids
from server.test_packing import steps
from steplog.server.packer import packer_process
from steplog.server.postgresql import packer as packer_module
from steplog.server.postgresql.packer import Packer, pack, pack_backlog
from steplog.server.sql.packing import POINTS_A_NAME, pack_run
from steplog.server.store_types import StoreBusyError

PACKED = "SELECT count(*) FROM progress WHERE packed = arrivals"


@pytest.fixture
def run() -> Iterator[LoggedRun]:
    made = LoggedRun(postgresql.new_store())
    yield made
    made.connection.close()


def add_runs(run: LoggedRun, count: int) -> list[int]:
    """Runs that are due."""
    ids = [run.id, *(run.add_run(f"run {number}") for number in range(1, count))]
    for run.id in ids:
        run.append(steps(3, 0, POINTS_A_NAME))
    return ids


def test_two_packers_share_the_runs_and_neither_packs_what_the_other_has(run, monkeypatch):
    ids = add_runs(run, 40)
    passes: list[tuple[int, int]] = []
    met = threading.Barrier(2, timeout=30)

    def counted(connection: Any, run_id: int, **kwargs: Any) -> bool:
        if len(passes) < 2:
            met.wait()  # both are at work
        passes.append((threading.get_ident(), run_id))
        return pack_run(connection, run_id, **kwargs)

    monkeypatch.setattr(packer_module, "pack_run", counted)
    packers = [Packer(str(run.place), print) for _ in range(2)]
    threads = [threading.Thread(target=packer.work) for packer in packers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(run_id for _, run_id in passes) == ids
    assert len({thread for thread, _ in passes}) == 2
    assert run.connection.execute(PACKED).fetchone()[0] == len(ids)
    for packer in packers:
        packer.close()


def test_a_run_that_another_packs_is_passed_by_until_that_one_has_ended(run):
    run.append(steps(3, 0, POINTS_A_NAME))
    with closing(run.connect()) as other:
        other.execute("SELECT pg_advisory_lock(?)", (packer_module.lock_of(run.id),))
        assert not pack(run.connection, run.id, 0)
        assert run.count("log") == 1
    wait_until(lambda: pack(run.connection, run.id, 0))
    assert run.count("log") == 0


def test_what_has_been_packed_since_it_was_looked_at_waits_until_it_is_due_again(run):
    run.append(steps(3, 0, POINTS_A_NAME))
    assert pack(run.connection, run.id, 0)
    run.append(steps(3, POINTS_A_NAME, 1))
    assert not pack(run.connection, run.id, 0)
    assert run.count("log") == 1


def test_runs_in_the_trash_are_not_due(run):
    ids = add_runs(run, 2)
    run.connection.execute("UPDATE runs SET deleted = '2026' WHERE id = ?", (ids[0],))
    with closing(Packer(str(run.place), print)) as packer:
        packer.work()
    assert run.connection.execute("SELECT run FROM log").fetchall() == [(ids[0],)]


def test_looking_takes_a_share_of_the_time(run):
    timer = [0.0]

    def tick() -> float:
        timer[0] += 0.5  # a look takes half a second
        return timer[0]

    with closing(Packer(str(run.place), print, timer=tick)) as packer:
        packer.work()
        add_runs(run, 1)
        timer[0] = 20.0
        packer.work()
        assert run.count("log") == 1
        timer[0] = 30.0
        packer.work()
        assert run.count("log") == 0


def test_the_server_packs_a_long_log_unless_a_packer_is_at_it(run, monkeypatch):
    monkeypatch.setattr(packer_module, "BACKLOG_BYTES", 32 * 3)
    ids = add_runs(run, 3)
    with closing(run.connect()) as other:
        other.execute("SELECT pg_advisory_lock(?)", (packer_module.lock_of(ids[1]),))
        pack_backlog(run.connection)
    assert run.connection.execute("SELECT run FROM log").fetchall() == [(ids[1],)]


class Cut:
    """A connection that is cut before the statement with this number, as by SIGKILL of its process."""

    def __init__(self, connection: Any, last: int, cut: Callable[[], Any]) -> None:
        self._connection, self._left, self._cut = connection, last, cut

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *arguments: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            self._cut()
        return self._connection.execute(*arguments)


@pytest.mark.parametrize("statement", [2, 12, 15, 17, 20])
def test_a_packer_that_is_killed_leaves_nothing_and_the_next_goes_on(run, statement):
    batches = [steps(5, first, POINTS_A_NAME) for first in range(0, 3 * POINTS_A_NAME, POINTS_A_NAME)]
    run.append(*batches)
    with closing(run.connect()) as dying:
        pid = dying.execute("SELECT pg_backend_pid()").fetchone()

        def cut() -> None:
            run.connection.execute("SELECT pg_terminate_backend(CAST(? AS integer))", pid)

        with pytest.raises(psycopg.OperationalError):
            pack(Cut(dying, statement, cut), run.id, 0)
    assert (run.progress("packed"), run.count("log"), run.count("series"), run.count("blocks")) == (0, 3, 0, 0)
    wait_until(lambda: pack(run.connection, run.id, 0))
    assert run.points() == expected(batches)
    assert run.count("log") == 0


@pytest.mark.slow
def test_processes_of_two_servers_pack_and_go_on_without_the_one_that_is_killed(run):
    with packer_process(str(run.place)), packer_process(str(run.place), restart_s=60):
        wait_until(lambda: len(packer_pids()) == 2)
        os.kill(packer_pids()[0], signal.SIGKILL)
        ids = add_runs(run, 10)
        wait_until(lambda: run.connection.execute(PACKED).fetchone()[0] == len(ids), 20)


@pytest.mark.slow
def test_a_packer_waits_while_the_database_is_away_and_goes_on():
    with postgresql.cluster_directory() as directory:
        cluster = Cluster(postgresql.cluster().programs, directory)
        cluster.start()
        try:
            run = LoggedRun(cluster.url())
            with closing(Packer(cluster.url(), print, timer=lambda: 0.0)) as packer:
                for first in range(0, 2 * POINTS_A_NAME, POINTS_A_NAME):
                    run.append(steps(3, first, POINTS_A_NAME))
                    packer.work()
                    assert run.count("log") == 0
                    run.connection.close()
                    cluster.stop("immediate")
                    with pytest.raises(StoreBusyError):
                        packer.work()
                    cluster.start()
                    run.connection = run.connect()
            run.connection.close()
        finally:
            cluster.stop("immediate")
