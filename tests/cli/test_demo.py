"""``steplog demo`` in a short form: everything arrives once, and nothing and nobody is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polling import wait_until
from server.process import DEADLINE_S, SOURCES

SECONDS = "4"


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCES), "TMPDIR": str(directory)}
    # What is set here is nothing to the demo.
    environment |= {
        "STEPLOG_URL": "http://127.0.0.1:9",
        "STEPLOG_API_KEY": "another",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "steplog", "demo", "--seconds", SECONDS, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_nothing_is_lost_or_twice_though_the_server_goes_away_and_a_worker_is_killed(tmp_path):
    with demo(tmp_path, "--json") as process:
        printed, errors = process.communicate(timeout=2 * DEADLINE_S)
    assert (process.returncode, errors) == (0, "")
    told = json.loads(printed)
    assert told["good"]
    assert [run["status"] for run in told["runs"]] == ["COMPLETED", "CRASHED", "COMPLETED"]
    total = told["total"]
    assert (total["lost"], total["twice"], total["wrong"]) == (0, 0, 0)
    assert total["delivered"] == total["calls"] >= sum(phase["calls"] for phase in told["log"].values()) > 1000
    assert told["waited"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_it_prints_where_nobody_looks_is_plain_lines_and_what_it_keeps_is_named(tmp_path):
    with demo(tmp_path, "--keep") as process:
        printed, errors = process.communicate(timeout=2 * DEADLINE_S)
    assert (process.returncode, errors) == (0, "")
    assert "\x1b" not in printed
    assert "Every call is in the server's database, once." in printed
    (kept,) = tmp_path.iterdir()
    assert f"steplog serve --db {kept}/server.db" in printed
    assert {path.name for path in kept.iterdir()} == {"server.db", "server.db.lock"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_its_processes_end_with_it_however_it_ends(tmp_path, number):
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert "workers train" in process.stdout.readline()
        children = _children(process.pid)
        memory = _memory_of(children[-1])
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert len(children) == 4  # a server, three workers
    wait_until(lambda: not any(_lives(child) for child in children))
    if number == signal.SIGKILL:
        shutil.rmtree(memory)  # nobody else could
    else:
        assert process.returncode == 130
        assert errors == "steplog: demo interrupted; nothing is left on this machine\n"
        assert list(tmp_path.iterdir()) == []
        assert not memory.exists()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(child) for task in tasks for child in (task / "children").read_text().split())


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # empty: dead, and not fetched by its parent
    except OSError:
        return False


def _memory_of(pid: int) -> Path:
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (found,) = (entry for entry in environment if entry.startswith(b"STEPLOG_MEMORY_DIR="))
    return Path(found.partition(b"=")[2].decode()).parent
