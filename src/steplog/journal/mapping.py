"""Maps a file without keeping a descriptor, so that hundreds of open runs do not use them up.

CPython's ``mmap`` duplicates the descriptor, unless ``trackfd=False`` (3.13). Before, on Linux, the file is mapped over
anonymous memory (``MAP_FIXED``), which the object unmaps as its own. Elsewhere a mapping costs a descriptor.
"""

from __future__ import annotations

import functools
import mmap
import os
import sys
from collections.abc import Callable

__all__ = ["map_file"]

_lost: list[mmap.mmap] = []  # never unmapped: another mapping may be at the address by now


def map_file(descriptor: int, size: int) -> mmap.mmap:
    """Map ``size`` bytes, shared, read and write. Raises OSError, and ValueError where the file is smaller."""
    if sys.version_info >= (3, 13):
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
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        call = ctypes.CDLL(None, use_errno=True).mmap
    except (ImportError, OSError, AttributeError):
        return None
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_ssize_t]
    map_fixed = 0x10

    def put_in_place(memory: mmap.mmap, descriptor: int) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        flags = mmap.MAP_SHARED | map_fixed
        if call(address, len(memory), mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, 0) != address:
            _lost.append(memory)
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return put_in_place
