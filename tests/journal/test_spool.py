"""A spool file that was torn, damaged, doubled, lost or put there by somebody else.

What is intact is delivered, the rest is kept and named, and never a wrong record comes out of it.
"""

from __future__ import annotations

import errno
import logging
import shutil
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal.spooled import LOCK, Found, Machine, deliver_all, read_all
from steplog.journal import frame
from steplog.journal.directories import JournalRoots
from steplog.journal.spool import Spool
from steplog.testing.failing_files import FailingFiles
from strategies import whole_frames

FRAMES = 4
CALLS = 6  # a frame


@pytest.fixture
def machine(roots: JournalRoots) -> Machine:
    """A run of which nothing but its spool is left: four small frames in one file."""
    machine = Machine(roots)
    for _ in range(FRAMES):
        machine.log(CALLS)
        machine.spool(everything=True)
    machine.lose_memory()
    return machine


def file_of(machine: Machine) -> Path:
    (path,) = machine.spool_directory.glob("*.spool")
    return path


def recovered(machine: Machine) -> Found:
    with machine.later() as opened:
        found = read_all(opened.journal)
    shutil.rmtree(machine.paths.memory)  # type: ignore[arg-type]
    return found


def of_frames(machine: Machine, *frames: int) -> Found:
    return {at: item for at, item in machine.logged.items() if at // CALLS in frames}


def spans(data: bytes) -> list[tuple[int, int]]:
    return whole_frames(data)


def test_what_was_spooled_is_found_by_a_later_process(machine: Machine):
    assert recovered(machine) == machine.logged


def test_a_file_that_is_cut_at_any_byte_gives_the_frames_before_the_cut(machine: Machine):
    path, data = file_of(machine), file_of(machine).read_bytes()
    ends = [end for _, end in spans(data)]
    assert len(ends) == FRAMES
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert recovered(machine) == of_frames(machine, *range(whole)), cut


@pytest.mark.parametrize("tail", [bytes(4096), b"SLF1\x80\0\0\0" + bytes(100), b"SLF1", b"S"])
def test_a_torn_end_is_passed_over_in_silence(machine: Machine, tail: bytes, caplog: pytest.LogCaptureFixture):
    path = file_of(machine)
    path.write_bytes(path.read_bytes() + tail)
    assert recovered(machine) == machine.logged
    assert not caplog.records


def test_a_torn_end_that_was_durable_is_reported_with_its_size_and_the_file_kept(
    machine: Machine, caplog: pytest.LogCaptureFixture
):
    path = file_of(machine)
    path.write_bytes(path.read_bytes()[:-1])
    with machine.later() as opened:
        assert opened.journal.cursor.durable == (FRAMES - 1) * CALLS
        assert opened.journal.cursor.abandoned == CALLS
        assert deliver_all(opened) == of_frames(machine, *range(FRAMES - 1))
        assert opened.journal.cursor.abandoned == CALLS
        assert opened.remove() is False
    assert [file.suffix for file in machine.spool_directory.iterdir() if file.name not in ("marks", "losses")] == [
        ".damaged"
    ]
    assert path.name in caplog.text
    assert f"{CALLS} positions" in caplog.text


def test_a_page_of_zeros_costs_the_frames_that_it_covers_and_no_other(machine: Machine):
    path, data = file_of(machine), file_of(machine).read_bytes()
    (first, end), (again, _) = spans(data)[1], spans(data)[2]
    path.write_bytes(data[: first + 5] + bytes(again - first) + data[again + 5 :])
    assert recovered(machine) == of_frames(machine, 0, 3)
    path.write_bytes(data[:first] + bytes(end - first) + data[end:])
    assert recovered(machine) == of_frames(machine, 0, 2, 3)


def test_a_flipped_bit_anywhere_costs_one_frame_and_is_said(machine: Machine, caplog: pytest.LogCaptureFixture):
    path, data = file_of(machine), file_of(machine).read_bytes()
    for paths in range(len(data)):
        caplog.clear()
        bit = 1 << paths % 8
        path.write_bytes(data[:paths] + bytes([data[paths] ^ bit]) + data[paths + 1 :])
        hit = next(index for index, (start, end) in enumerate(spans(data)) if start <= paths < end)
        assert recovered(machine) == of_frames(machine, *({0, 1, 2, 3} - {hit})), paths
        assert path.name in caplog.text, paths


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=40), st.integers(0, 40)), max_size=6
    )
)
def test_whatever_is_done_to_the_bytes_no_record_is_wrong(machine: Machine, changes: list[tuple[float, bytes, int]]):
    """Bytes are overwritten, put in and taken out."""
    path, original = file_of(machine), file_of(machine).read_bytes()
    data = original
    for where, put, removed in changes:
        paths = int(where * (len(data) + 1))
        data = data[:paths] + put + data[paths + removed :]
    path.write_bytes(data)
    try:
        found = recovered(machine)
    finally:
        path.write_bytes(original)
    assert found.items() <= machine.logged.items()
    assert len(found) >= sum(original[start:end] in data for start, end in spans(original)) * CALLS


