"""Shared memory is everybody's: a directory of somebody else's is left alone, and all processes of a user agree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steplog import default_paths
from steplog.default_paths import make_memory_directory, memory_directories
from steplog.journal.directories import JournalRoots, new_id
from steplog.private_files import make_private
from users import needs_users, other_user, while_user

__all__ = ["other_user"]

UID = os.geteuid()
PLAIN = f"steplog-{UID}"
PRELUDE = """
import os, signal, sys
from pathlib import Path
from steplog import default_paths
default_paths.SHARED_MEMORY = Path(sys.argv[1])
import steplog
"""


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A shared memory of the test's own, open to all as the system's, without a steplog directory."""
    path = Path(os.environ["STEPLOG_MEMORY_DIR"])
    monkeypatch.delenv("STEPLOG_MEMORY_DIR")
    path.chmod(0o1777)
    monkeypatch.setattr(default_paths, "SHARED_MEMORY", path)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def program(shared: Path, tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"STEPLOG_DIR": str(tmp_path / "spool"), "STEPLOG_MODE": "offline"}
    command = [sys.executable, "-c", PRELUDE + code, str(shared)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


KILLED = """
run = steplog.init(project="p", name=sys.argv[2] if len(sys.argv) > 2 else "killed")
for number in range(100):
    run.log("loss", number)
if not os.fork():
    for number in range(50):
        run.log("child", number)
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
os.kill(os.getpid(), signal.SIGKILL)
"""
LISTED = "print([(run.name, run.pending) for run in steplog.journals()])"


def test_the_plain_name_is_made_where_nobody_has_it_and_found_again(shared):
    """As 0.1 makes it: what waits is found after an upgrade, and after a step back."""
    assert memory_directories() == []
    assert make_memory_directory() == shared / PLAIN
    assert make_memory_directory() == shared / PLAIN
    assert (shared / PLAIN).stat().st_mode & 0o777 == 0o700
    assert memory_directories() == [shared / PLAIN]


def test_looking_for_runs_makes_no_directory(shared, tmp_path):
    done = program(shared, tmp_path, LISTED)
    assert (done.stdout, done.stderr, list(shared.iterdir())) == ("[]\n", "", [])


def test_what_is_no_directory_of_ours_alone_does_not_count(shared):
    (shared / PLAIN).mkdir()
    (shared / PLAIN).chmod(0o777)
    (shared / f"{PLAIN}-1").symlink_to(shared / PLAIN)
    (shared / f"{PLAIN}-2").write_text("")
    make_private(shared / f"{PLAIN}0")
    make_private(shared / f"steplog-{UID + 1}")
    assert memory_directories() == []
    made = make_memory_directory()
    assert made is not None
    assert made.name.startswith(f"{PLAIN}-")
    assert len(made.name) == len(PLAIN) + 17
    assert memory_directories() == [made]


def test_it_is_the_systems_shared_memory_that_is_looked_at():
    assert Path("/dev/shm") == default_paths.SHARED_MEMORY


def test_without_shared_memory_nothing_is_made(shared, monkeypatch):
    monkeypatch.setattr(default_paths, "SHARED_MEMORY", shared / "missing")
    assert (make_memory_directory(), memory_directories()) == (None, [])
    assert not (shared / "missing").exists()


def test_processes_that_each_made_a_root_at_the_same_time_find_each_others_runs(shared, tmp_path, monkeypatch):
    """No order of looks and makes rules this out: the first by name may be made after the other was chosen."""
    (shared / PLAIN).write_text("somebody's")
    looked, look = [list[Path]()], memory_directories
    with monkeypatch.context() as patch:
        patch.setattr(default_paths.secrets, "token_hex", lambda size: "f" * 2 * size)
        first = make_memory_directory()
    with monkeypatch.context() as patch:  # it looked before the first was there, and made its own after that
        patch.setattr(default_paths.secrets, "token_hex", lambda size: "0" * 2 * size)
        patch.setattr(default_paths, "memory_directories", lambda: looked.pop() if looked else look())
        second = make_memory_directory()
    assert first is not None
    assert memory_directories() == [second, first]
    local_id, host = new_id(), "0" * 16
    paths, lock = JournalRoots(first, tmp_path / "spool", host).claim(local_id)
    found = JournalRoots(second, tmp_path / "spool", host, (first,))
    assert [run.memory for run in found.runs()] == [paths.memory]
    joined, taken = found.claim(local_id)
    assert (joined, taken) == (paths, None)
    assert lock is not None
    lock.release()


def squat(shared: Path) -> None:
    forged = shared / PLAIN / f"{'a' * 32}.{'0' * 16}" / ("b" * 32)
    forged.mkdir(parents=True, mode=0o777)
    (forged.parent / "manifest").write_text("{}")
    (shared / PLAIN).chmod(0o777)


@pytest.mark.slow
@needs_users
def test_a_root_that_another_user_has_made_is_left_alone_and_all_processes_agree(shared, tmp_path, other_user):
    """The run of the user went without shared memory, and a kill lost what was not on disk yet."""
    while_user(other_user, lambda: squat(shared))
    before = sorted(shared.rglob("*"))
    killed = program(shared, tmp_path, KILLED)
    assert killed.returncode == -9
    assert "shared memory" not in killed.stderr
    (made,) = set(shared.iterdir()) - {shared / PLAIN}
    assert list(made.glob("*/*/*.segment"))
    again = program(shared, tmp_path, KILLED)
    assert again.returncode == -9
    assert set(shared.iterdir()) == {shared / PLAIN, made}
    assert program(shared, tmp_path, LISTED).stdout == "[('killed', 150), ('killed', 150)]\n"
    assert [path for path in sorted(shared.rglob("*")) if made not in (path, *path.parents)] == before


@needs_users
def test_a_root_of_another_name_is_still_found_after_the_plain_one_is_ours(shared, tmp_path, other_user):
    while_user(other_user, lambda: squat(shared))
    assert program(shared, tmp_path, KILLED).returncode == -9
    shutil.rmtree(shared / PLAIN)
    make_private(shared / PLAIN)  # as a program with steplog 0.1 makes it
    assert program(shared, tmp_path, KILLED).returncode == -9
    assert len(list(shared.glob("*/*.*"))) == 2
    assert list((shared / PLAIN).glob("*.*"))
    assert program(shared, tmp_path, LISTED).stdout == "[('killed', 150), ('killed', 150)]\n"
