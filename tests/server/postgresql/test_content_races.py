"""Contents that one server collects while another is told of them, or takes them: each at the worst moment."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from polling import wait_until
from server.store.test_artifacts import made
from server.store.test_collection import at, collected
from server.store.test_files import announce, entry, sha_of
from server.stores import new_project, new_run
from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.sql import contents

LOCK = "UPDATE contents SET size = size"
GIVE_UP = "DELETE FROM project_contents"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
IS_HELD = "SELECT 1 FROM project_contents"
LOOK = "SELECT sha256 FROM project_contents"


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], Any]], list[Any]]:
    """Plants a call before a statement is executed for the first time; what it has returned, once it has."""

    def plant(statement: str, call: Callable[[], Any]) -> list[Any]:
        execute, once, returned = PostgresqlConnection.execute, threading.Lock(), []

        def executed(connection: Any, text: str, *values: Any) -> Any:
            if text.startswith(statement) and once.acquire(blocking=False):
                returned.append(call())
            return execute(connection, text, *values)

        monkeypatch.setattr(PostgresqlConnection, "execute", executed)
        return returned

    return plant


def add(store: PostgresqlStore, slug: str = "mnist", puts: list[str] | None = None) -> None:
    project = store.project("team", slug)
    store.add_content(project, sha_of("a"), 1, lambda: None if puts is None else puts.append("a")).result()


def test_what_is_named_just_before_it_is_given_up_stays(stores, before):
    here, there = stores
    run = new_run(here)
    add(here)
    named = before(GIVE_UP, lambda: announce(there, run, entry("a")))
    assert collected(here, 100) == []
    assert named == [[]]
    assert collected(here, 200) == []
    assert here.content_size(here.project("team", "mnist"), sha_of("a")) == 1


def test_what_is_given_up_just_before_it_is_said_to_be_there_is_missing(stores, before):
    here, there = stores
    run = new_run(here)
    add(here)
    gone = before(LOOK, lambda: there.collect_contents(lambda _: None, at(25)))
    assert announce(here, run, entry("a")) == [sha_of("a")]
    assert gone == [True]


def test_what_is_removed_just_before_it_is_said_to_have_been_put_is_put_again(stores, before):
    here, there = stores
    new_run(here)
    removed = before(LOCK, lambda: collected(there, 2))
    puts: list[str] = []
    add(here, puts=puts)
    assert removed == [[sha_of("a")]]
    assert puts == ["a", "a"]
    assert collected(there, 2) == []


def test_what_is_put_just_before_it_is_condemned_stays(stores, before):
    here, there = stores
    run = new_run(here)
    here.database.write(contents.expect, bytes.fromhex(sha_of("a")), 1, 0).result()
    announce(here, run, entry("a"))
    put = before(LOCK, lambda: add(there))
    assert collected(here, 2) == []
    assert put == [None]
    assert announce(here, run, entry("a")) == []


def test_what_another_project_gets_just_before_the_last_one_is_removed_stays(stores, before):
    here, there = stores
    new_run(here)
    run = new_run(here, new_project(here, "other"))
    announce(here, run, entry("a"))
    add(here)
    here.delete_project(here.project("team", "mnist")).result()
    put = before(LOCK, lambda: add(there, "other"))
    while here.reap().result():
        pass
    assert put == [None]
    assert collected(here, 100) == []
    assert announce(here, run, entry("a")) == []


def test_what_the_last_two_projects_give_up_at_once_is_removed(stores, before, url):
    here, there = stores
    new_run(here)
    new_run(here, new_project(here, "other"))
    for slug in ("mnist", "other"):
        add(here, slug)
    here.delete_project(here.project("team", "mnist")).result()
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as operator:

        def give_up_there() -> Future[bool]:
            giving_up = pool.submit(there.collect_contents, lambda _: None, at(25))
            wait_until(lambda: giving_up.done() or operator.execute(WAITING).fetchone() == (1,))
            return giving_up

        planted = before(IS_HELD, lambda: before("COMMIT", give_up_there))
        while here.reap().result():
            pass
        ((given_up,),) = planted
        assert given_up.result()
    assert collected(here, 27) == [sha_of("a")]


def test_servers_that_log_one_artifact_at_once_number_its_versions_without_a_gap(opened):
    servers = [opened() for _ in range(3)]
    run = new_run(servers[0])

    def log(number: int) -> int:
        store = servers[number % 3]
        artifact, files = made({"a": str(number % 10)}, aliases=(f"a{number}",))
        return store.announce_files(run, files, [artifact]).result().versions[artifact.id]

    with ThreadPoolExecutor(6) as clients:
        versions = list(clients.map(log, range(30)))
    listed = servers[0].artifacts(servers[0].project("team", "mnist"))
    numbers = [row.version for row in listed]
    assert numbers == sorted(set(versions), reverse=True) == list(range(len(numbers) - 1, -1, -1))
    digests = [row.digest for row in listed]
    assert all(one != next_one for one, next_one in itertools.pairwise(digests))
    assert sum(len(row.aliases) for row in listed) == 31
