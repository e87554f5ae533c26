"""What file systems are asked for by other names on Linux and on macOS: to make durable, and to allocate.

macOS
    ``fsync`` hands the data to the drive, which may keep it in its cache; ``F_FULLFSYNC`` has the drive write it out
    (fsync(2), fcntl(2)). ``F_BARRIERFSYNC`` only keeps the order. File systems without it, as SMB and some external
    drives, answer with one of ``_UNSUPPORTED``, and are asked for ``fsync``. There is no ``fdatasync``, and no
    ``posix_fallocate``: zeros are written, so that a full disk is an error here, and not a fault in mapped memory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys

__all__ = ["allocate", "sync", "sync_data"]

_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.ENOSYS)
_PIECE_BYTES = 256 * 1024
_F_FULLFSYNC: int = getattr(fcntl, "F_FULLFSYNC", 51)


def sync(descriptor: int) -> None:
    """Make a file or directory durable: it survives a power cut. Raises OSError."""
    if sys.platform == "darwin":
        _sync_fully(descriptor)
    else:
        os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Make the contents and size of a file durable. Raises OSError."""
    if sys.platform == "darwin":
        _sync_fully(descriptor)
    else:
        os.fdatasync(descriptor)


def allocate(descriptor: int, size: int) -> None:
    """Have a file of zeros, or one that is shorter, take its room for ``size`` bytes. Raises OSError.

    A file that is longer, and what is in it, stays as it is.
    """
    if sys.platform == "darwin":
        _write_zeros(descriptor, size)
    else:
        os.posix_fallocate(descriptor, 0, size)


def _write_zeros(descriptor: int, size: int) -> None:
    end = os.fstat(descriptor).st_size
    zeros = bytes(min(_PIECE_BYTES, max(0, size - end)))
    while end < size:
        end += os.pwrite(descriptor, zeros[: size - end], end)


def _sync_fully(descriptor: int) -> None:
    try:
        fcntl.fcntl(descriptor, _F_FULLFSYNC)
    except OSError as error:
        # Any other failure may be reported once: ``fsync`` would succeed, and the data be lost.
        if error.errno not in _UNSUPPORTED:
            raise
        os.fsync(descriptor)