def test_a_doubled_file_gives_each_record_once(machine: Machine):
    path = file_of(machine)
    shutil.copy(path, path.with_name("copy of it.spool"))
    with machine.later() as opened:
        assert deliver_all(opened) == machine.logged
        assert (opened.journal.cursor.records, opened.journal.cursor.abandoned) == (FRAMES * CALLS, 0)


def test_frames_that_were_swapped_come_in_the_order_of_their_positions(machine: Machine):
    path, data = file_of(machine), file_of(machine).read_bytes()
    path.write_bytes(b"".join(data[start:end] for start, end in reversed(spans(data))))
    found = recovered(machine)
    assert list(found) == sorted(machine.logged)
    assert found == machine.logged


def test_a_frame_of_another_writer_is_never_delivered_as_ours(machine: Machine, roots: JournalRoots):
    other = Machine(roots)
    other.log(100)
    other.spool(everything=True)
    shutil.copy(file_of(other), machine.spool_directory / "00000000000000000099-0.spool")
    file_of_other = machine.spool_directory / "00000000000000000099-0.damaged"
    with machine.later() as opened:
        assert deliver_all(opened) == machine.logged
        opened.remove()
    assert file_of_other.read_bytes() == file_of(other).read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"a note to myself\n", b"\x7fELF" + bytes(5000)], ids=["empty", "text", "binary"]
)
def test_a_foreign_file_is_kept_as_it_is(machine: Machine, content: bytes):
    foreign = machine.spool_directory / "notes.spool"
    foreign.write_bytes(content)
    with machine.later() as opened:
        assert deliver_all(opened) == machine.logged
        assert opened.remove() is (not content)
    if content:
        assert foreign.with_suffix(".damaged").read_bytes() == content


def test_a_missing_file_in_the_middle_is_counted_and_the_rest_delivered(roots: JournalRoots):
    machine = Machine(roots)
    for _ in range(3):
        machine.log(CALLS)
        machine.spool(everything=True)
        machine.own.open_journal.spooling.spool._close()  # a file each
    machine.lose_memory()
    first, second, third = sorted(machine.spool_directory.glob("*.spool"))
    second.unlink()
    with machine.later() as opened:
        assert deliver_all(opened) == of_frames(machine, 0, 2)
        assert opened.journal.cursor.abandoned == CALLS
    assert first.exists()
    assert third.exists()


def test_a_missing_last_file_is_counted_too(roots: JournalRoots, caplog: pytest.LogCaptureFixture):
    machine = Machine(roots)
    for _ in range(2):
        machine.log(CALLS)
        machine.spool(everything=True)
        machine.own.open_journal.spooling.spool._close()
    machine.lose_memory()
    sorted(machine.spool_directory.glob("*.spool"))[1].unlink()
    for _ in range(2):  # and once, however often it is opened
        with machine.later() as opened:
            assert opened.journal.cursor.abandoned == CALLS
            assert read_all(opened.journal) == of_frames(machine, 0)
    assert f"{CALLS} positions" in caplog.text


def test_files_that_vanished_are_written_again_from_memory_by_whoever_recovers(roots: JournalRoots):
    machine = Machine(roots)
    machine.log(50)
    machine.spool(everything=True)
    machine.die()
    shutil.rmtree(machine.spool_directory)
    with machine.later() as opened:
        opened.spool(LOCK, False)
        assert opened.journal.cursor.durable == 50
    shutil.rmtree(machine.paths.memory)  # type: ignore[arg-type]
    assert recovered(machine) == machine.logged


def newer(data: bytes) -> bytes:
    """A frame as the next version may write it: the same frame, with a range that says 2."""
    body = msgspec.msgpack.decode(zlib.decompress(data[8:-4]))
    return frame.encode(zlib.compress(msgspec.msgpack.encode(body | {"v": 2, "more": "of it"})))


def test_frames_of_a_newer_version_are_kept_and_the_others_delivered(
    machine: Machine, caplog: pytest.LogCaptureFixture
):
    path, data = file_of(machine), file_of(machine).read_bytes()
    start, end = spans(data)[1]
    changed = data[:start] + newer(data[start:end]) + data[end:]
    path.write_bytes(changed)
    with machine.later() as opened:
        assert deliver_all(opened) == of_frames(machine, 0, 2, 3)
        assert opened.journal.cursor.abandoned == CALLS
        assert opened.remove() is False
    assert path.with_suffix(".damaged").read_bytes() == changed
    assert "version 2" in caplog.text


