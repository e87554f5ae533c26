"""``steplog db move``: all of a database is in PostgreSQL afterwards, whatever happens meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

import postgresql
from server import packed, stores
from server.batches import range_of
from server.moved import file_contents, store_contents
from server.store.test_artifacts import log
from server.store.test_files import announce, bring, entry
from steplog.errors import ConfigurationError
from steplog.server import moving
from steplog.server.open_store import open_store
from steplog.server.postgresql.moving import Target
from steplog.server.sql.moving import BY_KEY, BY_RUN, CATALOGUE, NOT_MOVED
from steplog.server.sqlite.schema import prepare
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation, RunRow, SessionRow, StoreError

VALUES = [
    0.25,
    3,
    -(2**63),
    2**63 - 1,
    float("nan"),
    float("inf"),
    True,
    b'"text"',
    b"null",
    b'{"a": [1]}',
    -0.5,
    1e300,
]


@pytest.fixture
def url() -> str:
    return postgresql.new_database()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = open_store(tmp_path / "server.db")
    assert isinstance(made, SqliteStore)
    yield made
    made.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


def records(first: int, count: int, *more: tuple[Any, ...]) -> Any:
    """A range of a writer whose records before ``first`` have been sent."""
    values = [("loss", step / 7, step) for step in range(first, first + count - len(more))]
    return range_of([*values, *more], first)


def fill(store: SqliteStore) -> list[RunRow]:
    """Something in every table."""
    ann = stores.ann(store)
    store.put_started_key(ann, b"k" * 32, "generated").result()
    store.issue_key("bob", b"b" * 32, "laptop").result()
    key = store.keys_of_hashes([b"b" * 32])[0]
    store.begin_session(SessionRow(b"s" * 32, key, "2099-01-01T00:00:00.000000Z")).result()
    project = stores.new_project(store)
    store.add_view(project, ann, "mine", "?a=1").result()
    runs = [stores.new_run(store, project, Creation(name="same", key=f"key{number}")) for number in range(6)]
    for run in runs:
        stores.add(store, run, records(0, 300, ("odd", VALUES[run.id % len(VALUES)], None)))
        stores.add(store, run, range_of([stores.says({"lr": 0.1, "opt": {"name": "adam"}}, "config")], writer="c"))
    for number, value in enumerate(VALUES):
        stores.add(store, runs[0], range_of([(f"v{number}", value, 0)], writer=f"v{number}"))
    stores.add(store, runs[0], range_of([stores.says({"tags": ["a"], "notes": "n"})], writer="f"))
    packed.pack(store, runs[1], chunk_points=10)
    packed.pack(store, runs[2])
    stores.add(store, runs[1], records(300, 50))
    packed.pack(store, runs[3])
    keep_files(store, runs[0], runs[1])
    store.begin_generation(runs[3], "maker", "2026-01-01T00:00:00.000000Z").result()
    store.discard_run(project, runs[4].uuid).result()
    store.discard_run(project, runs[5].uuid, now=True).result()
    while store.reap().result():
        pass
    return runs


def keep_files(store: SqliteStore, run: RunRow, user: RunRow) -> None:
    """Files of a run, some of whose contents are there, and versions of an artifact that another uses."""
    project = store.project("team", run.project_slug)
    assert project is not None
    announce(store, run, entry("a", "ä/a.pt"), entry("b"), pending=1)
    for content in "ac":
        bring(store, run, content)
    for content in "xyy":
        log(store, run, {"c.pt": "c", "d.pt": content}, aliases=("best",))
    store.use_artifact(user, store.artifact(project, "mnist-cnn", "v0")).result()


def seal(database: Path, run: RunRow) -> None:
    """Leave what could not be packed."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO sealed VALUES (?, 1000, 3, 'why', x'00ff')", (run.id,))


def same(database: Path, url: str) -> None:
    here, there = file_contents(database), store_contents(url)
    assert there.keys() == here.keys()
    for name, rows in here.items():
        assert there[name] == rows, name


