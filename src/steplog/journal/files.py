"""The file system as the spool uses it; an argument, so that tests can have one that fails.

Every call may raise OSError. What it opens is opened as ``private_files`` says. Files are created exclusively.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from steplog.descriptors import Descriptor
from steplog.file_system import sync, sync_data
from steplog.private_files import (
    make_private,
    names_in,
    open_directory,
    open_private,
    read_private,
    remove_at_once,
    rename_private,
    unlink_private,
    write_private,
)

__all__ = ["Files"]

_APPEND = os.O_RDWR | os.O_APPEND


class Files:
    """The real file system."""

    def create(self, path: Path) -> int:
        """Create a file; its descriptor, appending."""
        return Descriptor(open_private(path, _APPEND | os.O_CREAT | os.O_EXCL))

    def open(self, path: Path) -> int:
        """Open a file; its descriptor, appending."""
        return Descriptor(open_private(path, _APPEND))

    def make_private(self, path: Path) -> None:
        """See private_files. Raises ConfigurationError too."""
        make_private(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append; the bytes written."""
        _check(descriptor)
        return os.write(descriptor, data)

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Append all of it; on error part may be there."""
        rest = memoryview(data)
        while rest:
            written = self.write(descriptor, rest)
            if written <= 0:
                raise OSError(errno.EIO, "nothing was written")
            rest = rest[written:]

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file."""
        _check(descriptor)
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Make what was written durable. After a failure, never again on this descriptor."""
        _check(descriptor)
        sync_data(descriptor)

    def sync_file(self, path: Path) -> None:
        """Make a written file durable."""
        descriptor = open_private(path, os.O_RDONLY)  # it may be a link to one that its owner cannot write to
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Close it."""
        if isinstance(descriptor, Descriptor):
            descriptor.close()
        else:
            os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Make its entries durable."""
        descriptor = open_directory(path)
        try:
            sync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system without that
                raise
        finally:
            os.close(descriptor)

    def exists(self, path: Path) -> bool:
        """Whether the name is taken."""
        return os.path.lexists(path)

    def size(self, path: Path) -> int:
        """Bytes. Raises FileNotFoundError unless it is a regular file."""
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a file", str(path))
        return found.st_size

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """``size`` bytes from ``offset`` on, or all."""
        return read_private(path, offset, size)

    def unlink(self, path: Path) -> None:
        """Remove it, if there."""
        unlink_private(path)

    def remove_tree(self, path: Path) -> bool:
        """``private_files.remove_at_once``. Raises nothing."""
        return remove_at_once(path)

    def rename(self, path: Path, to: Path) -> None:
        """Rename the file, in its directory."""
        rename_private(path, to.name)

    def replace(self, path: Path, data: bytes) -> None:
        """Replace it as a whole, not synced."""
        write_private(path, data)

    def names(self, directory: Path) -> list[str]:
        """Its entries."""
        return names_in(directory)

    def free_bytes(self, directory: Path) -> int:
        """What this user may still write there."""
        system = os.statvfs(directory)
        return system.f_frsize * system.f_bavail


def _check(descriptor: int) -> None:
    """Raise OSError where the program has closed it: the number may be a file of its own by now."""
    if isinstance(descriptor, Descriptor):
        descriptor.check()
