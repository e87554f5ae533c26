"""Locks: who is alive, and who delivers.

A lock is an ``flock`` on a file that is never replaced. The kernel lets go of it when the last descriptor of that open
file is closed, so a lock that can be taken means that its holder is gone: no pid, no boot id, no heartbeat.

A forked child inherits the descriptor, and with it the lock: it *closes* it (``close_inherited``), and never unlocks,
which would free the living parent's lock. After taking a lock the path must still lead to the locked file, else
somebody has removed it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from weakref import WeakSet

__all__ = ["FileLock", "close_inherited"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_held: WeakSet[FileLock] = WeakSet()


class FileLock:
    """A lock that this process holds; made by ``take``."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pid = os.getpid()
        _held.add(self)

    @classmethod
    def of_nothing(cls) -> FileLock:
        """The lock on what no other process can see."""
        return cls(None)

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """The lock at ``path``, made if it is not there; None when somebody else holds it. Raises OSError."""
        descriptor = os.open(path, _FLAGS, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False)):
                raise FileNotFoundError(path)
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    @classmethod
    def is_free(cls, path: Path) -> bool:
        """Whether nobody holds the lock at ``path``. Raises OSError."""
        lock = cls.take(path)
        if lock is not None:
            lock.release()
        return lock is not None

    def __del__(self) -> None:
        # A lock that nobody holds any more is free: else a mistake here would keep a run from everybody.
        if self._descriptor is not None:
            os.close(self._descriptor)

    def release(self) -> None:
        """Let go; harmless a second time, and in a forked child, which only closes what it inherited."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if self._pid == os.getpid():
            # A child that was forked and has not closed its copy yet would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def close_inherited() -> None:
    """In a forked child: close every lock that the parent holds."""
    for lock in list(_held):
        lock.release()
    _held.clear()
