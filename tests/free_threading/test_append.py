"""The append under real parallelism: nothing lost, twice or wrong, with signal handlers and forks in between."""

from __future__ import annotations

import sys
from itertools import repeat

import pytest

from free_threading.load import measured
from journal.appends import SMALL, records, writer_of
from journal.test_append_threads import logging, together
from steplog.journal import compiled
from steplog.journal.writer import Writer
from steplog.reentrant_lock import ReentrantLock

THREADS, CALLS = 4, 20_000
pytestmark = pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(), reason="needs a CPython without the GIL: scripts/free-threaded"
)


def test_the_compiled_append_is_not_imported_and_the_gil_stays_off():
    assert (compiled.why_pure(), compiled.append_type().kind) == ("free-threaded", "locked")
    assert "steplog.journal._append" not in sys.modules
    assert not sys._is_gil_enabled()


def steps_found(writer: Writer) -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {}
    for record in records(writer.head):
        assert record.value == record.step
        found.setdefault(record.name, []).append(record.step)
    return found


def test_four_threads_lose_nothing_and_have_nothing_twice():
    writer = writer_of("locked", SMALL)
    together(*(logging(writer, thread, CALLS) for thread in range(THREADS)))
    assert steps_found(writer) == {f"thread {thread}": list(range(CALLS)) for thread in range(THREADS)}


class NoLock(ReentrantLock):
    """Lets everybody in."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = repeat(True)

    def release(self) -> None:
        pass


def test_without_its_lock_the_append_loses_records():
    """What the test above is there to find."""
    for _ in range(20):
        writer = writer_of("locked", SMALL)
        writer._lock = writer.append.lock = NoLock()  # type: ignore[attr-defined]
        try:
            together(*(logging(writer, thread, CALLS) for thread in range(THREADS)))
            found = steps_found(writer)
        except (AssertionError, ValueError, LookupError, RuntimeError):
            return
        if found != {f"thread {thread}": list(range(CALLS)) for thread in range(THREADS)}:
            return
    raise AssertionError("the test above would not find out")


def check(tmp_path, calls: int, children: int) -> None:
    found = measured(tmp_path, calls, children)
    print(found)
    assert (found["append"], found["gil"]) == ("locked", False)
    assert (found["lost"], found["twice"], found["wrong"]) == (0, 0, 0)
    assert (found["dropped"], found["pending"], found["faults"]) == ({}, 0, 0)
    assert (found["ends"], found["children"]) == ([0], children)
    assert len(found["hung"]) <= children // 10  # by CPython: see docs/limits.md
    assert found["signals"] > 5


def test_threads_signals_and_forks_against_a_server_lose_nothing(tmp_path):
    check(tmp_path, 60_000, 20)


@pytest.mark.slow
def test_ten_million_calls_with_signals_and_forks_lose_nothing(tmp_path):
    check(tmp_path, 10_000_000, 500)
