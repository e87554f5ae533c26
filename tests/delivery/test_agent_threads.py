"""The agent's threads: the keeper, a stock server's lanes, threads that cannot be started, what idling costs.

Each in a process of its own: the threads of an agent do not end before it.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

import pytest

from apart import apart
from delivery.held import DEADLINE_S, Held, Owned, fast, started
from delivery.parts import Book, Line
from polling import wait_until
from steplog.delivery.agent import Agent
from steplog.delivery.backlog import SLOTS_MAX
from steplog.delivery.loop import Loop
from steplog.delivery.options import DeliveryOptions

WORK_S = 0.005


@apart
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


@apart
def test_a_writer_that_has_used_up_a_segment_is_kept_and_delivered_at_once():
    """It was for the keeper to look four times a second whether one was."""
    kept, arrived = SimpleQueue[int](), threading.Event()
    line = Line(Book(size=4 * 1024 * 1024))
    agent, (held,) = started(
        line, clock=lambda: 0.001 * time.monotonic()
    )  # no second interval begins, nor a second look
    assert held.spooled.wait(DEADLINE_S)
    line.server.script = lambda request: arrived.set()
    line.books[0].write(SLOTS_MAX)
    first, second = Owned(lambda: kept.put(1)), Owned(lambda: kept.put(2))
    agent.keep(first)  # type: ignore[arg-type]
    agent.keep(second)  # type: ignore[arg-type]
    for number in (1, 2, 2, 1):
        (first if number == 1 else second).use_up()
        assert kept.get(timeout=DEADLINE_S) == number
    assert kept.empty()
    assert arrived.wait(DEADLINE_S)


@apart
def test_a_writer_is_kept_each_spool_interval_where_that_is_short():
    """A worker without shared memory writes to disk then: one that was killed had lost a second at any interval."""
    kept: SimpleQueue[int] = SimpleQueue()
    slow = 0.001  # so that no second is over
    agent, _ = started(Line(Book()), clock=lambda: slow * time.monotonic(), spool_interval_s=0.1 * slow)
    agent.keep(Owned(lambda: kept.put(1)))  # type: ignore[arg-type]
    for _ in range(5):
        assert kept.get(timeout=DEADLINE_S)


@apart
def test_a_stock_server_gets_as_many_requests_at_once_as_it_may():
    line = Line(Book().write(400, tuple("abcdefgh")), batch=False, lanes=4)
    inside, most, lock = [0], [0], threading.Lock()
    together = threading.Event()

    def script(request):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        if inside[0] >= 2:
            together.set()
        together.wait(DEADLINE_S / 2)
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


@apart
def test_what_is_due_on_other_lanes_does_not_wait_for_the_first_answer():
    """The lanes came to be with the first answer, a round trip late."""
    line = Line(Book().write(8, tuple("abcdefgh")), batch=False, lanes=8)
    together = threading.Barrier(8)
    passed: list[int] = []
    line.server.script = lambda request: passed.append(together.wait(DEADLINE_S / 2))
    agent, (held,) = started(line, lanes=8)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert len(passed) == 8


@apart
def test_a_stock_server_gets_no_more_threads_than_there_are_names():
    line = Line(Book().write(60, tuple("abc")), batch=False, lanes=16)
    agent, (held,) = started(line, lanes=16)
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert sorted(line.values()) == list(range(1, 61))
    senders = {thread.name for thread in threading.enumerate() if thread.name.startswith("steplog-sender")}
    assert senders == {"steplog-sender", "steplog-sender-1", "steplog-sender-2"}


@apart
def test_a_lane_that_gets_its_own_thread_late_has_one_request_at_a_time():
    """Both sent the same record, and what came after it was taken off the lane unsent."""
    line = Line(Book(), batch=False, lanes=8)
    sent, hold, held_up = [], threading.Event(), threading.Event()

    def script(request):
        if b'"c"' in request.body:
            sent.append(request.body)
            held_up.set()
            hold.wait(DEADLINE_S)

    line.server.script = script
    agent, (held,) = started(line, lanes=8)
    (book,) = line.books
    book.write(4, ("a", "b"))
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    book.write(1, ("c",))
    agent.wake()
    assert held_up.wait(DEADLINE_S)  # by the first thread, since lane 2 has none yet
    for _ in range(20):
        arrived = len(line.values())
        book.write(2, ("a", "b"))
        agent.wake()
        wait_until(lambda arrived=arrived: len(line.values()) > arrived)  # on the lane with a thread of its own
    assert len(sent) == 1
    hold.set()
    book.write(1, ("c",))
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert sorted(line.values()) == list(range(1, book.count + 1))
    assert (agent.faults, book.journal.cursor.ambiguous) == (0, 0)


@apart
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


@apart
def test_where_no_thread_can_be_started_yet_a_later_run_starts_it(monkeypatch):
    """A thread that could not be started counted as started, and nothing was delivered any more."""
    first, second = Line(Book().write(1)), Line(Book(1).write(1))
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no")))
    agent = Agent(DeliveryOptions(0.05, 1), DEADLINE_S)
    with pytest.raises(RuntimeError):
        agent.deliver(Held(first), first.server)  # type: ignore[arg-type]
    monkeypatch.setattr(threading.Thread, "start", start)
    held = Held(second)
    agent.deliver(held, second.server)  # type: ignore[arg-type]
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert first.values() in ([1], [])


@pytest.mark.parametrize("is_started", [True, False], ids=["started", "not started"])
@apart
def test_a_thread_whose_start_ctrl_c_interrupted_is_there_once(monkeypatch, is_started: bool):
    """A second thread did the same work: two wrote to one spool. Where there was none, none was started any more."""
    loop, threads, rounds = Loop(), set[int](), list[int]()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if is_started:
            start(thread)
        raise KeyboardInterrupt

    def work() -> None:
        threads.add(threading.get_ident())
        rounds.append(len(rounds))
        loop.rest(0.001)

    def fault(thread: str, error: BaseException) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loop.start(work, "one", fault)
    loop.start(work, "two", fault)
    wait_until(lambda: len(rounds) > 50)
    assert len(threads) == 1


@apart
def test_a_sender_whose_start_ctrl_c_interrupted_serves_the_next_run(monkeypatch):
    """It went on beside another one, and nobody woke it."""
    first, second = Line(Book().write(1)), Line(Book(1).write(1))
    start, left = threading.Thread.start, [1]

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "steplog-sender" and left:
            left.pop()
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    agent = Agent(DeliveryOptions(0.05, 1), DEADLINE_S)
    with pytest.raises(KeyboardInterrupt):
        agent.deliver(Held(first), first.server)  # type: ignore[arg-type]
    held = Held(second)
    agent.deliver(held, second.server)  # type: ignore[arg-type]
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert [thread.name for thread in threading.enumerate()].count("steplog-sender") == 1


@apart
def test_something_that_comes_due_is_done_though_nobody_wakes_the_thread():
    line = Line(Book())
    started(line)
    line.books[0].write(1)
    told = threading.Event()
    line.server.script = lambda request: told.set()
    assert told.wait(DEADLINE_S)


@pytest.mark.slow
@apart
def test_three_hundred_idle_runs_cost_the_sender_next_to_nothing():
    lines = [Line(Book(number, size=4096)) for number in range(300)]
    started(*lines)
    begun = _sender_cpu_s()
    threading.Event().wait(3.0)
    assert _sender_cpu_s() - begun < 0.3


def _sender_cpu_s() -> float:
    """What all threads of this process have taken; the others only wait."""
    return time.process_time()


def _works(request: object) -> None:
    """What an exchange costs: of this thread's own time, so that it is the same on a busy machine."""
    end = time.thread_time() + WORK_S
    while time.thread_time() < end:
        pass


