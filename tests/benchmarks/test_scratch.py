"""What killed benchmarks and tests leave is removed by the next ones, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import postgresql
from benchmarks import scratch

ROOT = Path(__file__).parents[2]
HOLDS = """
import pathlib, sys
from benchmarks import scratch
print(scratch.make("test", pathlib.Path(sys.argv[1])), flush=True)
"""
FORKS = "\nimport os\nif os.fork(): os.kill(os.getpid(), 9)\n"
QUITS = """
import signal, sys
signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # which a shell has what it starts in the background ignore
print(flush=True)
sys.stdin.read()
"""
WAITS = "\nsys.stdin.read()\n"


@contextmanager
def program(text: str, place: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A process that makes a directory, and that directory."""
    command = [sys.executable, "-c", text, str(place)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = Path(process.stdout.readline().strip())
        (made / "0" / "segment").mkdir(parents=True)
        yield made, process


def test_what_a_killed_process_held_is_removed_and_what_a_living_one_holds_is_not(tmp_path):
    with program(HOLDS + WAITS, tmp_path) as (left, process):
        assert scratch.sweep([tmp_path], young_s=0.0) == []
        process.kill()
        process.wait()
        assert scratch.sweep([tmp_path]) == []  # it is younger than a minute
        assert scratch.sweep([tmp_path], young_s=0.0) == [left]
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_not_left_while_a_fork_of_the_process_that_was_killed_lives(tmp_path):
    with program(HOLDS + FORKS + WAITS, tmp_path) as (left, process):
        assert process.wait() == -signal.SIGKILL
        assert scratch.sweep([tmp_path], young_s=0.0) == []
        assert left.exists()


def test_what_has_another_name_is_a_link_or_is_another_users_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "steplog-0").mkdir()
    (tmp_path / "steplog-test-abcd.held").symlink_to(tmp_path / "elsewhere")
    if os.geteuid() == 0:
        (tmp_path / "steplog-test-other.held").mkdir()
        os.chown(tmp_path / "steplog-test-other.held", 1, -1)
    before = sorted(tmp_path.iterdir())
    assert scratch.sweep([tmp_path], young_s=0.0) == []
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_removed_keeps_no_descriptor(tmp_path):
    before = len(os.listdir("/dev/fd"))
    path = scratch.make("test", tmp_path)
    assert (path.stat().st_mode & 0o777, path.parent) == (0o700, tmp_path)
    scratch.remove(path)
    assert (path.exists(), len(os.listdir("/dev/fd"))) == (False, before)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_postgresql_that_is_left_is_stopped_and_no_process_that_has_got_its_id(tmp_path, inside):
    data = tmp_path / "steplog-pg-abcd.held" / "pg" / "data"
    data.mkdir(parents=True)
    place = data if inside else tmp_path  # PostgreSQL works there
    command = [sys.executable, "-c", QUITS]
    with subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        (data / "postmaster.pid").write_text(f"{server.pid}\n{data}\n")
        assert scratch.sweep([tmp_path], young_s=0.0) == [tmp_path / "steplog-pg-abcd.held"]
        if inside:
            assert server.wait(10) == -signal.SIGQUIT
        else:
            assert server.poll() is None
            server.kill()


def test_a_cluster_of_the_tests_has_its_shared_memory_in_its_directory():
    """Each that was killed left segments in /dev/shm, which no other removes."""
    with psycopg.connect(postgresql.cluster().url()) as connection:
        assert connection.execute("SHOW dynamic_shared_memory_type").fetchone() == ("mmap",)
    left = {path.parent.parent for path in (postgresql.cluster().data / "pg_dynshmem").iterdir()}
    assert left == {postgresql.cluster().data}
