"""The agent's threads: they deliver, they end for nothing, and nobody waits for longer than he wants."""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from delivery.parts import Book, Line
from steplog.delivery.agent import Agent
from steplog.delivery.consignment import Terms
from steplog.memory_server import Fault

DEADLINE_S = 30.0


class Held:
    """A run in the agent's custody, without directories: what ``Custody`` is to the agent."""

    def __init__(self, line: Line, own: Any = None) -> None:
        self.consignment = line.consignment
        self.own = own
        self.settled = 0
        self.looks = 0
        self.spooled = threading.Event()

    def look(self) -> None:
        self.looks += 1

    def decide(self, status: str) -> None:
        self.consignment.end_with(status)

    def settle(self) -> None:
        self.settled += 1

    def done(self) -> bool:
        return False

    def spool(self, lock: Any, pressed: bool) -> None:
        self.spooled.set()

    @property
    def place(self) -> Any:
        class Place:
            local_id = "x"

        return Place


class Owned:
    """A writer of this process, as far as the keeper knows one."""

    gone = False

    def __init__(self, keep: Callable[[], None]) -> None:
        self.keep = keep
        self.followed = threading.Event()
        self.writer = self
        self.pool = self

    def measure(self) -> int:
        return 0

    def follow(self) -> None:
        self.followed.set()

    def orphaned(self) -> None:
        pass


def _fast() -> float:
    """A clock that has back-off over soon."""
    return 20 * time.monotonic()


def started(*lines: Line, lanes: int = 1, **more: Any) -> tuple[Agent, list[Held]]:
    agent = Agent(Terms(0.05, lanes), DEADLINE_S, clock=_fast, source=random.Random(1), **more)
    held = [Held(line) for line in lines]
    for line, custody in zip(lines, held, strict=True):
        agent.deliver(custody, line.server)  # type: ignore[arg-type]
    return agent, held


def test_what_is_logged_arrives_and_who_waits_is_told():
    line = Line(Book().write(100))
    agent, (held,) = started(line)
    assert agent.wait(held, DEADLINE_S, "COMPLETED")  # type: ignore[arg-type]
    assert line.values() == list(range(1, 101))
    assert line.run.statuses == ["COMPLETED"]
    assert held.settled > 0
    assert agent.faults == 0


def test_who_waits_is_let_go_at_the_deadline_while_an_exchange_hangs():
    line = Line(Book().write(1))
    freed = threading.Event()
    line.server.script = lambda request: freed.wait(DEADLINE_S) and None
    agent, (held,) = started(line)
    begun = time.monotonic()
    assert not agent.wait(held, 0.3, "COMPLETED")  # type: ignore[arg-type]
    assert 0.3 <= time.monotonic() - begun < 0.8
    assert line.consignment.waits == []
    freed.set()
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]


def test_the_first_ctrl_c_ends_the_waiting():
    line = Line(Book().write(1))
    freed = threading.Event()
    line.server.script = lambda request: (_interrupt(), freed.wait(DEADLINE_S)) and None
    agent, (held,) = started(line)
    with pytest.raises(KeyboardInterrupt):
        agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert line.consignment.waits == []
    freed.set()


def _interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize("error", [ValueError, MemoryError, RecursionError, KeyError, SystemExit, KeyboardInterrupt])
def test_whatever_is_raised_in_an_exchange_is_counted_and_said_once_and_the_thread_goes_on(error, caplog):
    line = Line(Book().write(10))
    left = [1, 2, 3]

    def script(request):
        if left:
            left.pop()
            raise error("on the way")

    line.server.script = script
    agent, (held,) = started(line)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert line.values() == list(range(1, 11))
    assert agent.faults == 3
    assert sum("a fault in its own thread" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("place", ["set_marks", "ack", "read", "readable", "census", "evict"])
def test_whatever_the_journal_raises_is_counted_and_the_thread_goes_on(place):
    book = Book().write(10)
    line = Line(book)
    real, left = getattr(book.journal, place), [1, 2]

    def fails(*args):
        if left and threading.current_thread().name == "steplog-sender":
            left.pop()
            raise OSError("no such page")
        return real(*args)

    setattr(book.journal, place, fails)
    agent, (held,) = started(line)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert line.values() == list(range(1, 11))
    assert 1 <= agent.faults <= 2


def test_a_run_whose_journal_always_raises_does_not_hold_back_the_others():
    bad, good = Line(Book().write(1)), Line(Book(1).write(10))

    def fails(*args):
        raise OSError("gone")

    agent, (_, held) = started(bad, good)
    bad.books[0].journal.readable = fails  # type: ignore[method-assign]
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    good.books[0].write(10)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert good.values() == list(range(1, 21))


def test_a_fault_of_the_sender_during_a_probe_does_not_stop_its_server_for_ever():
    """An exception that was not the network's left the probe under way for ever, and nothing more was sent."""
    line = Line(Book().write(1))
    answers: list[Any] = [Fault.refused(), ZeroDivisionError, Fault.refused(), ZeroDivisionError]

    def script(request):
        if not answers:
            return None
        fault = answers.pop(0)
        if isinstance(fault, type):
            raise fault
        return fault

    line.server.script = script
    agent, (held,) = started(line)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]


