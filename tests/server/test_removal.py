"""What a slice of removal reads before it begins, and what is given back of the file."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polling import wait_until
from server.batches import range_of
from server.stores import ann, new_project
from steplog.server.records.batch import from_range
from steplog.server.sql import removal
from steplog.server.sqlite import free_pages
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation, RunRow

CHUNK_BYTES = 60_000
CHUNKS = 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def filled(store: SqliteStore, project: str = "mnist") -> RunRow:
    """A run of some megabytes, in chunks, blocks and log rows."""
    where = store.project("team", project) or new_project(store, project)
    run: RunRow = store.create_run(where, ann(store), Creation()).result()[0]
    store.database.write(_fill, run.id).result()
    return run


def _fill(connection: sqlite3.Connection, run_id: int) -> None:
    source = random.Random(run_id)
    for name in "ab":
        added = connection.execute(
            "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 1, 1, 0, 0)",
            (run_id, name),
        )
        for number in range(CHUNKS):
            chunk = (added.lastrowid or 0) << 32 | number
            connection.execute("INSERT INTO points VALUES (?, ?)", (chunk, source.randbytes(CHUNK_BYTES)))
            connection.execute(f"INSERT INTO chunks VALUES (?{', 1' * 12})", (chunk,))
    block = source.randbytes(CHUNK_BYTES)
    connection.execute("INSERT INTO blocks VALUES (?, 0, 0, 1, x'00', ?)", (run_id, block))
    connection.execute("INSERT INTO sealed VALUES (?, 0, 1, 'damaged', ?)", (run_id, block))


def remove(store: SqliteStore, run: RunRow) -> None:
    """Delete a run and whatever it has."""
    project = store.project("team", run.project_slug)
    assert project is not None
    store.discard_run(project, run.uuid, now=True).result()
    while store.reap().result():
        pass


def pages(store: SqliteStore, which: str) -> int:
    return int(store.database.read(lambda connection: connection.execute(f"PRAGMA {which}").fetchone()[0]))


def give_all_back(store: SqliteStore) -> int:
    slices = 1
    while store.give_back().result():
        slices += 1
    return slices


class Recording:
    """A connection whose large values are noted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.read: list[bytes] = []

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        found = self._connection.execute(statement, values).fetchall()
        self.read += [value for row in found for value in row if isinstance(value, bytes)]
        return _Rows(found)


class _Rows(list[Any]):
    def fetchall(self) -> list[Any]:
        return self

    def fetchone(self) -> Any:
        return self[0] if self else None


def test_what_a_slice_removes_was_read_before_it_began(store, monkeypatch):
    monkeypatch.setattr(removal, "_SLICE_S", 0.0)
    monkeypatch.setattr(removal, "_READ_AHEAD_BYTES", 20 * CHUNK_BYTES)
    run = filled(store)
    project = store.project("team", "mnist")
    store.discard_run(project, run.uuid, now=True).result()
    large = "SELECT data FROM points UNION ALL SELECT data FROM blocks UNION ALL SELECT body FROM sealed"
    left, slices = set(store.database.read(lambda connection: connection.execute(large).fetchall())), 0
    while True:
        ahead = store.database.read(lambda connection: _read_ahead(connection))
        removed = store.database.write(removal.reap).result()
        now = set(store.database.read(lambda connection: connection.execute(large).fetchall()))
        assert {data for (data,) in left - now} <= set(ahead)
        slices += left != now
        if not removed:
            break
        left = now
    assert slices > 2


def _read_ahead(connection: sqlite3.Connection) -> list[bytes]:
    recording = Recording(connection)
    removal.read_ahead(recording)  # type: ignore[arg-type]
    return recording.read


def test_the_file_gets_smaller_by_what_a_deleted_run_took(store, path, monkeypatch):
    monkeypatch.setattr(free_pages, "_SPARE_PAGES", 10)
    kept, gone = filled(store), filled(store)
    last = filled(store)  # after it in the file, and moved
    before = pages(store, "page_count")
    remove(store, gone)
    assert pages(store, "page_count") == before
    give_all_back(store)
    share = (before - pages(store, "page_count")) / before
    assert 0.3 < share < 0.34
    assert pages(store, "freelist_count") == 10
    size = pages(store, "page_count") * pages(store, "page_size")
    wait_until(lambda: path.stat().st_size == size, 20)  # with the checkpoint that is made when nothing more comes
    assert store.database.read(lambda connection: connection.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
    for run in (kept, last):
        found = store.database.read(lambda connection: connection.execute("SELECT run FROM blocks").fetchall())
        assert (run.id,) in found


def test_room_is_given_back_slice_by_slice_and_batches_come_between(store, monkeypatch):
    """A slice is a page here."""
    monkeypatch.setattr(free_pages, "_SPARE_PAGES", 0)
    monkeypatch.setattr(free_pages, "_SLICE_S", 0.0)
    kept, gone = filled(store), filled(store)
    remove(store, gone)
    left = pages(store, "freelist_count")
    for number in range(3):
        assert store.give_back().result()
        batch = from_range(range_of([("c", number)], first=number))
        assert store.add_batch(kept, batch).result().accepted == 1
    assert left - 6 <= pages(store, "freelist_count") <= left - 3


def test_free_pages_of_an_older_database_stay_for_what_comes(path):
    """Only a new file can have what it takes to move pages."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA auto_vacuum = NONE")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (zeroblob(1000000))")
    connection.execute("DELETE FROM t")
    connection.commit()
    free = connection.execute("PRAGMA freelist_count").fetchone()
    assert not free_pages.give_back(connection)
    assert connection.execute("PRAGMA freelist_count").fetchone() == free > (200,)
    connection.close()
