"""While the database is away, each request is refused within seconds; once it is back, so is the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest

import postgresql
from polling import wait_until
from postgresql import Cluster
from server.batches import range_of
from server.process import ServerProcess
from server.stores import ann, listed, new_run
from steplog.journal.range import encode
from steplog.server.postgresql.appender import Appender
from steplog.server.postgresql.links import PING_S, Readers, Watch, conninfo_of, open_connection
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.records.batch import from_range
from steplog.server.store_types import BatchResult, Creation, StoreBusyError

REFUSED_S = 7.5  # connect_timeout, and some
STOPPED_S = 25.0
# Of a server of PostgreSQL, or of a pooler before it: what it is, and that it is ready.
WELCOME = (
    b"R\0\0\0\x08\0\0\0\0"
    + b"".join(
        b"S" + (4 + len(each)).to_bytes(4, "big") + each
        for each in (b"server_version\x0017.0\0", b"in_hot_standby\0off\0", b"default_transaction_read_only\0off\0")
    )
    + b"Z\0\0\0\x05I"
)
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 60
shared_buffers = 16MB
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One of this test alone, which waits for the disk."""
    with postgresql.own_cluster(SETTINGS) as made:
        yield made


@pytest.fixture
def store(cluster: Cluster) -> Iterator[PostgresqlStore]:
    with closing(PostgresqlStore(cluster.url())) as store:
        yield store


def submit(store: PostgresqlStore, run: Any, number: int) -> Future[BatchResult]:
    sent = range_of([("a", float(number))], number)
    return store.add_batch(run, from_range(sent, encode(sent)))


@pytest.mark.slow
def test_a_crash_of_the_database_loses_and_doubles_nothing(cluster, store):
    run, sent = new_run(store), 0
    for _ in range(3):
        flying = [submit(store, run, number) for number in range(sent, sent + 60)]
        flying[5].result()
        cluster.stop("immediate")
        errors = [each.exception(REFUSED_S) for each in flying]
        assert all(error is None or isinstance(error, StoreBusyError) for error in errors)
        acknowledged = sent + errors.count(None)
        cluster.start()
        sent = store.point_count(run)
        assert sent >= acknowledged
        assert submit(store, run, sent - 1).result() == BatchResult(0, 1)
    assert [point["value"] for point in listed(store, run)] == [float(number) for number in range(sent)]


@pytest.mark.slow
def test_all_are_refused_while_the_database_is_away_and_served_once_it_is_back(cluster, store):
    run = new_run(store)
    assert store.probe() is None
    cluster.stop("immediate")
    for _ in range(2):
        began = time.monotonic()
        refused = [submit(store, run, 0), store.hear(run), store.add_metric(run, None, None, None)]
        for each in refused:
            assert isinstance(each.exception(REFUSED_S), StoreBusyError)
        for read in (store.probe, store.reap, lambda: store.point_count(run), lambda: listed(store, run)):
            with pytest.raises(StoreBusyError):
                read()
        assert time.monotonic() - began < REFUSED_S
    cluster.start()
    store.probe()
    assert submit(store, run, 0).result() == BatchResult(1, 0)
    assert store.hear(run).result().seen is not None
    assert store.reap().result() is False
    assert len(listed(store, run)) == 1


@pytest.mark.slow
def test_a_store_closes_while_the_database_is_away(cluster):
    store = PostgresqlStore(cluster.url())
    run = new_run(store)
    cluster.stop("immediate")
    waiting = [submit(store, run, number) for number in range(50)] + [store.hear(run) for _ in range(50)]
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < REFUSED_S
    assert all(isinstance(each.exception(0), StoreBusyError) for each in waiting)
    assert isinstance(submit(store, run, 0).exception(0), StoreBusyError)


