"""Waiting where no agent of this process wakes those who wait: for another process's marks, and for the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from delivery.parts import Book
from steplog.lifecycle import waits
from steplog.lifecycle.open_run import OpenRun

LONG_S = 8.0


class Worker:
    """A worker with three records, whose agent has marked so many more delivered at each look, and its holes."""

    directory = None
    open_journal = SimpleNamespace(keeps_losses=lambda: True)

    def __init__(self, delivered_at_look: int, records: int = 3) -> None:
        self.journal = Book().write(records).journal
        self.delivered_at_look = delivered_at_look
        self.before: list[Worker] = []
        self.calls: list[str] = []

    def publish(self) -> bool:
        self.calls.append("publish")
        return True

    def follow(self) -> None:
        self.calls.append("follow")
        cursor = self.journal.cursor
        self.journal.set_cursor(replace(cursor, delivered=cursor.delivered + self.delivered_at_look))


def looks(own: Any, timeout_s: float = LONG_S) -> tuple[bool, list[str]]:
    return waits.wait_for_cursor(own, timeout_s), own.calls


def test_a_worker_looks_at_the_agents_marks_until_all_of_it_is_delivered():
    assert looks(Worker(1)) == (True, ["publish", "follow", "follow", "follow"])
    assert looks(Worker(3)) == (True, ["publish", "follow"])
    assert looks(Worker(0, records=0)) == (True, ["publish", "follow"])


def test_a_worker_looks_once_where_it_may_not_wait_and_says_that_it_is_not_all():
    assert looks(Worker(1), 0.0) == (False, ["publish", "follow"])


def test_what_is_written_while_a_worker_waits_is_not_waited_for():
    worker = Worker(1)
    book, follow = Book(7).write(3), worker.follow
    worker.journal = book.journal
    worker.follow = lambda: (book.write(1), follow())  # type: ignore[assignment,return-value]
    assert looks(worker)[0]


def offline(own: Any, owed: Callable[[], bool], timeout_s: float) -> bool:
    class ManifestStore:
        @property
        def owed(self) -> bool:
            return owed()

    files = SimpleNamespace(has_work=lambda: False)
    return waits.wait_for_disk(own, ManifestStore(), files, timeout_s)  # type: ignore[arg-type]


def test_an_offline_run_is_waited_for_until_it_is_on_disk_and_is_not_delivered():
    worker, asked = Worker(0), []

    def owed() -> bool:
        asked.append(worker.journal.cursor.durable)
        worker.journal.set_cursor(replace(worker.journal.cursor, durable=3))
        return len(asked) < 3

    worker.journal.set_cursor(replace(worker.journal.cursor, durable=3))
    assert offline(worker, owed, LONG_S) is False
    assert len(asked) == 3


def test_a_disk_that_takes_no_records_is_waited_for_to_the_deadline_or_five_seconds(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    for timeout_s, waited_s in ((1.0, 1.0), (LONG_S, 5.0)):
        begun = now[0]
        assert offline(Worker(0), lambda: False, timeout_s) is False
        assert now[0] - begun == pytest.approx(waited_s, abs=0.03)


def test_a_manifest_is_waited_for_a_quarter_of_a_second_and_only_while_it_is_owed(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    assert waits.wait_for_manifest(SimpleNamespace(owed=False)) is False  # type: ignore[arg-type]
    assert now[0] == 1000.0
    assert waits.wait_for_manifest(SimpleNamespace(owed=True)) is False  # type: ignore[arg-type]
    assert now[0] - 1000.0 == pytest.approx(0.25, abs=0.003)


def test_the_removal_of_a_run_may_take_what_is_left_within_a_quarter_and_two_seconds(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    run, asked = object.__new__(OpenRun), []
    run.transport = object()  # type: ignore[assignment]
    agent = SimpleNamespace(dismiss=lambda lease, seconds: asked.append(seconds) or True)
    for left in (-5.0, 0.1, 1.5, 60.0):
        assert run._let_go(SimpleNamespace(agent=agent), None, 1000.0 + left)  # type: ignore[arg-type]
    assert asked == [0.25, 0.25, 1.5, 2.0]


class LostMeanwhile:
    """A lease that another process takes, as its locks were closed, when it is looked at."""

    outbox = SimpleNamespace(status_sent=False)

    def __init__(self, run: OpenRun) -> None:
        self._run = run

    @property
    def manifest(self) -> SimpleNamespace:
        self._run.lease = None
        return SimpleNamespace(owner="own")


def test_a_run_that_another_process_takes_at_its_end_raises_nothing():
    run: Any = object.__new__(OpenRun)
    decided: list[Any] = []
    writer = SimpleNamespace(id=SimpleNamespace(hex=lambda: "own"), end=lambda refuse: None)
    opened = SimpleNamespace(writer=writer, close_ledger=lambda: None)
    agent = SimpleNamespace(decide=lambda lease, status: decided.append(lease))
    process = SimpleNamespace(agent=agent, writers={})
    run.__dict__.update(opened=opened, process=process, takeover=None, _finished=None, _provenance=None)
    run.lease = lease = LostMeanwhile(run)
    assert not run.is_status_sent()
    run.lease = lease
    run.finish_in_background("CRASHED")
    assert decided == [lease]
