"""A disk that stalls holds up nobody who does not need it: the agent's lock is not held meanwhile.

Real runs on a disk that can be told to hang, and a server in memory, in a process of their own: the threads of an agent
do not end before it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apart import apart
from polling import wait_until
from steplog.delivery.agent import Agent
from steplog.delivery.lease import Lease
from steplog.delivery.options import DeliveryOptions
from steplog.file_lock import FileLock
from steplog.journal.directories import JournalRoots, RunPaths, new_id
from steplog.journal.manifest import Manifest
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.journal.spooling import Disk
from steplog.testing.failing_files import FailingFiles
from steplog.testing.memory_server import Fault, MemoryRun, MemoryServer

SPARE_S = 0.5
DEADLINE_S = 30.0
HOST = "0" * 16


class Process:
    """What a process has: places, a disk, an agent, and runs on one server."""

    def __init__(self, root: Path) -> None:
        (root / "memory").mkdir(mode=0o700)
        self.roots = JournalRoots(root / "memory", root / "spool", HOST)
        self.files = FailingFiles()
        self.disk = Disk(1 << 30, self.files)
        self.options = DeliveryOptions(0.02, 1)
        self.agent = Agent(self.options, DEADLINE_S, 0.1, clock=lambda: 20 * time.monotonic(), source=random.Random(1))
        self.server = MemoryServer()

    def begin(self) -> Begun:
        paths, lock = self.roots.claim(new_id())
        assert lock is not None
        own = self.write(paths)
        made = self.server.add_run("me", "demo")
        manifest = Manifest(
            local_id=paths.local_id,
            base_url=self.server.base_url,
            account="me",
            namespace="me",
            project="demo",
            run=made.uuid,
            owner=own.writer.id.hex(),
        )
        lease = Lease(paths, lock, manifest, self.disk, self.options, random.Random(1), own)
        own.deliver_here()
        lease.store(manifest)
        self.agent.deliver(lease, self.server)
        return Begun(self, lease, own, made)

    def write(self, paths: RunPaths, worker: bool = False) -> OpenWriter:
        room = {"memory_bytes_max": 1 << 22, "value_bytes_max": 1 << 20}
        return open_writer(paths, self.roots.memory, self.disk, worker=worker, **room)


class Begun:
    """A run of this process."""

    def __init__(self, process: Process, lease: Lease, own: OpenWriter, made: MemoryRun) -> None:
        self.process = process
        self.lease = lease
        self.own = own
        self.made = made

    def log(self, *values: float) -> None:
        for value in values:
            self.own.writer.append.log("loss", value, None)

    def flush(self, timeout_s: float = DEADLINE_S) -> bool:
        return self.process.agent.wait(self.lease, timeout_s)

    def finish(self, timeout_s: float = DEADLINE_S) -> bool:
        """As ``Run.finish`` does."""
        self.own.writer.end(lambda name, value, step: None)
        done = self.process.agent.wait(self.lease, timeout_s, "COMPLETED")
        self.own.closed = True
        self.process.agent.dismiss(self.lease)
        return done

    def pending(self) -> int:
        with self.process.agent.lock:
            return self.lease.outbox.pending()

    def values(self) -> list[float]:
        return [row.value for row in self.made.rows]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.files.close_all()


def within(seconds: float, what: Callable[[], object]) -> object:
    """What it gives, in time."""
    began = time.monotonic()
    found = what()
    assert time.monotonic() - began < seconds + SPARE_S
    return found


@apart
def test_a_record_that_is_set_aside_holds_up_its_own_run_alone_while_the_disk_stalls(process: Process):
    """It was written to the disk under the agent's lock: nothing was sent, counted or waited for with a deadline."""
    one, other = process.begin(), process.begin()
    one.log(0.0)
    other.log(0.0)
    assert one.flush()
    assert other.flush()
    wait_until(lambda: not one.lease.manifest_store.owed and not other.lease.manifest_store.owed)
    process.server.refuses = lambda name, value: 400 if value == 1.0 else None
    process.files.hang()
    one.log(1.0, 2.0)
    assert process.files.hangs.wait(DEADLINE_S)
    wait_until(lambda: one.lease.outbox._stream(one.own.journal).quarantining)
    other.log(1.5)
    assert within(0.0, lambda: one.pending()) == 2
    assert within(0.3, lambda: one.flush(0.3)) is False
    assert other.flush(DEADLINE_S)
    assert within(1.0, lambda: other.finish(1.0))
    assert other.values() == [0.0, 1.5]
    assert other.made.status == "COMPLETED"
    requests = len(process.server.requests)
    assert within(0.3, lambda: one.flush(0.3)) is False
    assert len(process.server.requests) == requests, "nothing of it is sent meanwhile"
    assert one.values() == [0.0]
    assert one.own.journal.cursor.delivered == 1
    assert one.own.journal.cursor.rejected == 0
    process.files.go_on()
    assert one.flush()
    assert one.values() == [0.0, 2.0]
    assert one.own.journal.cursor.rejected == 1


