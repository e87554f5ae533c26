"""Threads, signals and forks beside both appends: they claim from one counter, and are never cut in two."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from journal.raw import needs_c, records, segments, writer_of
from steplog.journal.memory import MemoryPool
from steplog.journal.writer import Writer


def test_threads_that_log_through_many_segments_lose_nothing_and_keep_their_order(kind):
    writer = writer_of(kind, segment_bytes=16 * 1024)
    calls, threads = 20_000, 4
    go = threading.Barrier(threads)

    def work(thread: int) -> None:
        go.wait()
        name = f"thread-{thread}"
        for step in range(calls):
            # Every third by the slow path, which claims from the same counter in Python.
            writer.append.log(name, step % 2 == 0 if step % 3 == 0 else float(step), step)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        [worker.start() for worker in workers]
        [worker.join() for worker in workers]
    finally:
        sys.setswitchinterval(interval)
    steps: dict[str, list[int]] = {f"thread-{thread}": [] for thread in range(threads)}
    for record in records(writer.head):
        steps[record[0]].append(record[3])
    assert len(list(segments(writer.head))) > 100
    assert steps == {name: list(range(calls)) for name in steps}


def test_a_call_is_recorded_or_refused_never_both_while_a_thread_ends_and_reopens(kind):
    writer = writer_of(kind)
    refused: list[int] = []
    stop = threading.Event()
    turns = [0]

    def toggle() -> None:
        while not stop.is_set():
            writer.end(lambda name, value, step: refused.append(step))
            stop.wait(0.0002)
            writer.reopen()
            stop.wait(0.0002)
            turns[0] += 1

    thread = threading.Thread(target=toggle)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    step, deadline = 0, time.monotonic() + 20
    try:
        thread.start()
        while (step < 20_000 or turns[0] < 20 or not refused) and time.monotonic() < deadline:
            writer.append.log("a", 0.5, step)
            step += 1
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    recorded = [record[3] for record in records(writer.head)]
    assert sorted(recorded + refused) == list(range(step))
    assert recorded
    assert refused


class Alarms:
    """Signals that interrupt one thread; ``handled`` counts them. Some raise, but only where ``inside`` says so."""

    def __init__(self, work: Callable[[int], None], raise_every: int, interval_s: float) -> None:
        self.handled = 0
        self.inside = False
        self._work = work
        self._raise_every = raise_every
        self._interval_s = interval_s

    def _handle(self, number: int, frame: object) -> None:
        self.handled += 1
        inside, self.inside = self.inside, False  # a handler that interrupts another one does not raise
        self._work(self.handled)
        if inside and self.handled % self._raise_every == 0:
            raise InterruptedError
        self.inside = inside

    def __enter__(self) -> Alarms:
        gc.collect()
        gc.disable()  # an exception that is raised in a finalizer goes nowhere
        self._before = signal.signal(signal.SIGALRM, self._handle)
        signal.setitimer(signal.ITIMER_REAL, self._interval_s, self._interval_s)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        gc.enable()


def test_signals_whose_handlers_log_and_raise_leave_no_wrong_record(kind):
    writer = writer_of(kind, segment_bytes=16 * 1024)
    returned: list[int] = []
    step = 0
    with Alarms(lambda count: writer.append.log("handler", float(count), count), 3, 0.0005) as alarms:
        while alarms.handled < 300:
            step += 1
            try:
                alarms.inside = True
                writer.append.log("main", float(step), step)
                returned.append(step)
                alarms.inside = False
            except InterruptedError:
                pass
    found = records(writer.head)
    by_handler = [record[3] for record in found if record[0] == "handler"]
    by_main = [record[3] for record in found if record[0] == "main"]
    assert sorted(by_handler) == list(range(1, alarms.handled + 1))  # handlers interrupt each other too
    assert set(returned) <= set(by_main)
    assert by_main == sorted(set(by_main))
    for record in found:
        assert struct.unpack("<d", record[2])[0] == record[3]


@needs_c
def test_the_compiled_one_leaves_no_hole_whatever_interrupts_it():
    writer = writer_of("c")
    writer.append.log("a", 0.0)

    def work() -> None:  # a function: CPython 3.13 does not cover the jump at the end of a loop inside of a try
        alarms.inside = True
        while alarms.inside:
            writer.append.log("a", 1.0)

    with Alarms(lambda count: None, 1, 0.0002) as alarms:
        while alarms.handled < 300:
            with contextlib.suppress(InterruptedError):
                work()
    assert not [hole for segment, end in segments(writer.head) for hole in segment.view().holes(end)]


def test_a_forked_child_writes_nothing_into_its_parents_memory(kind):
    writer = writer_of(kind)
    writer.append.log("a", 0.0)
    memory = writer.head.memory
    before = bytes(memory)
    pid = os.fork()
    if pid == 0:
        refused: list[Any] = []
        try:
            writer.forked(lambda *call: refused.append(call))
            for step in range(3):
                writer.append.log("a", 1.0, step)
        finally:
            os._exit(len(refused))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert bytes(memory) == before


def test_a_writer_that_takes_over_after_a_fork_serves_the_same_bound_method(kind):
    first = writer_of(kind)
    log = first.append.log
    log("a", 1.0)
    first.forked(lambda *call: None)
    second = Writer(MemoryPool(None, None), b"v" * 16, value_bytes_max=1000, append=first.append)
    log("a", 2.0)
    log("a", 3.0)
    assert [struct.unpack("<d", record[2])[0] for record in records(second.head)] == [2.0, 3.0]
    assert type(second.head) is first.append.segment_type
