"""Memory is removed while the run goes on, as systemd does at logout: nothing is lost, whoever is killed after that."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from apart import apart
from journal.spooled import LOCK, Machine, deliver_all, read_all
from steplog.descriptors import close_reserve
from steplog.file_lock import FileLock
from steplog.journal.directories import JournalRoots
from steplog.journal.open_journal import AliveWatch, open_journal
from steplog.journal.spooling import Disk


@pytest.fixture
def machine(roots: JournalRoots) -> Machine:
    return Machine(roots, memory_bytes=1 << 20)


def the_root(machine: Machine) -> None:
    assert machine.roots.memory is not None
    shutil.rmtree(machine.roots.memory)


def the_run(machine: Machine) -> None:
    assert machine.paths.memory is not None
    shutil.rmtree(machine.paths.memory)


def the_writer(machine: Machine) -> None:
    assert machine.own.directory is not None
    shutil.rmtree(machine.own.directory)


def all_files(machine: Machine) -> None:
    assert machine.own.directory is not None
    for file in machine.own.directory.iterdir():
        file.unlink()


def of_kind(pattern: str) -> Callable[[Machine], None]:
    def removed(machine: Machine) -> None:
        assert machine.own.directory is not None
        for file in machine.own.directory.glob(pattern):
            file.unlink()

    removed.__name__ = pattern
    return removed


WAYS = [the_root, the_run, the_writer, all_files, of_kind("*.segment"), of_kind("alive"), of_kind("marks")]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_was_in_it_is_there_again_under_its_name(
    machine: Machine, way: Callable[[Machine], None], caplog: pytest.LogCaptureFixture
):
    machine.log(2000)
    machine.ack(100)
    way(machine)
    machine.log(50)
    machine.own.maintain()
    machine.log(500)
    machine.own.maintain()
    assert len([record for record in caplog.records if "shared memory was removed" in record.message]) == 1
    machine.die()
    with machine.later() as opened:
        assert opened.journal.cursor.delivered == 100
        assert read_all(opened.journal) == machine.pending()
        opened.spool(LOCK, False)
        assert opened.journal.cursor.durable == 2550
        assert deliver_all(opened) == machine.pending()
        assert opened.journal.cursor.abandoned == 0


def test_a_healthy_directory_is_left_alone(machine: Machine, caplog: pytest.LogCaptureFixture):
    machine.log(2000)
    assert machine.own.directory is not None

    def seen() -> dict[str, int]:
        assert machine.own.directory is not None
        return {file.name: file.stat().st_ino for file in machine.own.directory.iterdir()}

    machine.own.maintain()
    before = seen()
    for _ in range(5):
        machine.own.maintain()
    assert seen() == before
    assert not caplog.records


def test_the_agent_in_another_process_takes_the_writer_for_living_all_the_time(machine: Machine):
    """And follows its marks to the new place. ``machine`` is the worker; the agent opens its journal here too, since a
    lock is one of an open file, not of a process."""
    machine.log(100)
    agent = open_journal(machine.paths, machine.journal.writer, Disk(1 << 30))
    assert agent is not None
    assert agent.journal.alive
    assert read_all(agent.journal) == machine.logged
    agent.spool(LOCK, False)
    the_run(machine)
    machine.log(50)
    assert agent.journal.alive
    machine.own.maintain()
    machine.log(50)
    assert agent.journal.alive
    agent.spool(LOCK, False)
    assert deliver_all(agent) == machine.logged
    machine.own.follow()
    assert machine.journal.cursor.delivered == machine.journal.written()
    machine.log(5)
    machine.die()
    assert not agent.journal.alive
    assert len(deliver_all(agent)) == 5
    assert agent.remove()


def test_removed_again_and_again(machine: Machine):
    for _ in range(5):
        machine.log(300)
        the_run(machine)
        machine.log(30)
        machine.own.maintain()
    machine.die()
    with machine.later() as opened:
        assert read_all(opened.journal) == machine.logged


def test_a_slot_that_is_written_after_the_copy_was_made_gets_there_too(machine: Machine):
    """A call that was preempted between its claim and its store."""
    machine.log(10)
    segment = machine.own.writer.append.segment
    offset = segment.claim()
    machine.log(10)
    the_run(machine)
    machine.own.maintain()
    key = segment.names["loss"]
    __import__("steplog.journal.slot").journal.slot.pack_float(segment.memory, offset, 7, 7.5, 1, key)
    machine.own.maintain()
    machine.die()
    with machine.later() as opened:
        found = read_all(opened.journal)
        assert found.pop(10) == ("loss", 7.5, 7)
        assert found == machine.logged


def test_where_it_cannot_be_made_again_the_run_goes_on_and_the_disk_has_it(
    machine: Machine, caplog: pytest.LogCaptureFixture
):
    machine.log(100)
    the_root(machine)
    assert machine.roots.memory is not None
    machine.roots.memory.write_text("somebody else's")
    for _ in range(3):
        machine.own.maintain()
        machine.log(100)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    machine.spool(everything=True)
    assert machine.journal.cursor.durable == 400
    machine.roots.memory.unlink()
    machine.log(5)
    machine.own.maintain()
    machine.die()
    with machine.later() as opened:
        assert read_all(opened.journal) == machine.logged


def test_liveness_is_a_lock_and_neither_a_name_nor_a_directory(tmp_path: Path):
    directory = tmp_path / "writer"
    directory.mkdir()
    held = FileLock.take(directory / "alive")
    assert held is not None
    seen = AliveWatch(directory)
    assert seen.alive()
    shutil.rmtree(directory)
    assert seen.alive()
    directory.mkdir()
    again = FileLock.take(directory / "alive")
    assert again is not None
    assert seen.alive()
    held.release()
    assert seen.alive()
    again.release()
    assert not seen.alive()
    assert seen.lock is not None
    assert FileLock.take(directory / "alive") is None
    seen.lock.release()


def test_a_forked_child_keeps_nothing_open_that_liveness_has_seen(tmp_path: Path):
    """Else the lock that its parent takes later would outlive the parent."""
    from steplog.file_lock import close_inherited

    held = FileLock.take(tmp_path / "alive")
    assert held is not None
    seen = AliveWatch(tmp_path)
    assert seen.alive()
    (go, gone), (closed, closing) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gone)
        close_inherited()
        os.write(closing, b"1")
        os.read(go, 1)
        os._exit(0)
    os.read(closed, 1)
    try:
        held.release()
        assert not seen.alive()
        assert seen.lock is not None
        seen.lock._descriptor, descriptor = None, seen.lock._descriptor
        os.close(descriptor)  # type: ignore[arg-type] # as the death of this process would
        descriptor = os.open(tmp_path / "alive", os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    finally:
        for end in (go, gone, closed, closing):
            os.close(end)
        os.waitpid(pid, 0)


def test_what_the_agent_has_removed_of_a_worker_is_not_written_again(
    machine: Machine, caplog: pytest.LogCaptureFixture
):
    """A worker took each delivered segment for one that somebody had removed, said so, and made it again."""
    assert machine.own.directory is not None
    opened = open_journal(machine.paths, machine.journal.writer, Disk(1 << 30))
    assert opened is not None
    for _ in range(3):
        machine.log(1000)
        assert len(list(machine.own.directory.glob("*.segment"))) > 3
        deliver_all(opened)
        left = len(list(machine.own.directory.glob("*.segment")))  # the last one, and perhaps a spare
        with caplog.at_level(logging.WARNING, logger="steplog"):
            machine.own.maintain()
        assert len(list(machine.own.directory.glob("*.segment"))) <= left + 1 <= 3
    assert not caplog.records


def test_an_agent_finds_the_marks_of_a_worker_whose_memory_was_made_again(machine: Machine):
    opened = open_journal(machine.paths, machine.journal.writer, Disk(1 << 30))
    assert opened is not None
    the_root(machine)
    machine.own.maintain()
    machine.log(100)
    opened.spool(LOCK, False)  # the first round since
    deliver_all(opened)
    machine.own.follow()
    assert machine.journal.cursor.delivered == machine.journal.written() > 100


@apart
def test_without_descriptors_memory_is_not_said_to_be_removed(machine: Machine, caplog: pytest.LogCaptureFixture):
    close_reserve()
    machine.own.maintain()
    machine.log(1000)  # so that the directory has changed
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        for _ in range(3):
            machine.own.maintain()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (line,) = [record.getMessage() for record in caplog.records if "shared memory in" in record.getMessage()]
    assert line.startswith("steplog cannot look after its shared memory in ")
    assert "Too many open files" in line
    assert "removed" not in caplog.text
    the_writer(machine)
    machine.own.maintain()
    assert caplog.text.count("shared memory was removed") == 1