def test_a_handler_of_the_log_that_raises_or_waits_for_us_does_not_stop_delivery():
    """Messages were said in the middle of a decision, under the lock: what came after them was not done."""
    line = Line(Book().write(3))
    line.server.faults.extend([Fault.refused()] * 3)
    line.poison(2)
    agent, (held,) = started(line)
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())
            asker = threading.Thread(target=agent.trouble, args=(held,))
            asker.start()
            asker.join(DEADLINE_S)
            assert not asker.is_alive()
            raise RuntimeError("a handler of the user's")

    handler = Handler()
    logging.getLogger("steplog").addHandler(handler)
    try:
        assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
        line.books[0].write(1)
        assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    finally:
        logging.getLogger("steplog").removeHandler(handler)
    assert line.values() == [1, 3, 4]
    assert line.set_aside() == [2]
    assert seen


def test_the_keeper_goes_on_whatever_one_of_its_duties_raises():
    line = Line(Book().write(1))
    kept, adopted = threading.Event(), threading.Event()

    def fails(*args):
        raise OSError("not there")

    def adopt(held):
        adopted.set()
        raise OSError("not there either")

    agent, (first,) = started(line, adopt=adopt)
    bad, good = Owned(fails), Owned(kept.set)
    first.look = fails  # type: ignore[method-assign]
    second = Held(Line(Book(1)))
    agent.deliver(second, line.server)  # type: ignore[arg-type]
    agent.keep(bad)  # type: ignore[arg-type]
    agent.keep(good)  # type: ignore[arg-type]
    for event in (kept, good.followed, second.spooled, adopted):
        assert event.wait(DEADLINE_S)
    assert agent.faults >= 2
    assert second.looks > 0


def test_a_stock_server_gets_as_many_requests_at_once_as_it_may():
    line = Line(Book().write(400, tuple("abcdefgh")), batch=False, lanes=4)
    inside, most, lock = [0], [0], threading.Lock()

    def script(request):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.002)
        with lock:
            inside[0] -= 1

    line.server.script = script
    agent, (held,) = started(line, lanes=4)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert sorted(line.values()) == list(range(1, 401))
    assert 2 <= most[0] <= 4
    names = {thread.name for thread in threading.enumerate()}
    assert {"steplog-sender", "steplog-sender-1", "steplog-sender-2", "steplog-sender-3"} <= names
    last: dict[str, float] = {}
    for row in line.server.runs[line.run.uuid].rows:
        assert row.value > last.get(row.name, 0)
        last[row.name] = row.value


def test_where_no_more_threads_can_be_started_the_first_one_serves_all_lanes(monkeypatch):
    """Names that were on a lane without a thread were never sent."""
    line = Line(Book().write(50, tuple("abcdefgh")), batch=False, lanes=8)
    start = threading.Thread.start

    def refuses(thread):
        if thread.name.startswith("steplog-sender-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuses)
    agent, (held,) = started(line, lanes=8)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert sorted(line.values()) == list(range(1, 51))


def test_where_no_thread_can_be_started_yet_a_later_run_starts_it(monkeypatch):
    """A thread that could not be started counted as started, and nothing was delivered any more."""
    first, second = Line(Book().write(1)), Line(Book(1).write(1))
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no")))
    agent = Agent(Terms(0.05, 1), DEADLINE_S)
    with pytest.raises(RuntimeError):
        agent.deliver(Held(first), first.server)  # type: ignore[arg-type]
    monkeypatch.setattr(threading.Thread, "start", start)
    held = Held(second)
    agent.deliver(held, second.server)  # type: ignore[arg-type]
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert first.values() in ([1], [])


def test_something_that_comes_due_is_done_though_nobody_wakes_the_thread():
    line = Line(Book())
    started(line)
    line.books[0].write(1)
    told = threading.Event()
    line.server.script = lambda request: told.set()
    assert told.wait(DEADLINE_S)


@pytest.mark.slow
def test_three_hundred_idle_runs_cost_the_sender_next_to_nothing():
    lines = [Line(Book(number, size=4096)) for number in range(300)]
    started(*lines)
    begun = _sender_cpu_s()
    threading.Event().wait(3.0)
    assert _sender_cpu_s() - begun < 0.3


def _sender_cpu_s() -> float:
    """What all threads of this process have taken; the others only wait."""
    return time.process_time()