def test_what_a_hanging_connection_has_is_appended_once_by_another(url, opened):
    store, now = opened(), [0.0]
    run = new_run(store)
    sent = range_of([("a", 1.0)])
    with closing(Watch(lambda: now[0])) as watch:
        appender = Appender(conninfo_of(url + "?application_name=hanging"), watch)
        appender.submit(run.id, from_range(sent, encode(sent)), 1).result()
        (hanging,) = backends(url, "hanging")
        os.kill(hanging, signal.SIGSTOP)
        try:
            more = range_of([("a", 2.0)], 1)
            answer = appender.submit(run.id, from_range(more, encode(more)), 1)
            wait_until(lambda: watch.watched)
            now[0] += 1000
            assert answer.result(REFUSED_S) == BatchResult(1, 0)
        finally:
            os.kill(hanging, signal.SIGCONT)
        appender.close()
    wait_until(lambda: not backends(url, "hanging"))  # it has read by now what it was sent
    assert [point["value"] for point in listed(store, run)] == [1.0, 2.0]


def test_a_read_that_hangs_is_refused(url):
    now = [0.0]
    with closing(Watch(lambda: now[0])) as watch:
        readers = Readers(conninfo_of(url + "?application_name=hanging"), watch)

        def read() -> None:
            with readers.snapshot() as connection:
                (hanging,) = backends(url, "hanging")
                os.kill(hanging, signal.SIGSTOP)
                now[0] += 1000
                try:
                    connection.execute("SELECT 1").fetchone()
                finally:
                    os.kill(hanging, signal.SIGCONT)

        with pytest.raises(StoreBusyError):
            read()
        with readers.snapshot() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        readers.close()


