"""The file system, as far as the spool uses it: an argument, so that tests can have one that fails.

Every call may raise OSError. Files are made exclusively, followed through no link, private (0600), and not inherited by
programs that are started. ``sync`` is ``fdatasync``: the data and the size, not the times.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from steplog.private_files import make_private, remove_tree, write_private

__all__ = ["Files"]

_APPEND = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
_PRIVATE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Files:
    """The real one."""

    def create(self, path: Path) -> int:
        """A new file to append to; its descriptor."""
        return os.open(path, _APPEND | _PRIVATE, 0o600)

    def open(self, path: Path) -> int:
        """A file of ours that is there, to append to; its descriptor."""
        return os.open(path, os.O_RDWR | os.O_APPEND | _PRIVATE)

    def make_private(self, path: Path) -> None:
        """Make a directory that is ours alone, or check that it is. Raises ConfigurationError too."""
        make_private(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append; how many bytes went."""
        return os.write(descriptor, data)

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Append all of it, in as many writes as that takes; after an error some of it may be there."""
        rest = memoryview(data)
        while rest:
            written = self.write(descriptor, rest)
            if written <= 0:
                raise OSError(errno.EIO, "nothing was written")
            rest = rest[written:]

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Have what was written on the disk. After a failure this descriptor is not to be synced again."""
        os.fdatasync(descriptor)

    def sync_file(self, path: Path) -> None:
        """Have a file of ours, which is written already, on the disk."""
        descriptor = os.open(path, os.O_RDWR | _PRIVATE)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self, descriptor: int) -> None:
        """Let go of the descriptor."""
        os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Have the directory's entries on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _PRIVATE)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that does not know how to
                raise
        finally:
            os.close(descriptor)

    def exists(self, path: Path) -> bool:
        """Whether there is a file."""
        return os.path.lexists(path)

    def size(self, path: Path) -> int:
        """How many bytes the file has. Raises FileNotFoundError also for what is no file."""
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a file", str(path))
        return found.st_size

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """``size`` bytes at ``offset``, or all there are from there."""
        descriptor = os.open(path, os.O_RDONLY | _PRIVATE)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(offset)
            return file.read() if size is None else file.read(size)

    def unlink(self, path: Path) -> None:
        """Remove the file; that it is gone already is fine."""
        path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory of ours with all that is in it, as far as that goes. Raises nothing."""
        remove_tree(path)

    def rename(self, path: Path, to: Path) -> None:
        """Give the file another name."""
        path.rename(to)

    def replace(self, path: Path, data: bytes) -> None:
        """Put a file of ours there, whole or not at all, in the place of what is there; not synced."""
        write_private(path, data)

    def names(self, directory: Path) -> list[str]:
        """What is in the directory."""
        return os.listdir(directory)

    def free_bytes(self, directory: Path) -> int:
        """How much this user may still write there."""
        system = os.statvfs(directory)
        return system.f_frsize * system.f_bavail
