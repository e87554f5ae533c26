"""A worker without shared memory goes over the disk, which fails, or loses power; the agent is at the other end."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from journal.spooled import LOCK, SPOOL_BYTES, Machine, deliver_all, read_all
from steplog.journal.directories import JournalRoots, RunPaths
from steplog.journal.files import Files
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.journal.spooling import Disk
from steplog.testing.failing_files import FailingFiles

ERRORS = [errno.ENOSPC, errno.EIO]


class PowerCutError(BaseException):
    """Nothing more happens on this machine."""


class Worker(Machine):
    """A worker's process: ``go`` is the end of an interval there."""

    def _open(self) -> OpenWriter:
        disk = Disk(SPOOL_BYTES, self.files)
        own = open_writer(
            self.paths, None, disk, memory_bytes_max=self.memory_bytes, value_bytes_max=1 << 20, worker=True
        )
        assert own._relay is not None
        return own

    def go(self) -> None:
        self.own.follow()
        self.own.publish()


class Agent:
    """The process that delivers what the worker writes down; ``look`` is the end of an interval there."""

    def __init__(self, paths: RunPaths, writer: str) -> None:
        opened = open_journal(paths, writer, Disk(SPOOL_BYTES, Files()))
        assert opened is not None
        self.opened: OpenJournal = opened

    def look(self, deliver: int = 0) -> None:
        """Deliver up to so many positions, and leave the marks where the worker sees them."""
        journal = self.opened.journal
        self.opened.follow(LOCK)
        first = journal.cursor.delivered
        end = journal.readable(first, deliver)
        if end > first:
            read = journal.read(first, end)
            journal.ack(read.end, read.records)
        self.opened.spool(LOCK, False)

    def leave(self) -> None:
        self.opened.release()
        self.opened.spooling.spool._close()


def dropped_by(opened: OpenJournal) -> int:
    return opened.journal.ledger.losses.dropped.get("memory full", 0)


@pytest.fixture
def roots(tmp_path: Path) -> JournalRoots:
    """A host without shared memory."""
    return JournalRoots(None, tmp_path / "spool", "0" * 16)


@contextlib.contextmanager
def both(roots: JournalRoots, files: FailingFiles, memory_bytes: int = 1 << 20) -> Iterator[tuple[Worker, Agent]]:
    worker = Worker(roots, files, memory_bytes)
    (worker.paths.spool / "manifest").write_bytes(b"the run's")
    agent = Agent(worker.paths, worker.journal.writer)
    yield worker, agent
    agent.leave()
    files.close_all()


def life(worker: Worker, agent: Agent) -> None:
    """Some of it is delivered while more is logged, and its files go."""
    for turn in range(4):
        worker.log(100)
        worker.go()
        agent.look(deliver=80 if turn else 150)
        worker.go()


@pytest.mark.slow
def test_nothing_is_lost_if_any_operation_of_a_workers_disk_fails_once_or_for_ever(roots: JournalRoots):
    for error in ERRORS:
        for forever in (False, True):
            for at in count(1, 2):
                files = FailingFiles()
                with both(roots, files) as (worker, agent):
                    files.fail(at, error, forever=forever)
                    life(worker, agent)
                    files.heal()
                    worker.go()
                    worker.go()
                    worker.die()
                    agent.opened.follow(LOCK)
                    delivered = agent.opened.journal.cursor.records
                    found = deliver_all(agent.opened)
                    cursor = agent.opened.journal.cursor
                    label = error, forever, at
                    assert found.items() >= worker.pending().items(), label
                    assert found.items() <= worker.logged.items(), label
                    assert (delivered + len(found), cursor.abandoned) == (len(worker.logged), 0), label
                    assert not files.synced_again, label
                if not files.failed:
                    break
            assert at > 20


@pytest.mark.slow
def test_a_power_cut_at_any_operation_takes_nothing_that_a_worker_had_made_durable(roots: JournalRoots):
    for operation in count(1):
        files, whole = FailingFiles(), True

        def stall(name: str, files: FailingFiles = files, operation: int = operation) -> None:
            if len(files.operations) >= operation:
                raise PowerCutError

        files.stall = stall
        with both(roots, files) as (worker, agent):
            try:
                life(worker, agent)
            except PowerCutError:
                whole = False
            files.stall = lambda name: None
            durable, delivered = worker.journal.cursor.durable, agent.opened.journal.cursor
            worker.die()
            agent.leave()
            files.power_cut(roots.spool)
            promised = {at: item for at, item in worker.logged.items() if delivered.delivered <= at < durable}
            later = Agent(worker.paths, worker.journal.writer)
            later.opened.follow(LOCK)
            cursor = later.opened.journal.cursor
            assert cursor.records <= delivered.records
            found = read_all(later.opened.journal)
            later.leave()
        assert found.items() >= promised.items(), operation
        assert found.items() <= worker.logged.items(), operation
        if whole:
            break
    assert operation > 40


def test_the_agent_learns_what_a_worker_dropped_on_a_full_disk_once_it_has_room(roots: JournalRoots):
    files = FailingFiles()
    with both(roots, files, memory_bytes=64 * 1024) as (worker, agent):
        files.fail(error=errno.ENOSPC, forever=True)
        for _ in range(60):
            worker.log(100)
            worker.go()
        dropped = worker.own.writer.dropped["memory full"]
        assert dropped > 1000
        files.heal()
        worker.go()
        agent.look()
        assert dropped_by(agent.opened) == dropped
        worker.die()
        agent.opened.follow(LOCK)
        assert deliver_all(agent.opened) == worker.logged
        assert dropped_by(agent.opened) == dropped == 6000 - len(worker.logged)


def test_what_a_worker_drops_before_it_dies_is_known_too(roots: JournalRoots):
    files = FailingFiles()
    with both(roots, files, memory_bytes=64 * 1024) as (worker, agent):
        worker.log(6000)
        worker.go()
        worker.die()
        agent.opened.follow(LOCK)
        assert deliver_all(agent.opened) == worker.logged
        assert dropped_by(agent.opened) == 6000 - len(worker.logged) > 1000


def test_what_is_dropped_in_shared_memory_is_known_to_whoever_opens_the_journal(memory: Path, tmp_path: Path):
    machine = Machine(JournalRoots(memory, tmp_path / "spool", "0" * 16), memory_bytes=64 * 1024)
    machine.log(6000)
    machine.die()
    with machine.later() as opened:
        assert dropped_by(opened) == 6000 - len(machine.logged) > 1000
