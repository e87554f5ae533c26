"""What holds back one batch, or fails it, is no other's trouble."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import closing
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from polling import wait_until
from server.batches import range_of
from server.stores import add, ann, listed, new_run
from steplog.journal.range import encode
from steplog.server.postgresql.appender import Appender
from steplog.server.postgresql.links import Watch, conninfo_of
from steplog.server.records.batch import Batch, from_range
from steplog.server.store_types import BatchResult, Creation, MissingError, StoreBusyError

TIMEOUT_S = 10


def batch(first: int = 0, records: int = 1, writer: str = "w") -> Batch:
    sent = range_of([("a", float(number)) for number in range(first, first + records)], first, writer)
    return from_range(sent, encode(sent))


@pytest.fixture
def locked(url):
    """Locks a run, as a packer does for a moment, until the block ends."""

    def lock(run: Any) -> psycopg.Connection[Any]:
        connection = psycopg.connect(url)
        connection.execute("SELECT 1 FROM progress WHERE run = %s FOR UPDATE", (run.id,))
        return connection

    return lock


def test_a_locked_run_holds_back_its_own_batches_alone(opened, locked):
    store = opened()
    run, other = new_run(store), new_run(store)
    with closing(locked(run)):
        waiting = [store.add_batch(run, batch(number)) for number in range(3)]
        for number in range(20):
            assert store.add_batch(other, batch(number)).result(TIMEOUT_S) == BatchResult(1, 0)
        assert not any(each.done() for each in waiting)
    assert [each.result(TIMEOUT_S) for each in waiting] == [BatchResult(1, 0)] * 3
    assert len(listed(store, run)) == 3


def test_a_batch_of_a_run_that_stays_locked_is_refused(url, opened, locked):
    run, times = new_run(opened()), iter([0.0, *[100.0] * 1000])
    with closing(locked(run)), closing(Watch()) as watch:
        appender = Appender(conninfo_of(url), watch, lambda: next(times))
        with pytest.raises(StoreBusyError, match="is being changed"):
            appender.submit(run.id, batch(), 1).result(TIMEOUT_S)
        appender.close()


def test_a_batch_that_fails_fails_alone(opened):
    store = opened()
    run, other = new_run(store), new_run(store)
    whole = batch()
    bad = replace(whole, source=replace(whole.source, first=2**63, end=2**63 + 1))  # which no column holds
    answers: list[Future[BatchResult]] = []
    for number in range(10):
        answers.append(store.add_batch(other, batch(number)))
        answers.append(store.add_batch(run, bad))
    for answer in answers[::2]:
        assert answer.result(TIMEOUT_S) == BatchResult(1, 0)
    for answer in answers[1::2]:
        with pytest.raises(StoreBusyError, match=r"OverflowError|out of range|format requires"):
            answer.result(TIMEOUT_S)


def test_outcomes_of_one_group_are_each_batch_s_own(url, opened):
    store = opened()
    run, gone, other = new_run(store), new_run(store), new_run(store)
    project = store.project("team", "mnist")
    assert project is not None
    store.discard_run(project, gone.uuid).result()
    add(store, run, range_of([("a", 0.0), ("a", 1.0)]))
    with closing(Watch()) as watch, psycopg.connect(url) as blocking:
        blocking.execute("LOCK TABLE runs")
        appender = Appender(conninfo_of(url), watch)
        before = appender.submit(other.id, batch(), 1)
        wait_until(lambda: appender.waiting == 0)  # while it is blocked, the others become one group
        sent = [
            appender.submit(run.id, batch(0, 2), 1),
            appender.submit(gone.id, batch(), 1),
            appender.submit(run.id, batch(1, 3), 1),
            appender.submit(run.id, batch(9), 1),
            appender.submit(run.id, batch(0, 1, "x"), 1),
        ]
        blocking.rollback()
        wait_until(lambda: all(each.done() for each in (before, *sent)))
        appender.close()
    assert sent[0].result() == BatchResult(0, 2)
    assert isinstance(sent[1].exception(), MissingError)
    assert sent[2].result() == BatchResult(2, 1)
    assert getattr(sent[3].exception(), "mark", None) == 2  # what is stored in part comes after the others
    assert sent[4].result() == BatchResult(1, 0)
    assert len(listed(store, run)) == 5


def test_a_slow_write_of_the_catalogue_holds_up_no_batch(opened, url):
    store = opened()
    run, project, user = new_run(store), store.project("team", "mnist"), ann(store)
    assert project is not None
    with psycopg.connect(url) as blocking:
        blocking.execute("LOCK TABLE suffixes, tombstones, views")
        slow = store.create_run(project, user, Creation(key="random", name="taken"))
        assert store.add_batch(run, batch()).result(TIMEOUT_S) == BatchResult(1, 0)
        assert not slow.done()
    assert slow.result(TIMEOUT_S)[1]