def test_a_database_that_hangs_is_given_up_at_once_for_all_idle_connections(url):
    now = [0.0]
    with closing(Watch(lambda: now[0])) as watch:
        readers = Readers(conninfo_of(url + "?application_name=hanging"), watch)
        with readers.snapshot(), readers.snapshot(), readers.snapshot():
            pass
        hanging = backends(url, "hanging")
        for each in hanging:
            os.kill(each, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor() as pool:
                read = pool.submit(store_read, readers)
                wait_until(lambda: watch.watched)
                now[0] += PING_S
                assert read.result(REFUSED_S) == (1,)
        finally:
            for each in hanging:
                os.kill(each, signal.SIGCONT)
        readers.close()


def store_read(readers: Readers) -> Any:
    with readers.snapshot() as connection:
        return connection.execute("SELECT 1").fetchone()


def test_who_stops_waits_no_longer_for_what_hangs(url):
    with closing(Watch(lambda: 0.0)) as watch:
        readers = Readers(conninfo_of(url + "?application_name=hanging"), watch)

        def work() -> None:
            with readers.borrow() as connection:
                (hanging,) = backends(url, "hanging")
                os.kill(hanging, signal.SIGSTOP)
                watch.hurry(0.0)
                try:
                    connection.execute("SELECT 1").fetchone()
                finally:
                    os.kill(hanging, signal.SIGCONT)

        with pytest.raises(StoreBusyError):
            work()
        readers.close()


def test_a_connection_that_hangs_as_soon_as_it_is_made_is_given_up():
    now = [0.0]
    with closing(Watch(lambda: now[0])) as watch, socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://ann@127.0.0.1:{listener.getsockname()[1]}/none?sslmode=disable&gssencmode=disable"
        with ThreadPoolExecutor() as pool:
            opened = pool.submit(open_connection, conninfo_of(url), watch=watch)
            with listener.accept()[0] as pooler:
                assert pooler.recv(1 << 16)
                pooler.sendall(WELCOME)
                wait_until(lambda: watch.watched)
                now[0] += PING_S
                assert isinstance(opened.exception(REFUSED_S), psycopg.OperationalError)


@pytest.mark.slow
def test_servers_answer_and_stop_in_time_while_the_database_hangs(cluster, tmp_path):
    with ServerProcess(tmp_path, store=cluster.url()) as server:
        run = server.new_run()
        started = subprocess.run(
            ["pgrep", "-P", (cluster.data / "postmaster.pid").read_text().split()[0]], capture_output=True, check=True
        )
        stopped = [int((cluster.data / "postmaster.pid").read_text().split()[0]), *map(int, started.stdout.split())]
        for each in stopped:
            os.kill(each, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor() as pool:
                runs = run.rpartition("runs/")[0] + "runs/"
                asked = [("GET", runs, None), ("GET", run, None), ("POST", runs, {}), ("PATCH", run, {"tags": ["a"]})]
                answers = [pool.submit(server.ask, method, path, json=document) for method, path, document in asked]
                answers.append(pool.submit(server.send, run, range_of([("a", 1.0)])))
                assert [each.result().status_code for each in answers] == [503] * 5
            began = time.monotonic()
            code, said = server.end()
            assert (code, time.monotonic() - began < STOPPED_S) == (0, True)
            assert "Traceback" not in said
            assert said.count("not ready") <= 1
        finally:
            for each in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGCONT)


def test_readers_beyond_the_places_wait_for_one_and_are_refused_after_that(url):
    with closing(Watch()) as watch:
        readers = Readers(conninfo_of(url), watch, places=1, wait_s=0.2)
        with readers.snapshot():
            assert readers.used == 1
            with pytest.raises(StoreBusyError, match="in use"), readers.snapshot():
                pass
        with readers.snapshot() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert (readers.used, readers.waiting) == (0, 0)
        readers.close()
        with pytest.raises(StoreBusyError, match="stopping"), readers.snapshot():
            pass


def test_connections_that_the_database_has_ended_are_replaced_unseen(url, opened):
    store = opened()
    run = new_run(store)
    for _ in range(2):
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        wait_until(lambda: not backends(url, "steplog"))
        assert store.point_count(run) == len(listed(store, run))
        assert submit(store, run, store.point_count(run)).result() == BatchResult(1, 0)
        store.hear(run).result()


def backends(url: str, name: str) -> list[int]:
    """The processes that serve the connections of this name."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
    with psycopg.connect(url) as connection:
        return [pid for (pid,) in connection.execute(query, (name,))]


@pytest.mark.slow
def test_a_commit_whose_answer_is_lost_is_found_by_who_asks_again(cluster, store):
    run, project, user = new_run(store), store.project("team", "mnist"), ann(store)
    assert project is not None
    asked = Creation(key="random", name="once")
    with psycopg.connect(cluster.url(), autocommit=True) as operator:
        waits_for_standby(operator, "none")  # so that each commit hangs when it is done
        batch, made = submit(store, run, 0), store.create_run(project, user, asked)
        wait_until(lambda: len(committing(operator)) == 2)
        for pid in committing(operator):
            operator.execute("SELECT pg_terminate_backend(%s)", (pid,))
        assert isinstance(made.exception(REFUSED_S), StoreBusyError)
        waits_for_standby(operator, "")
    assert batch.result() == BatchResult(0, 1)  # it was appended again, and found
    assert len(listed(store, run)) == 1
    again, is_new = store.create_run(project, user, asked).result()
    assert (again.name, is_new) == ("once", False)


def waits_for_standby(operator: psycopg.Connection[Any], names: str) -> None:
    operator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
    operator.execute("SELECT pg_reload_conf()")
    wait_until(lambda: operator.execute("SHOW synchronous_standby_names").fetchone() == (names,))


def committing(operator: psycopg.Connection[Any]) -> list[int]:
    """The connections that wait for a standby."""
    query = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return [pid for (pid,) in operator.execute(query)]


@pytest.mark.slow
def test_a_batch_that_the_database_refuses_leaves_nothing_in_the_log_of_the_server(url, tmp_path):
    with ServerProcess(tmp_path, store=url) as server:
        run = server.new_run()
        with psycopg.connect(url, autocommit=True) as operator:
            operator.execute("ALTER TABLE log ADD CONSTRAINT refusing CHECK (false)")
        assert server.send(run, range_of([("a", 1.0)])).status_code == 503
        assert server.end() == (0, "")