def moved(database: Path, url: str, between: Callable[[float], None] = lambda _: pytest.fail("it waits")) -> list[str]:
    said: list[str] = []
    moving.move(database, url, said.append, between)
    return said


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_all_of_a_database_is_moved_and_ids_go_on_where_they_were(store, database, url):
    runs = fill(store)
    store.close()
    seal(database, runs[0])
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE runs SET notes = ? WHERE id = ?", ("with\0NUL", runs[0].id))
    before = file_contents(database)
    assert [name for name, rows in before.items() if not rows] == []
    said = moved(database, url)
    assert said == ["copied 5 of 5 runs"]
    same(database, url)
    there = open_store(url)
    try:
        assert there.instance == store.instance
        project = there.project("team", "mnist")
        assert project is not None
        run = stores.new_run(there, project)
        assert run.id == runs[-1].id + 1, "also of a run that was removed"
        assert log(there, run, {"c.pt": "z"}) == 2
        assert there.artifact(project, "mnist-cnn", "best").present == 1
    finally:
        there.close()


def test_every_table_is_moved(database, url):
    prepare(database).release()
    known = {*CATALOGUE, *NOT_MOVED, *(of.name for of in (*BY_RUN, *BY_KEY))}
    open_store(url).close()
    assert file_contents(database).keys() <= known
    assert store_contents(url).keys() <= known, "say in sql/moving.py how the others are moved"


def test_what_changes_while_it_is_copied_is_copied_again(store, database, url):
    runs = fill(store)
    project = store.project("team", "mnist")
    assert project is not None

    def change(_: float) -> None:
        stores.add(store, runs[0], records(300, 200, ("new", 1.5, None)))
        packed.pack(store, runs[0], chunk_points=10)
        packed.pack(store, runs[1], chunk_points=10)
        stores.add(store, runs[3], records(300, 40))
        packed.pack(store, runs[3])
        first, second = (stores.now(store, run).name for run in runs[:2])
        for run, name in ((runs[0], "between"), (runs[1], first), (runs[0], second)):
            store.edit_run(run, {"name": name}).result()
        stores.add(store, runs[1], range_of([stores.says({"opt": 1, "lr": 0.2}, "config")], 1, writer="c"))
        store.discard_run(project, runs[2].uuid, now=True).result()
        while store.reap().result():
            pass
        stores.new_run(store, project)
        store.add_user("eve").result()
        announce(store, runs[1], entry("later"))
        announce(store, runs[0], entry("a"))
        bring(store, runs[1], "x")
        store.collect_contents(lambda _: None, datetime.now(timezone.utc) + timedelta(days=2))
        store.close()

    said = moved(database, url, change)
    assert len(said) == 2
    assert said[1].startswith(
        f"copied; what is logged from now on is copied again and again. Stop the server of {database}"
    )
    same(database, url)


def test_files_that_are_announced_while_a_run_is_copied_are_copied_again(store, database, url):
    runs = fill(store)

    def change(_: float) -> None:
        announce(store, runs[1], entry("later"))
        store.close()

    moved(database, url, change)
    same(database, url)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 2, 9, 17, 22, 28, 33, 41])
def test_a_move_that_was_killed_goes_on(store, database, url, monkeypatch, copies):
    fill(store)
    store.close()
    monkeypatch.setattr(moving, "_RUNS_A_GROUP", 2)
    copy, left = Target.copy, [copies]

    def failing(self: Target, *arguments: Any) -> int:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return copy(self, *arguments)

    monkeypatch.setattr(Target, "copy", failing)
    with pytest.raises(KeyboardInterrupt):
        moved(database, url)
    monkeypatch.setattr(Target, "copy", copy)
    with pytest.raises(ConfigurationError, match="a database is being moved into this store"):
        open_store(url)
    again = open_store(database)  # it may be served, and change
    stores.new_run(again)
    again.close()
    moved(database, url)
    same(database, url)


def test_a_large_run_is_copied_ahead_in_slices(store, database, url, monkeypatch):
    runs = fill(store)
    monkeypatch.setattr(moving, "_POINTS_A_GROUP", 100)
    monkeypatch.setattr(moving, "_SLICE_BYTES", 200)

    def change(_: float) -> None:
        stores.add(store, runs[1], records(350, 2000))
        packed.pack(store, runs[1], chunk_points=10)
        packed.pack(store, runs[0], chunk_points=10)
        store.close()

    moved(database, url, change)
    same(database, url)


