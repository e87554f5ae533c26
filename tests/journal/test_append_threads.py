"""Several threads in log() at once: every returned call is there once, in the order of its thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from journal.appends import SMALL, TINY, close_holes, holes, records, writer_of
from steplog.journal.holes import HoleWatch
from steplog.journal.writer import EndedSegment, Writer

THREADS = 8


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*works: Callable[[], None]) -> None:
    """Run all of them at the same time; raises what the first of them raised."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "deadlock"
    if failed:
        raise failed[0]


def logging(writer: Writer, thread: int, calls: int, value_of: Callable[[int], Any] = float) -> Callable[[], None]:
    def work() -> None:
        log = writer.append.log
        for step in range(calls):
            log(f"thread {thread}", value_of(step), step)

    return work


def check(writer: Writer, calls: int, threads: int = THREADS) -> None:
    found = records(writer.head)
    assert len(found) == threads * calls
    for thread in range(threads):
        steps = [record.step for record in found if record.name == f"thread {thread}"]
        assert steps == list(range(calls))


@pytest.mark.slow
@pytest.mark.parametrize("size", [TINY, SMALL])
def test_threads_that_rotate_together_lose_nothing_and_claim_nothing_twice(kind, size):
    writer = writer_of(kind, size)
    together(*(logging(writer, thread, 3000) for thread in range(THREADS)))
    check(writer, 3000)
    assert holes(writer.head) == []


def mixed(step: int) -> Any:
    return [float(step), step, str(step), {"step": step, "text": "x" * (step % 300)}, bool(step % 2)][step % 5]


def test_values_of_all_kinds_from_several_threads(kind):
    writer = writer_of(kind, TINY)
    together(*(logging(writer, thread, 500, mixed) for thread in range(THREADS)))
    check(writer, 500)
    for record in records(writer.head):
        assert record.value == mixed(record.step or 0)


def test_the_same_new_name_from_several_threads_is_one_name(kind):
    writer = writer_of(kind, TINY)

    def work() -> None:
        for number in range(300):
            writer.append.log(f"metric {number}", float(number))

    together(*[work] * THREADS)
    found = records(writer.head)
    assert len(found) == THREADS * 300
    assert all(record.name == f"metric {int(record.value)}" for record in found)


def test_spares_and_full_memory_and_threads(kind):
    """What was not dropped is there; what was dropped is counted."""
    writer = writer_of(kind, TINY, bytes_max=40 * TINY)
    done = threading.Event()

    def prepare() -> None:
        while not done.is_set():
            writer.prepare(2)
            writer.pool.bytes_max += 1

    maintenance = threading.Thread(target=prepare)
    maintenance.start()
    together(*(logging(writer, thread, 2000) for thread in range(THREADS)))
    done.set()
    maintenance.join()
    found = records(writer.head)
    assert len(found) + writer.dropped["memory full"] == THREADS * 2000
    assert len({(record.name, record.step) for record in found}) == len(found)


class Refused(Exception):
    pass


def refuse(name: Any, value: Any, step: Any) -> None:
    raise Refused


@pytest.mark.parametrize("value_of", [float, int, str], ids=repr)
def test_a_call_that_returned_before_the_end_is_there_and_no_other(kind, value_of):
    for _ in range(40):
        writer = writer_of(kind, TINY)
        returned: list[tuple[int, int]] = []

        def work(thread: int, writer: Writer = writer, returned: list[tuple[int, int]] = returned) -> None:
            try:
                for step in range(100_000):
                    writer.append.log(f"thread {thread}", value_of(step), step)
                    returned.append((thread, step))
            except Refused:
                pass

        def finish(writer: Writer = writer, returned: list[tuple[int, int]] = returned) -> None:
            while len(returned) < 50:
                pass
            writer.end(refuse)

        together(*(lambda thread=thread: work(thread) for thread in range(3)), finish)
        found = [(int(record.name.split()[1]), record.step) for record in records(writer.head)]
        assert sorted(found) == sorted(returned)
        assert isinstance(writer.append.segment, EndedSegment)
        assert holes(writer.head) == []


def test_end_and_reopen_from_one_thread_while_others_log(kind):
    writer = writer_of(kind, TINY)
    returned: list[int] = []
    done = threading.Event()

    def work(thread: int) -> None:
        for step in range(thread * 3000, (thread + 1) * 3000):
            try:
                writer.append.log("loss", float(step), step)
                returned.append(step)
            except Refused:
                pass
        done.set()

    def switch() -> None:
        while not done.is_set():
            writer.end(refuse)
            writer.reopen()

    together(*(lambda thread=thread: work(thread) for thread in range(4)), switch)
    close_holes(writer)
    assert sorted(record.step or 0 for record in records(writer.head)) == sorted(returned)


def test_holes_are_watched_while_threads_log_and_no_record_is_buried(kind):
    writer = writer_of(kind, TINY)
    watch, done = HoleWatch(writer), threading.Event()

    def look() -> None:
        while not done.is_set():
            watch.look()

    maintenance = threading.Thread(target=look)
    maintenance.start()
    together(*(logging(writer, thread, 2000) for thread in range(THREADS)))
    done.set()
    maintenance.join()
    check(writer, 2000)
