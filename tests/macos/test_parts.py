"""Parts that ask macOS for other things than Linux, by the shim."""

from __future__ import annotations

from pathlib import Path

import pytest

from macos.mac import Mac

MAPPED = """
import mmap, os, sys
from pathlib import Path
from steplog.journal.memory import MemoryPool
from steplog.private_files import make_private
root = Path(sys.argv[1])
make_private(root)
pool = MemoryPool(root, root)
blocks = [pool.allocate(16384, shared=True) for _ in range(400)]
assert all(blocks), pool.words()
blocks[7].memory[:4] = b"seen"
assert blocks[7].path.read_bytes()[:4] == b"seen"
print(len(os.listdir("/dev/fd")) < 50)
"""
ALLOCATED = """
import os, sys
from steplog.file_system import allocate
def put(name, data, size):
    path = os.path.join(sys.argv[1], name)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, data)
    allocate(descriptor, size)
    os.close(descriptor)
    assert os.stat(path).st_blocks * 512 >= size
    return open(path, "rb").read()
assert put("new", b"", 1_000_001) == bytes(1_000_001)
assert put("short", b"kept", 5000) == b"kept" + bytes(4996)
assert put("long", b"kept" * 5000, 5000) == b"kept" * 5000
"""
COPIED = """
import os, sys
from pathlib import Path
from steplog.blobs.copying import copy_file, open_regular
def no_seek(descriptor, place, how, original=os.lseek):
    assert how not in (os.SEEK_DATA, os.SEEK_HOLE), "on APFS that may skip what was just written"
    return original(descriptor, place, how)
os.lseek = no_seek
path = Path(sys.argv[1]) / "source"
with open(path, "wb") as file:
    file.write(b"begin")
    file.seek(32 << 20)
    file.write(b"end")
copy = path.with_name("copy")
assert copy_file(open_regular(path), copy) == (32 << 20) + 3
assert copy.read_bytes() == path.read_bytes()
assert copy.stat().st_blocks * 512 < 4 << 20, "its hole is no hole"
"""
HOST = """
from steplog.host import boot_id, host_id
print(host_id(), boot_id())
"""
STORED = """
import sys
from pathlib import Path
from steplog.server.sqlite.schema import connect
connection = connect(Path(sys.argv[1]) / "a.db")
print(*connection.execute("PRAGMA fullfsync").fetchone(), *connection.execute("PRAGMA synchronous").fetchone())
connection.close()
"""
REFUSED = """
import os, socket, sys
from pathlib import Path
from steplog.errors import NotPrivateError
from steplog.private_files import open_private
def as_there(path, flags, mode=0o777, *, dir_fd=None, original=os.open):
    if path == "socket":
        raise OSError(errno.EOPNOTSUPP, "Operation not supported on socket")
    return original(path, flags, mode, dir_fd=dir_fd)
import errno
os.open = as_there
try:
    open_private(Path(sys.argv[1]) / "socket", os.O_RDONLY)
except NotPrivateError as error:
    print(error)
"""


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    made = Mac(tmp_path)
    (tmp_path / "here").mkdir(mode=0o700)
    return made


def test_hundreds_of_mappings_fit_into_256_open_files_and_sync_nothing(mac, tmp_path):
    assert mac.run("-c", MAPPED, str(tmp_path / "memory")).stdout == "True\n"
    assert mac.syncs() == {}


@pytest.mark.parametrize("code", [ALLOCATED, COPIED], ids=["allocate", "copy"])
def test_a_file_is_allocated_by_zeros_and_copied_by_reading(mac, tmp_path, code):
    mac.run("-c", code, str(tmp_path / "here"))


def test_a_host_and_its_start_are_told_by_libc(mac):
    first, again, other = (mac.run("-c", HOST, **given).stdout.split() for given in ({}, {}, {"MAC_HOST": "ab" * 16}))
    assert first == again
    assert first[1] == other[1]
    assert len({first[0], other[0], "0" * 16}) == 3


def test_where_libc_tells_no_host_it_is_that_of_this_start(mac):
    [first] = {mac.run("-c", HOST, MAC_HOST="00" * 16).stdout.split()[0] for _ in range(2)}
    later = mac.run("-c", HOST, MAC_HOST="00" * 16, MAC_BOOT="another").stdout.split()[0]
    assert len({first, later, "0" * 16}) == 3


def test_a_commit_of_the_server_leaves_the_drives_cache(mac, tmp_path):
    assert mac.run("-c", STORED, str(tmp_path / "here")).stdout == "1 2\n"


def test_a_socket_in_the_place_of_a_file_is_refused_in_words(mac, tmp_path):
    place = tmp_path / "here"
    assert mac.run("-c", REFUSED, str(place)).stdout == f"{place / 'socket'} is not a file\n"
