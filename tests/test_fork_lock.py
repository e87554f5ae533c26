"""A fork comes between the blocks of a lock, and never into one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from apart import apart
from journal.test_locked import child_of
from steplog.fork_lock import ForkLock


@contextmanager
def held_by_another_thread(lock: ForkLock, seconds: float) -> Iterator[threading.Event]:
    """The event is set as the thread, which keeps the lock for so long, leaves it."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            begun.set()
            over.wait(seconds)  # which nobody sets meanwhile
            over.set()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield over
    thread.join()


def takes(lock: ForkLock) -> None:
    with lock, lock:
        pass


@apart
def test_a_fork_waits_for_the_block_that_another_thread_is_in():
    lock = ForkLock(wait_s=30.0)

    def child() -> None:
        assert over.is_set()
        takes(lock)

    with held_by_another_thread(lock, 0.2) as over:
        assert child_of(child) == 0
    takes(lock)


@apart
def test_a_child_has_a_lock_of_its_own_where_a_fork_has_not_waited_long_enough():
    lock = ForkLock(wait_s=0.0)
    with held_by_another_thread(lock, 1.0) as over:
        assert child_of(lambda: takes(lock)) == 0
        assert not over.is_set()


@apart
def test_a_thread_that_forks_in_a_block_has_it_still_and_so_has_the_child():
    lock = ForkLock(wait_s=30.0)
    with lock:
        assert child_of(lambda: takes(lock)) == 0
    with held_by_another_thread(lock, 0.0):
        pass
