"""An advisory lock on a file (``flock``).

The kernel drops it with the last descriptor of the open file: a lock that can be taken has no living holder, without
pid, boot id or heartbeat. A forked child inherits the descriptor; it closes that (``close_inherited``), and never
unlocks, which would take the lock from its parent.

A program that closes all descriptors drops the lock, and may get the number for a file of its own. So the descriptor is
checked before each use, and ``regain`` takes the lock again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from steplog.descriptors import Descriptor
from steplog.living import Living
from steplog.private_files import open_private

__all__ = ["FileLock", "close_inherited"]

_open: Living[FileLock] = Living()


class FileLock:
    """An open lock file; ``take`` returns it locked. Without a descriptor: a lock that no other process can see."""

    def __init__(self, descriptor: int | None, path: Path | None = None) -> None:
        self._descriptor = None if descriptor is None else Descriptor(descriptor)
        self.path = path  # where it is now; None: nowhere that it could be taken again
        self._pid = os.getpid()
        self._lost = False
        for other in _open if descriptor is not None else ():
            if other._descriptor == descriptor:  # closed by the program, or the number would not be free
                other._lost = True
        _open.add(self)

    @classmethod
    def open(cls, path: Path, *, make: bool = True) -> FileLock:
        """The file at ``path``, made if missing, not locked. Raises OSError."""
        return cls(open_private(path, os.O_RDWR | (os.O_CREAT if make else 0)), path)

    @classmethod
    def take(cls, path: Path, *, make: bool = True) -> FileLock | None:
        """The lock at ``path``, made if missing; None if it is held. Raises OSError."""
        lock, taken = cls.open(path, make=make), False
        try:
            taken = lock.acquire() and lock.is_at(path)
        except FileNotFoundError:  # removed since it was opened
            pass
        finally:
            if not taken:
                lock.release()
        return lock if taken else None

    @classmethod
    def is_free(cls, path: Path) -> bool:
        """Whether it is free; it is not made. Raises OSError."""
        lock = cls.take(path, make=False)
        if lock is not None:
            lock.release()
        return lock is not None

    def acquire(self) -> bool:
        """Take the lock without waiting; whether it is ours. Raises OSError."""
        try:
            if self._descriptor is not None:
                self._check()
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_open(self) -> bool:
        """Whether the program has left its descriptor alone."""
        return self._descriptor is None or (not self._lost and self._descriptor.is_ours())

    def _check(self) -> None:
        if not self.is_open():
            raise OSError(errno.EBADF, "the program has closed the lock's descriptor", str(self.path))

    def regain(self) -> bool:
        """Take a lock that is held again, if the program has closed its descriptor; whether it is held.

        Raises OSError: it is not known.
        """
        if self.is_open() or self.path is None:
            return True
        again = FileLock.take(self.path)
        if again is not None:
            (self._descriptor, self._lost), again._descriptor = (again._descriptor, False), None
        return again is not None

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` still leads to this file. Raises OSError."""
        if self._descriptor is None:
            return True
        self._check()
        return os.path.samestat(os.fstat(self._descriptor), os.stat(path, follow_symlinks=False))

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None and self.is_open():
            os.close(self._descriptor)  # type: ignore[arg-type] # a lost reference must not keep the lock

    def release(self) -> None:
        """Unlock and close; may be repeated. In a forked child, close only."""
        is_open = self.is_open()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or not is_open:
            return
        if self._pid == os.getpid():
            # Unlock: a forked child that has not closed its copy yet would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def close_inherited() -> None:
    """In a forked child: close every lock file of the parent."""
    for lock in _open:
        lock.release()
    _open.clear()
