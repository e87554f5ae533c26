"""A lock that Ctrl-C does not leave locked."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import steplog
from steplog.reentrant_lock import ReentrantLock

SRC = Path(steplog.__file__).parent
OTHERS = {"reentrant_lock.py", "testing", "server", "cli", "integrations"}  # these use the public interface alone


class Interrupt(Exception):
    pass


def interrupt(number, frame):
    raise Interrupt


def taken_and_released(lock):
    while True:
        with lock:
            pass
        with lock, lock:
            pass


def is_free(lock):
    found = []

    def look():
        for held in lock.attempts:
            found.append(held)
            break
        if found[0]:
            lock.release()

    elsewhere = threading.Thread(target=look)
    elsewhere.start()
    elsewhere.join()
    return found[0]


def test_an_exception_of_a_signal_handler_leaves_it_unlocked():
    """On CPython 3.14 three of five leave a ``threading.RLock`` locked."""
    before = signal.signal(signal.SIGALRM, interrupt)
    lock = ReentrantLock()
    try:
        for _ in range(200):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                taken_and_released(lock)
            except Interrupt:
                pass
            assert is_free(lock)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_thread_has_it_at_a_time_and_as_often_as_it_likes():
    lock, count = ReentrantLock(), [0]

    def add():
        for _ in range(2_000):
            with lock, lock:
                before = count[0]
                assert before != 500 or not is_free(lock)
                count[0] = before + 1

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == [6_000]
    assert is_free(lock)


def test_it_is_released_by_what_the_block_raises():
    lock = ReentrantLock()
    try:
        with lock:
            raise Interrupt
    except Interrupt:
        pass
    assert is_free(lock)


def test_the_threads_of_a_training_have_no_other_lock_with_a_block():
    found = [
        f"{path.relative_to(SRC)}: {lock}"
        for path in sorted(SRC.rglob("*.py"))
        if path.relative_to(SRC).parts[0] not in OTHERS
        for lock in re.findall(r"(\w+) = threading\.R?Lock\(\)", path.read_text("utf-8"))
        if re.search(rf"with ([\w.]+, )*([\w.]+\.)?{lock}[:,]", path.read_text("utf-8"))
    ]
    assert found == []
