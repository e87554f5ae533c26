"""Forked children, whose parent's other threads go on meanwhile."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from apart import apart
from free_threading.at_once import without_gil
from journal.appends import TINY, told, writer_of
from journal.test_locked import DEADLINE_S, child_of, elsewhere, held_elsewhere
from steplog import RunStatus
from steplog.integrations import adapter_run
from steplog.integrations.adapter_run import AdapterRun
from steplog.lifecycle import exit_code
from steplog.lifecycle.turns import Turns
from steplog.loaded import loaded

FORKS = 10


@pytest.fixture
def collecting():
    """Other threads collect garbage, for which they stop all threads."""
    over = threading.Event()
    gc.freeze()  # what there is takes so long to look through that nobody else would come to run

    def collect() -> None:
        while not over.wait(0.0001):
            gc.collect()

    threads = [threading.Thread(target=collect, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    gc.unfreeze()


@without_gil
@apart
def test_a_child_is_not_stuck_where_a_thread_was_about_to_stop_the_others(collecting: None):
    def goes_on() -> None:
        exit_code.unwatch()
        exit_code.watch()
        exit_code.unwatch()

    exit_code.watch()
    assert [child_of(goes_on) for _ in range(FORKS)] == [0] * FORKS


@without_gil
@apart
def test_a_child_of_a_process_without_a_run_sees_exit_codes_and_is_not_stuck(collecting: None):
    def sees_exit() -> None:
        exit_code.watch()
        before = sys.exit
        exit_code.unwatch()
        assert before is not sys.exit

    assert [child_of(sees_exit) for _ in range(FORKS)] == [0] * FORKS


@apart
def test_a_fork_waits_for_the_call_that_another_thread_is_in():
    writer = writer_of("locked", TINY)
    lock: Any = writer.append.lock  # type: ignore[attr-defined]
    with held_elsewhere(writer) as over:

        def attempts() -> Iterator[bool]:
            over.set()
            while True:
                yield lock.acquire(timeout=DEADLINE_S)

        def is_after_it() -> None:
            assert over.is_set()
            writer.append.log("loss", 1.0)

        lock.attempts = attempts()
        assert child_of(is_after_it) == 0
    elsewhere(lambda: writer.append.log("loss", 2.0))
    assert told(writer.head)[-1] == ("loss", 2.0, None)


@contextmanager
def in_another_thread(call: Callable[[], object]) -> Iterator[None]:
    """In the block, another thread has done this, and goes on."""
    done, over = threading.Event(), threading.Event()

    def work() -> None:
        call()
        done.set()
        over.wait(DEADLINE_S)

    thread = threading.Thread(target=work)
    thread.start()
    done.wait(DEADLINE_S)
    try:
        yield
    finally:
        over.set()
        thread.join()


@apart
def test_a_child_finishes_a_run_that_a_thread_of_its_parent_is_finishing():
    """It waited for a thread that it does not have, until the deadline, and returned a report of nothing."""
    turns = Turns()

    def finishes() -> None:
        assert turns.begin_finish(lambda: False, time.monotonic())
        turns.end_finish()

    with in_another_thread(lambda: turns.begin_finish(lambda: False, 0.0)):
        assert child_of(finishes) == 0
        assert not turns.begin_finish(lambda: False, time.monotonic())


@apart
def test_a_child_forked_while_an_adapter_begins_a_run_has_one():
    run: Any = SimpleNamespace(status=RunStatus.RUNNING)
    with in_another_thread(lambda: adapter_run._beginning.acquire()):
        assert child_of(AdapterRun(run).get) == 0


@without_gil
def test_a_child_that_asks_what_is_imported_is_not_stuck_beside_threads_that_ask():
    """The first call of a forked worker without shared memory hung in one of some hundred."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            sys.modules.get("asyncio")

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    ends = [child_of(lambda: loaded("asyncio")) for _ in range(3 * FORKS)]
    over.set()
    assert ends == [0] * len(ends)
