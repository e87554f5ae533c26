"""The reserve is there when no descriptor is left, and no file of the program's is taken for one of ours."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from apart import apart
from steplog import descriptors
from steplog.descriptors import RESERVE, Descriptor, lent, open_reserved, refill, reserved
from steplog.file_lock import FileLock
from steplog.journal.files import Files


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    descriptors.close_reserve()
    yield
    descriptors.close_reserve()


@contextmanager
def exhausted() -> Iterator[None]:
    """A process with a reserve, and no other descriptor free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    refill()
    gc.collect()  # what other tests have left open
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)


def free() -> int:
    """How many descriptors can be opened."""
    found: list[int] = []
    with suppress(OSError):
        while len(found) < 20:
            found.append(os.open(os.devnull, os.O_RDONLY))
    for number in found:
        os.close(number)
    return len(found)


def replace(number: int, path: Path) -> None:
    """What ``os.closerange`` and a file of the program's under the same number come to."""
    other = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(other, number, inheritable=False)
    os.close(other)


@apart
def test_where_none_are_left_the_reserve_serves_and_is_filled_again():
    with exhausted():
        assert free() == 0
        for _ in range(100):
            opened = [open_reserved(os.devnull, os.O_RDONLY) for _ in range(RESERVE)]
            with pytest.raises(OSError, match="Too many open files"):
                open_reserved(os.devnull, os.O_RDONLY)
            for number in opened:
                os.close(number)
            assert free() == RESERVE
            refill()
            assert free() == 0


@apart
def test_what_opens_descriptors_by_itself_is_lent_some_and_gives_them_back(tmp_path: Path):
    with exhausted():
        for _ in range(10):
            with lent():
                assert free() == 3
            assert free() == 0
        assert reserved(os.listdir, tmp_path) == []


@apart
def test_another_error_spends_nothing(tmp_path: Path):
    refill()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        open_reserved(tmp_path / "missing", os.O_RDONLY)
    assert len(os.listdir("/proc/self/fd")) == before
    assert descriptors.take_warning() is None


@apart
def test_running_out_is_said_once_with_the_limit():
    with exhausted():
        assert descriptors.take_warning() is None
        os.close(open_reserved(os.devnull, os.O_RDONLY))
        assert "no file descriptors left (limit 256)" in str(descriptors.take_warning())
        os.close(open_reserved(os.devnull, os.O_RDONLY))
        assert descriptors.take_warning() is None


@apart
def test_a_program_with_a_small_limit_keeps_its_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (9, hard))
    try:
        refill()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before


@apart
def test_a_reserve_that_was_closed_is_made_again_and_the_programs_files_stay_open(tmp_path: Path):
    refill()
    theirs = [int(one) for one in descriptors._reserve.kept]
    for number in theirs:
        replace(number, tmp_path / f"{number}")
    refill()
    descriptors.close_reserve()
    for number in theirs:
        assert os.write(number, b"mine") == 4
        os.close(number)


class Interrupt(Exception):
    pass


def interrupt(number: int, frame: object) -> None:
    raise Interrupt


def fill_and_spend() -> None:
    while True:
        refill()
        while descriptors._reserve.spend():
            pass


@apart
def test_ctrl_c_while_the_reserve_is_filled_or_spent_costs_no_descriptor():
    """It left a pipe open, and a reserve that was never filled again."""
    signal.signal(signal.SIGALRM, interrupt)
    before, interrupted = len(os.listdir("/proc/self/fd")), 0
    for delay in range(1000):
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + delay % 250))
            fill_and_spend()
        except Interrupt:
            interrupted += 1
        refill()
        assert len(descriptors._reserve.kept) == RESERVE
    assert interrupted == 1000
    descriptors.close_reserve()
    assert len(os.listdir("/proc/self/fd")) == before


