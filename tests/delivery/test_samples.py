"""System metrics on their way: apart from records, after them, and never after the end."""

from __future__ import annotations

import random
from itertools import count

import pytest

from delivery.parts import Book, Line
from steplog.delivery.samples import FAULTS_MAX, SAMPLES_MAX, Samples
from steplog.delivery.tickets import Sample
from steplog.delivery.waiter import Waiter
from steplog.testing.memory_server import Fault


def with_samples(*books: Book, **given: object) -> Line:
    line = Line(*books, **given)
    numbers = count(1)
    line.outbox.samples = Samples(random.Random(5), lambda: f"system-{next(numbers)}")
    return line


def sample(line: Line, *values: float) -> None:
    assert line.outbox.samples is not None
    for value in values:
        line.outbox.samples.add(1_000_000_000, {"system/cpu_percent": value})


def stored(line: Line) -> list[float]:
    return [row.value for row in line.run.rows if row.name == "system/cpu_percent"]


def run_on(line: Line, seconds: float = 300.0) -> None:
    end = line.now + seconds
    while line.now < end:
        if not line.step():
            due = line.next()
            line.now = min(max(due, line.now + 0.01), end) if isinstance(due, float) else line.now + 0.5


def test_they_arrive_and_no_count_has_them():
    line = with_samples(Book().write(3))
    sample(line, 10.0, 20.0)
    assert (line.outbox.pending(), line.outbox.left()) == (3, 3)
    run_on(line)
    assert stored(line) == [10.0, 20.0]
    assert len(line.run.rows) == 5
    assert (line.outbox.pending(), line.outbox.left()) == (0, 0)
    assert sum(journal.cursor.records for journal in line.outbox.journals.values()) == 3
    assert line.outbox.losses().logged(3, 0) == 3


def test_they_leave_the_run_idle_and_hold_back_no_waiter():
    line = with_samples(Book().write(1))
    line.deliver()
    sample(line, 10.0)
    told: list[None] = []
    waiter = Waiter(lambda: told.append(None))
    line.outbox.wait(waiter)
    line.outbox.release_waiters()
    assert told
    assert line.outbox.idle()


def test_they_wait_for_records_that_are_due_and_for_whoever_waits():
    line = with_samples(Book().write(1))
    sample(line, 10.0)
    line.outbox.wait(Waiter(lambda: None))
    line.step()
    assert len(line.run.rows) == 1
    assert stored(line) == []


def test_while_somebody_waits_for_the_run_none_is_sent():
    line = with_samples(Book().write(1))
    line.deliver()
    sample(line, 10.0)
    waiter = Waiter(lambda: None, status=True)
    line.outbox.wait(waiter)
    run_on(line, 5.0)
    assert stored(line) == []
    line.outbox.waiters.remove(waiter)
    run_on(line, 5.0)
    assert stored(line) == [10.0]


def test_none_is_sent_once_the_status_is_decided():
    line = with_samples(Book().write(1))
    sample(line, 10.0)
    line.outbox.end_with("COMPLETED")
    sample(line, 20.0)
    assert not line.outbox.takes_samples()
    run_on(line)
    assert line.run.statuses == ["COMPLETED"]
    assert stored(line) == []


def test_one_under_way_when_the_run_ends_is_answered_before_the_status_is_sent():
    line = with_samples(Book())
    line.deliver()
    sample(line, 10.0)
    flight = line.next()
    assert isinstance(flight.ticket, Sample)
    line.outbox.end_with("COMPLETED")
    line.answer(flight, line.exchange(flight))
    run_on(line)
    assert stored(line) == [10.0]
    assert line.run.statuses == ["COMPLETED"]


@pytest.mark.parametrize("fault", [Fault.lost(), Fault(200, b"<html>"), Fault(503)])
def test_what_may_have_arrived_is_sent_again_and_stored_once(fault):
    line = with_samples(Book())
    line.server.faults.append(fault)
    sample(line, 10.0)
    run_on(line, 1.0)
    sample(line, 20.0)
    run_on(line)
    assert stored(line) == [10.0, 20.0]


@pytest.mark.parametrize("status", [400, 413, 415])
def test_what_is_refused_is_dropped_and_those_after_it_arrive(status):
    line = with_samples(Book())
    line.server.faults.append(Fault(status))
    sample(line, 10.0)
    run_on(line, 0.1)
    sample(line, 20.0)
    run_on(line)
    assert stored(line) == [20.0]
    assert line.outbox.trouble is None


def test_a_server_that_fails_on_them_alone_still_takes_records_at_once():
    book = Book()
    line = with_samples(book)
    line.server.faults.extend([Fault(500)] * FAULTS_MAX)
    sample(line, 10.0)
    assert line.step()
    book.write(1)
    line.now += 1.0
    assert line.sender.trouble(line.outbox) is None
    line.server.faults.clear()
    run_on(line, 1.0)
    assert [row.value for row in line.run.rows if row.name == "loss"] == [1.0]


def test_after_an_hour_without_the_server_the_last_ones_arrive():
    line = with_samples(Book())
    line.server.faults.extend([Fault(503)] * 3)
    sample(line, *map(float, range(SAMPLES_MAX + 100)))
    run_on(line, 1000.0)
    assert stored(line) == [float(value) for value in range(100, SAMPLES_MAX + 100)]


def test_a_stock_server_gets_none():
    line = with_samples(Book().write(1), batch=False)
    sample(line, 10.0)
    assert not line.outbox.takes_samples()
    run_on(line)
    assert len(line.run.rows) == 1


def test_a_run_that_is_gone_wants_none():
    book = Book().write(1)
    line = with_samples(book)
    line.deliver()
    del line.server.runs[line.run.uuid]
    sample(line, 10.0)
    run_on(line)
    book.write(1)
    run_on(line)
    assert line.outbox.gone
    assert not line.outbox.takes_samples()
