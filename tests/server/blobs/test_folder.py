"""Contents in a folder: whole under their name or not at all, whoever sends them, however often."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server.process import SOURCES
from steplog.errors import NotPrivateError
from steplog.server.blobs import folder as folder_module
from steplog.server.blobs.content_store import WrongContentError
from steplog.server.blobs.folder import FolderContents

APPEND = """
import sys
from pathlib import Path
from steplog.server.blobs.folder import FolderContents

contents, data = FolderContents(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes()
at = 0
while at < len(data):
    at = contents.append("aa-1", at, data[at : at + 1000])
"""


def sha_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


def test_the_folder_and_all_in_it_are_this_user_s_alone(root):
    contents = FolderContents(root)
    contents.append("aa-1", 0, b"x")
    contents.verify("aa-1", sha_of(b"x"), 1)
    contents.put("aa-1", sha_of(b"x"))
    contents.append("aa-2", 0, b"y")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
    assert modes == {0o700, 0o600}
    assert (root / sha_of(b"x")[:2] / sha_of(b"x")).read_bytes() == b"x"


def test_a_folder_that_others_may_write_in_is_refused(root):
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    with pytest.raises(NotPrivateError):
        FolderContents(root)


def test_a_content_under_way_is_read_again_where_another_process_began_it(root):
    data = random.Random(1).randbytes(3000)
    FolderContents(root).append("aa-1", 0, data[:1000])
    contents = FolderContents(root)
    assert contents.append("aa-1", 1000, data[1000:]) == 3000
    contents.verify("aa-1", sha_of(data), 3000)


def test_parts_of_two_processes_make_one_content(root, tmp_path):
    data = random.Random(2).randbytes(200_000)
    (tmp_path / "data").write_bytes(data)
    command = [sys.executable, "-c", APPEND, str(root), str(tmp_path / "data")]
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    senders = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [sender.wait(60) for sender in senders] == [0, 0]
    contents = FolderContents(root)
    contents.verify("aa-1", sha_of(data), len(data))


def test_a_part_that_cannot_be_written_leaves_the_upload_as_it_was(root, monkeypatch):
    contents = FolderContents(root)
    contents.append("aa-1", 0, b"12345")
    pwrite = os.pwrite
    failures = [True]

    def fail(descriptor: int, data: bytes, offset: int) -> int:
        if offset > 5:
            raise OSError(errno.EIO, "Input/output error")
        return pwrite(descriptor, data[:1] if failures else data, offset)

    monkeypatch.setattr(folder_module.os, "pwrite", fail)
    with pytest.raises(OSError, match="Input/output"):
        contents.append("aa-1", 5, b"67890")
    assert contents.uploaded("aa-1") == 5
    failures.clear()
    assert contents.append("aa-1", 5, b"67890") == 10
    contents.verify("aa-1", sha_of(b"1234567890"), 10)


def test_nothing_is_added_where_too_little_would_be_left(root, monkeypatch):
    contents = FolderContents(root)
    contents.append("aa-1", 0, b"x")
    monkeypatch.setattr(folder_module, "RESERVE_BYTES", 2**62)
    assert contents.free_bytes() == 0
    with pytest.raises(OSError) as raised:  # noqa: PT011 - by its number
        contents.append("aa-1", 1, b"y")
    assert raised.value.errno == errno.ENOSPC
    assert contents.uploaded("aa-1") == 1


def test_what_comes_between_check_and_end_is_not_taken_into_the_content(root):
    contents = FolderContents(root)
    contents.append("aa-1", 0, b"right")
    contents.verify("aa-1", sha_of(b"right"), 5)
    contents.append("aa-1", 5, b" and more")
    with pytest.raises(OSError, match="has changed"):
        contents.put("aa-1", sha_of(b"right"))
    assert contents.size(sha_of(b"right")) is None


def test_who_ends_an_upload_that_was_found_wrong_gets_nobody_else_s_content(root):
    contents = FolderContents(root)
    contents.append("aa-1", 0, b"secret")
    contents.verify("aa-1", sha_of(b"secret"), 6)
    contents.put("aa-1", sha_of(b"secret"))
    contents.append("bb-1", 0, b"guess!")
    with pytest.raises(WrongContentError):
        contents.verify("bb-1", sha_of(b"secret"), 6)
    with pytest.raises(OSError, match="has changed"):  # another request that brought the last part, too
        contents.verify("bb-1", sha_of(b"secret"), 6)


def test_a_content_that_is_read_while_it_is_removed_is_read_to_its_end(root):
    contents, data = FolderContents(root), random.Random(3).randbytes(3 << 20)
    contents.append("aa-1", 0, data)
    contents.verify("aa-1", sha_of(data), len(data))
    contents.put("aa-1", sha_of(data))
    parts = contents.read(sha_of(data), 0, len(data))
    read = next(parts)
    contents.remove(sha_of(data))
    assert b"".join([read, *parts]) == data
    assert contents.size(sha_of(data)) is None


def test_threads_that_send_one_content_at_once_share_the_upload(root):
    contents, data = FolderContents(root), random.Random(4).randbytes(100_000)

    def send() -> None:
        at = 0
        while at < len(data):
            at = contents.append("aa-1", at, data[at : at + 977])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents.verify("aa-1", sha_of(data), len(data))


@pytest.mark.parametrize("name", ["../x", "", "a/b", "A" * 64, "x" * 64])
def test_no_name_leads_out_of_the_folder(root, name):
    contents = FolderContents(root)
    for call in (contents.size, contents.remove, lambda name: contents.read(name, 0, 1)):
        with pytest.raises(ValueError, match="not a SHA-256"):
            call(name)
    with pytest.raises(ValueError, match="not a key"):
        contents.append(f"/{name}", 0, b"x")
