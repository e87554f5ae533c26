"""A death in the middle of giving up the oldest: what is left is all above it, and the count is that of what is gone.

A forked child fills disk and memory, and is gone, as by SIGKILL, at a step of giving up. Its parent opens the journal
as a later process does. A power cut takes memory too, and keeps of the disk what was synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
from collections.abc import Iterator
from itertools import count

import pytest

from journal.spooled import SPOOL_BYTES, Found, Machine, deliver_all
from journal.tracing import AtBytecode, moments
from steplog.journal.directories import JournalRoots
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.spooling import Disk
from steplog.testing.failing_files import FailingFiles

MEMORY_BYTES = 256 * 1024
DELIVERED = 50
EXCESS = 40 * 1024
STEPS = 17 if os.environ.get("STEPLOG_LONG") else 97  # lines from one death to the next
WHERE = ("journal.py", "spooling.py", "sources.py", "memory.py", "cursor.py", "spool.py", "files.py")


class PowerCutError(BaseException):
    """Nothing more happens on this machine."""


def filled(roots: JournalRoots) -> Machine:
    """Some of it delivered, some on a disk that takes no more, and the rest in memory."""
    files = FailingFiles()
    machine = Machine(roots, files, memory_bytes=MEMORY_BYTES)
    machine.log(200)
    machine.spool(everything=True)
    machine.ack(DELIVERED)
    machine.log(800)
    spooling = machine.own.open_journal.spooling
    machine.give_up = lambda end: machine.journal.give_up(end, ()) is None
    files.fail(error=errno.ENOSPC, forever=True, only={"create", "write"})
    spooling._excess = lambda: EXCESS
    return machine


def gives_up(machine: Machine) -> None:
    """First the file, then the oldest segments."""
    for _ in range(2):
        machine.spool(everything=True)


def dies(roots: JournalRoots, at: int) -> tuple[bool, str, str, Found]:
    """Whether it died there; its run, its writer, and what it had logged."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            machine = filled(roots)
            with os.fdopen(writing, "wb") as told:
                pickle.dump((machine.paths.local_id, machine.journal.writer, machine.logged), told)
            AtBytecode(at, lambda: os._exit(1), "line", WHERE).during(lambda: gives_up(machine))
            os._exit(0)
        os._exit(2)
    os.close(writing)
    with os.fdopen(reading, "rb") as telling:
        local_id, writer, logged = pickle.load(telling)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1)
    return code == 1, local_id, writer, logged


@contextlib.contextmanager
def later(roots: JournalRoots, local_id: str, writer: str) -> Iterator[OpenJournal]:
    paths, lock = roots.claim(local_id)
    assert lock is not None
    opened = open_journal(paths, writer, Disk(SPOOL_BYTES))
    assert opened is not None
    yield opened
    opened.release()
    lock.release()
    for directory in paths.directories():
        shutil.rmtree(directory)


@pytest.mark.slow
def test_a_kill_at_any_step_of_giving_up_leaves_all_newer_records_and_an_exact_count(roots: JournalRoots):
    begins = []
    for at in moments("giving up", STEPS):
        died, local_id, writer, logged = dies(roots, at)
        with later(roots, local_id, writer) as opened:
            begins.append(opened.journal.begin)
            assert deliver_all(opened) == {at: item for at, item in logged.items() if at >= begins[-1]}
            counted = opened.journal.cursor
        assert counted.oldest == sum(DELIVERED <= at < begins[-1] for at in logged)
        assert counted.records + counted.oldest == len(logged)
        assert (counted.abandoned, counted.delivered) == (0, max(logged) + 1)
        if not died:
            break
    assert len(begins) > 20
    assert len(set(begins)) > 3
    assert begins == sorted(begins)


@pytest.mark.parametrize("full", [{"create", "write"}, {"write"}], ids=["no file", "no byte"])
def test_a_power_cut_while_giving_up_loses_nothing_durable_that_is_not_given_up(roots: JournalRoots, full: set[str]):
    begins = []
    for operation in count(1):
        machine, whole = filled(roots), True
        files = machine.files
        assert isinstance(files, FailingFiles)
        files.fail(error=errno.ENOSPC, forever=True, only=full)
        cut_after(files, operation)
        try:
            gives_up(machine)
        except PowerCutError:
            whole = False
        files.stall = lambda name: None
        cursor, begin = machine.journal.cursor, machine.journal.begin
        begins.append(begin)
        machine.lose_memory()
        files.power_cut(roots.spool)
        files.close_all()
        with machine.later() as opened:
            assert opened.journal.cursor.records <= DELIVERED
            found = deliver_all(opened)
        assert machine.paths.memory is not None
        shutil.rmtree(machine.paths.memory)  # counts towards the memory of the next one
        assert (
            found.items() >= {at: item for at, item in machine.logged.items() if begin <= at < cursor.durable}.items()
        )
        assert found.items() <= machine.logged.items()
        if whole:
            break
    assert DELIVERED in begins
    assert begins[-1] > 200


def cut_after(files: FailingFiles, operations: int) -> None:
    last = len(files.operations) + operations

    def stall(name: str) -> None:
        if len(files.operations) >= last:
            raise PowerCutError

    files.stall = stall
