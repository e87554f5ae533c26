"""What stays undelivered goes to disk, and is found there, whatever the disk does meanwhile."""

from __future__ import annotations

import errno
import logging
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from journal.spooled import Machine, read_all
from steplog.journal.directories import JournalRoots
from steplog.journal.files import Files
from steplog.testing.failing_files import FailingFiles

OPERATIONS_MAX = 400
ERRORS = [errno.ENOSPC, errno.EIO]


@pytest.fixture
def machine(roots: JournalRoots) -> Machine:
    return Machine(roots)


def kinds(directory: Path) -> list[str]:
    return sorted({path.suffix or path.name for path in directory.rglob("*") if path.is_file()})


def test_what_is_delivered_within_an_interval_never_touches_the_disk(roots: JournalRoots):
    files = FailingFiles()
    machine = Machine(roots, files)
    for _ in range(20):
        machine.log(50)
        machine.ack(machine.journal.written())
        machine.spool()
    machine.spool(everything=True)
    assert not {"create", "write", "sync"} & set(files.operations)
    assert not machine.spool_directory.exists()


def test_what_waits_for_an_interval_is_durable_after_the_next(machine: Machine):
    machine.log(100)
    machine.spool()
    assert machine.journal.cursor.durable == 0
    machine.log(10)
    machine.spool()
    assert machine.journal.cursor.durable == 100
    machine.lose_memory()
    with machine.later() as opened:
        assert read_all(opened.journal) == {at: machine.logged[at] for at in range(100)}


def test_when_memory_is_short_everything_goes_to_disk_and_leaves_memory(machine: Machine):
    machine.log(40_000)
    machine.journal.written()
    before = machine.journal.memory.size_bytes()
    machine.spool(everything=True)
    assert machine.journal.cursor.durable == machine.journal.written()
    assert machine.journal.memory.size_bytes() < before / 4
    assert read_all(machine.journal) == machine.logged


def test_a_frame_is_sent_as_it_is_on_disk_once_it_has_left_memory(machine: Machine):
    for _ in range(2):
        machine.log(2000)
        machine.spool(everything=True)
    bodies, position = [], 0
    while position < 4000 and (read := machine.journal.read(position, machine.journal.readable(position, 8000))):
        bodies.append(read.deflated)
        position = read.end
    stored = next(machine.spool_directory.glob("*.spool")).read_bytes()
    assert bodies[0] is not None
    assert bodies[0] in stored


def test_a_spool_file_goes_once_all_of_it_is_delivered(machine: Machine):
    machine.log(1000)
    machine.spool(everything=True)
    machine.ack(500)
    machine.spool()
    assert ".spool" in kinds(machine.spool_directory)
    machine.ack(1000)
    machine.spool()
    assert kinds(machine.spool_directory) == ["losses", "marks"]
    machine.log(10)
    machine.spool(everything=True)
    machine.lose_memory()
    with machine.later() as opened:
        assert opened.journal.cursor.delivered == 1000
        assert opened.journal.cursor.abandoned == 0
        assert read_all(opened.journal) == machine.pending()


def test_a_value_is_kept_as_far_as_it_can_be_read_again(roots: JournalRoots):
    """The setting may say more; what was accepted then was lost on its way through the disk."""
    machine = Machine(roots)
    text = random.Random(1).randbytes(512 * 1024 - 8).hex()
    machine.own.writer.append.log("text", text, 1)
    machine.own.writer.append.log("text", text * 2, 2)
    machine.spool(everything=True)
    machine.lose_memory()
    with machine.later() as opened:
        whole, cut = (value for _, value, _ in read_all(opened.journal).values())
    assert whole == text
    assert len(text) < len(cut) < 2 * len(text)
    assert (text * 2).startswith(cut.removesuffix("…"))


def scenario(machine: Machine) -> None:
    """What happens to a run on a bad day, with every kind of operation in it."""
    for turn in range(4):
        machine.log(300)
        machine.spool()
        machine.log(20)
        machine.spool(everything=turn % 2 == 1)
        if turn == 2:
            machine.ack(machine.journal.cursor.delivered + 700)


def count_operations(roots: JournalRoots) -> int:
    files = FailingFiles()
    scenario(Machine(roots, files))
    return len(files.operations)


@pytest.mark.slow
@pytest.mark.parametrize("short", [False, True], ids=["whole", "short"])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_the_kth_operation_fails_once_for_every_k(roots: JournalRoots, error: int, short: bool):
    """Nothing is lost, in memory or on disk, and two intervals later all of it is durable again."""
    for k in range(1, OPERATIONS_MAX):
        files = FailingFiles()
        machine = Machine(roots, files)
        files.fail(at=k, error=error, short=short)
        scenario(machine)
        failed = files.failed
        files.heal()
        assert read_all(machine.journal) == machine.pending(), k
        machine.spool(everything=True)
        machine.spool(everything=True)
        assert machine.journal.cursor.durable == machine.journal.written(), k
        assert not machine.own.open_journal.spooling.trouble
        assert not files.synced_again, k
        machine.lose_memory()
        with machine.later() as opened:
            found = read_all(opened.journal)
            assert not opened.spooling.spool.has_quarantined(), k
            assert found.items() >= machine.pending().items(), k
            assert found.items() <= machine.logged.items(), k
        files.close_all()
        if not failed:
            assert k > 40
            return
    pytest.fail("the scenario has no end")


