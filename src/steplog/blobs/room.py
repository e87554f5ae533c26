"""How much media may take in memory, and files on disk, over all runs of a user.

``log`` asks for each of its files, so no scan is made there while the bound is far: between scans, what the file system
grew by bounds what other processes took (``journal.memory.Usage``).

Processes that take the last room at once each see one too many, and give it back. On disk they may each have one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from steplog.descriptors import reserved
from steplog.journal.memory import FILES_NAME, Usage, default_bytes_max, free_bytes, media_bytes
from steplog.reentrant_lock import ReentrantLock

__all__ = ["Room", "files_bytes"]

_BLOCK_BYTES = 4096
_MEASURE_INTERVAL_S = 1.0
_DISK_SHARE = 4  # a quarter of what is free, or would be without these files


class Room:
    """Of one process, below the roots; None as a bound: the default. ``memory`` is None without shared memory."""

    def __init__(
        self,
        memory: Path | None,
        disk: Path,
        memory_bytes_max: int | None = None,
        bytes_max: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._memory_bytes_max = memory_bytes_max
        self._bytes_max = bytes_max
        self._disk = disk
        self._on_disk = Usage(disk, clock, files_bytes)
        self._private_bytes = 0
        self._taking = ReentrantLock()  # taken in log(), for a moment; a signal handler may come back in
        self._measured, self._measure_at = 0, float("-inf")
        self._memory = memory
        self._in_memory = None if memory is None else Usage(memory, clock, media_bytes)

    def share(self, memory: Path | None) -> None:
        """Shared memory is here from now on."""
        if memory != self._memory:
            self._memory, self._measure_at = memory, float("-inf")
            self._in_memory = None if memory is None else Usage(memory, self._clock, media_bytes)

    def refresh(self) -> None:
        """Look at what is used, once a second at most; not called in ``log``."""
        self._shared_bytes()

    def memory_bytes_max(self) -> int:
        """Bound of media in memory, in bytes."""
        if self._memory_bytes_max is not None:
            return self._memory_bytes_max
        if (now := self._clock()) >= self._measure_at:
            self._measured, self._measure_at = default_bytes_max(self._memory), now + _MEASURE_INTERVAL_S
        return self._measured

    def is_half_full(self) -> bool:
        """Whether media take half of the memory that they may."""
        return 2 * (self._shared_bytes() + self._private_bytes) > self.memory_bytes_max()

    def take_memory(self, size: int) -> bool:
        """Take so many bytes of shared memory, if the bound leaves them."""
        usage, rounded = self._in_memory, _blocks(size)
        if usage is None or not usage.leaves(rounded + self._private_bytes, self.memory_bytes_max()):
            return False
        usage.change(rounded)
        return True

    def keeps_memory(self) -> bool:
        """Whether what was taken, and is there now, is within the bound: others may have come at once."""
        usage = self._in_memory
        return usage is None or not usage.exceeds(self.memory_bytes_max())

    def give_memory(self, size: int) -> None:
        """So many bytes of shared memory are free again."""
        if (usage := self._in_memory) is not None:
            usage.change(-_blocks(size))

    def take_private(self, size: int) -> bool:
        """Take so many bytes of this process's own memory, within the same bound."""
        bytes_max, shared = self.memory_bytes_max(), self._shared_bytes()
        with self._taking:
            if shared + self._private_bytes + size > bytes_max:
                return False
            self._private_bytes += size
        return True

    def _shared_bytes(self) -> int:
        usage = self._in_memory
        return 0 if usage is None else usage.bytes()

    def give_private(self, size: int) -> None:
        """So many bytes are free again."""
        with self._taking:
            self._private_bytes -= size

    def bytes_max(self) -> int:
        """Bound of files on disk, in bytes."""
        if self._bytes_max is not None:
            return self._bytes_max
        return (free_bytes(self._disk) + self._on_disk.bytes()) // _DISK_SHARE

    def disk_bytes(self) -> int:
        """Bytes that files take on disk, as of the last second or so."""
        return self._on_disk.bytes()

    def leaves_disk(self, size: int) -> bool:
        """Whether the bound leaves so many bytes of disk."""
        self._on_disk.bytes()
        return self._on_disk.leaves(_blocks(size), self.bytes_max())

    def change_disk(self, size: int) -> None:
        """Files take so many bytes more, or less."""
        self._on_disk.change(_blocks(size) if size >= 0 else -_blocks(-size))


def files_bytes(root: Path) -> int:
    """Bytes allocated to the files of all runs below the spool ``root``."""
    total = 0
    for run in _names(os.fspath(root)):
        for entry in _names(f"{run.path}/{FILES_NAME}"):
            try:
                total += entry.stat(follow_symlinks=False).st_blocks * 512
            except OSError:  # delivered meanwhile
                continue
    return total


def _names(path: str) -> list[os.DirEntry[str]]:
    try:
        with reserved(os.scandir, path) as entries:
            return list(entries)
    except OSError:
        return []


def _blocks(size: int) -> int:
    return size + -size % _BLOCK_BYTES
