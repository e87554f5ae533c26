"""Processes that log to a journal in shared memory, with a ledger of what returned that survives them."""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable

from journal.appends import Reader, Record
from journal.storm import call_of, number_in
from steplog.journal.directories import JournalRoots, RunPaths
from steplog.journal.open_journal import open_journal
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.journal.spooling import Disk

MEMORY_BYTES_MAX = 64 * 1024 * 1024
SEGMENT_BYTES = 8 * 1024
DEADLINE_S = 60.0


class Ledger:
    """How many calls of each thread have returned: in shared memory, one store after each call."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._memory = mmap.mmap(-1, 8 * threads)

    def returned(self, thread: int) -> int:
        return int.from_bytes(self._memory[8 * thread : 8 * thread + 8], "little")

    def note(self, thread: int, number: int) -> None:
        self._memory[8 * thread : 8 * thread + 8] = number.to_bytes(8, "little")

    def total(self) -> int:
        return sum(self.returned(thread) for thread in range(self.threads))


def opened(paths: RunPaths, roots: JournalRoots, append: object = None) -> OpenWriter:
    """A writer that goes on in small segments after its first one."""
    writer = open_writer(
        paths,
        roots.memory,
        Disk(1 << 30),
        memory_bytes_max=MEMORY_BYTES_MAX,
        value_bytes_max=1000,
        append=append,  # type: ignore[arg-type]
    )
    writer.writer.pool.segment_bytes = lambda: SEGMENT_BYTES  # type: ignore[method-assign]
    return writer


def log_calls(
    log: Callable[..., object],
    ledger: Ledger,
    thread: int,
    most: int,
    over: threading.Event,
    too_fast: Callable[[], bool] = lambda: False,
) -> None:
    """Call after call, with what ``call_of`` gives, each noted once it has returned."""
    for number in range(most):
        while too_fast() and not over.wait(0.0005):
            pass
        if over.is_set():
            return
        log(*call_of(f"thread {thread}", number))
        ledger.note(thread, number + 1)


def keep(writer: OpenWriter, over: threading.Event) -> None:
    """What a worker's light thread does."""
    while not over.is_set():
        writer.maintain()
        writer.follow()
        over.wait(0.001)


class LoggingProcess:
    """A process of its own that logs from several threads as fast as it can, until it is done or killed."""

    def __init__(self, paths: RunPaths, roots: JournalRoots, threads: int, most: int) -> None:
        self.ledger = Ledger(threads)
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                self._log(paths, roots, threads, most)
                code = 0
            finally:
                os._exit(code)

    def _log(self, paths: RunPaths, roots: JournalRoots, threads: int, most: int) -> None:
        writer, over = opened(paths, roots), threading.Event()
        log = writer.writer.append.log
        arguments = [(log, self.ledger, thread, most, over) for thread in range(threads)]
        working = [threading.Thread(target=log_calls, args=each) for each in arguments]
        maintenance = threading.Thread(target=keep, args=(writer, over))
        for thread in (*working, maintenance):
            thread.start()
        for thread in working:
            thread.join()
        over.set()
        maintenance.join()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def until(happens: Callable[[], object]) -> None:
    """Poll, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not happens():
        assert time.monotonic() < deadline, "that took too long"


def readers_of(paths: RunPaths) -> list[Reader]:
    """A reader of each writer's journal of the run."""
    journals = [open_journal(paths, name, Disk(1 << 30)) for name in paths.writers()]
    return [Reader(one.journal) for one in journals if one is not None]


def read_all(reader: Reader) -> list[Record]:
    """Everything that a writer which is gone has left."""
    assert not reader.journal.alive
    while reader.read():
        pass
    assert reader.journal.cursor.delivered == reader.journal.written()
    return reader.found


def check_calls(found: list[Record], caller: str, returned: int, most: int | None = None) -> int:
    """The calls of one thread, in order, each once: at least those that returned, at most one more; how many."""
    numbers = [number_in(record.value) for record in found if record.name.startswith(f"{caller}.")]
    assert numbers == list(range(len(numbers))), f"{caller}: lost, twice or out of order"
    assert returned <= len(numbers) <= (returned + 1 if most is None else most)
    return len(numbers)


def check_records(found: list[Record]) -> None:
    """Each is a call as it was made, and positions only go up."""
    positions = [record.position for record in found]
    assert positions == sorted(set(positions))
    for record in found:
        caller, _, _ = record.name.rpartition(".")
        assert (record.name, record.value, record.step) == call_of(caller, number_in(record.value))
