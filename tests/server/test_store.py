"""What the store in SQLite keeps in its tables; ``store/`` has what a store of any engine must do."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.batches import held, range_of
from server.packed import pack
from server.stores import listed, new_project, new_run
from steplog.errors import ConfigurationError
from steplog.journal.range import Range
from steplog.server.open_store import open_store
from steplog.server.records.batch import from_range
from steplog.server.sqlite.schema import store_error
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import BatchResult, MissingError, RunRow, StoreFullError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def test_a_disk_that_may_be_full_is_called_so():
    """SQLite calls it an I/O error where the shared memory of its log finds no room."""
    error = store_error(sqlite3.OperationalError("disk I/O error"))
    assert isinstance(error, StoreFullError)
    assert str(error) == "disk I/O error: the disk of the database is full, or fails"


def add(store: SqliteStore, run: RunRow, records: Range) -> BatchResult:
    return store.add_batch(run, from_range(records)).result()


@pytest.mark.parametrize("sizes", [[1] * 300, [75] * 60, [1, 5000, 1, 30] * 10, [17, 300, 2] * 30])
def test_however_points_arrive_they_are_packed_in_few_rows(store, tmp_path, sizes):
    run, records, first = new_run(store), [], 0
    for size in sizes:
        part = [(f"m{(first + at) % 3}", random.choice([0.5, at, True, b'{"k":[]}'])) for at in range(size)]
        add(store, run, range_of(part, first=first))
        pack(store, run)
        records += part
        first += size
    assert listed(store, run) == held(records)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        (chunks,), (blocks,) = (
            connection.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("chunks", "blocks")
        )
    connection.close()
    assert chunks <= len(records) / 1024
    assert blocks <= 2 * 15
    assert [series.count for series in store.series(run)] == [
        sum(1 for name, _ in records if name == series) for series in ("m0", "m1", "m2")
    ]


def test_a_deleted_project_leaves_no_row(store, tmp_path):
    project = new_project(store, "gone")
    run, kept = new_run(store, project), new_run(store)
    for each in (run, kept):
        add(store, each, range_of([("a", 1), ("b", b"[]")]))
        pack(store, each, chunk_points=1)
        add(store, each, range_of([("a", 1)], first=2))
    store.delete_project(project).result()
    while store.reap().result():
        pass
    with pytest.raises(MissingError):
        add(store, run, range_of([("a", 1)]))
    with pytest.raises(MissingError):
        store.edit_run(run, {}, "FAILED").result()
    assert len(store.metrics(kept, 0, 9)) == 3
    with sqlite3.connect(tmp_path / "a.db") as connection:
        rows = [
            connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0]
            for t in ("runs", "marks", "progress", "log", "series", "chunks", "points")
        ]
    connection.close()
    assert rows == [1, 1, 1, 1, 2, 2, 2]


def test_a_database_in_use_is_not_opened_twice(store, tmp_path):
    with pytest.raises(ConfigurationError, match="in use"):
        SqliteStore(tmp_path / "a.db")


def test_a_database_that_could_not_be_opened_is_not_left_locked(tmp_path, monkeypatch):
    def refuse(path: Path) -> None:
        raise ConfigurationError(f"{path} cannot have a write-ahead log on its file system")

    with monkeypatch.context() as patched:
        patched.setattr("steplog.server.sqlite.database.DatabaseFile", refuse)
        with pytest.raises(ConfigurationError, match="write-ahead log") as caught:
            SqliteStore(tmp_path / "a.db")
    assert caught.tb is not None, "what the failed one had is still referred to"
    SqliteStore(tmp_path / "a.db").close()


def test_a_store_beside_its_server_sees_what_is_committed_and_commits(store, tmp_path):
    """As ``steplog key`` has it."""
    run = new_run(store)
    with closing(open_store(tmp_path / "a.db", beside=True)) as beside:
        add(store, run, range_of([("a", 1)]))
        assert (beside.instance, beside.run("team", "mnist", run.uuid).uuid) == (store.instance, run.uuid)
        assert listed(beside, run) == held([("a", 1)])
        key = beside.issue_key("bob", b"hash", "").result()
        with pytest.raises(RuntimeError, match="takes no points"):
            add(beside, run, range_of([("a", 2)], first=1))
        with pytest.raises(RuntimeError, match="deletes nothing"):
            beside.discard_run(store.project("team", "mnist"), run.uuid).result()
    assert store.all_keys() == [key]
    add(store, run, range_of([("a", 2)], first=1))


def test_a_store_beside_no_server_is_opened_where_there_is_one_alone(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no database"):
        open_store(tmp_path / "a.db", beside=True)
    assert list(tmp_path.iterdir()) == []
    SqliteStore(tmp_path / "a.db").close()
    with closing(open_store(tmp_path / "a.db", beside=True)) as beside:
        new_run(beside)
        with closing(SqliteStore(tmp_path / "a.db")) as store:
            assert len(store.runs(store.project("team", "mnist"))) == 1
