"""Maps a file without keeping a descriptor, so that hundreds of open runs do not use them up.

CPython's ``mmap`` duplicates the descriptor, unless ``trackfd=False`` (3.13). Before, the file is mapped over anonymous
memory (``MAP_FIXED``), which the object unmaps as its own. On macOS all versions do that: their ``mmap`` has the drive
write the file out first (https://github.com/python/cpython/issues/113861), which takes milliseconds, and the limit on
open files is 256. Without ctypes a mapping costs a descriptor.

What another process may cut is not mapped, since to touch a mapping beyond its file is SIGBUS: see ``SharedFile``.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

from steplog.private_files import open_private

__all__ = ["SharedFile", "map_file"]

_SYSTEMS = ("linux", "darwin")  # the flag, and the size of an offset, are as these have them
_MAP_FIXED = 0x10
_lost: list[mmap.mmap] = []  # never unmapped: another mapping may be at the address by now


def map_file(descriptor: int, size: int) -> mmap.mmap:
    """Map ``size`` bytes, shared, read and write. Raises OSError, and ValueError where the file is smaller."""
    if sys.version_info >= (3, 13) and sys.platform != "darwin":
        return mmap.mmap(descriptor, size, trackfd=False)
    put_in_place = _put_in_place()
    if put_in_place is None:
        return mmap.mmap(descriptor, size)
    if os.fstat(descriptor).st_size < size:
        raise ValueError("the file is smaller than what is to be mapped")
    memory = mmap.mmap(-1, size)
    put_in_place(memory, descriptor)
    return memory


@functools.cache
def _put_in_place() -> Callable[[mmap.mmap, int], None] | None:
    if sys.platform not in _SYSTEMS:
        return None
    try:
        import ctypes

        call = ctypes.CDLL(None, use_errno=True).mmap
    except (ImportError, OSError, AttributeError):
        return None
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_ssize_t]

    def put_in_place(memory: mmap.mmap, descriptor: int) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        flags = mmap.MAP_SHARED | _MAP_FIXED
        if call(address, len(memory), mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, 0) != address:
            _lost.append(memory)
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return put_in_place


class SharedFile:
    """Memory in a small file of another process's, made if missing: read and written, never mapped. Raises OSError.

    What was read or stored last is kept, and counts while the file cannot be reached. A store that failed is done
    again by ``retry``. A file that is ``ours`` to store in is read once.
    """

    def __init__(self, path: Path, size: int, *, ours: bool = False) -> None:
        self._path = path
        self._ours = ours
        self._owed = False
        self._copy = bytes(size)  # replaced as a whole: several threads read it
        descriptor = self._open(os.O_CREAT)
        try:
            self._inode = os.fstat(descriptor).st_ino
            self._read(descriptor)
        finally:
            os.close(descriptor)

    def _open(self, flags: int = 0) -> int:
        return open_private(self._path, os.O_RDWR | flags)

    def _read(self, descriptor: int) -> None:
        found = os.pread(descriptor, len(self._copy), 0)
        self._copy = found + self._copy[len(found) :]

    def __len__(self) -> int:
        return len(self._copy)

    def __getitem__(self, key: slice) -> bytes:
        self.refresh()
        return self._copy[key]

    def __setitem__(self, key: slice, value: bytes) -> None:
        copy = bytearray(self._copy)
        copy[key] = value
        self._copy = bytes(copy)
        self._store(key)

    def refresh(self) -> None:
        """Read it, unless it is ours."""
        if not self._ours and not self._owed:
            with contextlib.suppress(OSError):
                descriptor = self._open()
                try:
                    self._read(descriptor)
                finally:
                    os.close(descriptor)

    def _store(self, key: slice) -> None:
        self._owed = True
        with contextlib.suppress(OSError):
            descriptor = self._open()
            try:
                os.pwrite(descriptor, self._copy[key], key.start or 0)
                self._owed = False
            finally:
                os.close(descriptor)

    def retry(self) -> None:
        """Store what a failure kept from the file."""
        if self._owed:
            self._store(slice(None))

    def is_at_path(self) -> bool:
        """Whether the file is still there. Raises OSError."""
        descriptor = self._open()
        try:
            return os.fstat(descriptor).st_ino == self._inode
        finally:
            os.close(descriptor)
