"""Where segments live: files in a private directory of shared memory, or private memory, which dies with the process.

Shared memory (tmpfs) is the kernel's: it survives SIGKILL, and other processes read it. Blocks are allocated
(``posix_fallocate``) before they are mapped, since touching a sparse mapping on a full tmpfs is SIGBUS; none is reused.

``bytes_max`` bounds everything below the root, of all runs and writers: by default 64 MiB, or an eighth of the file
system that the root is on, or will be. What other programs hold there is not counted, but leaves less. A segment is a
32nd of what is left, 16 KiB to 512 KiB; a writer's first an eighth of that. A writer's lock and cursor, a page, count
and are never refused. No lock guards the bound: processes that take the last room at once each see one too many, and
give it back.

An agent, which spools it, goes on in private memory where the file system is too small: it is full, or an eighth of it
(the default) is used. That takes 16 MiB at most, or a quarter of a given ``bytes_max``; each further block is shared
again if it can be. At a given bound, and at 64 MiB, nothing goes private: a kill would lose what was kept for one.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import monotonic

import msgspec

from steplog.descriptors import reserved
from steplog.file_system import allocate
from steplog.journal.mapping import map_file
from steplog.private_files import open_private
from steplog.reentrant_lock import ReentrantLock

__all__ = [
    "DIRECTORY_BYTES",
    "FILES_NAME",
    "MEDIA_SUFFIX",
    "SEGMENT_BYTES_MIN",
    "SEGMENT_SUFFIX",
    "Block",
    "MemoryPool",
    "Usage",
    "default_bytes_max",
    "free_bytes",
    "in_use",
    "media_bytes",
    "used_bytes",
]

SEGMENT_BYTES_MIN = 16 * 1024
_SEGMENT_BYTES_MAX = 512 * 1024
_MEMORY_BYTES_MAX = 64 * 1024 * 1024
_PRIVATE_BYTES_MAX = 16 * 1024 * 1024
_UNKNOWN = 1 << 62
DIRECTORY_BYTES = 3 * 4096  # a cursor, and what the directory and a lock may take
SEGMENT_SUFFIX = ".segment"
MEDIA_SUFFIX = ".media"  # of what waits to become a file (see blobs), which has a bound of its own
FILES_NAME = "files"  # the directory of a run's files, where there is no disk
_FILES_END = f"/{FILES_NAME}"
_SCAN_INTERVAL_S = 1.0
_SCAN_SHARE = 200  # at most a 200th of the time goes into scans
_AGAIN_SHARE = 20  # near the bound a 20th


class Block(msgspec.Struct, frozen=True, eq=False):
    """Memory for one segment, and its file, if any."""

    memory: mmap.mmap
    path: Path | None


class Usage:
    """Bytes used below ``root``, for all pools of a process.

    A scan (``measure``) visits each file. Between scans, what the file system grew by bounds what other processes took.
    """

    def __init__(
        self, root: Path, clock: Callable[[], float] = monotonic, measure: Callable[[Path], int] | None = None
    ) -> None:
        self._root = root
        self._clock = clock
        self._measure = measure or used_bytes
        self._bytes = self._all = 0  # below the root, and of the whole file system
        self._scan_at = self._again_at = -1.0
        self._lock = ReentrantLock()

    def bytes(self) -> int:
        """As of the last second or so; own changes count at once."""
        now = self._clock()
        if now >= self._scan_at:
            self._scan(now)
        return self._bytes

    def leaves(self, size: int, bytes_max: int) -> bool:
        """Whether so many more may be taken. As of a moment ago, where looking takes long."""
        if not self._may_exceed(bytes_max - size):
            return True
        now = self._clock()
        if now >= self._again_at:
            self._scan(now)
        return self._bytes + size <= bytes_max

    def exceeds(self, bytes_max: int) -> bool:
        """Whether more than this is used, by what is there now."""
        if not self._may_exceed(bytes_max):
            return False
        self._scan(self._clock())
        return self._bytes > bytes_max

    def _may_exceed(self, bytes_max: int) -> bool:
        if self._bytes > bytes_max:
            return True
        return self._bytes + max(0, in_use(self._root) - self._all) > bytes_max

    def _scan(self, began: float) -> None:
        self._all = in_use(self._root)
        self._bytes = self._measure(self._root)
        ended = self._clock()
        self._scan_at = ended + min(max(_SCAN_INTERVAL_S, _SCAN_SHARE * (ended - began)), 2 * _SCAN_INTERVAL_S)
        self._again_at = ended + _AGAIN_SHARE * (ended - began)

    def change(self, size: int) -> None:
        """This process took so much, or freed it."""
        with self._lock:  # no call between a load and its store: a signal handler may come here, too
            self._bytes += size
            self._all += size


class MemoryPool:
    """One writer's blocks, in ``directory``; private without one. It gives none in a forked child.

    ``root`` is what ``bytes_max`` bounds. Only an agent ``may_use_anonymous``: it spools what others could not see.
    """

    def __init__(
        self, directory: Path | None, root: Path | None, bytes_max: int | None = None, usage: Usage | None = None
    ) -> None:
        self.directory = directory
        self.root = root
        self.on_freed: Callable[[], None] = lambda: None  # a block was freed
        self.may_use_anonymous = self.used_anonymous = False
        self.error: OSError | None = None  # why shared memory gave no block, when it last was to
        self._usage = usage
        self._given_bytes_max = bytes_max
        self.bytes_max = bytes_max if bytes_max is not None else default_bytes_max(root)
        self._shared_bytes = 0  # of all writers
        self._private_bytes = 0  # of this one
        self._refused_at = 0  # what was in use when there was no room
        self._pid = os.getpid()
        self._files = count(1)
        self._lock = ReentrantLock()  # of what is counted here: several threads come
        self.measure()

    def measure(self) -> int:
        """Look at the bound and what is used, which is returned; not called by ``log``."""
        if self._given_bytes_max is None:
            self.bytes_max = default_bytes_max(self.root)
        if self.directory is not None:
            self._shared_bytes = self._used_below_root()
        return self.used_bytes()

    def share(self, directory: Path) -> None:
        """Take shared memory from now on, in this directory."""
        self.directory = directory
        self.measure()

    def used_bytes(self) -> int:
        """Bytes below the root, of all writers, and this one's private ones."""
        return self._shared_bytes + self._private_bytes

    def can_share(self, directory: Path) -> bool:
        """Whether a writer's directory and its smallest segments fit, as of now."""
        fits = self._used_below_root() + SEGMENT_BYTES_MIN <= self.bytes_max
        return fits and free_bytes(directory) >= SEGMENT_BYTES_MIN + DIRECTORY_BYTES

    def words(self) -> str:
        """What is in use, or why there is none, for a message."""
        if self.error is not None and self.error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return str(self.error.strerror or self.error)
        if self.root is None:
            return f"{_words_of(self._private_bytes_max())} of private memory are in use"
        ours, left = self._used_below_root(), free_bytes(self.root)
        words = f"runs use {_words_of(max(ours, self._refused_at))} of at most {_words_of(self.bytes_max)}"
        if left < _UNKNOWN:
            words += f", other programs {_words_of(max(0, in_use(self.root) - ours))}, and {_words_of(left)} are free"
        return words

    def _used_below_root(self) -> int:
        if self.root is None:
            return 0
        return used_bytes(self.root) if self._usage is None else self._usage.bytes()

    def is_half_full(self) -> bool:
        """Whether half is used, or private memory in place of shared."""
        if self.directory is None:
            return 2 * self._private_bytes > self._private_bytes_max()
        return self._private_bytes > 0 or 2 * self._shared_bytes > self.bytes_max

    def excess_bytes(self) -> int:
        """Bytes beyond three quarters, to be given up so that ``log`` finds room."""
        shared = self._shared_bytes - self.bytes_max * 3 // 4
        return max(0, shared, self._private_bytes - self._private_bytes_max() * 3 // 4)

    def left_bytes(self) -> int:
        """What may still be taken: of shared memory, else of private memory."""
        on_system = 0 if self.directory is None else free_bytes(self.directory)
        shared = min(self.bytes_max - self._shared_bytes, on_system)
        if shared < SEGMENT_BYTES_MIN and self._may_go_private(on_system < SEGMENT_BYTES_MIN):
            return max(0, self._private_bytes_max() - self._private_bytes)
        return max(0, shared)

    def segment_bytes(self) -> int:
        """Size of a segment, by what is left."""
        share = max(1, self.left_bytes() // 32)
        return min(_SEGMENT_BYTES_MAX, max(SEGMENT_BYTES_MIN, 1 << (share.bit_length() - 1)))

    def first_bytes(self) -> int:
        """Size of a writer's first segment."""
        return max(SEGMENT_BYTES_MIN, self.segment_bytes() // 8)

    def allocate(self, size: int, *, shared: bool = False) -> Block | None:
        """A block of ``size`` zero bytes, allocated and touched, ``shared`` or none; None without room."""
        if os.getpid() != self._pid:
            return None
        block, failed = None, False
        if self.directory is not None and self._leaves(size):
            block = self._take_shared(self.directory, size)
            failed = block is None and self.error is not None
        is_private = block is None and not shared and self._may_go_private(failed)
        if is_private and self._private_bytes + size <= self._private_bytes_max():
            block = self._anonymous(size)
            if block is not None:
                self._count(0, size)
                self.used_anonymous = self.directory is not None
        if block is None and not shared:
            self._refused_at = self.used_bytes()
        return block

    def free(self, block: Block) -> None:
        """Remove a block's file; its memory goes with its last mapping."""
        if os.getpid() != self._pid:
            return
        size = len(block.memory)
        if block.path is None:
            self._count(0, -size)
        else:
            self._count(-size, 0)
            if self._usage is not None:
                self._usage.change(-size)
            with contextlib.suppress(OSError):  # log() may be here, and cannot act on it
                block.path.unlink()
        self.on_freed()

    def _count(self, shared: int, private: int) -> None:
        with self._lock:  # as in Usage.change()
            self._shared_bytes += shared
            self._private_bytes += private

    def _private_bytes_max(self) -> int:
        if self.directory is None:
            return _MEMORY_BYTES_MAX if self._given_bytes_max is None else self.bytes_max
        return _PRIVATE_BYTES_MAX if self._given_bytes_max is None else self._given_bytes_max // 4

    def _may_go_private(self, failed: bool) -> bool:
        """Whether private memory may be taken; ``failed``: the file system gave none, else the bound is reached."""
        is_small = self._given_bytes_max is None and self.bytes_max < _MEMORY_BYTES_MAX
        return self.directory is None or (self.may_use_anonymous and (failed or is_small))

    def _leaves(self, size: int) -> bool:
        """Whether the bound does."""
        if self._shared_bytes + size > self.bytes_max:
            return False
        return self._usage is None or self._usage.leaves(size, self.bytes_max)

    def _take_shared(self, directory: Path, size: int) -> Block | None:
        block = self._shared(directory, size)
        if block is not None:
            self._count(size, 0)
            if self._usage is not None:
                self._usage.change(size)
                # Again: processes that came at once see each other's blocks now.
                if self._usage.exceeds(self.bytes_max):
                    self.free(block)
                    return None
        return block

    def _shared(self, directory: Path, size: int) -> Block | None:
        with self._lock:
            number = next(self._files)
        path = directory / f"{os.getpid():x}-{number:08x}{SEGMENT_SUFFIX}"
        try:
            descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except (FileNotFoundError, NotADirectoryError):  # removed: see memory_repair, which writes it out
            anonymous = self._anonymous(size)
            return None if anonymous is None else Block(anonymous.memory, path)
        except OSError as error:
            self.error = error
            return None
        try:
            allocate(descriptor, size)
            block = Block(_touched(map_file(descriptor, size)), path)
            self.error = None
            return block
        except (OSError, ValueError) as error:  # ValueError: it was cut before it was mapped
            self.error = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
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
    """64 MiB, or an eighth of the file system that ``root`` is on, or would be, if less."""
    system = None if root is None else _file_system(root)
    if system is None or system.f_blocks == 0:  # none, or one without a size
        return _MEMORY_BYTES_MAX
    return min(_MEMORY_BYTES_MAX, system.f_frsize * system.f_blocks // 8)


def in_use(path: Path) -> int:
    """Bytes in use on the file system of ``path``, by anyone; 0 where it does not say."""
    system = _file_system(path)
    return 0 if system is None else (system.f_blocks - system.f_bfree) * system.f_frsize


def free_bytes(path: Path) -> int:
    """Bytes free on the file system of ``path``; many where it does not say."""
    system = _file_system(path)
    return _UNKNOWN if system is None or system.f_blocks == 0 else system.f_bavail * system.f_frsize


def _file_system(path: Path) -> os.statvfs_result | None:
    """Of the nearest directory that exists."""
    directory = path
    while True:
        try:
            return os.statvfs(directory)
        except (FileNotFoundError, NotADirectoryError):
            if directory == directory.parent:
                return None
            directory = directory.parent
        except OSError:  # it does not say
            return None


def used_bytes(root: Path) -> int:
    """Bytes allocated to the journals below ``root``: to all files but those of media."""
    return _allocated(root)[0]


def media_bytes(root: Path) -> int:
    """Bytes allocated to media below ``root``, and to files where there is no disk."""
    return _allocated(root)[1]


def _allocated(root: Path) -> tuple[int, int]:
    journals = media = 0
    pending = [os.fspath(root)]
    while pending:
        path = pending.pop()
        of_media = path.endswith(_FILES_END)
        with contextlib.suppress(OSError), reserved(os.scandir, path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    continue
                size = entry.stat(follow_symlinks=False).st_blocks * 512
                if of_media or entry.name.endswith(MEDIA_SUFFIX):
                    media += size
                else:
                    journals += size
    return journals, media


def _words_of(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size // 2**10} KiB"