@pytest.mark.slow
@pytest.mark.parametrize("short", [False, True], ids=["whole", "short"])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_every_operation_from_the_kth_on_fails_for_every_k(
    roots: JournalRoots, error: int, short: bool, caplog: pytest.LogCaptureFixture
):
    """log() goes on, memory keeps everything, it is said once, and is durable an interval after the disk is well."""
    for k in range(1, OPERATIONS_MAX):
        files = FailingFiles()
        machine = Machine(roots, files)
        caplog.clear()
        files.fail(at=k, error=error, short=short, forever=True)
        with caplog.at_level(logging.INFO, logger="steplog"):
            scenario(machine)
        failed = files.failed
        assert sum("cannot write to" in record.message for record in caplog.records) <= 1
        assert machine.own.writer.dropped["memory full"] == 0
        files.heal()
        assert read_all(machine.journal) == machine.pending(), k
        with caplog.at_level(logging.INFO, logger="steplog"):
            machine.spool(everything=True)
        assert machine.journal.cursor.durable == machine.journal.written(), k
        assert not files.synced_again, k
        machine.lose_memory()
        with machine.later() as opened:
            assert not opened.spooling.spool.has_quarantined(), k
            assert read_all(opened.journal).items() >= machine.pending().items(), k
        files.close_all()
        if not failed:
            return
    pytest.fail("the scenario has no end")


def test_writes_that_are_cut_short_again_and_again_leave_no_damage(roots: JournalRoots):
    files = FailingFiles()
    machine = Machine(roots, files)
    machine.log(20)
    machine.spool(everything=True)
    files.fail(forever=True, short=True, error=errno.ENOSPC, only={"write", "size"})
    for _ in range(3):
        machine.log(20)
        machine.spool(everything=True)
    files.heal()
    machine.spool(everything=True)
    machine.lose_memory()
    with machine.later() as opened:
        assert not opened.spooling.spool.has_quarantined()
        assert read_all(opened.journal) == machine.logged
    files.close_all()


def test_trouble_with_the_disk_is_said_once_and_so_is_its_end(roots: JournalRoots, caplog: pytest.LogCaptureFixture):
    files = FailingFiles()
    machine = Machine(roots, files)
    files.fail(forever=True, error=errno.ENOSPC)
    with caplog.at_level(logging.INFO, logger="steplog"):
        for _ in range(5):
            machine.log(10)
            machine.spool(everything=True)
        files.heal()
        machine.spool(everything=True)
        machine.spool(everything=True)
    said = [record.message for record in caplog.records]
    assert [text.split(str(machine.spool_directory))[0] for text in said] == [
        "steplog cannot write to ",
        "steplog writes to ",
    ]
    assert "No space left" in said[0]


def test_full_memory_beside_a_full_disk_drops_the_newest_and_counts_them(roots: JournalRoots):
    files = FailingFiles()
    machine = Machine(roots, files, memory_bytes=256 * 1024)
    files.fail(forever=True, error=errno.ENOSPC)
    for _ in range(10):
        machine.log(1000)
        machine.spool(everything=True)
    dropped = machine.own.writer.dropped["memory full"]
    assert 0 < dropped == machine.calls - len(machine.logged)
    files.heal()
    machine.spool(everything=True)
    machine.own.maintain()
    machine.log(100)
    machine.spool(everything=True)
    assert machine.own.writer.dropped["memory full"] == dropped
    machine.lose_memory()
    with machine.later() as opened:
        assert read_all(opened.journal) == machine.logged


def test_a_disk_that_stalls_holds_up_neither_log_nor_reading_nor_acknowledging(roots: JournalRoots):
    gate, inside = threading.Event(), threading.Event()

    def stall(name: str) -> None:
        if name == "sync":
            inside.set()
            assert gate.wait(30)

    machine = Machine(roots, FailingFiles(stall))
    machine.log(1000)
    writing = threading.Thread(target=machine.spool, args=(True,))
    writing.start()
    try:
        assert inside.wait(10)
        began = time.monotonic()
        machine.log(1000)
        assert read_all(machine.journal) == machine.pending()
        machine.ack(1500)
        assert time.monotonic() - began < 2
    finally:
        gate.set()
        writing.join(10)
    machine.spool(everything=True)
    machine.lose_memory()
    with machine.later() as opened:
        assert read_all(opened.journal).items() >= machine.pending().items()


def test_what_is_acknowledged_while_its_file_is_being_written_takes_no_file(roots: JournalRoots):
    """An acknowledgement closed and removed the new file between its creation and its first frame; what was written
    then went to a descriptor that was somebody else's, and counted as durable."""
    machine: Any = None

    def acknowledge(name: str) -> None:
        if name == "write" and machine is not None:
            machine.ack(machine.journal.cursor.delivered + 40)

    machine = Machine(roots, FailingFiles(acknowledge))
    machine.log(200)
    machine.spool(everything=True)
    assert machine.journal.cursor.durable == 200
    machine.lose_memory()
    with machine.later() as opened:
        assert read_all(opened.journal).items() >= machine.pending().items()


