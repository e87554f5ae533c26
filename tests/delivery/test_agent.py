"""The agent: it delivers, whatever is raised in it, and nobody waits for longer than he wants.

Each in a process of its own: the threads of an agent do not end before it.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

import pytest

from apart import apart
from delivery.held import DEADLINE_S, started
from delivery.parts import Book, Line
from steplog.delivery.exchange import Answer, Request
from steplog.errors import ServerUnavailableError
from steplog.testing.memory_server import Fault, MemoryServer


@apart
def test_what_is_logged_arrives_and_who_waits_is_told():
    line = Line(Book().write(100))
    agent, (held,) = started(line)
    assert agent.wait(held, DEADLINE_S, "COMPLETED")  # type: ignore[arg-type]
    assert line.values() == list(range(1, 101))
    assert line.run.statuses == ["COMPLETED"]
    assert held.settled > 0
    assert agent.faults == 0


@apart
def test_a_status_that_is_sent_before_its_end_is_waited_for_is_not_owed_again():
    """The run may be dismissed by then, and nobody would send it."""
    line = Line(Book().write(1))
    agent, (held,) = started(line)
    agent.decide(held, "COMPLETED")  # type: ignore[arg-type]
    assert agent.wait(held, DEADLINE_S, whole=True)  # type: ignore[arg-type]
    agent.leases.clear()  # as maintenance does with one that is done
    agent._sender.remove(line.outbox)
    assert agent.wait(held, 2.0, "COMPLETED")  # type: ignore[arg-type]
    assert line.run.statuses == ["COMPLETED"]


@apart
def test_who_waits_is_let_go_at_the_deadline_while_an_exchange_hangs():
    line = Line(Book().write(1))
    freed = threading.Event()
    line.server.script = lambda request: freed.wait(DEADLINE_S) and None
    agent, (held,) = started(line)
    begun = time.monotonic()
    assert not agent.wait(held, 0.3, "COMPLETED")  # type: ignore[arg-type]
    assert 0.3 <= time.monotonic() - begun < 0.8
    assert line.outbox.waiters == []
    freed.set()
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]


@apart
@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
def test_an_exchange_under_way_at_a_deadline_is_not_ended_and_its_answer_counts(batch: bool):
    """Cut off, a stock server's record would have to go again, and be there twice."""
    line = Line(Book().write(1), batch=batch)
    asked, freed = [], threading.Event()

    def script(request: Request) -> None:
        asked.append(request.path)
        freed.wait(DEADLINE_S)

    line.server.script = script
    agent, (held,) = started(line)
    assert not agent.wait(held, 0.3)  # type: ignore[arg-type]
    freed.set()
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert (len(asked), line.values()) == (1, [1])
    assert line.books[0].journal.cursor.ambiguous == 0


class Hanging(MemoryServer):
    """It answers nothing until an exchange is ended."""

    def __init__(self) -> None:
        super().__init__(base_url="http://127.0.0.2:9")
        self.asked, self.ended = threading.Event(), threading.Event()

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        self.asked.set()
        self.ended.wait(timeout_s)
        raise ServerUnavailableError("ended before the answer came")

    def abort(self, request: Request) -> None:
        self.ended.set()


@apart
def test_an_exchange_that_hangs_gives_way_to_an_awaited_run_of_another_server():
    """One server that answered nothing kept the sender from all others for the time of an exchange, again and again."""
    hanging = Hanging()
    held_up, line = Line(Book().write(1), server=hanging), Line(Book().write(1))
    agent, (held, _) = started(line, held_up)
    held_up.books[0].write(1)
    agent.wake()
    assert hanging.asked.wait(DEADLINE_S)
    line.books[0].write(1)
    begun = time.monotonic()
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert time.monotonic() - begun < DEADLINE_S / 3
    assert line.values() == [1, 2]


@pytest.mark.slow
@apart
def test_an_exchange_for_a_run_that_somebody_waits_for_gives_way_to_none():
    hanging = Hanging()
    held_up, line = Line(Book().write(1), server=hanging), Line(Book().write(1))
    agent, (held, waited_for) = started(line, held_up)
    assert hanging.asked.wait(DEADLINE_S)
    other = threading.Thread(target=agent.wait, args=(waited_for, 3.0))
    other.start()
    while not held_up.outbox.waiters:
        other.join(0.001)
    line.books[0].write(1)
    agent.wait(held, 1.5)  # type: ignore[arg-type]
    assert not hanging.ended.is_set()
    other.join()


@apart
def test_the_first_ctrl_c_ends_the_waiting():
    line = Line(Book().write(1))
    asked = []

    def script(request):
        if line.outbox.waiters and not asked:
            asked.append(request)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return Fault.refused()

    line.server.script = script
    agent, (held,) = started(line)
    with pytest.raises(KeyboardInterrupt):
        agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert line.outbox.waiters == []


@pytest.mark.parametrize(
    "error",
    [
        *(pytest.param(error, marks=pytest.mark.slow) for error in (ValueError, RecursionError, KeyError, SystemExit)),
        pytest.param(KeyboardInterrupt, marks=pytest.mark.slow),
        MemoryError,
    ],
)
@apart
def test_what_is_raised_in_an_exchange_is_counted_said_once_and_the_thread_goes_on(error, caplog):
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


@pytest.mark.slow
@pytest.mark.parametrize("paths", ["set_cursor", "ack", "read", "readable", "census", "evict"])
@apart
def test_whatever_the_journal_raises_is_counted_and_the_thread_goes_on(paths):
    book = Book().write(10)
    line = Line(book)
    real, left = getattr(book.journal, paths), [1, 2]

    def fails(*args):
        if left and threading.current_thread().name == "steplog-sender":
            left.pop()
            raise OSError("no such page")
        return real(*args)

    setattr(book.journal, paths, fails)
    agent, (held,) = started(line)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert line.values() == list(range(1, 11))
    assert 1 <= agent.faults <= 2


@apart
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


@pytest.mark.slow
@apart
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


@pytest.mark.slow
@apart
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
            asker = threading.Thread(target=agent.progress, args=(held,))
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
