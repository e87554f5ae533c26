"""The store keeps each record once, in order, through compaction."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batches import NONE, held, range_of
from server.stores import listed, new_project, new_run
from steplog.errors import ConfigurationError
from steplog.journal.range import Range
from steplog.server.records.batch import SinglePoint, from_range
from steplog.server.sqlite.store import SqliteStore
from steplog.server.sqlite.unpacked import pack_log
from steplog.server.store_types import BatchResult, GapError, MissingError, ProjectRow, RunRow, TakenError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def add(store: SqliteStore, run: RunRow, records: Range) -> BatchResult:
    return store.add_batch(run, from_range(records)).result()


def test_the_same_batch_again_is_answered_as_duplicates_and_stored_once(store):
    run, records = new_run(store), [("a", 0.5), NONE, ("b", 1)]
    assert add(store, run, range_of(records)) == BatchResult(2, 0)
    assert add(store, run, range_of(records)) == BatchResult(0, 2)
    assert listed(store, run) == held(records)


def test_of_a_batch_that_reaches_below_the_mark_only_the_rest_is_stored(store):
    run, records = new_run(store), [("a", 0.5), ("b", b'"x"'), ("a", 1.5), ("b", b"[1]"), ("a", 2.5)]
    add(store, run, range_of(records[:3]))
    assert add(store, run, range_of(records)) == BatchResult(2, 3)
    assert listed(store, run) == held(records)


def test_a_range_beyond_the_mark_is_refused_with_the_mark(store):
    run = new_run(store)
    add(store, run, range_of([("a", 1)]))
    with pytest.raises(GapError) as caught:
        add(store, run, range_of([("a", 1)], first=2))
    assert caught.value.mark == 1
    assert store.point_count(run) == 1


def test_writers_of_a_run_have_a_mark_each(store):
    run = new_run(store)
    add(store, run, range_of([("a", 1)], writer="one"))
    add(store, run, range_of([("a", 2)], writer="two"))
    assert [metric.value for metric in store.metrics(run, 0, 9)] == [1, 2]


def test_positions_without_a_record_are_covered(store):
    run = new_run(store)
    assert add(store, run, range_of([NONE] * 5)) == BatchResult(0, 0)
    assert add(store, run, range_of([("a", 1)], first=5)) == BatchResult(1, 0)
    assert add(store, run, range_of([], first=6)) == BatchResult(0, 0)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 30), max_size=40), st.lists(st.integers(0, 30), max_size=40), st.randoms())
def test_however_ranges_are_cut_and_repeated_each_record_is_there_once_and_in_order(store, firsts, ends, randomness):
    entries: list[Any] = [
        NONE if randomness.random() < 0.1 else (randomness.choice("abc"), randomness.choice([0.5, 7, True, b"null"]))
        for _ in range(30)
    ]
    run, mark = new_run(store), 0
    for first, end in [*zip(firsts, ends, strict=False), (0, 30)]:
        if first > end:
            continue
        records = range_of(entries[first:end], first=first)
        if first > mark:
            with pytest.raises(GapError) as caught:
                add(store, run, records)
            assert caught.value.mark == mark
        else:
            add(store, run, records)
            mark = max(mark, end)
    assert listed(store, run) == held(entries)


def test_steps_go_on_above_the_largest_so_far(store):
    run = new_run(store)
    records = [("a", 1), ("a", 2, 10), ("a", 3), ("a", 4, 3), ("a", 5), ("b", 6, -7), ("b", 7)]
    add(store, run, range_of(records))
    add(store, run, range_of([("a", 8), ("b", 9)], first=len(records)))
    assert [m.step for m in store.metrics(run, 0, 99)] == [0, 10, 11, 3, 12, -7, 0, 13, 1]


def test_after_the_largest_step_each_missing_one_is_the_largest(store):
    """Nothing that is valid is refused for what arrived before it."""
    run, end = new_run(store), 2**63 - 1
    add(store, run, range_of([("a", 1, end - 1), ("a", 2)]))
    add(store, run, range_of([("a", 3), ("a", 4, 5), ("a", 5)], first=2))
    assert store.add_metric(run, SinglePoint("a", b"6", None, 0)).result() == end
    steps = [end - 1, end, end, 5, end, end]
    assert [metric.step for metric in store.metrics(run, 0, 9)] == steps
    store.database.write(pack_log, run.id).result()
    assert [metric.step for metric in store.metrics(run, 0, 9)] == steps


@pytest.mark.parametrize("sizes", [[1] * 300, [75] * 60, [1, 5000, 1, 30] * 10, [17, 300, 2] * 30])
def test_small_chunks_are_merged_as_they_arrive_and_nothing_changes(store, tmp_path, sizes):
    run, records, first = new_run(store), [], 0
    for size in sizes:
        part = [(f"m{(first + at) % 3}", random.choice([0.5, at, True, b'{"k":[]}'])) for at in range(size)]
        add(store, run, range_of(part, first=first))
        store.database.write(pack_log, run.id).result()
        records += part
        first += size
    assert listed(store, run) == held(records)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        (chunks,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    connection.close()
    assert chunks <= 3 * (45 + 2 * len(records) / 1024 + len([size for size in sizes if size > 1024]) * 20)
    assert [series.count for series in store.series(run)] == [
        sum(1 for name, _ in records if name == series) for series in ("m0", "m1", "m2")
    ]


def test_large_payloads_do_not_keep_merging_from_coming_to_an_end(store):
    run = new_run(store)
    for at in range(40):
        add(store, run, range_of([("big", b'"' + bytes(60_000).replace(b"\0", b"x") + b'"')] * 5, first=at * 5))
        store.database.write(pack_log, run.id).result()
    assert store.point_count(run) == 200


def test_a_reopened_store_goes_on_where_it_was(tmp_path):
    records = [("a", 0.25), ("b", 7), ("a", 0.5)] * 100
    store = SqliteStore(tmp_path / "a.db")
    instance, run = store.instance, new_run(store)
    add(store, run, range_of(records[:200]))
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    assert add(store, run, range_of(records)) == BatchResult(100, 200)
    assert (listed(store, run), store.instance) == (held(records), instance)
    store.close()


def test_a_deleted_project_leaves_no_row(store, tmp_path):
    project = new_project(store, "gone")
    run, kept = new_run(store, project), new_run(store)
    for each in (run, kept):
        add(store, each, range_of([("a", 1), ("b", b"[]")]))
        store.database.write(pack_log, each.id).result()
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


def test_two_projects_of_one_slug_are_refused(store):
    new_project(store)
    with pytest.raises(TakenError):
        new_project(store)


def test_a_database_in_use_is_not_opened_twice(store, tmp_path):
    with pytest.raises(ConfigurationError, match="in use"):
        SqliteStore(tmp_path / "a.db")


def test_a_job_that_fails_takes_no_other_with_it(store):
    run, gone = new_run(store), new_run(store, new_project(store, "gone"))
    store.delete_project(store.project("team", "gone")).result()
    records = [from_range(range_of([("a", at)], first=at)) for at in range(50)]
    futures = [(store.add_batch(run, batch), store.add_batch(gone, batch)) for batch in records]
    assert all(good.result() == BatchResult(1, 0) for good, _ in futures)
    assert all(isinstance(bad.exception(), MissingError) for _, bad in futures)


def test_a_refusal_is_answered_once_what_it_was_refused_for_is_there(store: SqliteStore):
    namespace = store.put_namespace("team").result()
    for number in range(20):
        slug = f"p{number}"
        seen: list[ProjectRow | None] = []
        asked = [store.add_project(namespace, slug, slug, "TEAM") for _ in range(8)]
        for future in asked:
            future.add_done_callback(lambda _, slug=slug, seen=seen: seen.append(store.project("team", slug)))
        for future in asked:
            future.exception()
        assert None not in seen
