"""What is deleted is removed by whichever server comes, once, and nothing that was restored meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from polling import wait_until
from server.batches import range_of
from server.packed import pack
from server.stores import add, listed, new_project, new_run

LATER = datetime.now(timezone.utc) + timedelta(days=2)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
POINTS = "progress", "marks", "log", "blocks", "sealed", "series", "chunks", "points", "summaries"


@pytest.fixture
def direct(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def rows(direct, table):
    return direct.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def fill(store, run):
    """Some in chunks, some in blocks, some in the log."""
    for turn in range(3):
        records = [(name, at + 0.5) for at in range(50) for name in "ab"]
        add(store, run, range_of([*records, ("seldom", turn)], turn * 101))
        if turn < 2:
            pack(store, run, chunk_points=100)


def test_a_deleted_project_is_removed_by_two_servers_at_once(stores, direct):
    one, other = stores
    kept = new_run(one)
    add(one, kept, range_of([("a", 1)]))
    gone = new_project(one, "gone")
    for _ in range(5):
        fill(one, new_run(one, gone))
    assert min(rows(direct, table) for table in ("chunks", "blocks", "log", "summaries")) > 0
    one.delete_project(gone).result()

    def reap_all(store):
        while direct.execute("SELECT id FROM runs").fetchall() != [(kept.id,)]:
            store.reap().result()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(reap_all, store) for store in (one, other)]:
            done.result(60)
    assert [rows(direct, table) for table in POINTS] == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert listed(other, kept) == [{"name": "a", "value": 1, "step": 0}]


def test_a_run_that_is_restored_while_it_is_about_to_be_removed_stays(stores, direct, url):
    store, _ = stores
    run = new_run(store)
    fill(store, run)
    before = listed(store, run)
    store.discard_run(store.project("team", "mnist"), run.uuid).result()
    with psycopg.connect(url) as restoring:
        restoring.execute("UPDATE runs SET deleted = NULL WHERE id = %s", (run.id,))
        reaping = threading.Thread(target=lambda: store.reap(LATER).result())
        reaping.start()
        wait_until(lambda: direct.execute(WAITING).fetchone()[0] == 1)
        restoring.commit()
    reaping.join(30)
    assert listed(store, run) == before


def test_a_packer_and_what_removes_its_run_both_go_on_where_they_wait_for_each_other(stores, direct, url):
    """The packer holds rows of the log and wants the run's progress, which the other holds."""
    store, _ = stores
    run = new_run(store)
    fill(store, run)
    store.discard_run(store.project("team", "mnist"), run.uuid, now=True).result()
    with psycopg.connect(url) as packing:
        packing.execute("SELECT 1 FROM log WHERE run = %s FOR UPDATE", (run.id,))
        reaping = threading.Thread(target=lambda: store.reap().result())
        reaping.start()
        wait_until(lambda: direct.execute(WAITING).fetchone()[0] == 1)
        try:
            packing.execute("UPDATE progress SET packed = 0 WHERE run = %s", (run.id,))
        except psycopg.errors.DeadlockDetected:
            packing.rollback()
    reaping.join(30)
    while store.reap().result():
        pass
    assert [rows(direct, table) for table in POINTS] == [0] * len(POINTS)
