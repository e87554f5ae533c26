"""Blocks of memory: allocated for real, bounded, private, and none where there is no room."""

from __future__ import annotations

import mmap
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import held_descriptors
from apart import apart
from steplog.descriptors import close_reserve
from steplog.journal.memory import Block, MemoryPool, Usage, default_bytes_max, used_bytes
from tmpfs import mounted

MIB = 1 << 20


@pytest.fixture
def directory(memory: Path) -> Path:
    path = memory / "writer"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with mounted(tmp_path / "tmpfs", "256k") as where:
        yield where


def test_a_block_is_a_private_file_whose_pages_are_all_there(directory, memory):
    """A sparse one would kill whoever touches it when the file system is full."""
    before = os.umask(0)
    try:
        block = MemoryPool(directory, memory, MIB).allocate(128 * 1024)
    finally:
        os.umask(before)
    assert block is not None
    assert block.path is not None
    found = block.path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert (found.st_size, found.st_blocks * 512) == (128 * 1024, 128 * 1024)
    assert block.memory[:] == bytes(128 * 1024)


def test_what_is_written_to_a_block_is_in_its_file(directory, memory):
    block = MemoryPool(directory, memory, MIB).allocate(16 * 1024)
    assert block is not None
    assert block.path is not None
    block.memory[100:104] = b"here"
    assert block.path.read_bytes()[100:104] == b"here"


def test_no_more_is_made_than_the_bound_allows_and_what_is_returned_is_used_again(directory, memory):
    pool = MemoryPool(directory, memory, 100 * 1024)
    blocks = [pool.allocate(32 * 1024) for _ in range(3)]
    assert None not in blocks
    assert pool.allocate(32 * 1024) is None
    assert len(list(directory.iterdir())) == 3
    pool.free(blocks[0])
    assert len(list(directory.iterdir())) == 2
    assert pool.allocate(32 * 1024) is not None
    assert pool.allocate(4 * 1024) is not None
    assert pool.allocate(1) is None


def test_the_bound_is_of_everything_below_the_root(directory, memory):
    (memory / "other").mkdir()
    other = MemoryPool(memory / "other", memory, MIB)
    assert other.allocate(512 * 1024) is not None
    pool = MemoryPool(directory, memory, MIB)
    assert pool.allocate(768 * 1024) is None
    assert pool.allocate(256 * 1024) is not None
    assert other.allocate(512 * 1024) is not None  # it does not look by itself
    assert other.measure() == used_bytes(memory) == 512 * 1024 + 256 * 1024 + 512 * 1024
    assert other.allocate(4096) is None


