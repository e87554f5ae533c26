"""Segments are made ahead of time: no thread that logs makes one while maintenance can."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from journal.appends import SMALL, WRITER, Blocks, Reader, chosen, told
from steplog.journal import writer
from steplog.journal.directories import RunPaths, new_id
from steplog.journal.locked_writer import LockedWriter, writer_type
from steplog.journal.memory import Block
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.journal.spooling import Disk
from steplog.journal.writer import Writer

KIB = 1024


class Recording(Blocks):
    """Remembers which threads it was asked by."""

    def __init__(self, size: int, bytes_max: int = 1 << 30) -> None:
        self.threads: list[int] = []
        super().__init__(size, None, bytes_max)

    def allocate(self, size: int) -> Block | None:
        self.threads.append(threading.get_ident())
        return super().allocate(size)


@contextmanager
def let_go(made: Writer) -> Iterator[None]:
    """Without the writer's lock, where it has one: a wake-up waits for nobody, but the tests wait for their order."""
    lock, times = (made._lock, 0) if isinstance(made, LockedWriter) else (None, 0)
    with suppress(RuntimeError):  # it is not this thread's
        while lock is not None:
            lock.release()
            times += 1
    yield
    for _ in range(times):
        lock.acquire()


@contextmanager
def maintained(kind: str, size: int = SMALL, bytes_max: int = 1 << 30) -> Iterator[tuple[Writer, Recording]]:
    """A writer whose spares another thread makes; whoever wants one goes on once that has had its turn."""
    pool = Recording(size, bytes_max)
    with chosen(kind):
        made = writer_type()(pool, WRITER, value_bytes_max=1 << 20)
    assert made.append.kind == kind
    wanted, done = SimpleQueue[bool](), SimpleQueue[None]()

    def maintain() -> None:
        while wanted.get():
            made.prepare()
            done.put(None)

    def ask() -> None:
        if threading.get_ident() != thread.ident:  # as a wake-up of itself
            wanted.put(True)
            with let_go(made):
                done.get()

    thread = threading.Thread(target=maintain)
    thread.start()
    made.on_successor = made.on_wanted = ask
    try:
        ask()  # before the first call
        pool.threads.clear()
        yield made, pool
    finally:
        wanted.put(False)
        thread.join()


CALLS: dict[str, Callable[[int], tuple[str, object]]] = {
    "numbers": lambda number: ("loss", float(number)),
    "new names": lambda number: (f"metric {number // 3}", float(number)),
    "values of 4 KiB": lambda number: ("text", "x" * 4094),  # with its quotes
    "numbers, names and values": lambda number: (f"m {number % 40}", number if number % 9 else "x" * (number % 4094)),
}


@pytest.mark.parametrize("calls", CALLS)
def test_no_thread_that_logs_makes_a_segment(kind, calls):
    """One that did beside a busy thread took 25 ms for it."""
    with maintained(kind) as (made, pool):
        expected = [CALLS[calls](number) for number in range(3000)]
        for step, (name, value) in enumerate(expected):
            made.append.log(name, value, step)
        assert [(name, value) for name, value, _ in told(made.head)] == expected
        assert made.dropped["memory full"] == 0
    assert pool.threads
    assert threading.get_ident() not in pool.threads


@pytest.mark.parametrize("value", [0.5, "x" * 4094])
def test_no_thread_that_logs_makes_one_while_and_after_memory_is_full(kind, value, monkeypatch):
    """A full writer made the next segment in the call that found memory again."""
    now = [1]
    monkeypatch.setattr(writer, "monotonic_ns", lambda: now[0])
    with maintained(kind, bytes_max=320 * KIB) as (made, pool):
        reader = Reader.of(made)
        for _ in range(3):
            pool.threads.clear()
            before = made.dropped["memory full"]
            while made.dropped["memory full"] < before + 3:
                made.append.log("first" if value == 0.5 else "text", value)
                now[0] += 1_000_000
            dropped = made.dropped["memory full"]
            while reader.read():
                pass
            now[0] += 20_000_000
            made.append.log("text", value)
            assert made.dropped["memory full"] == dropped
            assert threading.get_ident() not in pool.threads


