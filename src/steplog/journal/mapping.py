"""Mapping a file without keeping it open: hundreds of open runs are not to use up a process's descriptors.

CPython's ``mmap`` keeps a duplicate of the descriptor, which nobody needs here. From 3.13 on it can be told not to.
Before, on Linux, anonymous memory is mapped, and the file then put in its place (``MAP_FIXED``), at the same address,
so that the object frees it as if it were its own. Where neither can be had, a descriptor a mapping is what it costs.
"""

from __future__ import annotations

import functools
import mmap
import os
import sys
from collections.abc import Callable

__all__ = ["map_file"]

_lost: list[mmap.mmap] = []  # their addresses may belong to somebody else by now, so they are never freed


def map_file(descriptor: int, size: int) -> mmap.mmap:
    """The first ``size`` bytes of a file, shared, to read and write; the descriptor is the caller's to close.

    Raises OSError, and ValueError where the file is smaller.
    """
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