def test_the_old_database_says_where_it_went_before_the_new_one_is_served(store, database, url, monkeypatch):
    fill(store)
    store.close()
    secret = url.replace("postgres@", "postgres:s3cret@")

    monkeypatch.setattr(Target, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        moved(database, secret)
    monkeypatch.undo()
    for beside in (False, True):
        with pytest.raises(
            ConfigurationError, match=r"was moved to postgresql://postgres@127.*Type: steplog serve --store"
        ):
            open_store(database, beside=beside)
    with pytest.raises(ConfigurationError, match="is being moved"):
        open_store(url)
    assert b"s3cret" not in database.read_bytes()
    with pytest.raises(ConfigurationError, match=r"was moved to postgresql://postgres@127.*; nothing was changed"):
        moved(database, postgresql.new_database())
    moved(database, secret)
    same(database, url)
    with pytest.raises(ConfigurationError, match=r"has been moved to .* Type: steplog serve --store"):
        moved(database, url)
    open_store(url).close()


def test_a_database_is_moved_into_an_empty_one_alone(store, database, tmp_path, url, monkeypatch):
    fill(store)
    other = open_store(url)
    other.add_user("else").result()
    other.close()
    with pytest.raises(ConfigurationError, match="the store has users or runs of its own, and was not changed"):
        moved(database, url)
    assert {name for name, rows in store_contents(url).items() if rows} == {"about", "members", "namespaces", "users"}
    url = postgresql.new_database()
    store.close()
    monkeypatch.setattr(Target, "copy", killed)
    with pytest.raises(KeyboardInterrupt):
        moved(database, url)
    with closing(open_store(tmp_path / "other.db")) as another:
        stores.ann(another)
    with pytest.raises(ConfigurationError, match="the store is being filled from another database"):
        moved(tmp_path / "other.db", url)


def test_a_server_that_has_the_new_database_open_ends_the_move_at_once(store, database, url):
    fill(store)
    with closing(open_store(url)), pytest.raises(ConfigurationError, match="a steplog server has this store open"):
        moved(database, url)


def test_a_copy_that_is_not_complete_leaves_the_old_database_as_it_is(store, database, url, monkeypatch):
    fill(store)
    store.close()
    monkeypatch.setattr(Target, "count_of_runs", lambda *_: 7)
    with pytest.raises(StoreError, match=r"rows were read and 7 are there; nothing of it was kept; .* is as it was"):
        moved(database, url)
    monkeypatch.undo()
    monkeypatch.setattr(Target, "arrivals", lambda *_: 1)
    with pytest.raises(
        StoreError, match=r"the copy is not complete: points: [0-9,]+, of which 1 are there; .* may be served"
    ):
        moved(database, url)
    monkeypatch.undo()
    open_store(database).close()
    moved(database, url)
    same(database, url)


def test_what_an_older_version_did_not_write_is_added_before_it_is_copied(store, database, url):
    fill(store)
    store.close()
    whole = file_contents(database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM summaries")
    store = open_store(database)
    said: list[str] = []

    def stop(_: float) -> None:
        assert said == ["its server is still adding what an older version did not write; it is copied after that"]
        store.close()

    moving.move(database, url, said.append, stop)
    same(database, url)
    assert file_contents(database)["summaries"] == whole["summaries"] != []


def test_a_database_that_is_ended_meanwhile_is_said_with_what_to_type(store, database, url, monkeypatch):
    fill(store)
    store.close()
    note = Target.note

    def ended(self: Target, *arguments: Any) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'steplog db move'"
                " AND datname = current_database()"
            )
        note(self, *arguments)

    monkeypatch.setattr(Target, "note", ended)
    words = f"; {database} is as it was, and may be served. Type the same again, to go on"
    with pytest.raises(StoreError, match=rf"the database cannot be used now: .*{words}$"):
        moved(database, url)
    monkeypatch.setattr(Target, "note", note)
    moved(database, url)
    same(database, url)


def test_what_came_during_a_long_copy_is_copied_before_the_server_is_to_stop(store, database, url, monkeypatch):
    fill(store)
    monkeypatch.setattr(moving, "_SHORT_S", 0.0)
    monkeypatch.setattr(moving, "_REST_S_MAX", 0.0)
    said: list[str] = []
    told: list[int] = []

    def between(_: float) -> None:
        told.append(sum("Stop the server" in words for words in said))
        if told[-1]:
            store.close()

    moving.move(database, url, said.append, between)
    assert told == [0, 0, 1], "three copies"
    same(database, url)
