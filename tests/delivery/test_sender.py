"""Which exchange is due next, over all runs and servers."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from delivery.parts import Book, Line
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.sender import InFlight, Sender
from steplog.delivery.waiter import Waiter
from steplog.testing.memory_server import Fault, MemoryServer

DAY = 24 * 3600.0


def lines(count: int, server: MemoryServer | None = None, records: int = 1) -> tuple[Sender, list[Line]]:
    """Runs that share a sender, each with one writer."""
    shared = Sender(random.Random(0))
    made = []
    for number in range(count):
        line = Line(Book(number).write(records), server=server or MemoryServer())
        line.sender = shared
        shared.add(line.now, line.outbox, line.server)
        made.append(line)
    return shared, made


def deliver(sender: Sender, made: list[Line], until: float) -> list[tuple[float, InFlight]]:
    """Exchange whatever is due until then; what was sent when."""
    now, sent = made[0].now, []
    owner = {line.outbox: line for line in made}
    while now < until:
        due = sender.next(now)
        if isinstance(due, InFlight):
            answer = owner[due.outbox].exchange(due)
            sent.append((now, due))
            now += 0.01
            sender.answered(now, due, answer)
        elif due is None and all(line.idle() for line in made):
            break
        else:
            now = now + 0.5 if due is None else max(due, now + 1e-6)
        for line in made:
            line.now = now
    return sent


def test_a_dead_server_is_probed_once_for_all_its_runs():
    server = MemoryServer()
    sender, made = lines(50, server)
    server.script = lambda request: Fault.refused()
    sent = deliver(sender, made, 1000.0 + 3600)
    assert len(sent) < 250


@pytest.mark.slow
def test_an_outage_of_thirty_days_costs_no_more_attempts_than_the_schedule_has():
    server = MemoryServer()
    sender, made = lines(3, server)
    server.script = lambda request: Fault.refused() if made[0].now < 1000 + 30 * DAY else None
    server.requests = _Forgetful()
    sent = deliver(sender, made, 1000.0 + 31 * DAY)
    schedule = 30 * DAY / 30.0  # a minute at most, half of it on average
    assert len(sent) <= 1.1 * schedule
    assert all(line.values() == [1] for line in made)
    assert max(now for now, _ in sent) < 1000 + 30 * DAY + 70


class _Forgetful(list):
    def append(self, item):
        pass


def tried(sender: Sender) -> InFlight:
    """The trial that is under way, of a server whose first answer did not come."""
    sender.next(1000.0)
    first = sender.next(1001.0)
    assert isinstance(first, InFlight)
    sender.answered(1001.0, first, "connection refused")
    trial = sender.next(1003.0)
    assert isinstance(trial, InFlight)
    return trial


def test_while_a_server_is_down_only_one_exchange_is_under_way():
    server = MemoryServer()
    sender, made = lines(5, server)
    trial = tried(sender)
    assert not isinstance(sender.next(1003.0), InFlight)
    sender.answered(1004.0, trial, made[0].exchange(trial))
    assert isinstance(sender.next(1004.0), InFlight)


def test_a_trial_of_a_run_that_is_removed_does_not_block_the_others():
    server = MemoryServer()
    sender, _ = lines(2, server)
    trial = tried(sender)
    sender.remove(trial.outbox)
    sender.answered(1004.0, trial, "no")
    assert isinstance(sender.next(1010.0), InFlight)


def test_a_trial_whose_answer_raises_does_not_block_the_others(monkeypatch):
    """The trial stayed under way for ever, and the server's runs waited for its answer."""
    server = MemoryServer()
    sender, made = lines(2, server)
    trial = tried(sender)
    answer = made[0].exchange(trial)
    with monkeypatch.context() as patch:
        patch.setattr("steplog.delivery.sender.judge", lambda answer, confirms: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sender.answered(1004.0, trial, answer)
    sender.stumbled(1004.0)
    assert isinstance(sender.next(1010.0), InFlight)


def test_a_server_that_is_down_does_not_hold_back_another():
    sender, made = lines(2)
    made[0].server.script = lambda request: Fault.refused()
    deliver(sender, made, 1020.0)
    assert made[1].values() == [1]


@pytest.mark.parametrize("status", [400, 403, 500, 200])
def test_a_run_that_fails_alone_does_not_hold_back_the_others_of_its_server(status):
    """Its failures counted as the server's, and every success of another run had it tried again at once."""
    server = MemoryServer()
    sender, made = lines(10, server, records=0)
    bad = made[0].run.uuid
    server.script = lambda request: Fault(status, b"<html>") if bad in request.path else None
    waited = []
    made[0].books[0].write(1)
    now, begun = 1000.0, {}
    for step in range(1200):
        now = 1000.0 + step
        line = made[1 + step % 9]
        line.books[0].write(1)
        begun[line.outbox] = now
        for _ in range(20):
            due = sender.next(now + 0.6)
            if not isinstance(due, InFlight):
                break
            sender.answered(now + 0.6, due, line.exchange(due))
        waited.append(line.outbox.pending())
    tries = sum(bad in request.path for request, _ in server.requests)
    assert tries < 140
    assert sum(pending > 1 for pending in waited) == 0


def test_a_run_that_alone_is_asked_to_wait_for_an_hour_does_not_have_the_others_wait():
    """Its Retry-After counted as the server's, and nothing of any run was sent for an hour."""
    server = MemoryServer()
    sender, made = lines(10, server)
    bad = made[0].run.uuid
    server.script = lambda request: Fault(429, headers={"retry-after": "3600"}) if bad in request.path else None
    deliver(sender, made, 1060.0)
    assert [line.values() for line in made] == [[]] + [[1]] * 9
    assert sum(bad in request.path for request, _ in server.requests) == 1
    server.script = lambda request: None
    made[0].now = 1000.0 + 3600
    deliver(sender, made, 1000.0 + 3610)
    assert made[0].values() == [1]


def test_a_server_that_asks_two_runs_to_wait_is_not_asked_by_the_others():
    server = MemoryServer()
    sender, made = lines(300, server)
    server.script = lambda request: Fault(503, headers={"retry-after": "3600"})
    assert len(deliver(sender, made, 1100.0)) == 2
    server.script = lambda request: None
    made[0].now = 1000.0 + 3601
    deliver(sender, made, 1000.0 + 3620)
    assert [line.values() for line in made] == [[1]] * 300


def test_those_that_somebody_waits_for_come_first_then_own_then_adopted():
    server = MemoryServer()
    sender = Sender(random.Random(0))
    made = [Line(Book(number).write(1), server=server) for number in range(3)]
    adopted, own, waited = made
    sender.add(1000.0, adopted.outbox, server, adopted=True)
    sender.add(1000.0, own.outbox, server)
    sender.add(1000.0, waited.outbox, server)
    sender.next(1000.0)
    waited.outbox.wait(Waiter(lambda: None))
    order = []
    for _ in range(3):
        due = sender.next(1001.0)
        assert isinstance(due, InFlight)
        order.append(due.outbox)
        sender.answered(1001.0, due, server.exchange(due.request, 1.0))
    assert order == [waited.outbox, own.outbox, adopted.outbox]


def test_runs_take_turns_however_many_lie_between_them():
    """Two busy runs among many idle ones: one had two hundred turns, then the other one hundred."""
    server = MemoryServer(batch=False)
    sender, made = lines(300, server, records=0)
    for line in made:
        line.outbox.knows(False)
    for busy in (made[0], made[200]):
        busy.books[0].write(60)
    turns = []
    now = 1000.0
    while len(turns) < 100:
        due = sender.next(now)
        assert isinstance(due, InFlight)
        turns.append(due.outbox)
        sender.answered(now, due, server.exchange(due.request, 1.0))
        now += 0.01
    for start in range(0, 100, 10):
        assert set(Counter(turns[start : start + 10]).values()) == {5}


# -- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["for another server", "for good"])
def test_a_server_that_no_run_goes_to_is_forgotten_with_its_troubles(leave):
    server = MemoryServer()
    sender, (line,) = lines(1, server)
    server.script = lambda request: Fault.refused()
    deliver(sender, [line], 1000.0 + 600)
    assert sender.trouble(line.outbox) is not None
    if leave == "for good":
        sender.remove(line.outbox)
    else:
        sender.add(line.now, line.outbox, MemoryServer())
    sender.add(line.now, line.outbox, server)
    assert sender.trouble(line.outbox) is None
    assert sender.silent_s(line.outbox, line.now) == 0.0


def test_a_key_that_was_changed_is_found_and_tried_at_once():
    line = Line(Book().write(1))
    line.server.key = line.server.found_key = "new"
    assert line.deliver() == 2
    assert line.values() == [1]


def test_a_refused_key_is_looked_up_again_at_intervals_and_nothing_is_dropped():
    line = Line(Book().write(3))
    line.server.key = "new"
    line.deliver(3600)
    assert 50 < len(line.sent) < 250
    line.server.found_key = "new"
    line.deliver(120)
    assert line.values() == [1, 2, 3]


def test_two_keys_that_are_both_refused_are_not_tried_in_turn_for_ever():
    """One in the environment and one that was stored: each was the other one of the other, and tried at once."""
    line = Line(Book().write(1))
    keys = ["a", "b"]
    line.server.key = "right"

    def refresh():
        keys.reverse()
        line.server.sent_key = keys[0]
        return True

    line.server.refresh_key = refresh
    line.deliver(3600)
    assert len(line.sent) < 700


def test_a_401_to_what_was_sent_with_the_old_key_says_nothing_of_the_new_one():
    """On a stock server's lanes: the second 401 had the new key taken for a bad one, and the old one back."""
    line = Line(Book().write(6, ("a", "b", "c")), batch=False, lanes=3)
    line.server.key = "new"
    flying = [line.sender.next(line.now, lane) for lane in range(3)]
    answers = [line.exchange(due) for due in flying if isinstance(due, InFlight)]
    line.server.found_key = "new"
    looked = []
    refresh = line.server.refresh_key
    line.server.refresh_key = lambda: looked.append(1) or refresh()
    for due, answer in zip(flying, answers, strict=True):
        line.now += 0.01
        line.answer(due, answer)  # type: ignore[arg-type]
    assert len(looked) == 1
    line.deliver()
    assert sorted(line.values()) == [1, 2, 3, 4, 5, 6]


# -- what it says ---------------------------------------------------------------------------------------------------


def test_an_outage_is_said_once_and_its_end_too(caplog):
    caplog.set_level("INFO", logger="steplog")
    line = Line(Book().write(1))
    line.server.script = lambda request: Fault.refused() if line.now < 5000 else None
    line.deliver(3000)
    assert line.sender.trouble(line.outbox) == f"{line.server.base_url}: connection refused"
    line.deliver(4000)
    deferred_log.tell()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert line.sender.trouble(line.outbox) is None


def test_a_server_that_was_not_asked_is_not_silent():
    """A run that had logged nothing for a while had its exit cut short, as if the server were dead."""
    book = Book()
    line = Line(book)
    assert line.sender.silent_s(line.outbox, line.now + 3600) == 0.0
    book.write(1)
    line.deliver()
    assert line.sender.silent_s(line.outbox, line.now + 3600) == 0.0
    line.server.script = lambda request: Fault.refused()
    book.write(1)
    begun = line.now
    line.deliver(30)
    assert 29 < line.sender.silent_s(line.outbox, line.now) <= line.now - begun


def test_a_consignment_that_raises_waits_and_the_others_go_on():
    sender, made = lines(2, MemoryServer())

    def fails(now, lane):
        raise ZeroDivisionError

    made[0].outbox.next = fails  # type: ignore[method-assign]
    raised = 0
    for step in range(600):
        try:
            due = sender.next(1000.0 + step)
        except ZeroDivisionError:
            sender.stumbled(1000.0 + step)
            raised += 1
            continue
        if isinstance(due, InFlight):
            sender.answered(1000.0 + step, due, made[1].exchange(due))
    assert made[1].values() == [1]
    assert 10 < raised < 60


@pytest.mark.slow
def test_the_cost_of_a_look_does_not_grow_with_what_is_pending():
    took = {}
    for count in (1_000, 100_000):
        line = Line(Book(size=512 * 1024).write(count))
        line.outbox.end_with("COMPLETED")
        line.outbox.wait(Waiter(lambda: None))
        begun, looks = time.process_time(), 50
        for _ in range(looks):
            line.sender.next(line.now)
            line.outbox.release_waiters()
            line.outbox.idle()
        took[count] = (time.process_time() - begun) / looks
    assert took[100_000] < 40 * took[1_000]
