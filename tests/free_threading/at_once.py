"""Threads that do one thing at the same time, as often as it takes to catch what is not made for that."""

from __future__ import annotations

import gc
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

__all__ = ["THREADS", "at_each_collection", "at_once", "in_step", "often_switched", "with_gil", "without_gil"]

THREADS = 8
_JOIN_S = 60.0
_PAIRS_KEPT = 5000  # CPython keeps 2,000 at most, to be used again without a collection

_free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
with_gil = pytest.mark.skipif(_free_threaded, reason="without the GIL CPython does not collect garbage that often")
without_gil = pytest.mark.skipif(
    not _free_threaded or getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="this Python has a GIL, under which nothing comes between the load and the store",
)


@contextmanager
def often_switched() -> Iterator[None]:
    """With a GIL, have threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def at_each_collection(call: Callable[[], object]) -> Iterator[None]:
    """Have garbage be collected all the time, and do this each time, as a finalizer or another thread may.

    CPython up to 3.11 collects where it makes an object, in the middle of ``list(mapping.items())``; later ones collect
    between two instructions.
    """
    before, threshold = gc.callbacks[:], gc.get_threshold()
    pairs = [(number, str(number)) for number in range(_PAIRS_KEPT)]  # no pair that is made from now on was kept
    gc.callbacks.append(lambda phase, _: call() if phase == "stop" else None)
    gc.set_threshold(1)
    try:
        yield
    finally:
        pairs.clear()
        gc.set_threshold(*threshold)
        gc.callbacks[:] = before


def at_once(*works: Callable[[], object], threads: int = THREADS) -> None:
    """Do each of these in a thread, or one in ``threads`` of them, begun together. Raises what the first raises."""
    calls = works if len(works) > 1 else works * threads
    start, raised = threading.Barrier(len(calls)), list[BaseException]()

    def do(call: Callable[[], object]) -> None:
        try:
            start.wait(_JOIN_S)
            call()
        except BaseException as error:  # noqa: BLE001 - raised again, where the test is
            raised.append(error)

    with often_switched():
        running = [threading.Thread(target=do, args=(call,), daemon=True) for call in calls]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(_JOIN_S)
    if raised:
        raise raised[0]
    assert not any(thread.is_alive() for thread in running), "a thread hangs"


def in_step(call: Callable[[int], object], times: int) -> None:
    """Do ``call(0)`` in two threads at the same instant, then ``call(1)``, and so on."""
    arrived = [-1, -1]

    def do(mine: int) -> None:
        try:
            for number in range(times):
                arrived[mine] = number
                while arrived[1 - mine] < number:
                    time.sleep(0)  # where there is one processor for both
                call(number)
        finally:
            arrived[mine] = times

    at_once(partial(do, 0), partial(do, 1))
