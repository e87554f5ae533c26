"""Shared memory as small as a container's, and all of its users at once: sixteen workers that log, and a neighbour."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, go_on, line
from steplog.journal.memory import SEGMENT_BYTES_MIN
from tmpfs import mounted

MIB = 1024 * 1024
SIZE = 16 * MIB
WORKERS = 16
CALLS = 10_000

# As PyTorch's data loaders do it: a sparse file, whose pages come as they are touched.
NEIGHBOUR = f"""
import mmap, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(descriptor, {SIZE // 2})
memory = mmap.mmap(descriptor, {SIZE // 2})
for place in range(0, {SIZE // 2}, mmap.PAGESIZE):
    memory[place] = 1
    time.sleep(0.001)
print("touched", flush=True)
sys.stdin.readline()
"""
LOGS_HARD = f"""
from steplog.journal.memory import used_bytes
from pathlib import Path
from polling import wait_until
memory = Path(os.environ["STEPLOG_MEMORY_DIR"])
run = begin()
print("ready", flush=True)
sys.stdin.readline()
children, most = [], 0
reading, writing = os.pipe()
for child in range({WORKERS}):
    pid = os.fork()
    if pid == 0:
        for number in range({CALLS}):
            run.log(f"child {{child}}", number)
            if number % 500 == 0:
                time.sleep(0.01)
        os.write(writing, b"%d\\n" % sum(run.stats().dropped.values()))
        sys.exit(0)  # one that comes so late that memory is full goes over the disk, and would lose its last second
    children.append(pid)
os.close(writing)
def all_ended():
    global children, most
    most = max(most, used_bytes(memory))
    pid, code = os.waitpid(children[0], os.WNOHANG)
    assert code == 0
    children = children[1:] if pid else children
    return not children
wait_until(all_ended, 60)
with os.fdopen(reading) as said:
    print(most, sum(map(int, said)), flush=True)
sys.stdin.readline()
print(run.finish().dropped.get("memory full", 0), flush=True)
"""


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "shm", SIZE) as where:
        yield where


@pytest.mark.slow
def test_sixteen_workers_leave_half_of_a_small_memory_free_and_count_what_they_lose(host: Host, tmpfs: Path):
    neighbour = subprocess.Popen(
        [sys.executable, "-c", NEIGHBOUR, str(tmpfs / "loader")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with neighbour, host.start(LOGS_HARD, STEPLOG_MEMORY_DIR=str(tmpfs / "steplog")) as program:
        try:
            assert line(program) == "ready"
            with host.silence():
                go_on(program)
                most, dropped = map(int, line(program).split())
            go_on(program)
            done = ended(program)
            assert line(neighbour) == "touched"
            go_on(neighbour)
            assert ended(neighbour).code == 0
        finally:
            neighbour.kill()
    assert done.code == 0, done.errors
    assert int(done.out) == dropped
    # Each of them may take one segment in the instant in which another takes the last room, and give it back then.
    assert most <= SIZE // 8 + WORKERS * SEGMENT_BYTES_MIN
    assert host.server.run("run").points == WORKERS * CALLS - dropped
    assert not os.listdir(tmpfs / "steplog")
