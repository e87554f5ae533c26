"""Copies of the user's files, by the cheapest means that the file system has.

1. *Reflink* (FICLONE: Btrfs, XFS, bcachefs): no data is copied, and a later write to either changes the other no more.
2. ``copy_file_range``: within the kernel, on NFS within the server; extent by extent, so that holes stay holes.
3. Read and write. What reads as a mebibyte of zeros becomes a hole.

On macOS it is the third: ``SEEK_DATA`` on APFS may skip data that was just written
(https://github.com/coreutils/coreutils/pull/68).

A hard link is none: a program that writes into its file (``torch.save``) would change what was saved. It is made only
where the user says that the file does not change.

A file that grows meanwhile is copied up to the size that it began with; one that shrinks, as far as it goes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from steplog.descriptors import open_reserved
from steplog.private_files import open_directory, open_private

__all__ = ["copy_file", "link_file", "open_regular"]

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_PART_BYTES = 1024 * 1024
_UNSIZED_BYTES_MAX = 16 * 1024 * 1024  # of a file that says it is empty, as those below /proc do
_RANGE_BYTES = 128 * 1024 * 1024  # of one copy_file_range: Ctrl-C comes through between two
_UNABLE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.EIO)
_WITHOUT_HOLES = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


def open_regular(path: Path) -> int:
    """The descriptor of a regular file, or of one that a link leads to. Raises ValueError for anything else, OSError.

    Looked at first: to open a device may do something.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is not a regular file")
    descriptor = open_reserved(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is not a regular file")
    return descriptor


def copy_file(source: int, to: Path) -> int:
    """Copy an open file to a new one of ours; the bytes it has. Raises OSError; ``to`` is gone then."""
    target = open_private(to, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    done = False
    try:
        size = os.fstat(source).st_size
        if not _cloned(source, target):
            size = _copied(source, target, size or _UNSIZED_BYTES_MAX)
            os.ftruncate(target, size)  # a hole at the end
        else:
            size = os.fstat(target).st_size
        done = True
        return size
    finally:
        os.close(target)
        if not done:
            with contextlib.suppress(OSError):
                to.unlink()


def link_file(source: int, path: Path, to: Path) -> bool:
    """Link a file that does not change; whether that can be: it is ours, and on the same file system."""
    found = os.fstat(source)
    if found.st_uid != os.geteuid():
        return False
    with contextlib.suppress(OSError):
        above = open_directory(to.parent)
        try:
            os.link(os.path.realpath(path), to.name, dst_dir_fd=above, follow_symlinks=False)
            if os.path.samestat(found, os.stat(to.name, dir_fd=above, follow_symlinks=False)):
                return True
            os.unlink(to.name, dir_fd=above)  # the path leads elsewhere now
        finally:
            os.close(above)
    return False


def _cloned(source: int, target: int) -> bool:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.ioctl(target, _FICLONE, source)
            return True
    return False


def _copied(source: int, target: int, size: int) -> int:
    """Copy up to ``size`` bytes; how long the copy is."""
    reached = 0
    for start, end in _extents(source, size):
        reached = _copy_extent(source, target, start, end)
        if reached < end:
            return reached  # it has shrunk
    return max(reached, min(size, os.fstat(source).st_size))


def _extents(source: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that hold data."""
    if sys.platform == "darwin":
        yield 0, size
    else:
        yield from _stretches(source, size)


def _stretches(source: int, size: int) -> Iterator[tuple[int, int]]:
    place = 0
    while place < size:
        try:
            start = os.lseek(source, place, os.SEEK_DATA)
            end = min(size, os.lseek(source, start, os.SEEK_HOLE))
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            if error.errno not in _WITHOUT_HOLES:
                raise
            start, end = place, size
        if start >= size:
            return
        yield start, end
        place = end


def _copy_extent(source: int, target: int, start: int, end: int) -> int:
    start = _copy_in_kernel(source, target, start, end)
    while start < end:
        data = os.pread(source, min(end - start, _PART_BYTES), start)
        if not data:
            break
        written = 0 if data.strip(b"\0") else len(data)
        while written < len(data):
            written += os.pwrite(target, data[written:], start + written)
        start += len(data)
    return start


def _copy_in_kernel(source: int, target: int, start: int, end: int) -> int:
    """How far it came: some systems and file systems cannot, and some say 0 for that."""
    copy_range = getattr(os, "copy_file_range", None)
    while start < end and copy_range is not None:
        try:
            count = copy_range(source, target, min(end - start, _RANGE_BYTES), start, start)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            break
        if not count:
            break
        start += count
    return start
