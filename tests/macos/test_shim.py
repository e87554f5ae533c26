"""The shim itself: what it takes away is what macOS lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from macos.mac import SHIM, Mac
from macos.stubs import NEVER, directory, lacking, written

NAMES = """
import errno, fcntl, json, mmap, os, resource, select, signal, socket, sys, time
lacking = json.loads(sys.stdin.readline())
modules = {name: globals()[name] for name in lacking if name in globals()}
print(json.dumps([f"{module}.{name}" for module, found in modules.items() for name, minor in lacking[module].items()
                  if sys.version_info < (3, minor) and hasattr(found, name)]))
"""
HIDDEN = """
import os, pathlib
for path in ("/proc/self/stat", "/sys/fs/cgroup", "/dev/shm", "/etc/machine-id"):
    for look in (os.stat, os.lstat, os.listdir, os.scandir, os.statvfs, open, lambda path: os.open(path, os.O_RDONLY)):
        try:
            look(path)
        except FileNotFoundError:
            continue
        raise SystemExit(f"{path} is there for {look}")
    assert not os.path.exists(path) and not pathlib.Path(path).exists() and not os.access(path, os.R_OK)
"""
SYSTEM = """
import multiprocessing, os, platform, resource, socket, sys
assert (sys.platform, platform.system(), os.uname().sysname) == ("darwin",) + 2 * ("Darwin",)
assert multiprocessing.get_start_method() == "spawn"
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 256
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 2**20
for name in ("/tmp/" + 99 * "x", "\\0abstract"):
    try:
        socket.socket(socket.AF_UNIX).bind(name)
    except OSError:
        continue
    raise SystemExit(f"{name} was taken")
"""


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    return Mac(tmp_path)


def stubs() -> Path:
    found = directory()
    if found is None:
        pytest.skip("mypy, which brings typeshed's stubs, is not installed")
    return found


def test_the_list_of_names_is_that_of_typeshed():
    """Made by ``python -m tests.macos.stubs``."""
    assert (SHIM / "lacking.txt").read_text() == written(lacking(stubs()))


def test_no_name_is_left_that_macos_lacks(mac):
    names = json.dumps(lacking(stubs()))
    done = mac.run("-c", f"import io, sys\nsys.stdin = io.StringIO({names!r})\n{NAMES}")
    assert json.loads(done.stdout) == []


def test_the_list_has_what_is_known_to_be_missing():
    names = lacking(stubs())
    for name in ("posix_fallocate", "fdatasync", "memfd_create", "copy_file_range", "pipe2", "sched_getaffinity"):
        assert names["os"][name] == NEVER
    assert names["fcntl"]["F_OFD_SETLK"] == 11
    assert "sendfile" not in names["os"]
    assert "pthread_sigmask" not in names["signal"]


@pytest.mark.parametrize("code", [HIDDEN, SYSTEM], ids=["files", "system"])
def test_what_linux_alone_has_is_not_there(mac, code):
    mac.run("-c", code)
