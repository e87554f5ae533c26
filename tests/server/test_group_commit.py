"""One transaction for many jobs: which failure is a job's own, and which one everybody's in the group."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from steplog.server.sqlite.group_commit import Committer
from steplog.server.store_types import RefusedError, StoreBusyError, StoreFullError

DEADLINE_S = 30.0


class Group:
    """Jobs that are committed together: they are submitted while the thread is held by one before them."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("CREATE TABLE kept (number INTEGER UNIQUE)")
        self.forgotten = 0
        self.committer = Committer(self.connection, self.forget)
        self.held = threading.Event()
        self.committer.submit(lambda connection: self.held.wait(DEADLINE_S))

    def forget(self) -> None:
        self.forgotten += 1

    def insert(self, number: int, error: Exception | None = None) -> Future[int]:
        """A job that writes a number, and then fails if there is an error."""

        def job(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO kept VALUES (?)", (number,))
            if error is not None:
                raise error
            return number

        return self.committer.submit(job)

    def outcomes(self, *futures: Future[Any]) -> list[Any]:
        self.held.set()
        return [future.exception(DEADLINE_S) or future.result() for future in futures]

    def kept(self) -> list[int]:
        return [number for (number,) in self.connection.execute("SELECT number FROM kept ORDER BY number")]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path / "database")
    yield made
    made.held.set()
    made.committer.close()
    made.connection.close()


@pytest.mark.parametrize(
    ("error", "forgotten"),
    [(RefusedError("no"), 0), (ValueError("a bug"), 1), (sqlite3.IntegrityError("twice"), 1)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_with_one_job_leaves_no_trace_and_the_others_are_stored(group, error, forgotten):
    futures = [group.insert(1), group.insert(2, error), group.insert(3)]
    assert group.outcomes(*futures) == [1, error, 3]
    assert group.kept() == [1, 3]
    assert group.forgotten == forgotten
    assert group.outcomes(group.insert(2)) == [2]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (sqlite3.OperationalError("database or disk is full"), StoreFullError),
        (sqlite3.OperationalError("database is locked"), StoreBusyError),
        (sqlite3.DatabaseError("database disk image is malformed"), StoreBusyError),
    ],
    ids=str,
)
def test_an_error_of_the_database_is_said_to_all_of_the_group_and_none_is_stored(group, error, told):
    futures = [group.insert(1), group.insert(2, error), group.insert(3)]
    assert [type(outcome) for outcome in group.outcomes(*futures)] == [told] * 3
    assert group.kept() == []
    assert group.forgotten == 1
    assert group.outcomes(group.insert(1)) == [1]


def test_a_commit_that_fails_is_said_to_all_of_the_group_and_none_is_stored(group):
    def doom(connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")  # so that there is nothing to commit in the end

    futures: list[Future[Any]] = [group.insert(1), group.committer.submit(doom)]
    assert [type(outcome) for outcome in group.outcomes(*futures)] == [StoreBusyError] * 2
    assert group.outcomes(group.insert(2)) == [2]


def test_a_job_that_nobody_waits_for_any_more_is_not_done(group):
    futures: list[Future[Any]] = [group.insert(1), group.insert(2)]
    assert futures[0].cancel()
    assert group.outcomes(futures[1]) == [2]
    assert group.kept() == [2]


def test_what_was_submitted_is_done_before_it_stops_and_nothing_after(group):
    future, wait = group.insert(1), threading.Thread(target=group.committer.close)
    group.held.set()
    wait.start()
    wait.join(DEADLINE_S)
    assert future.result(0) == 1
    late: Callable[[], Any] = group.insert(2).result
    with pytest.raises(StoreBusyError, match="stopping"):
        late()
    assert group.kept() == [1]


def test_the_database_is_looked_at_with_its_lock_before_a_commit(tmp_path):
    """A checkpoint of another process between the look and the transaction went unnoticed."""
    connection = sqlite3.connect(tmp_path / "database", isolation_level=None, check_same_thread=False)
    looked: list[bool] = []
    committer = Committer(connection, lambda: None, lambda: looked.append(connection.in_transaction))
    committer.submit(lambda connection: connection.execute("CREATE TABLE t (x)") and None).result(DEADLINE_S)
    assert looked[:2] == [True, False]
    committer.close()
    connection.close()


def test_only_a_group_in_which_nothing_must_be_durable_does_not_wait_for_the_disk(group):
    def job(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    def together(*durable: bool) -> list[int]:
        held = threading.Event()
        group.committer.submit(lambda connection: held.wait(DEADLINE_S), durable=False)
        jobs = [group.committer.submit(job, durable=each) for each in durable]
        held.set()
        return [each.result(DEADLINE_S) for each in jobs]

    group.outcomes(group.insert(1))
    normal, full = 1, 2
    assert together(False, False) == [normal] * 2
    assert together(False, True, False) == [full] * 3
    assert together(False) == [normal]
    assert together(True) == [full]
