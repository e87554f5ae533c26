"""An advisory lock on a file (``flock``).

The kernel drops it with the last descriptor of the open file: a lock that can be taken has no living holder, without
pid, boot id or heartbeat. A forked child inherits the descriptor; it closes that (``close_inherited``), and never
unlocks, which would take the lock from its parent.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from weakref import WeakSet

from steplog.private_files import open_private

__all__ = ["FileLock", "close_inherited"]

_open: WeakSet[FileLock] = WeakSet()


class FileLock:
    """An open lock file; ``take`` returns it locked. Without a descriptor: a lock that no other process can see."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pid = os.getpid()
        _open.add(self)

    @classmethod
    def open(cls, path: Path) -> FileLock:
        """The file at ``path``, made if missing, not locked. Raises OSError."""
        return cls(open_private(path, os.O_RDWR | os.O_CREAT))

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """The lock at ``path``, made if missing; None if it is held. Raises OSError."""
        lock, taken = cls.open(path), False
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
        """Whether it is free. Raises OSError."""
        lock = cls.take(path)
        if lock is not None:
            lock.release()
        return lock is not None

    def acquire(self) -> bool:
        """Take the lock without waiting; whether it is ours. Raises OSError."""
        try:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` still leads to this file. Raises OSError."""
        return self._descriptor is None or os.path.samestat(
            os.fstat(self._descriptor), os.stat(path, follow_symlinks=False)
        )

    def __del__(self) -> None:
        if self._descriptor is not None:  # a lost reference must not keep the lock
            os.close(self._descriptor)

    def release(self) -> None:
        """Unlock and close; may be repeated. In a forked child, close only."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._pid == os.getpid():
            # Unlock: a forked child that has not closed its copy yet would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def close_inherited() -> None:
    """In a forked child: close every lock file of the parent."""
    for lock in list(_open):
        lock.release()
    _open.clear()
