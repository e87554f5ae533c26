"""With strace: kills at system calls, and what a healthy run does to the disk.

A sample of the calls; ``python -m tests.crash --system-calls`` takes all of them.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.system_calls import SmallRuns, sample, why_not
from server.process import KEY, SOURCES, ServerProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=f"kills at system calls need strace: {why_not()}"),
]
KILLS = 6
HEALTHY = """
import os, sys, steplog
run = steplog.init("team", "healthy", "run")
for number in range(100_000):
    run.log("loss", number + 0.5, number)
    if number % 1000 == 0:
        run.flush()
assert run.finish().delivered == 100_000
"""
CHANGES = (
    "write,writev,pwrite64,pwritev,sendfile,copy_file_range,splice,openat,open,creat,mkdir,mkdirat,rename,renameat,"
    "renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,truncate,ftruncate,fallocate,fsync,fdatasync,msync,"
    "sync,syncfs,sync_file_range,mknod,mknodat,mmap"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--allow-host", "127.0.0.1") as started:
        yield started


def test_kills_at_system_calls_lose_nothing(server: ServerProcess):
    counting = SmallRuns(server, random.Random(0))
    roots = counting.count()
    assert not counting.outcome.wrong
    assert len(roots) > 200
    source = random.Random()
    runs = SmallRuns(server, source)
    killed = runs.kill_at(sample(roots, KILLS, source))
    assert not runs.outcome.wrong
    assert killed > KILLS / 2  # timing moves the last few out of reach


def changed(trace: Path, below: Path) -> Counter[tuple[str, str]]:
    """Calls that change something below a directory, and which file, with what is random in its name left out."""
    found: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if not match or str(below) not in line or " = -1 " in line:
            continue
        call = match[1]
        if call == "openat" and not re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", line):
            continue
        if call == "mmap" and not re.search(r"PROT_WRITE.*MAP_SHARED", line):
            continue
        names = re.findall(re.escape(str(below)) + r"([^\s\">,]*)", line)
        found[call, re.sub(r"[0-9a-f]{8,}", "*", names[-1])] += 1
    return found


def test_while_the_server_keeps_up_a_run_writes_its_manifest_lock_and_directories(
    server: ServerProcess, tmp_path: Path
):
    trace, state = tmp_path / "trace", tmp_path / "state"
    environment = os.environ | {
        "PYTHONPATH": str(SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "STEPLOG_DIR": str(state),
        "STEPLOG_URL": server.url,
        "STEPLOG_API_KEY": KEY,
    }
    done = subprocess.run(
        ["strace", "-f", "-qqq", "-y", "-e", f"trace={CHANGES}", "-o", str(trace), sys.executable, "-c", HEALTHY],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = changed(trace, tmp_path)
    files = {name for _, name in found}
    print(found)
    assert ("write", "/state/*.*/.manifest.*") in found
    assert files <= {
        "/state",
        "/state/*.*",
        "/state/*.*.*.new",
        "/state/*.*.*.new/lock",
        "/state/*.*/.manifest.*",
        "/state/*.*/manifest",
    }, found
    assert sum(number for (call, _), number in found.items() if call == "write") <= 8, found
    assert not {call for call, _ in found} & {"fsync", "fdatasync", "msync", "sync", "syncfs", "mmap", "ftruncate"}, (
        found
    )
    assert not list(state.iterdir())  # all is delivered, and nothing is left
