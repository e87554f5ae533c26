"""Copies of files: whole, with their holes, of regular files alone, and never a link unless that is asked for."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from blobs.waiting import Host, Writing
from steplog.blobs import copying
from steplog.blobs.copying import copy_file, open_regular
from steplog.blobs.entries import ArtifactEntry
from steplog.blobs.saving import FILES_MAX
from steplog.journal.jsonable import NoRoomError
from tmpfs import mounted

MIB = 1 << 20


def saved(host: Host, path: Path, *, immutable: bool = False) -> bytes:
    """What a file is once it was saved and taken in."""
    writing = Writing(host)
    entry = writing.files.save(path, "a/file.bin", immutable=immutable)
    while writing.files.take_in():
        pass
    found = next(one for one in writing.files.entries() if one.id == entry.id)
    assert (found.path, found.suffix) == ("a/file.bin", ".bin")
    return writing.files.read(found.sha256, 0, found.size)


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB + 17])
def test_a_copy_has_what_the_file_has(host, tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert saved(host, tmp_path / "file") == data


@pytest.mark.parametrize("without", [(), ("clone",), ("clone", "range")])
def test_each_way_to_copy_gives_the_same(tmp_path, monkeypatch, without):
    data = os.urandom(2 * MIB + 5)
    (tmp_path / "file").write_bytes(data)
    if "clone" in without:
        monkeypatch.setattr(copying, "_cloned", lambda source, target: False)
    if "range" in without:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    descriptor = open_regular(tmp_path / "file")
    try:
        assert copy_file(descriptor, tmp_path / "copy") == len(data)
    finally:
        os.close(descriptor)
    assert (tmp_path / "copy").read_bytes() == data


@pytest.mark.parametrize("holes", ["before", "after", "between", "all"])
def test_holes_stay_holes(tmp_path, holes):
    size = 64 * MIB
    with open(tmp_path / "file", "wb") as file:
        for place in {"before": [size - MIB], "after": [0], "between": [0, size - MIB], "all": []}[holes]:
            file.seek(place)
            file.write(os.urandom(MIB))
        file.truncate(size)
    descriptor = open_regular(tmp_path / "file")
    try:
        assert copy_file(descriptor, tmp_path / "copy") == size
    finally:
        os.close(descriptor)
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()
    assert (tmp_path / "copy").stat().st_blocks * 512 < 4 * MIB


def test_a_file_that_grows_is_copied_up_to_the_size_it_began_with(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"a" * MIB)
    monkeypatch.setattr(copying, "_cloned", lambda source, target: grow())

    def grow() -> bool:
        with open(tmp_path / "file", "ab") as file:
            file.write(b"b" * MIB)
        return False

    descriptor = open_regular(tmp_path / "file")
    try:
        # The size is looked at before.
        assert copy_file(descriptor, tmp_path / "copy") == MIB
    finally:
        os.close(descriptor)
    assert (tmp_path / "copy").read_bytes() == b"a" * MIB


def test_a_file_that_says_no_size_is_copied_to_its_end(tmp_path):
    descriptor = open_regular(Path("/proc/version"))
    try:
        assert copy_file(descriptor, tmp_path / "copy") > 0
    finally:
        os.close(descriptor)
    assert (tmp_path / "copy").read_bytes() == Path("/proc/version").read_bytes()


def test_a_file_that_shrinks_is_copied_as_far_as_it_goes(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"a" * MIB)
    monkeypatch.setattr(copying, "_cloned", lambda source, target: os.truncate(tmp_path / "file", 1000) is not None)
    descriptor = open_regular(tmp_path / "file")
    try:
        assert copy_file(descriptor, tmp_path / "copy") == 1000
    finally:
        os.close(descriptor)
    assert (tmp_path / "copy").read_bytes() == b"a" * 1000


def test_what_is_written_into_a_file_after_save_is_not_in_its_copy(host, tmp_path):
    (tmp_path / "file").write_bytes(b"before")
    writing = Writing(host)
    writing.files.save(tmp_path / "file", "file")
    (tmp_path / "file").write_bytes(b"after!")
    writing.files.take_in()
    entry = writing.files.entries()[0]
    assert writing.files.read(entry.sha256, 0, 100) == b"before"


def test_only_a_file_that_is_said_not_to_change_is_linked(host, tmp_path):
    (tmp_path / "file").write_bytes(b"for good")
    assert saved(host, tmp_path / "file") == b"for good"
    assert (tmp_path / "file").stat().st_nlink == 1
    assert saved(host, tmp_path / "file", immutable=True) == b"for good"
    assert (tmp_path / "file").stat().st_nlink == 2


def test_a_file_that_cannot_be_linked_is_copied(host, memory):
    (memory.parent / "elsewhere").write_bytes(b"on another file system")
    assert saved(host, memory.parent / "elsewhere", immutable=True) == b"on another file system"
    assert (memory.parent / "elsewhere").stat().st_nlink == 1


def test_a_link_is_followed_and_links_the_file_itself(host, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert saved(host, tmp_path / "link", immutable=True) == b"content"
    assert (tmp_path / "file").stat().st_nlink == 2


@pytest.mark.parametrize("kind", ["pipe", "directory", "socket", "device"])
def test_what_is_not_a_regular_file_is_refused_before_anything(host, tmp_path, kind):
    path = tmp_path / "other"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    else:
        path = Path("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        Writing(host).files.save(path, "name")
    assert host.names() == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a\0b", "a\nb", "x" * 2000, "\udc80"])
def test_a_name_that_leads_elsewhere_is_refused(host, tmp_path, name):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ValueError, match="path"):
        Writing(host).files.save(tmp_path / "file", name)
    assert host.names() == []


def test_a_missing_file_is_an_error_that_leaves_nothing(host, tmp_path):
    with pytest.raises(FileNotFoundError):
        Writing(host).files.save(tmp_path / "none", "name")
    assert host.names() == []


def test_files_on_disk_have_one_bound_over_all_runs(memory, disk, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(600 * 1024))
    host, other = Host(memory, disk, bytes_max=MIB), Host(memory, disk, bytes_max=MIB)
    dropped: list[str] = []
    first, second = Writing(host), Writing(other)
    second.files.on_drop = lambda: dropped.append("files full")
    first.files.save(tmp_path / "file", "file")
    with pytest.raises(NoRoomError, match="STEPLOG_BLOB_BYTES_MAX"):
        second.files.save(tmp_path / "file", "file")
    assert dropped == ["files full"]
    assert other.names() == []
    first.files.take_in()
    first.files.delivered(first.files.entries()[0].sha256)
    other.clock.now = 200.0
    second.files.save(tmp_path / "file", "file")


def test_a_disk_that_becomes_full_during_a_copy_drops_it_and_leaves_nothing(memory, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(600 * 1024))
    with mounted(tmp_path / "small", "512k") as small:
        host = Host(memory, small, bytes_max=MIB)
        writing = Writing(host)
        with pytest.raises(NoRoomError):
            writing.files.save(tmp_path / "file", "file")
        assert host.names() == []
        assert writing.files.left() == 0


def test_the_copies_of_an_artifact_are_all_or_none(host, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    entry = ArtifactEntry(id="a" * 32, name="m", type="model")
    writing = Writing(host)
    with pytest.raises(FileNotFoundError):
        writing.files.save_artifact(entry, [("a", tmp_path / "file"), ("b", tmp_path / "none")])
    with pytest.raises(ValueError, match="one path"):
        writing.files.save_artifact(entry, [("a", tmp_path / "file"), ("a", tmp_path / "file")])
    with pytest.raises(ValueError, match="tar"):
        writing.files.save_artifact(entry, [("a", tmp_path / "file")] * (FILES_MAX + 1))
    assert host.names() == []


def test_ctrl_c_while_an_artifact_is_copied_leaves_nothing(host, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")
    calls = []

    def interrupted(source: int, target: int) -> bool:
        calls.append(source)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(copying, "_cloned", interrupted)
    entry = ArtifactEntry(id="a" * 32, name="m", type="model")
    with pytest.raises(KeyboardInterrupt):
        Writing(host).files.save_artifact(entry, [(str(n), tmp_path / "file") for n in range(5)])
    assert host.names() == []


def test_two_threads_that_save_the_same_file_keep_its_content_once(host, tmp_path):
    (tmp_path / "file").write_bytes(b"the same")
    writing = Writing(host)
    threads = [threading.Thread(target=writing.files.save, args=(tmp_path / "file", f"{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while writing.files.take_in():
        pass
    assert sorted(entry.path for entry in writing.files.entries()) == ["0", "1", "2", "3"]
    assert len([name for name in host.names() if len(name) == 64]) == 1
