"""The lock of the append without the GIL: whose code runs under it, and what a fork finds of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

from apart import apart
from journal.appends import TINY, Blocks, holes, told, writer_of
from journal.tracing import AtBytecode, moments, warm_up
from steplog.journal.holes import HoleWatch
from steplog.journal.locked_writer import LockedWriter
from steplog.journal.writer import Writer

DEADLINE_S = 20.0


def elsewhere(work: Callable[[], object]) -> None:
    """Have another thread do it, and wait."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), "deadlock"


@contextmanager
def held_elsewhere(writer: Writer) -> Any:
    """Another thread is inside of a call."""
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with writer.append.lock:  # type: ignore[attr-defined]
            inside.set()
            over.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert inside.wait(DEADLINE_S)
    yield over
    over.set()
    thread.join(DEADLINE_S)


class Asking:
    """Its value takes another thread's call, which may hold a lock of the user's."""

    ndim = 1

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def __float__(self) -> float:
        elsewhere(lambda: self.writer.append.log("other", 2.0))
        return 1.5


def test_a_value_is_converted_without_the_lock():
    writer = writer_of("locked", TINY)
    writer.append.log("loss", Asking(writer))
    writer.append.log({"loss": Asking(writer)})
    assert told(writer.head) == [("other", 2.0, None), ("loss", 1.5, None)] * 2


def test_a_call_is_refused_without_the_lock():
    """A refusal takes locks of the run's, and whoever holds those may end the writer."""
    writer, refused = writer_of("locked", TINY), []

    def refuse(*call: Any) -> None:
        elsewhere(lambda: writer.count("finished"))
        refused.append(call)

    writer.end(refuse)
    writer.append.log("loss", 1.5)
    writer.append.log("loss", "text", 3)
    assert refused == [("loss", 1.5, None), ("loss", "text", 3)]


def test_the_clock_is_looked_at_without_the_lock():
    writer = writer_of("locked", TINY)
    writer.append.log("loss", 0.0)

    def clock() -> int:
        writer.append.clock = time.time_ns
        elsewhere(lambda: writer.append.log("other", 2.0))
        return 7

    writer.append.clock = clock
    writer.append.log("loss", 1.5)
    assert told(writer.head)[1:] == [("other", 2.0, None), ("loss", 1.5, None)]


def test_maintenance_makes_spares_without_the_lock():
    writer = writer_of("locked", TINY)
    make = writer.pool.allocate

    def slowly(size: int) -> Any:
        elsewhere(lambda: writer.append.log("other", 2.0))
        return make(size)

    writer.append.log("other", 2.0)
    writer.pool.allocate = slowly  # type: ignore[method-assign]
    writer.prepare()
    assert len(told(writer.head)) == 2


def test_a_reader_goes_by_the_kinds_where_the_lock_is_kept():
    writer = writer_of("locked", TINY)
    writer.append.log("loss", 1.5)
    with held_elsewhere(writer):
        written: list[int] = []
        elsewhere(lambda: written.append(writer.head.view().written()))
        assert written == [1]


@pytest.mark.parametrize("value", [1.5, 3, "text"])
def test_a_look_for_holes_inside_of_a_call_closes_none_of_it(value):
    """As a handler that flushes, where no thread maintains: the slot of the call that it interrupts is empty still."""
    warm_up(lambda: writer_of("locked", TINY).append.log("loss", value))
    for at in moments(value, 1):
        writer = writer_of("locked", TINY)
        writer.append.log("loss", 0.0)
        watch = HoleWatch(writer)

        def look(writer: Writer = writer, watch: HoleWatch = watch) -> None:
            writer.append.log("loss", 2.0)
            for _ in range(4):
                watch.look()

        through = AtBytecode(at, look).during(lambda writer=writer: writer.append.log("loss", value, 7))
        assert [found for _, found, step in told(writer.head) if step == 7] == [value]
        assert watch.closed == 0
        assert holes(writer.head) == []
        if through:
            break


def reopened(writer: Writer) -> list[Writer]:
    """In a forked child: what a run does."""
    made: list[Writer] = []

    def reopen(*call: Any) -> None:
        if not made:
            made.append(LockedWriter(Blocks(TINY), b"c" * 16, value_bytes_max=1000, append=writer.append))
        writer.append.log(*call)

    writer.forked(reopen)
    return made


def child_of(work: Callable[[], object]) -> int:
    """Fork; the child does this, and leaves. Its wait status: SIGALRM where it hangs."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(DEADLINE_S))
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


@apart
def test_a_child_that_is_forked_while_another_thread_is_in_a_call_logs():
    writer = writer_of("locked", TINY)
    writer.append.log("loss", 0.0)

    def child() -> None:
        made = reopened(writer)
        writer.append.log("loss", 1.5)
        writer.append.log("text", "value", 2)
        assert told(made[0].head) == [("loss", 1.5, None), ("text", "value", 2)]

    with held_elsewhere(writer):
        assert child_of(child) == 0
    writer.append.log("loss", 2.0)
    assert told(writer.head) == [("loss", 0.0, None), ("loss", 2.0, None)]


@apart
@pytest.mark.parametrize("value", [1.5, "text"])
def test_a_child_that_is_forked_by_a_handler_inside_of_a_wait_goes_on(value):
    """Its call waits for a lock that a thread holds which the child does not have."""
    writer, ends = writer_of("locked", TINY), []
    writer.append.log("loss", 0.0)
    made: list[list[Writer]] = []

    with held_elsewhere(writer) as over:
        main = threading.main_thread().ident

        def handle(*_: object) -> None:
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(int(DEADLINE_S))
                made.append(reopened(writer))
                return
            ends.append(pid)
            over.set()

        signal.signal(signal.SIGUSR1, handle)
        timer = threading.Timer(0.1, lambda: signal.pthread_kill(main or 0, signal.SIGUSR1))
        timer.start()
        writer.append.log("loss", value, 5)
        if made:  # the child
            os._exit(0 if told(made[0][0].head) == [("loss", value, 5)] else 1)
        timer.join()
    assert os.waitpid(ends[0], 0)[1] == 0
    assert told(writer.head) == [("loss", 0.0, None), ("loss", value, 5)]
