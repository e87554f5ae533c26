"""Batches are stored as they came, and read as if they were packed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.batches import NONE, held, range_of
from server.packed import pack
from server.stores import listed, new_project, new_run
from steplog.journal.range import Range
from steplog.server.records.batch import SinglePoint, from_range
from steplog.server.records.log_row import decode_row
from steplog.server.sql import log, reading
from steplog.server.sqlite import ingest
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import BatchResult, RunRow, StoreError

NAMES = [f"m{number}" for number in range(300)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def add(store: SqliteStore, run: RunRow, records: Range) -> BatchResult:
    return store.add_batch(run, from_range(records)).result()


def range_by_a_writer_of_ours(part: list[Any], first: int) -> Range:
    """A name has the same number in all its ranges."""
    declared = [(name, 0.0, 0) for name in NAMES]
    return range_of([*declared, *part], first=first - len(NAMES)).part(first, first + len(part))


def rows(store: SqliteStore, path: Path, table: str) -> int:
    connection = sqlite3.connect(path / "a.db")
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def round_of(step: int, seed: int | None = None) -> list[Any]:
    """A record of each name, in order or shuffled, with values of all kinds and some empty positions."""
    if seed is None:
        return [(name, step + 0.5, step) for name in NAMES]
    source = random.Random(seed)
    names = source.sample(NAMES, len(NAMES))
    values = [0.25, -step, True, b'{"at": [%d]}' % step, float("nan")]
    return [NONE if source.random() < 0.05 else (name, source.choice(values), step) for name in names]


@pytest.mark.parametrize("seeded", [False, True], ids=["in turn", "in any order"])
def test_batches_in_the_log_read_like_packed_ones(store, tmp_path, seeded):
    run, records = new_run(store), []
    for step in range(5):
        part = round_of(step, step if seeded else None)
        assert add(store, run, range_by_a_writer_of_ours(part, len(records))).duplicates == 0
        records += part
    assert store.point_count(run) == sum(record is not NONE for record in records)
    for packed in (False, True):
        if packed:
            pack(store, run)
        shown = (rows(store, tmp_path, "log"), rows(store, tmp_path, "blocks"))
        assert shown == ((0, 1) if packed else (5, 0)), "a read writes nothing"
        assert listed(store, run) == held(records)
        assert sum(series.count for series in store.series(run)) == store.point_count(run)


def test_a_curve_and_the_series_include_the_log(store):
    run = new_run(store)
    add(store, run, range_of(round_of(0)))
    assert [bucket.step for bucket in store.curve(run, "m7", 10, None, None) or ()] == [0]
    add(store, run, range_of(round_of(1), first=300))
    assert [(series.count, series.last) for series in store.series(run)] == [(2, 1.5)] * 300


def test_missing_steps_go_on_from_batch_to_batch(store):
    run = new_run(store)
    records = [*round_of(7), *round_of(8), ("m3", 1.0), ("m4", 2.0, 4), ("m3", 3.0)]
    add(store, run, range_of(records[:300]))
    add(store, run, range_of(records[300:600], first=300))
    add(store, run, range_of(records[600:], first=600))
    assert listed(store, run) == held(records)
    assert [metric.step for metric in store.metrics(run, 600, 603)] == [9, 4, 10]


def test_a_reopened_store_has_the_log_and_its_mark(tmp_path):
    records = [*round_of(0), *round_of(1), *round_of(2)]
    store = SqliteStore(tmp_path / "a.db")
    run = new_run(store)
    add(store, run, range_of(records[:600]))
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    assert add(store, run, range_of(records[:600])) == BatchResult(0, 600)
    assert add(store, run, range_of(records)) == BatchResult(300, 600)
    assert listed(store, run) == held(records)
    store.close()


def test_each_writers_numbers_stand_for_its_own_names(store):
    run, records = new_run(store), []
    marks = {"one": 0, "two": 0}
    for turn, writer in enumerate(("one", "one", "two", "one", "two")):
        part = round_of(turn)
        part = part if writer == "one" else part[::-1]
        if turn == 3:
            part = [part[-1], *part[:-1]]  # no writer of ours numbers its names anew
        add(store, run, range_of(part, first=marks[writer], writer=writer))
        marks[writer] += len(part)
        records += part
    assert listed(store, run) == held(records)


def test_deleting_a_project_deletes_its_log(store, tmp_path):
    run = new_run(store, new_project(store, "gone"))
    add(store, run, range_of(round_of(0)))
    store.delete_project(store.project("team", "gone")).result()
    while store.reap().result():
        pass
    assert rows(store, tmp_path, "log") == 0


# Single points


def post(store: SqliteStore, run: RunRow, name: str = "a", step: int | None = None) -> int | None:
    point = SinglePoint(name, b"0.5", step, 0)
    return store.add_metric(run, point, store.number(run, point)).result()


def test_single_points_are_numbered_with_those_in_the_log_and_those_packed(store):
    run = new_run(store)
    assert [post(store, run), post(store, run), post(store, run, "b")] == [0, 1, 0]
    add(store, run, range_of([("a", 1, 10), ("c", 1), ("a", 1)]))
    assert [post(store, run), post(store, run, "c"), post(store, run, step=3), post(store, run)] == [12, 1, 3, 13]
    pack(store, run)
    assert [post(store, run), post(store, run, "b"), post(store, run, "d")] == [14, 1, 0]
    assert [metric.step for metric in store.metrics(run, 0, 99)] == [0, 1, 0, 10, 0, 11, 12, 1, 3, 13, 14, 1, 0]


def test_a_point_is_numbered_above_what_arrived_since_it_was_numbered(store):
    run, point = new_run(store), SinglePoint("a", b"1", None, 0)
    early = store.number(run, point)
    assert early.step == 0
    add(store, run, range_of([("a", 1, 7)]))
    first, second = store.add_metric(run, point, early), store.add_metric(run, point)
    assert (first.result(), second.result()) == (8, 9)
    early = store.number(run, point)
    add(store, run, range_of([("a", 1, 20)], first=1))
    pack(store, run)
    assert store.add_metric(run, point, early).result() == 21
    assert [metric.step for metric in store.metrics(run, 0, 9)] == [7, 8, 9, 20, 21]


def test_steps_are_numbered_alike_after_a_commit_that_failed(store):
    run = new_run(store)
    assert post(store, run) == 0

    def fail(connection: sqlite3.Connection) -> None:
        store._ingester.add_metric(connection, run.id, SinglePoint("a", b"1", None, 0), None, None)
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StoreError):
        store.database.write(fail).result()
    assert [post(store, run), post(store, run)] == [1, 2]
    assert [metric.step for metric in store.metrics(run, 0, 99)] == [0, 1, 2]


def test_a_point_without_a_step_does_not_read_a_long_log_again(store, monkeypatch):
    """Also of a name that the log does not have, and beside a writer of batches."""
    run, decoded = new_run(store), []
    for at in range(12):
        add(store, run, range_of([(f"n{number}", 1.0, at) for number in range(300)], first=300 * at, writer="v"))
        add(store, run, range_of([("a", 1.0, step) for step in range(1000)], first=1000 * at, writer="w"))
    monkeypatch.setattr(reading, "decode_row", lambda body: decoded.append(len(body)) or decode_row(body))
    assert post(store, run) == 1000
    assert len(decoded) == 24
    for at in range(50):
        assert post(store, run, f"other {at}") == 0
        add(store, run, range_of([("a", 1.0, at)], first=12_000 + at))
    assert len(decoded) == 24 + 50 + 49, "each row that came since, once"
    assert post(store, run) == 1001


def test_what_is_known_of_steps_is_bounded(store, monkeypatch):
    monkeypatch.setattr(log, "_NAMES_CACHED_MAX", 20)
    runs = [new_run(store) for _ in range(8)]
    for step in range(3):
        for run in runs:
            assert [post(store, run, name) for name in "abc"] == [step] * 3
    assert len(store._ingester.next_steps._runs) == 5


def test_the_marks_of_more_runs_than_are_cached_are_read_again(store, monkeypatch):
    monkeypatch.setattr(ingest, "_WRITERS_CACHED_MAX", 6)
    runs = [new_run(store) for _ in range(5)]
    for first in range(4):
        for run in runs:
            for writer in ("one", "two"):
                add(store, run, range_of([("a", first)], first=first, writer=writer))
                assert add(store, run, range_of([("a", first)], first=first, writer=writer)) == BatchResult(0, 1)
        assert len(store._ingester._runs) == 2
    assert [store.point_count(run) for run in runs] == [8] * 5
    store.discard_run(store.project("team", "mnist"), runs[-1].uuid).result()
    assert store._ingester._size == sum(run.size for run in store._ingester._runs.values())
