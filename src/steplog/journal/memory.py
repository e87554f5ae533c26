"""Where segments live: files in a private directory of shared memory, or anonymous memory.

Shared memory (tmpfs) belongs to the kernel, not to the process: what was stored there survives SIGKILL, and other
processes read it. A block is allocated for real before it is mapped (``posix_fallocate``): a sparse mapping on a full
tmpfs would kill whoever touches it with SIGBUS. Blocks are never reused.

``bytes_max`` bounds everything below the root, all runs and writers, living and dead: by default the smaller of
64 MiB (all that a container has) and an eighth of the file system. Segments are small against what is left of it,
a 32nd, from 16 KiB to 512 KiB; a writer's first is an eighth of that, so that hundreds of runs can be open.
No lock is shared for that: of several processes that take the last room in the same instant each sees that it is one
too many, and gives it back. For that instant there may be a segment a process more, of 16 KiB where room is short. A
writer's lock and marks count, and are never refused: a page a writer.

Anonymous memory is what remains on a system without usable shared memory: it dies with the process.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import monotonic

from steplog.journal.mapping import map_file

__all__ = [
    "MEMORY_BYTES_MAX",
    "SEGMENT_BYTES_MAX",
    "SEGMENT_BYTES_MIN",
    "SEGMENT_SUFFIX",
    "Block",
    "MemoryPool",
    "Usage",
    "default_bytes_max",
    "used_bytes",
]

SEGMENT_BYTES_MIN = 16 * 1024
SEGMENT_BYTES_MAX = 512 * 1024
MEMORY_BYTES_MAX = 64 * 1024 * 1024
SEGMENT_SUFFIX = ".segment"
_SCAN_INTERVAL_S = 1.0
_SCAN_SHARE = 200  # of the time, at most a 200th goes into scanning
_AGAIN_SHARE = 20  # near the bound, a 20th
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Block:
    """Memory for one segment, and the file that holds it (None: anonymous)."""

    memory: mmap.mmap
    path: Path | None


class Usage:
    """What is used below ``root``, for all pools of a process.

    To look there takes a look at each file of all runs. Where the whole file system has no more than ``enough_bytes``
    in use, that is taken instead: it is no less, and costs nothing.

    Many processes may take memory between two looks. What the whole file system has gained since the last one is no
    less than what they took; where that would not fit, ``within`` looks again.
    """

    def __init__(self, root: Path, enough_bytes: int = 0, clock: Callable[[], float] = monotonic) -> None:
        self._root = root
        self._enough_bytes = enough_bytes
        self._clock = clock
        self._bytes = self._all = 0  # ours, and of the whole file system
        self._scan_at = self._again_at = -1.0

    def bytes(self) -> int:
        """As of the last second or so; what this process takes and gives counts at once."""
        now = self._clock()
        if now >= self._scan_at:
            self._scan(now)
        return self._bytes

    def within(self, bytes_max: int) -> bool:
        """Whether no more than this is in use, whoever has taken it just now."""
        if self._bytes + max(0, _in_use(self._root) - self._all) <= bytes_max:
            return True
        now = self._clock()
        if now >= self._again_at:
            self._scan(now)
        return self._bytes + max(0, _in_use(self._root) - self._all) <= bytes_max

    def _scan(self, began: float) -> None:
        in_use = _in_use(self._root)
        self._bytes = in_use if 0 < in_use <= self._enough_bytes else used_bytes(self._root)
        self._all = in_use
        ended = self._clock()
        self._scan_at = ended + min(max(_SCAN_INTERVAL_S, _SCAN_SHARE * (ended - began)), 2 * _SCAN_INTERVAL_S)
        self._again_at = ended + _AGAIN_SHARE * (ended - began)

    def change(self, size: int) -> None:
        """This process has taken so much, or given it back."""
        self._bytes += size  # no call between the load and the store: several threads come here
        self._all += size


class MemoryPool:
    """Gives one writer its blocks.

    ``directory`` is the writer's in shared memory, None for anonymous memory; ``root`` is what ``bytes_max`` bounds,
    and ``usage`` what is used there, where other pools of this process look there too.
    In a forked child, where a call that the fork interrupted may still come here, it gives and removes nothing.

    Where shared memory fails below ``bytes_max`` (the file system is full, no descriptor is left, no file may be so
    large), a pool that ``may_go_private`` gives anonymous memory, a quarter of ``bytes_max`` at most: that is for a
    process which takes its journal to disk itself, since nobody else can see it there. ``went_private`` says that it
    has. At ``bytes_max`` it gives none: a kill would lose what is there, and a call that is dropped is counted.
    """

    def __init__(
        self, directory: Path | None, root: Path | None, bytes_max: int | None = None, usage: Usage | None = None
    ) -> None:
        self.directory = directory
        self._root = root
        self._usage = usage
        self.bytes_max = bytes_max if bytes_max is not None else default_bytes_max(root)
        self.may_go_private = self.went_private = False
        self._used = self._private = 0
        self._pid = os.getpid()
        self._files = count(1)
        self.measure()

    def measure(self) -> int:
        """Look how much of ``bytes_max`` is in use; for the threads that prepare segments, not for ``log``."""
        if self._usage is not None:
            self._used = self._usage.bytes()
        elif self._root is not None:
            self._used = used_bytes(self._root)
        return self._used

    def is_full(self) -> bool:
        """Whether not even the smallest segment fits any more."""
        return self._used + SEGMENT_BYTES_MIN > self.bytes_max

    def is_half_full(self) -> bool:
        """Whether half of what may be used is."""
        return 2 * self._used > self.bytes_max or 8 * self._private > self.bytes_max

    def excess_bytes(self) -> int:
        """How much is in use beyond three quarters of what may be: to be given up, where ``log`` is to find room."""
        return max(0, self._used - self.bytes_max * 3 // 4, self._private - self.bytes_max * 3 // 16)

    def segment_bytes(self) -> int:
        """The usual size of a segment, by what is left."""
        share = max(1, (self.bytes_max - self._used) // 32)
        return min(SEGMENT_BYTES_MAX, max(SEGMENT_BYTES_MIN, 1 << (share.bit_length() - 1)))

    def first_bytes(self) -> int:
        """The size of a writer's first segment."""
        return max(SEGMENT_BYTES_MIN, self.segment_bytes() // 8)

    def make(self, size: int) -> Block | None:
        """A block of ``size`` zero bytes, allocated and touched; None where there is no room."""
        if os.getpid() != self._pid:
            return None
        block = None
        fits = self._used + size <= self.bytes_max
        if fits and self._usage is not None and self.directory is not None:
            fits = self._usage.within(self.bytes_max - size)
        if fits:
            block = self._anonymous(size) if self.directory is None else self._shared(self.directory, size)
        if block is not None:
            self._used += size
            if self._usage is not None:
                self._usage.change(size)
                # Looked at once more: of several that came at once each sees the others' blocks.
                if block.path is not None and not self._usage.within(self.bytes_max):
                    self.give_back(block)
                    block = None
        elif fits and self.may_go_private and self.directory and 4 * (self._private + size) <= self.bytes_max:
            block = self._anonymous(size)
            if block is not None:
                self._private += size
                self.went_private = True
        return block

    def give_back(self, block: Block) -> None:
        """Remove a block's file; its memory is free when the last mapping of it is gone."""
        if os.getpid() != self._pid:
            return
        size = len(block.memory)
        if block.path is None and self.directory is not None:
            self._private -= size
            return
        self._used -= size  # no call between the load and the store: several threads come here
        if self._usage is not None:
            self._usage.change(-size)
        if block.path is not None:
            with contextlib.suppress(OSError):  # log() may be here, and has no use for it
                block.path.unlink()

    def _shared(self, directory: Path, size: int) -> Block | None:
        path = directory / f"{os.getpid():x}-{next(self._files):08x}{SEGMENT_SUFFIX}"
        try:
            descriptor = os.open(path, _CREATE, 0o600)
        except (FileNotFoundError, NotADirectoryError):  # gone: whoever looks after it writes this out (see gone)
            anonymous = self._anonymous(size)
            return None if anonymous is None else Block(anonymous.memory, path)
        except OSError:
            return None
        try:
            os.posix_fallocate(descriptor, 0, size)
            memory = map_file(descriptor, size)
        except (OSError, ValueError):  # ValueError: it was cut before it was mapped
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        finally:
            os.close(descriptor)
        _touch(memory)
        return Block(memory, path)

    @staticmethod
    def _anonymous(size: int) -> Block | None:
        try:
            memory = mmap.mmap(-1, size)
        except OSError:
            return None
        _touch(memory)
        return Block(memory, None)


def _touch(memory: mmap.mmap) -> None:
    """Have the pages mapped now, not in the middle of a ``log()``."""
    for place in range(0, len(memory), mmap.PAGESIZE):
        memory[place] = 0


def default_bytes_max(root: Path | None) -> int:
    """64 MiB, or an eighth of the file system that ``root`` is on, if that is less."""
    if root is None:
        return MEMORY_BYTES_MAX
    try:
        system = os.statvfs(root)
    except OSError:
        return MEMORY_BYTES_MAX
    return min(MEMORY_BYTES_MAX, system.f_frsize * system.f_blocks // 8)


def _in_use(root: Path) -> int:
    """What the whole file system has in use; 0 where it does not say."""
    try:
        system = os.statvfs(root)
    except OSError:
        return 0
    return (system.f_blocks - system.f_bfree) * system.f_frsize


def used_bytes(root: Path) -> int:
    """What the files below ``root`` take, as allocated; what vanishes meanwhile does not count."""
    total = 0
    pending = [os.fspath(root)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total
