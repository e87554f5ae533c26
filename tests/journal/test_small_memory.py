"""A file system that is small, or that other programs fill: no state of a writer is final."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from journal.spooled import LOCK, deliver_all
from steplog.journal import open_writer as module
from steplog.journal.directories import JournalRoots, RunPaths, new_id
from steplog.journal.memory import Usage, free_bytes
from steplog.journal.open_journal import open_journal
from steplog.journal.open_writer import OpenWriter
from steplog.journal.spooling import Disk
from tmpfs import mounted

MIB = 1 << 20


class Machine:
    """Shared memory on a file system of its own, where nothing of ours is yet; ``now`` is a clock."""

    def __init__(self, shm: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shm = shm
        self.roots = JournalRoots(shm / "steplog-0", disk / "spool", "0" * 16)
        self.disk = Disk(1 << 30)
        self.now = 100.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)

    def hog(self, size: int | None) -> None:
        """Another program takes so much, None: all there is."""
        with (self.shm / "another program's").open("wb", buffering=0) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, free_bytes(self.shm) if size is None else size)
            except OSError:  # some of it was taken meanwhile
                assert size is None

    def free(self) -> None:
        (self.shm / "another program's").unlink()

    def open(self) -> tuple[RunPaths, OpenWriter]:
        """A run's writer, in its agent."""
        paths, lock = self.roots.claim(new_id())
        assert lock is not None
        usage = Usage(self.shm / "steplog-0", clock=lambda: self.now)
        opened = module.open_writer(
            paths, self.roots.memory, self.disk, memory_bytes_max=None, value_bytes_max=MIB, usage=usage
        )
        opened.deliver_here()
        opened.call_on_successor(opened.maintain)
        return paths, opened

    def round(self, opened: OpenWriter) -> None:
        self.now += 1.1
        opened.maintain()


@contextmanager
def machine_of(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with mounted(tmp_path / "shm", size) as shm:
        yield Machine(shm, tmp_path, monkeypatch)


def is_shared(opened: OpenWriter) -> bool:
    block = opened.writer.append.segment.block
    return block is not None and block.path is not None and block.path.exists()


def test_a_fresh_machine_with_a_neighbour_keeps_a_run_in_shared_memory(tmp_path, monkeypatch, caplog):
    """The directory did not exist yet, so the bound was 64 MiB, and what others held counted: the run went private."""
    with machine_of("64m", tmp_path, monkeypatch) as machine:
        machine.hog(12 * MIB)
        _, opened = machine.open()
        assert opened.writer.pool.bytes_max == 8 * MIB
        for number in range(5000):
            opened.writer.append.log("loss", float(number))
        assert is_shared(opened)
        assert not opened.writer.pool.is_half_full()
        assert opened.writer.dropped["memory full"] == 0
        assert not caplog.records
        opened.release()


def test_a_run_that_begins_without_room_goes_on_in_shared_memory_once_there_is_some(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, logger="steplog")
    with machine_of("4m", tmp_path, monkeypatch) as machine:
        machine.hog(None)
        paths, opened = machine.open()
        for number in range(3000):
            opened.writer.append.log("loss", float(number))
        machine.round(opened)
        assert not is_shared(opened)
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
            "steplog goes without shared memory"
        ]
        assert "other programs 4.0 MiB, and 0 KiB are free" in caplog.text
        machine.free()
        machine.round(opened)
        for number in range(3000, 3100):
            opened.writer.append.log("loss", float(number))
        assert is_shared(opened)
        opened.open_journal.spool(LOCK, False)
        opened.open_journal.spool(LOCK, False)  # what has waited for an interval
        assert opened.journal.cursor.durable == 3100
        for number in range(3100, 3200):
            opened.writer.append.log("loss", float(number))
        opened.release()  # as a kill does; these hundred are in shared memory alone
        adopted = open_journal(paths, opened.journal.writer, Disk(1 << 30))
        assert adopted is not None
        found = deliver_all(adopted)
        assert [value for _, value, _ in found.values()] == [float(number) for number in range(3200)]
        assert adopted.journal.cursor.abandoned == 0


def test_a_run_whose_memory_others_take_goes_on_privately_then_shared_again(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, logger="steplog")
    with machine_of("4m", tmp_path, monkeypatch) as machine:
        _, opened = machine.open()
        log = opened.writer.append.log
        for turn in range(3):
            machine.hog(None)
            for number in range(20_000):
                log("loss", float(number))
            assert opened.writer.pool.used_bytes() > 20_000 * 32
            assert not is_shared(opened)
            machine.free()
            opened.journal.ack(opened.journal.written(), opened.journal.written() - opened.journal.cursor.delivered)
            machine.round(opened)
            assert is_shared(opened)
            for number in range(1000):
                log("loss", float(number))
            assert is_shared(opened), turn
        assert opened.writer.dropped["memory full"] == 0
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
            "steplog goes on without shared memory"
        ]
        opened.release()


def test_a_small_file_system_of_which_an_eighth_is_used_is_no_reason_to_drop(tmp_path, monkeypatch):
    """With 1 MiB there were fewer records kept than with no shared memory at all."""
    with machine_of("1m", tmp_path, monkeypatch) as machine:
        _, opened = machine.open()
        for number in range(100_000):
            opened.writer.append.log("loss", float(number))
        assert opened.writer.dropped["memory full"] == 0
        for number in range(600_000):
            opened.writer.append.log("loss", float(number))
        assert opened.writer.dropped["memory full"] > 0
        assert 15 * MIB < opened.writer.pool.used_bytes() < 17 * MIB
        opened.release()


def test_drops_are_said_once_when_they_begin_with_what_to_do(tmp_path, monkeypatch, caplog):
    """Nothing was said until the end, nor ever of a run that was killed."""
    caplog.set_level(logging.INFO, logger="steplog")
    with machine_of("600m", tmp_path, monkeypatch) as machine:
        paths, lock = machine.roots.claim(new_id())
        assert lock is not None
        opened = module.open_writer(
            paths, machine.roots.memory, machine.disk, memory_bytes_max=256 * 1024, value_bytes_max=MIB
        )
        opened.deliver_here()
        opened.call_on_successor(opened.maintain)
        machine.hog(30 * MIB)
        for _ in range(3):
            for number in range(10_000):
                opened.writer.append.log("loss", float(number))
            machine.round(opened)
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("steplog drops values, since memory is full: runs use 2")
        assert " KiB of at most 256 KiB, other programs 30.0 MiB, and 5" in line
        assert line.endswith("raise STEPLOG_MEMORY_BYTES_MAX, or log less often.")
        opened.journal.ack(opened.journal.written(), opened.journal.written())
        opened.writer.append.log("loss", 0.5)
        machine.now += 61.0
        machine.round(opened)
        dropped = opened.writer.dropped["memory full"]
        assert caplog.records[-1].getMessage() == (
            f"steplog has taken all values for a minute; {dropped} were dropped before."
        )
        for number in range(10_000):
            opened.writer.append.log("loss", float(number))
        machine.round(opened)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
        opened.release()
