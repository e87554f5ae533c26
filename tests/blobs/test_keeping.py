"""What ``log`` copies of media: whole or not at all, bounded, in memory alone."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from blobs.waiting import Host, Writing, a_content, contents_of
from steplog.blobs.raw_media import RawMedia, head_of, parsed
from steplog.errors import FormatError
from steplog.journal.jsonable import NoRoomError
from steplog.journal.memory import media_bytes, used_bytes
from steplog.media_value import LOGGED_BYTES_MAX, Content, TooLargeToLogError
from tmpfs import mounted

MIB = 1 << 20


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with mounted(tmp_path / "tmpfs", "256k") as where:
        yield where


def test_a_copy_is_a_private_file_in_the_writers_memory_and_nothing_is_on_disk(host):
    writing = Writing(host)
    before = os.umask(0)
    try:
        id_ = writing.files.keep(a_content(b"abc"))
    finally:
        os.umask(before)
    assert writing.directory is not None
    found = writing.directory / f"{id_}.media"
    raw, content = parsed(found.read_bytes())
    assert (raw.id, raw.type, raw.suffix, bytes(content)) == (id_, "image/png", ".png", b"abc")
    assert found.stat().st_mode & 0o777 == 0o600
    assert host.names() == []


def test_parts_are_copied_as_they_are_when_log_is_called(host):
    first, second = bytearray(b"first"), memoryview(bytearray(b"-s-e-c-o-n-d"))[1::2]
    writing = Writing(host)
    writing.files.keep(Content("image", "image/png", ".png", [first, b"", second, b"!" * 10], {}, {}))
    first[:] = b"other"
    assert writing.files.take_in()
    assert contents_of(writing.files) == [b"firstsecond" + b"!" * 10]


@pytest.mark.parametrize("shared", [True, False])
def test_parts_may_be_any_buffers(host, shared):
    numpy = pytest.importorskip("numpy")
    arrays = [
        numpy.arange(6, dtype=">u2").reshape(2, 3),
        numpy.arange(12, dtype="f4").reshape(3, 4)[::2, ::-1],
        numpy.zeros((0, 3), dtype="u1"),
        numpy.array(7, dtype="i8"),
        numpy.array([True, False]),
        numpy.asfortranarray(numpy.arange(6, dtype="u1").reshape(2, 3)),
    ]
    writing = Writing(host, shared=shared)
    writing.files.keep(Content("image", "image/png", ".png", [memoryview(array) for array in arrays]))
    writing.files.take_in()
    assert contents_of(writing.files) == [b"".join(array.tobytes() for array in arrays)]


def test_a_thousand_parts_are_one_file(host):
    parts = [bytes([n % 256]) * (n % 7) for n in range(3000)]
    writing = Writing(host)
    writing.files.keep(Content("image", "image/png", ".png", parts))
    writing.files.take_in()
    assert contents_of(writing.files) == [b"".join(parts)]


def test_a_kill_in_the_middle_of_a_copy_leaves_nothing_that_counts(host, monkeypatch):
    writing = Writing(host)
    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(os, "rename", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        writing.files.keep(a_content())
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert writing.directory is not None
    assert [path.name[0] for path in writing.directory.glob("*media")] == ["."]
    writing.die()
    holder = host.holder()
    assert not holder.take_in()
    assert holder.left() == holder.lost() == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError])
def test_an_interrupted_copy_is_removed_and_gives_its_room_back(host, monkeypatch, kind):
    writing = Writing(host)

    def fails(*_: object, **__: object) -> None:
        raise kind

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fails)
        if kind is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                writing.files.keep(a_content())
        else:
            writing.files.keep(a_content())  # in private memory
    assert media_bytes(host.memory) == 0


def test_more_than_log_copies_is_refused_with_what_to_do_instead(host):
    content = Content("image", "image/png", ".png", [bytes(LOGGED_BYTES_MAX), b"1"])
    with pytest.raises(TooLargeToLogError, match=r"run\.save\(path\)"):
        Writing(host).files.keep(content)


def test_the_bound_is_of_the_media_of_all_runs_and_processes(memory, disk):
    host = Host(memory, disk, memory_bytes_max=256 * 1024)
    other = Host(memory, disk, memory_bytes_max=256 * 1024)
    first, second = Writing(host), Writing(other)
    first.files.keep(a_content(bytes(100 * 1024)))
    second.files.keep(a_content(bytes(100 * 1024)))
    for writing in (first, second):
        with pytest.raises(NoRoomError):
            writing.files.keep(a_content(bytes(100 * 1024)))
    assert media_bytes(memory) <= 256 * 1024
    first.files.take_in()
    host.clock.now = other.clock.now = 200.0
    second.files.keep(a_content(bytes(100 * 1024)))


def test_media_do_not_count_as_journals_nor_journals_as_media(host, memory):
    writing = Writing(host)
    writing.files.keep(a_content(bytes(100 * 1024)))
    assert writing.directory is not None
    (writing.directory / "0-0.segment").write_bytes(bytes(64 * 1024))
    assert (used_bytes(memory), media_bytes(memory)) == (64 * 1024, 104 * 1024)


def test_where_the_file_system_is_full_the_copy_is_private_and_counted_at_risk(tmpfs, disk):
    host = Host(tmpfs, disk, memory_bytes_max=MIB)
    writing = Writing(host)
    told: list[tuple[int, int]] = []
    writing.files.on_taken = lambda taken, at_risk: told.append((taken, at_risk))
    writing.files.keep(a_content(bytes(300 * 1024)))
    assert told == [(1, 1)]
    assert writing.directory is not None
    assert list(writing.directory.glob("*media")) == []
    writing.files.take_in()
    assert told[-1] == (1, 0)
    assert contents_of(writing.files) == [bytes(300 * 1024)]


def test_private_memory_has_the_same_bound(disk):
    writing = Writing(Host(None, disk, memory_bytes_max=256 * 1024), shared=False)
    writing.files.keep(a_content(bytes(200 * 1024)))
    with pytest.raises(NoRoomError):
        writing.files.keep(a_content(bytes(100 * 1024)))
    writing.files.take_in()
    writing.files.keep(a_content(bytes(200 * 1024)))


def test_a_copy_whose_record_was_not_taken_is_removed(host, memory):
    writing = Writing(host)
    id_ = writing.files.keep(a_content())
    writing.files.discard(id_)
    assert (media_bytes(memory), writing.files.left(), writing.files.taken) == (0, 0, 0)


def test_media_that_are_removed_from_memory_are_counted_as_lost_once(host, caplog):
    writing = Writing(host)
    writing.files.keep(a_content(b"gone"))
    assert writing.directory is not None
    shutil.rmtree(writing.directory)
    writing.directory.mkdir(mode=0o700)
    writing.files.keep(a_content(b"here"))
    while writing.files.take_in():
        pass
    assert contents_of(writing.files) == [b"here"]
    assert (writing.files.lost(), writing.files.left()) == (1, 1)
    assert "removed from memory" in caplog.text


def test_without_memory_and_disk_nothing_is_taken(disk):
    host = Host(None, disk)
    paths = type(host.paths)(host.paths.local_id, None, host.paths.spool, on_disk=False)
    host.paths = paths
    writing = Writing(host, shared=False)
    with pytest.raises(NoRoomError):
        writing.files.keep(a_content())


def test_without_a_disk_files_are_in_shared_memory_and_count_as_media(memory, disk):
    host = Host(memory, disk)
    host.paths = type(host.paths)(host.paths.local_id, host.paths.memory, host.paths.spool, on_disk=False)
    writing = Writing(host)
    writing.files.keep(a_content(bytes(8192)))
    writing.files.take_in()
    assert contents_of(writing.files) == [bytes(8192)]
    assert used_bytes(memory) == 0
    assert media_bytes(memory) >= 8192


@pytest.mark.parametrize("cut", [0, 3, 4, 20, -1])
def test_a_file_in_memory_that_is_cut_is_no_file(cut):
    raw = RawMedia(id="0" * 32, type="image/png", suffix=".png", size=10, time=1)
    whole = head_of(raw) + bytes(10)
    assert parsed(whole)[0] == raw
    with pytest.raises(FormatError):
        parsed(whole[:cut])


def test_signal_handlers_and_threads_that_log_meanwhile_lose_nothing(host, monkeypatch):
    writing = Writing(host)
    rename, inner = os.rename, list[str]()

    def interrupted(*given: object, **named: object) -> None:
        if not inner:
            inner.append("")
            inner.append(writing.files.keep(a_content(b"inner")))
        rename(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", interrupted)
    writing.files.keep(a_content(b"outer"))
    monkeypatch.undo()
    writing.files.take_in()
    assert sorted(contents_of(writing.files)) == [b"inner", b"outer"]


def test_an_unwritable_memory_is_no_error_of_the_call(host, monkeypatch):
    def fails(*_: object, **__: object) -> int:
        raise OSError(errno.EIO, "broken")

    writing = Writing(host)
    with monkeypatch.context() as patched:
        patched.setattr(os, "writev", fails)
        writing.files.keep(a_content(b"private"))
    writing.files.take_in()
    assert contents_of(writing.files) == [b"private"]
