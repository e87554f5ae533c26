"""A lock has one holder, and is free exactly when that process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import held_descriptors
from steplog.file_lock import FileLock, close_inherited


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


class Child:
    """A forked process that does something and stays until it is told to leave, or killed."""

    def __init__(self, do: Callable[[], int]) -> None:
        told, self._says = os.pipe()
        heard, says = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                os.close(self._says)
                code = do()
                os.write(says, bytes((code,)))
                os.read(told, 1)
            finally:
                os._exit(code)
        os.close(told)
        os.close(says)
        self.said = int.from_bytes(os.read(heard, 1), "little")
        os.close(heard)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._gone()

    def leave(self) -> None:
        os.write(self._says, b"x")
        self._gone()

    def _gone(self) -> None:
        os.waitpid(self.pid, 0)
        os.close(self._says)


def taken(path: Path) -> bool:
    """Whether somebody holds it."""
    lock = FileLock.take(path)
    if lock is not None:
        lock.release()
    return lock is None


def test_a_lock_has_one_holder_within_a_process_and_between_processes(path):
    lock = FileLock.take(path)
    assert lock is not None
    assert FileLock.take(path) is None
    other = Child(lambda: close_inherited() or int(FileLock.take(path) is None))
    assert other.said == 1
    other.leave()
    lock.release()
    assert not taken(path)


def test_releasing_twice_is_harmless_even_if_the_descriptor_is_in_use_again(path):
    lock = FileLock.take(path)
    assert lock is not None
    lock.release()
    again = FileLock.take(path)
    lock.release()
    assert taken(path)
    assert again is not None
    again.release()
    assert not taken(path)


def test_a_killed_holder_has_let_go(path):
    held: list[FileLock | None] = []
    other = Child(lambda: held.append(FileLock.take(path)) or int(held[0] is not None))
    assert other.said == 1
    assert taken(path)
    other.kill()
    assert not taken(path)


@pytest.mark.parametrize("how", ["close_inherited", "release"])
def test_a_forked_child_that_closes_its_copy_does_not_free_the_parents_lock(path, how):
    lock = FileLock.take(path)
    assert lock is not None

    def close() -> int:
        close_inherited() if how == "close_inherited" else lock.release()
        return 1

    other = Child(close)
    assert other.said == 1
    assert taken(path)
    other.leave()
    assert taken(path)
    lock.release()


@pytest.mark.parametrize("closes", [True, False])
def test_a_child_that_outlives_its_parent_holds_the_lock_only_until_it_closes_it(path, closes):
    """And it does hold it as long as it has one, which is why every child of ours closes them all."""
    reading, writing = os.pipe()

    keeping: list[object] = []

    def parent() -> int:
        lock = FileLock.take(path)
        assert lock is not None
        keeping.extend([lock] if closes else [lock, os.dup(lock._descriptor or 0)])
        if os.fork() == 0:
            try:
                close_inherited()
                os.write(writing, os.getpid().to_bytes(4, "little"))
                signal.pause()
            finally:
                os._exit(0)
        return 1

    other = Child(parent)
    grandchild = int.from_bytes(os.read(reading, 4), "little")
    os.close(reading)
    os.close(writing)
    try:
        assert taken(path)
        other.kill()
        assert taken(path) is not closes
    finally:
        os.kill(grandchild, signal.SIGKILL)


class Meddled:
    """A path at which something happens between the opening of the file and the look at what is there now."""

    def __init__(self, path: Path, meddle: Callable[[], object]) -> None:
        self._path = path
        self._meddle = meddle
        self._asked = 0

    def __fspath__(self) -> str:
        self._asked += 1
        if self._asked == 2:
            self._meddle()
        return str(self._path)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.touch()
    other.replace(path)


@pytest.mark.parametrize("meddle", [replaced, Path.unlink])
def test_a_lock_on_a_file_that_is_not_there_any_more_is_none(path, meddle):
    assert FileLock.take(Meddled(path, lambda: meddle(path))) is None  # type: ignore[arg-type]
    assert held_descriptors.below(path.parent) == []
    assert not taken(path)


def test_failures_leave_no_descriptor_behind(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    lock = FileLock.take(path)
    assert lock is not None
    assert FileLock.take(path) is None
    lock.release()
    for wrong in (link, tmp_path / "not there" / "lock", tmp_path):
        with pytest.raises(OSError):  # noqa: PT011 - of several kinds
            FileLock.take(wrong)
    assert held_descriptors.below(path.parent) == []


def test_a_lock_file_is_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        lock = FileLock.take(path)
    finally:
        os.umask(before)
    assert lock is not None
    assert path.stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_program_that_is_started_inherits_no_lock(path):
    lock = FileLock.take(path)
    assert lock is not None
    program = (
        "import os, sys; print(sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:-1]))"
    )
    command = [sys.executable, "-c", program + "; sys.stdout.flush(); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, close_fds=False) as other:
        assert other.stdout is not None
        assert str(path) not in other.stdout.readline()
        lock.release()
        assert not taken(path)
        other.communicate("")


def test_the_lock_on_nothing_can_be_released():
    lock = FileLock(None)
    lock.release()
    lock.release()


def test_a_lock_that_nobody_holds_any_more_is_free(tmp_path):
    lost = FileLock.take(tmp_path / "lock")
    assert lost is not None
    del lost
    found = FileLock.take(tmp_path / "lock")
    assert found is not None
    found.release()