@apart
def test_a_directory_that_cannot_be_listed_holds_up_nobody(process: Process):
    """Whoever waited for a run, or asked how it stands, listed its directory, under the lock of all runs."""
    one, other = process.begin(), process.begin()
    assert one.flush()
    process.files.hang(only={"names"})
    worker = process.write(one.lease.paths, worker=True)
    assert process.files.hangs.wait(DEADLINE_S)
    one.log(1.0)
    other.log(2.0)
    assert within(1.0, lambda: one.flush(1.0))
    assert within(1.0, lambda: other.flush(1.0))
    assert within(0.0, one.pending) == 0
    assert within(1.0, lambda: other.finish(1.0))
    assert (one.values(), other.values()) == ([1.0], [2.0])
    worker.writer.append.log("loss", 3.0, None)
    process.files.go_on()
    wait_until(lambda: one.values() == [1.0, 3.0])


@apart
def test_a_run_that_is_left_keeps_its_lock_until_the_disk_has_written_it(process: Process):
    """Whoever took the run, or removed it, was written to by the process that had just left it."""
    run = process.begin()
    process.server.script = lambda request: Fault.refused()
    process.files.hang(only={"sync"})
    run.log(1.0)
    assert process.files.hangs.wait(DEADLINE_S)
    within(1.0, lambda: process.agent.release(run.lease))
    assert not FileLock.is_free(run.lease.paths.lock)
    process.files.go_on()
    wait_until(lambda: FileLock.is_free(run.lease.paths.lock))
    assert run.own.journal.cursor.durable == 1


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["remove_tree", "unlink"])
@apart
def test_a_disk_that_does_not_let_go_of_a_run_lets_go_of_who_has_finished_it(process: Process, operation: str):
    one, other = process.begin(), process.begin()
    process.server.script = lambda request: Fault.refused()
    one.log(1.0)
    wait_until(lambda: one.own.journal.cursor.durable == 1)
    process.server.script = lambda request: None
    process.files.hang(only={operation})
    within(1.0, lambda: one.finish(1.0))
    assert process.files.hangs.wait(DEADLINE_S)
    assert one.made.status == "COMPLETED"
    other.log(2.0)
    assert within(1.0, lambda: other.finish(1.0))
    assert other.made.status == "COMPLETED"
    assert one.lease.paths.spool.exists()
    process.files.go_on()
    wait_until(lambda: not one.lease.paths.spool.exists() and not other.lease.paths.spool.exists())


@pytest.mark.slow
@apart
def test_a_finished_run_is_delivered_by_its_deadline_whichever_operation_hangs(process: Process):
    """From the k-th operation of the disk on nothing comes back, while a record is refused and the run is finished."""
    process.server.refuses = lambda name, value: 400 if value == 1.0 else None
    for at in range(1, 100):
        run, other = process.begin(), process.begin()
        process.files.hang(at)
        run.log(0.0)
        other.log(2.0)
        run.log(1.0)
        within(0.1, lambda run=run: run.finish(0.1))
        assert within(0.1, lambda other=other: other.flush(0.1))
        assert within(0.0, run.pending) in (0, 1)
        hung = process.files.hangs.is_set()
        process.files.go_on()
        assert other.finish()
        wait_until(lambda run=run: run.lease not in process.agent.leases.values())
        assert (run.values(), other.values()) == ([0.0], [2.0])
        assert run.own.journal.cursor.rejected == 1
        if not hung:
            assert at > 10, "each operation has hung before"
            return


@apart
def test_records_on_a_disk_that_cannot_be_read_hold_up_their_own_run_alone(process: Process):
    """The sender read them itself, under the lock of all runs."""
    one, other = process.begin(), process.begin()
    process.server.script = lambda request: Fault.refused()
    one.log(*map(float, range(3000)))
    wait_until(lambda: one.own.journal.cursor.durable == 3000)
    with process.agent.lock:
        one.own.journal.evict(3000)
        one.own.writer._rotate(one.own.writer.append.segment, 0)
        one.own.journal.evict(3000)
        assert not any(extent.written() > extent.base for extent in one.own.journal.memory.extents())
        process.files.hang(only={"read"})
    process.server.script = lambda request: None
    assert process.files.hangs.wait(DEADLINE_S)
    assert within(0.0, one.pending) == 3000
    other.log(1.0)
    assert within(1.0, lambda: other.flush(1.0))
    assert within(0.3, lambda: one.flush(0.3)) is False
    assert within(1.0, lambda: other.finish(1.0))
    assert (other.values(), other.made.status) == ([1.0], "COMPLETED")
    process.files.go_on()
    assert one.flush()
    assert one.values() == list(map(float, range(3000)))
    assert process.agent.faults == 0


@apart
def test_finish_waits_for_a_busy_disk_to_see_what_a_worker_has_begun_to_write(process: Process):
    run = process.begin()
    run.log(0.0)
    assert run.flush()
    process.files.hang()
    with process.agent.lock:
        run.lease.store(run.lease.manifest.but(name="renamed"))
    assert process.files.hangs.wait(DEADLINE_S)
    worker = process.write(run.lease.paths, worker=True)
    worker.writer.append.log("loss", 1.0, None)
    threading.Timer(0.6, process.files.go_on).start()
    assert run.finish()
    assert run.values() == [0.0, 1.0]
