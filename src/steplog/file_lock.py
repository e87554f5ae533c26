"""An advisory lock on a file (``flock``), held by an open file description.

The kernel drops it when the last descriptor of that description is closed. So a lock that can be taken has no living
holder: no pid, boot id or heartbeat is needed.

A forked child inherits the descriptor, and the lock with it. It closes the descriptor (``close_inherited``) and never
unlocks, which would take the lock from the living parent.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from weakref import WeakSet

__all__ = ["FileLock", "close_inherited"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_open: WeakSet[FileLock] = WeakSet()


class FileLock:
    """A lock file that this process has open; from ``take``, with the lock held."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pid = os.getpid()
        _open.add(self)

    @classmethod
    def of_nothing(cls) -> FileLock:
        """A lock on what no other process can see."""
        return cls(None)

    @classmethod
    def open(cls, path: Path) -> FileLock:
        """The file at ``path``, made if missing and not locked yet. Raises OSError."""
        return cls(os.open(path, _FLAGS, 0o600))

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """The lock at ``path``, whose file is made if missing; None where another holds it. Raises OSError."""
        lock = cls.open(path)
        try:
            if lock.acquire() and lock.is_at(path):
                return lock
        except FileNotFoundError:  # removed since it was opened
            pass
        except BaseException:
            lock.release()
            raise
        lock.release()
        return None

    @classmethod
    def is_free(cls, path: Path) -> bool:
        """Whether nobody holds the lock at ``path``. Raises OSError."""
        lock = cls.take(path)
        if lock is not None:
            lock.release()
        return lock is not None

    def acquire(self) -> bool:
        """Take the lock without waiting; False where another holds it. Raises OSError."""
        if self._descriptor is None:
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` still leads to this file. Raises OSError, FileNotFoundError among it."""
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
