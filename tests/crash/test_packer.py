"""With strace: a packer that is killed at each of its system calls loses nothing and leaves nothing half done.

The next one goes on. The run has everything in it: new names, a series that goes to chunks with its points in older
blocks, blocks that are merged, large texts, a row that cannot be read, points without a step, and its end.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from crash.system_calls import CALLS, sample, why_not
from polling import wait_until
from server.batches import range_of
from server.logged import LoggedRun, expected
from server.process import DEADLINE_S, SOURCES
from steplog.journal.range import Range
from steplog.server.sql.packing import CHUNK_POINTS, pack_run
from steplog.server.sqlite.database_file import check_left_log
from steplog.server.sqlite.packer import file_id

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"kills at system calls need strace: {why_not()}")
PACKER = """
import os, sys
from pathlib import Path
from steplog.server.sqlite.packer import Packer
packer = Packer(Path(sys.argv[1]), sys.argv[2], lambda line: None)
print("ready", flush=True)
sys.stdin.readline()
while packer.work():
    pass
os._exit(0)
"""
PARTS = 16  # of all calls
LOST = 4  # points of "slow", in a row that cannot be read


def batches() -> list[Range]:
    """What a loop logs, and now and then a validation."""
    made: list[Range] = []
    for first in range(0, CHUNK_POINTS + 40, 100):
        end = min(first + 100, CHUNK_POINTS + 40)
        made.append(range_of([("loss", at + 0.5, at) for at in range(first, end)], first))
        made.append(range_of([("slow", at) for at in range(LOST)], LOST * (first // 100), "validation"))
        made.append(range_of([(f"new {first}", b'"%s"' % (b"x" * 3000 * (first // 500))), ("text", b"null")]))
    return made


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose run is half packed."""
    run = LoggedRun(tmp_path_factory.mktemp("prepared") / "server.db")
    ranges = batches()
    for batch in ranges[:-6]:
        run.append(batch)
        pack_run(run.connection, run.id)
    run.append(*ranges[-6:-1])
    run.append(ranges[-1])
    run.connection.execute(
        "UPDATE log SET body = x'00' WHERE names = 1 AND records = 4 AND id = (SELECT max(id) - 1 FROM log)"
    )
    run.connection.execute("UPDATE runs SET status = 'COMPLETED'")
    assert run.count("blocks") > 10
    assert run.count("chunks") == 0
    run.connection.close()
    return run.database


@contextmanager
def traced(database: Path, options: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A packer that waits for a line, and is traced by then."""
    packer = subprocess.Popen(
        [sys.executable, "-c", PACKER, str(database), file_id(database)],
        env={"PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert packer.stdin is not None
    assert packer.stdout is not None
    assert packer.stdout.readline() == "ready\n"
    status = Path(f"/proc/{packer.pid}/status")
    tracer = subprocess.Popen(
        ["strace", "-qqq", "-e", f"trace={','.join(CALLS)}", *options, "-p", str(packer.pid)],
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        # One that is killed in the call in which it waits may be gone before this looks.
        wait_until(lambda: packer.poll() is not None or "TracerPid:\t0\n" not in status.read_text())
        with suppress(BrokenPipeError):  # killed while it waited
            packer.stdin.write("\n")
            packer.stdin.flush()
        packer.wait(DEADLINE_S)
        yield packer
    finally:
        packer.kill()
        packer.communicate()
        tracer.wait()


def copied(database: Path, to: Path) -> Path:
    to.mkdir()
    return Path(shutil.copy(database, to / database.name))


@pytest.fixture(scope="module")
def calls(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """Every (call, number) that a packer of this run comes to."""
    directory = tmp_path_factory.mktemp("counted")
    database = copied(prepared, directory / "database")
    with traced(database, ["-o", str(directory / "trace")]) as packer:
        assert packer.returncode == 0
    check_all(database)
    found = Counter(re.findall(r"^(\w+)\(", (directory / "trace").read_text(), re.MULTILINE))
    return [(call, number) for call in sorted(found) for number in range(1, found[call] + 1)]


def check_all(database: Path) -> None:
    """Nothing is lost or twice, at once and after another packer."""
    check_left_log(database)
    run = LoggedRun.existing(database)
    whole = expected(batches())
    for _ in range(2):
        found = run.points()
        assert [point.value for point in found["slow"]] == [point.value for point in whole["slow"]][:-LOST]
        assert {name: points for name, points in found.items() if name != "slow"} == {
            name: points for name, points in whole.items() if name != "slow"
        }
        while pack_run(run.connection, run.id):
            pass
    assert (run.count("log"), run.count("blocks"), run.count("sealed"), run.progress("sealed")) == (0, 1, 1, LOST)
    assert run.count("chunks") == run.count("points") == 1
    run.connection.close()


def kill_at(prepared: Path, directory: Path, roots: Sequence[tuple[str, int]]) -> int:
    killed = 0
    for at, (call, number) in enumerate(roots):
        database = copied(prepared, directory / str(at))
        with traced(database, ["-e", f"inject={call}:signal=KILL:when={number}"]) as packer:
            killed += packer.returncode == -signal.SIGKILL
        check_all(database)
    return killed


def test_a_packer_killed_at_a_system_call_loses_nothing(prepared, calls, tmp_path):
    assert len(calls) > 100
    assert kill_at(prepared, tmp_path, sample(calls, 2, random.Random())) > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_packer_killed_at_any_system_call_loses_nothing(prepared, calls, tmp_path, part):
    some = calls[part::PARTS]
    assert kill_at(prepared, tmp_path, some) > 0.9 * len(some)