def test_memory_that_is_freed_is_taken_before_the_next_call(kind):
    with maintained(kind, bytes_max=4 * SMALL) as (made, pool):
        reader = Reader.of(made)
        while not made.dropped["memory full"]:
            made.append.log("loss", 0.5)
        while reader.read():
            pass
        asked = len(pool.threads)
        made.append.log("loss", 0.5)
        assert made.dropped["memory full"] == 1
        assert len(pool.threads) == asked + 1  # for the one after it
        assert threading.get_ident() not in pool.threads


def test_where_maintenance_does_not_answer_a_thread_that_logs_makes_its_segments(kind, monkeypatch):
    """It may wait for a disk that stalls, for minutes: nothing is dropped for that."""
    now = [1]
    monkeypatch.setattr(writer, "monotonic_ns", lambda: now[0])
    with chosen(kind):
        made = writer_type()(pool := Recording(SMALL, 4 * SMALL), WRITER, value_bytes_max=1 << 20)
    made.on_successor = made.on_wanted = lambda: None
    made.prepare()
    reader = Reader.of(made)
    calls = 0
    while not made.dropped["memory full"]:
        made.append.log("loss", float(calls))
        calls += 1
    for _ in range(5):
        now[0] += 300_000_000
        while reader.read():
            pass
        for _ in range(600):
            made.append.log("loss", float(calls))
            calls += 1
    while reader.read():
        pass
    assert made.dropped["memory full"] == 1
    assert len(reader.found) == calls - 1
    assert set(pool.threads) == {threading.get_ident()}


def test_a_value_that_finds_no_memory_is_dropped_alone(kind):
    """It closed the segment, so that numbers that it had room for were dropped as well."""
    with maintained(kind, bytes_max=3 * SMALL) as (made, _):
        for number in range(50):
            made.append.log("loss", float(number))
            made.append.log("text", "x" * 100_000)
        assert made.dropped["memory full"] == 50
        assert [value for _, value, _ in told(made.head)] == [float(number) for number in range(50)]


@pytest.mark.parametrize("size", [8_000, 40_000, 200_000])
def test_large_values_alone_are_taken_again_as_soon_as_there_is_room(kind, size):
    """Once memory had been full, they found no spare large enough, for good."""
    with maintained(kind, bytes_max=640 * KIB) as (made, _):
        reader = Reader.of(made)
        while not made.dropped["memory full"]:
            made.append.log("text", "x" * size)
        for _ in range(20):
            while reader.read():
                pass
            made.append.log("text", "x" * size)
        assert made.dropped["memory full"] == 1


@pytest.mark.slow
def test_a_value_that_fits_no_memory_leaves_it_to_smaller_ones(kind):
    with maintained(kind, bytes_max=320 * KIB) as (made, pool):
        reader = Reader.of(made)
        for number in range(2000):
            made.append.log("text", "x" * 400_000)
            made.append.log("loss", float(number))
            made.append.log("text", f"{number}" * 100)
            reader.read()
        assert made.dropped["memory full"] == 2000
        assert pool.used_bytes() <= 4 * SMALL


@pytest.mark.parametrize("worker", [False, True])
def test_a_spare_is_there_when_a_writer_is_open(memory: Path, tmp_path: Path, worker: bool):
    paths = RunPaths(new_id(), memory / "run", tmp_path / "spool")
    made = open_writer(paths, memory, Disk(1 << 30), memory_bytes_max=None, value_bytes_max=1 << 20, worker=worker)
    try:
        assert segment_files(made) == 2
        assert made.writer.pool.measure() < 200 * KIB
    finally:
        made.writer.end(lambda name, value, step: None)
        made.release()


def segment_files(made: OpenWriter) -> int:
    assert made.directory is not None
    return len(list(made.directory.glob("*.segment")))


def test_two_spares_are_kept_while_segments_are_used_up_and_one_later(kind):
    with chosen(kind):
        made = writer_type()(pool := Recording(SMALL), WRITER, value_bytes_max=1 << 20)
    asked: list[None] = []
    made.on_wanted = lambda: asked.append(None)
    made.prepare()
    assert pool.used_bytes() == 2 * SMALL
    for number in range(1000):
        made.append.log("loss", float(number))
    held = pool.used_bytes()
    made.prepare()
    assert len(asked) == 1
    made.prepare()  # as was asked for
    assert pool.used_bytes() == held + 2 * SMALL
    assert len(asked) == 1
    for _ in range(10):
        made.prepare()
    assert pool.used_bytes() == held + SMALL