@apart
def test_a_reserve_that_is_spent_while_it_is_filled_holds_no_file_of_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another thread closed the one to be duplicated, and opened a file: it stayed open, a pipe had no end."""
    dup, theirs = os.dup, list[int]()

    def spent_before(number: int) -> int:
        monkeypatch.setattr(os, "dup", dup)
        assert descriptors._reserve.spend()
        theirs.append(os.open(tmp_path / "theirs", os.O_RDWR | os.O_CREAT, 0o600))
        assert theirs == [number]
        return dup(number)

    monkeypatch.setattr(os, "dup", spent_before)
    refill()
    assert not any(os.path.samestat(os.fstat(one), os.fstat(theirs[0])) for one in descriptors._reserve.kept)
    os.close(theirs[0])
    assert not [name for name in os.listdir("/proc/self/fd") if "theirs" in os.path.realpath(f"/proc/self/fd/{name}")]
    refill()
    assert len(descriptors._reserve.kept) == RESERVE


@apart
def test_a_descriptor_is_neither_used_nor_closed_once_its_number_leads_elsewhere(tmp_path: Path):
    ours = Descriptor(os.open(tmp_path / "ours", os.O_RDWR | os.O_CREAT, 0o600))
    assert ours.is_ours()
    replace(ours, tmp_path / "theirs")
    assert not ours.is_ours()
    with pytest.raises(OSError, match="has closed") as raised:
        ours.check()
    assert raised.value.errno == errno.EBADF
    ours.close()
    os.close(ours)
    assert not ours.is_ours()
    ours.close()


@apart
def test_the_disk_writes_no_frame_into_a_file_of_the_programs(tmp_path: Path):
    files = Files()
    ours = files.create(tmp_path / "spool")
    replace(ours, tmp_path / "theirs")
    for use in (lambda: files.write(ours, b"x"), lambda: files.truncate(ours, 0), lambda: files.sync(ours)):
        with pytest.raises(OSError, match="has closed"):
            use()
    files.close(ours)
    assert (tmp_path / "theirs").read_bytes() == b""
    os.close(ours)


def held(path: Path) -> FileLock:
    lock = FileLock.take(path)
    assert lock is not None
    return lock


@apart
def test_a_lock_whose_descriptor_was_closed_is_taken_again_if_it_is_free(tmp_path: Path):
    lock = held(tmp_path / "lock")
    number = int(lock._descriptor)  # type: ignore[arg-type]
    replace(number, tmp_path / "theirs")
    assert not lock.is_open()
    assert lock.regain()
    assert lock.is_open()
    assert FileLock.take(tmp_path / "lock") is None
    lock.release()
    assert FileLock.is_free(tmp_path / "lock")
    assert os.write(number, b"mine") == 4
    os.close(number)


@apart
def test_a_lock_that_another_has_taken_meanwhile_is_not_regained(tmp_path: Path):
    lock = held(tmp_path / "lock")
    number = int(lock._descriptor)  # type: ignore[arg-type]
    replace(number, tmp_path / "theirs")
    other = held(tmp_path / "lock")
    assert not lock.regain()
    assert not lock.is_open()
    other.release()
    assert lock.regain()
    lock.release()
    os.close(number)


@apart
def test_of_two_locks_on_one_file_and_number_the_later_has_it(tmp_path: Path):
    """The earlier one closed the descriptor of the later, which has the same inode."""
    lock = held(tmp_path / "lock")
    number = int(lock._descriptor)  # type: ignore[arg-type]
    os.close(number)
    later = held(tmp_path / "lock")
    assert int(later._descriptor) == number  # type: ignore[arg-type]
    lock.release()
    del lock
    assert later.is_open()
    assert FileLock.take(tmp_path / "lock") is None
    later.release()


@apart
def test_a_lost_lock_is_not_locked_in_a_file_of_the_programs(tmp_path: Path):
    lock = FileLock.open(tmp_path / "lock")
    number = int(lock._descriptor)  # type: ignore[arg-type]
    replace(number, tmp_path / "theirs")
    with pytest.raises(OSError, match="has closed"):
        lock.acquire()
    assert FileLock.is_free(tmp_path / "theirs")
    del lock
    os.close(number)


@apart
def test_a_socket_of_the_programs_is_neither_closed_nor_shut_down():
    from steplog.network.deadline import Exchange, close_socket

    near, far = socket.socketpair()
    theirs, other = socket.socketpair()
    descriptor = Descriptor(near.fileno())
    exchange = Exchange(1.0, 1.0, 100)
    exchange.attach(near)
    os.dup2(theirs.fileno(), near.fileno())
    exchange.abort()
    close_socket(near, descriptor)
    other.sendall(b"x")
    assert os.read(descriptor, 1) == b"x"
    os.close(descriptor)
    for one in (far, theirs, other):
        one.close()