def test_a_file_of_a_newer_layout_is_kept(machine: Machine):
    path = file_of(machine)
    changed = path.read_bytes().replace(b"SLF1", b"SLF2")
    path.write_bytes(changed)
    with machine.later() as opened:
        assert deliver_all(opened) == {}
        assert opened.journal.cursor.abandoned == FRAMES * CALLS
        assert opened.remove() is False
    assert path.with_suffix(".damaged").read_bytes() == changed


def test_a_read_that_fails_once_costs_nothing(machine: Machine):
    for k in range(1, 40):
        files = FailingFiles()
        files.fail(at=k, only={"read"})
        with machine.later(files) as opened:
            assert read_all(opened.journal) == machine.logged, k
        shutil.rmtree(machine.paths.memory)  # type: ignore[arg-type]


def test_a_frame_that_cannot_be_read_for_a_while_is_waited_for(machine: Machine):
    files = FailingFiles()
    with machine.later(files) as opened:
        files.fail(forever=True, only={"read"})
        assert all(opened.journal.readable(0, 1000) == 0 for _ in range(10))
        files.heal()
        assert read_all(opened.journal) == machine.logged


def test_a_frame_that_cannot_be_read_for_ever_is_given_up_counted_and_kept(
    machine: Machine, caplog: pytest.LogCaptureFixture
):
    files = FailingFiles()
    with machine.later(files) as opened:
        files.fail(forever=True, only={"read"})
        for _ in range(FRAMES * 40):
            deliver_all(opened)
        assert opened.journal.cursor.delivered == FRAMES * CALLS
        assert opened.journal.cursor.abandoned == FRAMES * CALLS
        assert opened.remove() is False
    assert "can no longer be read" in caplog.text
    assert list(machine.spool_directory.glob("*.damaged"))


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM], ids=errno.errorcode.get)
def test_running_out_of_descriptors_says_nothing_of_a_file(machine: Machine, error: int):
    files = FailingFiles()
    files.fail(error=error, only={"read"})
    with pytest.raises(OSError, match=r".*"):
        Spool(machine.spool_directory, machine.journal.writer, files)
    assert recovered(machine) == machine.logged


def test_a_file_is_full_at_its_bound_and_the_next_begins(roots: JournalRoots, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("steplog.journal.spool.FILE_BYTES_MAX", 2000)
    machine = Machine(roots)
    for _ in range(20):
        machine.log(20)
        machine.spool(everything=True)
    files = list(machine.spool_directory.glob("*.spool"))
    assert len(files) > 3
    assert all(file.stat().st_size <= 2000 for file in files)
    machine.ack(200)
    machine.spool()
    assert len(list(machine.spool_directory.glob("*.spool"))) < len(files)
    machine.lose_memory()
    assert recovered(machine).items() >= machine.pending().items()


def test_spool_bytes_max_keeps_the_rest_in_memory_and_is_said(roots: JournalRoots, caplog: pytest.LogCaptureFixture):
    machine = Machine(roots)
    machine.log(20)
    machine.spool(everything=True)
    machine.disk.bytes_max = 1
    machine.log(20)
    with caplog.at_level(logging.WARNING, logger="steplog"):
        machine.spool(everything=True)
    assert "spool_bytes_max is reached" in caplog.text
    assert (machine.journal.cursor.durable, machine.journal.written()) == (20, 40)
    assert read_all(machine.journal) == machine.logged


def test_a_directory_that_cannot_be_made_is_said_to_be_just_that(roots: JournalRoots, caplog: pytest.LogCaptureFixture):
    """It was said that spool_bytes_max is reached, since nothing is free where nothing can be."""
    machine = Machine(roots)
    shutil.rmtree(machine.paths.spool)
    machine.paths.spool.write_text("a file")
    machine.disk.bytes_max = 0
    machine.log(20)
    with caplog.at_level(logging.WARNING, logger="steplog"):
        machine.spool(everything=True)
    assert "is not a directory of its own" in caplog.text
    assert "spool_bytes_max" not in caplog.text


def test_a_disk_that_was_full_when_the_process_began_is_used_once_it_has_room(
    roots: JournalRoots, caplog: pytest.LogCaptureFixture
):
    machine, free = Machine(roots), 0
    machine.disk.bytes_max = 0
    machine.disk._measure = lambda: free
    machine.log(20)
    with caplog.at_level(logging.WARNING, logger="steplog"):
        machine.spool(everything=True)
    assert "No space left on device" in caplog.text
    free = 1 << 20
    machine.spool(everything=True)
    assert machine.journal.cursor.durable == 20