@pytest.mark.parametrize("way", ["removed", "cut", "replaced by a link", "grown", "with the directory"])
def test_a_spool_file_that_is_tampered_with_is_written_again_from_memory(machine: Machine, way: str, tmp_path: Path):
    machine.log(300)
    machine.spool(everything=True)
    (path,) = machine.spool_directory.glob("*.spool")
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    if way == "cut":
        path.write_bytes(path.read_bytes()[:50])
    elif way == "grown":
        path.write_bytes(path.read_bytes() + b"garbage")
    elif way == "with the directory":
        for file in machine.spool_directory.iterdir():
            file.unlink()
        machine.spool_directory.rmdir()
    else:
        path.unlink()
        if way == "replaced by a link":
            path.symlink_to(victim)
    machine.log(100)
    machine.spool(everything=True)
    machine.log(100)
    machine.spool(everything=True)
    assert victim.read_bytes() == b"mine"
    assert machine.journal.cursor.durable == machine.journal.written()
    machine.lose_memory()
    with machine.later() as opened:
        assert read_all(opened.journal) == machine.logged


def test_after_the_server_went_back_what_it_lost_is_not_taken_for_durable(machine: Machine):
    """What had been delivered is in memory alone: it may not leave it before it is on disk."""
    for calls, delivered in ((100, 0), (400, 500), (50, 500)):
        machine.log(calls)
        if delivered:
            machine.ack(delivered)
        machine.spool()
        machine.spool()
    machine.journal.set_cursor(replace(machine.journal.cursor, delivered=450))
    assert read_all(machine.journal) == machine.pending()
    machine.spool(everything=True)
    machine.lose_memory()
    with machine.later() as opened:
        assert read_all(opened.journal).items() >= machine.pending().items()


def test_directories_and_manifest_are_synced_before_the_first_frame_of_a_file(roots: JournalRoots):
    files = FailingFiles()
    machine = Machine(roots, files)
    (machine.paths.spool / "manifest").write_bytes(b"{}")
    machine.log(10)
    machine.spool(everything=True)
    done = [name for name in files.operations if name not in ("names", "size")]
    assert done[: done.index("sync_file") + 6] == [
        *("make_private", "unlink", "create", "write", "sync", "close", "rename"),  # the marks
        *("make_private", "create", "sync_file"),
        *["sync_directory"] * 3,  # the writer's, the run's, and the one that the run's is in
        *("write", "sync"),
    ]


def test_the_real_files_are_private_and_follow_no_link(tmp_path: Path):
    import os

    old = os.umask(0)
    try:
        descriptor = Files().create(tmp_path / "file")
    finally:
        os.umask(old)
    os.close(descriptor)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for call in (Files().create, Files().open, Files().read, Files().size, Files().sync_file):
        with pytest.raises(OSError):  # noqa: PT011 - which one depends on the call
            call(tmp_path / "link")


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_drop_oldest_drops_the_oldest_files_then_segments_if_the_disk_is_full(roots: JournalRoots, error: int):
    files = FailingFiles()
    machine = Machine(roots, files, memory_bytes=1 << 20)
    machine.log(2000)
    machine.spool(everything=True)
    on_disk = machine.journal.cursor.durable
    spooling = machine.own.open_journal.spooling
    machine.give_up = lambda end: machine.journal.give_up(end, ()) is None
    spooling._excess = machine.own.writer.pool.excess_bytes
    files.fail(error=error, forever=True, only={"write"})
    for _ in range(100):
        machine.log(400)
        machine.own.writer.pool.measure()
        machine.spool(everything=True)
    cursor, found = machine.journal.cursor, read_all(machine.journal)
    if error == errno.EIO:  # it is broken: what it has is not to be parted with
        assert cursor.oldest == 0
        assert machine.own.writer.dropped["memory full"]
    else:
        assert machine.own.writer.dropped["memory full"] == 0
        assert cursor.begin > on_disk
        assert not list(machine.spool_directory.glob("*.spool"))
    assert found == {at: item for at, item in machine.logged.items() if at >= cursor.begin}
    assert cursor.oldest == len(machine.logged) - len(found)


class Looked(list[Any]):
    """Counts the frames that are looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)

    def __iter__(self) -> Any:
        self.looks += len(self)
        return super().__iter__()


def test_a_look_at_a_journal_of_many_frames_takes_no_look_at_each(machine: Machine):
    for _ in range(50):
        machine.log(5)
        machine.spool(everything=True)
    journal, frames = machine.journal, Looked(machine.own.open_journal.spooling.spool.extents())
    journal.disk = type("Disk", (), {"extents": lambda self: frames})()
    assert journal.written() == 250
    frames.looks = 0
    for first in (0, 100, 245):
        assert journal.readable(first, 5) == first + 5
        assert journal.census(first, first + 5) == 5
        assert journal.read(first, first + 5).records == 5
    assert journal.written() == 250
    assert frames.looks < 25
    assert read_all(journal) == machine.logged
