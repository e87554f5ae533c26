"""Unpacked ranges, of many names with few records each, read as if packed at once."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.batches import NONE, held, range_of
from server.stores import listed, new_project, new_run
from steplog.journal.range import Range, encode
from steplog.server.records.batch import from_range
from steplog.server.sqlite.store import SqliteStore
from steplog.server.sqlite.unpacked import POINTS_A_NAME
from steplog.server.store_types import BatchResult, RunRow

NAMES = [f"m{number}" for number in range(300)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def add(store: SqliteStore, run: RunRow, records: Range) -> BatchResult:
    return store.add_batch(run, from_range(records, encode(records))).result()


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
def test_unpacked_ranges_read_like_packed_ones(store, tmp_path, seeded):
    run, records = new_run(store), []
    for step in range(5):
        part = round_of(step, step if seeded else None)
        assert add(store, run, range_by_a_writer_of_ours(part, len(records))).duplicates == 0
        records += part
    assert (rows(store, tmp_path, "log"), rows(store, tmp_path, "chunks")) == (5, 0)
    assert store.point_count(run) == sum(record is not NONE for record in records)
    assert listed(store, run) == held(records)
    assert (rows(store, tmp_path, "log"), rows(store, tmp_path, "chunks")) == (5, 0), "a read has written"
    assert sum(series.count for series in store.series(run)) == store.point_count(run)


def test_a_curve_and_the_series_include_unpacked_ranges(store):
    run = new_run(store)
    add(store, run, range_of(round_of(0)))
    assert [bucket.step for bucket in store.curve(run, "m7", 10, None, None) or ()] == [0]
    add(store, run, range_of(round_of(1), first=300))
    assert [(series.count, series.last) for series in store.series(run)] == [(2, 1.5)] * 300


def test_reading_the_beginning_leaves_later_ranges_unpacked(store, tmp_path):
    run = new_run(store)
    add(store, run, range_of([("a", 1, 0)] * 10))
    add(store, run, range_of(round_of(0), first=10))
    assert len(store.metrics(run, 0, 10)) == 10
    assert rows(store, tmp_path, "log") == 1


def test_a_packed_write_comes_after_the_unpacked_ranges(store):
    """Its steps continue theirs."""
    run = new_run(store)
    records = [*round_of(7), *round_of(8), ("m3", 1.0), ("m4", 2.0, 4), ("m3", 3.0)]
    add(store, run, range_of(records[:300]))
    add(store, run, range_of(records[300:600], first=300))
    add(store, run, range_of(records[600:], first=600))
    assert listed(store, run) == held(records)
    assert [metric.step for metric in store.metrics(run, 600, 603)] == [9, 4, 10]


def test_a_range_with_a_missing_step_is_packed_at_once(store, tmp_path):
    run = new_run(store)
    records = [*round_of(0)[:-1], ("m299", 1.0)]
    add(store, run, range_of(records))
    assert rows(store, tmp_path, "log") == 0
    assert listed(store, run) == held(records)


def test_a_reopened_store_has_the_unpacked_ranges_and_their_mark(tmp_path):
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


def test_enough_unpacked_ranges_are_packed_without_a_read(store, tmp_path):
    run, records = new_run(store), []
    for at in range(3):
        part = [(name, step + 0.5, step) for step in range(100 * at, 100 * at + 100) for name in NAMES]
        add(store, run, range_of(part, first=len(records)))
        records += part
    assert len(records) >= POINTS_A_NAME * len(NAMES)
    assert (rows(store, tmp_path, "log"), rows(store, tmp_path, "chunks")) == (0, len(NAMES))
    assert store.point_count(run) == len(records)


def test_deleting_a_project_deletes_its_unpacked_ranges(store, tmp_path):
    run = new_run(store, new_project(store, "gone"))
    add(store, run, range_of(round_of(0)))
    store.delete_project(store.project("team", "gone")).result()
    while store.reap().result():
        pass
    assert rows(store, tmp_path, "log") == 0


def test_hundreds_of_series_due_together_are_merged_a_few_at_a_time(store, tmp_path):
    """Merging ten thousand at once blocked every writer for 17 seconds."""
    run, records = new_run(store), []
    chunks = []
    for step in range(17):
        part = round_of(step)
        store.add_batch(run, from_range(range_of(part, first=len(records)))).result()
        records += part
        chunks.append(rows(store, tmp_path, "chunks"))
    assert chunks[14:] == [15 * 300, 256 + 16 * 44, 2 * 256 + 44]
    assert listed(store, run) == held(records)
