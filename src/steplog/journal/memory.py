"""Where segments live: files in a private directory of shared memory, or anonymous memory, which dies with the process.

Shared memory (tmpfs) is the kernel's: it survives SIGKILL, and other processes read it. Blocks are allocated
(``posix_fallocate``) before they are mapped, since touching a sparse mapping on a full tmpfs is SIGBUS; none is reused.

``bytes_max`` bounds everything below the root, of all runs and writers: by default 64 MiB (a container's tmpfs) or an
eighth of the file system, if less. A segment is a 32nd of what is left, 16 KiB to 512 KiB; a writer's first an eighth
of that. A writer's lock and cursor, a page, count and are never refused. No lock guards the bound: processes that take
the last room at once each see one too many, and give it back.
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

from steplog.descriptors import reserved
from steplog.journal.mapping import map_file
from steplog.private_files import open_private

__all__ = ["SEGMENT_BYTES_MIN", "SEGMENT_SUFFIX", "Block", "MemoryPool", "Usage", "default_bytes_max", "used_bytes"]

SEGMENT_BYTES_MIN = 16 * 1024
_SEGMENT_BYTES_MAX = 512 * 1024
_MEMORY_BYTES_MAX = 64 * 1024 * 1024
SEGMENT_SUFFIX = ".segment"
_SCAN_INTERVAL_S = 1.0
_SCAN_SHARE = 200  # at most a 200th of the time goes into scans
_AGAIN_SHARE = 20  # near the bound a 20th


@dataclass(frozen=True, slots=True)
class Block:
    """Memory for one segment, and its file, if any."""

    memory: mmap.mmap
    path: Path | None


class Usage:
    """Bytes used below ``root``, for all pools of a process.

    A scan visits each file; up to ``enough_bytes``, what the whole file system has in use is taken instead. Between
    scans its growth bounds what other processes took.
    """

    def __init__(self, root: Path, enough_bytes: int = 0, clock: Callable[[], float] = monotonic) -> None:
        self._root = root
        self._enough_bytes = enough_bytes
        self._clock = clock
        self._bytes = self._all = 0  # below the root, and of the whole file system
        self._scan_at = self._again_at = -1.0

    def bytes(self) -> int:
        """As of the last second or so; own changes count at once."""
        now = self._clock()
        if now >= self._scan_at:
            self._scan(now)
        return self._bytes

    def within(self, bytes_max: int) -> bool:
        """Whether at most this is used, others' latest included."""
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
        """This process took so much, or freed it."""
        self._bytes += size  # no call between the load and the store: several threads come here
        self._all += size


class MemoryPool:
    """One writer's blocks, in ``directory``; anonymous without one. It gives none in a forked child.

    ``root`` is what ``bytes_max`` bounds. Where shared memory fails below that, a pool that ``may_use_anonymous`` does,
    up to a quarter: only in an agent, which spools it. At ``bytes_max`` none does: a kill would lose records uncounted.
    """

    def __init__(
        self, directory: Path | None, root: Path | None, bytes_max: int | None = None, usage: Usage | None = None
    ) -> None:
        self.directory = directory
        self._root = root
        self._usage = usage
        self.bytes_max = bytes_max if bytes_max is not None else default_bytes_max(root)
        self.may_use_anonymous = self.used_anonymous = False
        self._used = self._private = 0
        self._pid = os.getpid()
        self._files = count(1)
        self.measure()

    def measure(self) -> int:
        """Refresh the bytes used; not called by ``log``."""
        if self._usage is not None:
            self._used = self._usage.bytes()
        elif self._root is not None:
            self._used = used_bytes(self._root)
        return self._used

    def is_full(self) -> bool:
        """Whether not even the smallest segment fits."""
        return self._used + SEGMENT_BYTES_MIN > self.bytes_max

    def is_half_full(self) -> bool:
        """Whether half is used."""
        return 2 * self._used > self.bytes_max or 8 * self._private > self.bytes_max

    def excess_bytes(self) -> int:
        """Bytes beyond three quarters, to be given up so that ``log`` finds room."""
        return max(0, self._used - self.bytes_max * 3 // 4, self._private - self.bytes_max * 3 // 16)

    def segment_bytes(self) -> int:
        """Size of a segment, by what is left."""
        share = max(1, (self.bytes_max - self._used) // 32)
        return min(_SEGMENT_BYTES_MAX, max(SEGMENT_BYTES_MIN, 1 << (share.bit_length() - 1)))

    def first_bytes(self) -> int:
        """Size of a writer's first segment."""
        return max(SEGMENT_BYTES_MIN, self.segment_bytes() // 8)

    def allocate(self, size: int) -> Block | None:
        """A block of ``size`` zero bytes, allocated and touched; None without room."""
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
                # Again: processes that came at once see each other's blocks now.
                if block.path is not None and not self._usage.within(self.bytes_max):
                    self.free(block)
                    block = None
        elif fits and self.may_use_anonymous and self.directory and 4 * (self._private + size) <= self.bytes_max:
            block = self._anonymous(size)
            if block is not None:
                self._private += size
                self.used_anonymous = True
        return block

    def free(self, block: Block) -> None:
        """Remove a block's file; its memory goes with its last mapping."""
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
            with contextlib.suppress(OSError):  # log() may be here, and cannot act on it
                block.path.unlink()

    def _shared(self, directory: Path, size: int) -> Block | None:
        path = directory / f"{os.getpid():x}-{next(self._files):08x}{SEGMENT_SUFFIX}"
        try:
            descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except (FileNotFoundError, NotADirectoryError):  # removed: see memory_repair, which writes it out
            anonymous = self._anonymous(size)
            return None if anonymous is None else Block(anonymous.memory, path)
        except OSError:
            return None
        try:
            os.posix_fallocate(descriptor, 0, size)
            return Block(_touched(map_file(descriptor, size)), path)
        except (OSError, ValueError):  # ValueError: it was cut before it was mapped
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        finally:
            os.close(descriptor)

    @staticmethod
    def _anonymous(size: int) -> Block | None:
        with contextlib.suppress(OSError):
            return Block(_touched(mmap.mmap(-1, size)), None)
        return None


def _touched(memory: mmap.mmap) -> mmap.mmap:
    for place in range(0, len(memory), mmap.PAGESIZE):
        memory[place] = 0  # mapped now, not in a log()
    return memory


def default_bytes_max(root: Path | None) -> int:
    """64 MiB, or an eighth of the file system of ``root``, if less."""
    with contextlib.suppress(OSError):
        if root is not None:
            system = os.statvfs(root)
            return min(_MEMORY_BYTES_MAX, system.f_frsize * system.f_blocks // 8)
    return _MEMORY_BYTES_MAX


def _in_use(root: Path) -> int:
    try:
        system = os.statvfs(root)
    except OSError:  # it does not say
        return 0
    return (system.f_blocks - system.f_bfree) * system.f_frsize


def used_bytes(root: Path) -> int:
    """Bytes allocated to the files below ``root``."""
    total = 0
    pending = [os.fspath(root)]
    while pending:
        with contextlib.suppress(OSError), reserved(os.scandir, pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