def test_used_bytes_does_not_stumble_over_what_vanishes_or_links_elsewhere(memory, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(bytes(MIB))
    (memory / "link").symlink_to(large)
    (memory / "up").symlink_to(memory, target_is_directory=True)
    assert used_bytes(memory) < 64 * 1024
    assert used_bytes(memory / "not there") == 0


@pytest.mark.parametrize(
    ("left", "size"),
    [
        (64 * MIB, 512),
        (16 * MIB, 512),
        (16 * MIB - 1, 256),
        (2 * MIB, 64),
        (600 * 1024, 16),
        (100, 16),
        (0, 16),
        (-9, 16),
    ],
)
def test_a_segment_is_a_32nd_of_what_is_left_from_16_kib_to_512_kib(left, size):
    assert MemoryPool(None, None, left).segment_bytes() == size * 1024


def test_the_default_bound_is_an_eighth_of_the_file_system_and_64_mib_at_most(tmpfs, memory):
    assert default_bytes_max(tmpfs) == 32 * 1024
    assert default_bytes_max(tmpfs / "not" / "there yet") == 32 * 1024
    assert default_bytes_max(memory) <= 64 * MIB
    assert default_bytes_max(None) == default_bytes_max(Path("/not/there")) == 64 * MIB


def test_a_full_file_system_gives_none_and_leaves_nothing_behind(tmpfs):
    pool = MemoryPool(tmpfs, tmpfs, 64 * MIB)
    blocks = []
    while (block := pool.allocate(64 * 1024)) is not None:
        blocks.append(block)
    assert len(blocks) in (3, 4)
    assert len(list(tmpfs.iterdir())) == len(blocks)
    for block in blocks:
        block.memory[:] = b"x" * len(block.memory)  # no SIGBUS
    pool.free(blocks[0])
    del blocks[0], block
    assert pool.allocate(64 * 1024) is not None


def test_a_directory_that_is_gone_gives_memory_that_has_no_file_yet(directory, memory):
    pool = MemoryPool(directory, memory, MIB)
    block = pool.allocate(4096)
    (directory / block.path.name).unlink()
    directory.rmdir()
    for _ in range(2):
        without = pool.allocate(4096)
        assert without.path.parent == directory
        assert not without.path.exists()
        without.memory[:] = bytes(4096)
        pool.free(without)
        directory.write_text("not a directory")
    pool.free(block)
    assert pool.used_bytes() == 0


@apart
def test_without_descriptors_there_is_none_and_no_exception(directory, memory):
    close_reserve()
    pool = MemoryPool(directory, memory, MIB)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        assert pool.allocate(4096) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(directory.iterdir()) == []


def test_a_block_keeps_no_descriptor(directory, memory):
    """Those of the reserve are counted elsewhere: an earlier test may have used them up."""
    pool = MemoryPool(directory, memory, MIB)
    blocks = [pool.allocate(4096) for _ in range(5)]
    assert None not in blocks
    assert held_descriptors.below(directory) == []


def test_anonymous_memory_is_bounded_as_well():
    pool = MemoryPool(None, None, 32 * 1024)
    block = pool.allocate(32 * 1024)
    assert block is not None
    assert block.path is None
    assert pool.allocate(1) is None
    pool.free(block)
    assert pool.allocate(1) is not None


def test_a_forked_child_makes_no_block_and_removes_none(directory, memory):
    pool = MemoryPool(directory, memory, MIB)
    block = pool.allocate(4096)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            pool.free(block)
            code = 0 if pool.allocate(4096) is None else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert [path.name for path in directory.iterdir()] == [block.path.name]


def test_a_block_that_is_made_while_another_is_given_back_is_counted():
    """len() between the load and the store of the count let others in, and what they made was not counted."""

    class Slow(mmap.mmap):
        def __len__(self) -> int:
            pool._private_bytes += 4096  # as make() in another thread
            return super().__len__()

    pool = MemoryPool(None, None, MIB)
    pool._private_bytes = 4096
    pool.free(Block(Slow(-1, 4096), None))
    assert pool.used_bytes() == 4096


def test_the_pools_of_a_process_look_once_a_second_and_see_each_other_at_once(memory):
    now = [100.0]
    usage = Usage(memory, clock=lambda: now[0])
    first, second = (MemoryPool(memory / name, memory, MIB, usage) for name in "ab")
    (memory / "a").mkdir()
    block = first.allocate(256 * 1024)
    assert second.measure() == 256 * 1024
    (memory / "others").write_bytes(bytes(512 * 1024))
    assert second.measure() == 256 * 1024
    now[0] += 1.5
    assert second.measure() == used_bytes(memory) == 768 * 1024
    assert second.is_half_full()
    first.free(block)
    assert second.measure() == 512 * 1024


def test_a_look_that_takes_long_is_taken_seldom(memory):
    times = iter([100.0, 100.1, 101.5, 102.0, 103.0, 103.1])
    usage = Usage(memory, clock=lambda: next(times))
    assert usage.bytes() == 0
    (memory / "others").write_bytes(bytes(4096))
    assert usage.bytes() == usage.bytes() == 0
    assert usage.bytes() == 4096


def test_what_other_programs_hold_is_never_counted(tmpfs):
    """A file system that was hardly used counted as ours; so did what others took between two scans."""
    (tmpfs / "root" / "writer").mkdir(parents=True)
    now = [100.0]
    usage = Usage(tmpfs / "root", clock=lambda: now[0])
    pool = MemoryPool(tmpfs / "root" / "writer", tmpfs / "root", 64 * 1024, usage)
    (tmpfs / "others").write_bytes(bytes(20 * 1024))
    now[0] += 5
    assert usage.bytes() == pool.measure() == 0
    for _ in range(4):
        (tmpfs / "others").write_bytes((tmpfs / "others").read_bytes() + bytes(16 * 1024))
        assert pool.allocate(16 * 1024) is not None
    assert pool.measure() == used_bytes(tmpfs / "root") == 64 * 1024
    assert pool.allocate(4096) is None


def test_where_shared_memory_fails_a_quarter_of_the_bound_may_be_private(tmpfs):
    (tmpfs / "others").write_bytes(bytes(256 * 1024))
    pool = MemoryPool(tmpfs, tmpfs, MIB)
    assert pool.allocate(64 * 1024) is None
    pool.may_use_anonymous = True
    blocks = [pool.allocate(64 * 1024) for _ in range(4)]
    assert all(block is not None and block.path is None for block in blocks)
    assert pool.used_anonymous
    assert pool.is_half_full()
    assert pool.allocate(64 * 1024) is None
    pool.free(blocks[0])
    assert pool.allocate(64 * 1024) is not None
    (tmpfs / "others").unlink()
    pool.measure()
    assert pool.allocate(64 * 1024).path is not None  # shared again, as soon as there is room


def test_a_bound_that_is_reached_is_no_reason_to_go_private(directory, memory):
    """A kill would lose it, and nobody would have been told that it can."""
    pool = MemoryPool(directory, memory, MIB)
    pool.may_use_anonymous = True
    assert pool.allocate(MIB) is not None
    assert pool.allocate(4096) is None


def test_processes_that_take_memory_at_the_same_time_stay_below_the_bound_together(tmpfs):
    """Each looked once a second, and took what had been left then."""
    pools = []
    for number in range(16):
        (tmpfs / f"{number}").mkdir()
        usage = Usage(tmpfs, clock=lambda: 100.0)
        assert usage.bytes() == 0
        pools.append(MemoryPool(tmpfs / f"{number}", tmpfs, 128 * 1024, usage))
    blocks = [block for _ in range(4) for pool in pools if (block := pool.allocate(16 * 1024)) is not None]
    assert len(blocks) == 8
    assert used_bytes(tmpfs) == 128 * 1024


def test_a_process_that_finds_the_memory_full_takes_nothing_to_see_that(tmpfs):
    (tmpfs / "writer").mkdir()
    pool = MemoryPool(tmpfs / "writer", tmpfs, 128 * 1024, Usage(tmpfs, clock=lambda: 100.0))
    (tmpfs / "others").write_bytes(bytes(120 * 1024))  # since it looked
    touched = (tmpfs / "writer").stat().st_mtime_ns
    assert pool.allocate(16 * 1024) is None
    assert (tmpfs / "writer").stat().st_mtime_ns == touched
    (tmpfs / "others").unlink()
    assert pool.allocate(16 * 1024) is not None


def test_what_others_take_of_the_file_system_is_not_taken_for_ours(tmpfs):
    (tmpfs / "root" / "writer").mkdir(parents=True)
    usage = Usage(tmpfs / "root", clock=lambda: 100.0)
    pool = MemoryPool(tmpfs / "root" / "writer", tmpfs / "root", 64 * 1024, usage)
    (tmpfs / "others").write_bytes(bytes(128 * 1024))
    assert [pool.allocate(16 * 1024) is not None for _ in range(5)] == [True] * 4 + [False]