@pytest.mark.slow
@apart
def test_while_nobody_waits_the_sender_takes_its_share_of_a_processor_and_no_more():
    line = Line(Book().write(400, tuple("abcd")), batch=False, lanes=4)
    enough, sent = threading.Event(), SimpleQueue[None]()

    def script(request):
        _works(request)
        sent.put(None)
        if sent.qsize() >= 80:
            enough.set()

    line.server.script = script
    agent = Agent(DeliveryOptions(0.05, 4, cpu_share_max=0.2), DEADLINE_S, clock=fast)
    begun, before = time.monotonic(), time.process_time()
    agent.deliver(Held(line), line.server)  # type: ignore[arg-type]
    assert enough.wait(DEADLINE_S)
    assert time.process_time() - before < 0.35 * (time.monotonic() - begun)  # the rest of it is the test's own


@apart
def test_the_sender_does_not_rest_while_somebody_waits():
    line = Line(Book().write(200, tuple("abcd")), batch=False, lanes=4)
    begun = SimpleQueue[None]()

    def script(request):
        begun.put(None)
        _works(request)

    line.server.script = script
    share = 4 * WORK_S / (2 * DEADLINE_S)  # a rest after each exchange of a lane is twice as long as the test may take
    agent = Agent(DeliveryOptions(0.05, 4, cpu_share_max=share), DEADLINE_S, clock=fast)
    held = Held(line)
    agent.deliver(held, line.server)  # type: ignore[arg-type]
    for _ in range(4):
        begun.get(timeout=DEADLINE_S)
    assert line.outbox.pending() >= 190
    assert agent.wait(held, DEADLINE_S)  # type: ignore[arg-type]
    assert sorted(line.values()) == list(range(1, 201))
