"""One server for one database, whatever paths lead to it: hard links, mounts, and links above its directory.

1. ``<path>.lock``, which is what a server of 0.1 takes.
2. A byte of the database itself, far beyond those that SQLite locks, by an open file description lock: it belongs to
   the file and not to a path. Locking the whole file by ``flock`` would keep SQLite out on NFS.
3. A database that 0.1 may have open by another path has an older version. Before it is upgraded, nobody may have it
   open: a connection in WAL mode keeps SQLite's shared lock (https://www.sqlite.org/lockingv3.html). 0.1 does not open
   an upgraded one.

The lock of 2 is held by a descriptor of the database. Closing that drops the locks of SQLite in this process, so that
``release`` comes after the last connection is closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.private_files import open_private

__all__ = ["DatabaseInUseError", "DatabaseLock"]

_OWN_BYTE = 1 << 62
_SHARED_BYTES = 0x4000_0002, 510  # SQLite's SHARED_FIRST and SHARED_SIZE
_SET: int = getattr(fcntl, "F_OFD_SETLK", -1)  # Linux; macOS from Python 3.11 on
_IS_MAC = sys.platform == "darwin"
_FLOCK = struct.Struct("@qqihh" if _IS_MAC else "@hhqqi4x")


class DatabaseInUseError(ConfigurationError):
    """A server has it."""


class DatabaseLock:
    """Taken for the path when made, for the file by ``take_file``. Raises ConfigurationError where a server has it."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._descriptor: int | None = None
        path = database.with_name(f"{database.name}.lock")
        try:
            lock = FileLock.take(path)
        except FileNotFoundError:
            words = f"{database} cannot be used: {database.parent}: No such file or directory"
            raise ConfigurationError(words) from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be used: {error.strerror or error}") from None
        if lock is None:
            raise self._in_use()
        self._lock = lock

    def take_file(self, *, upgrades: bool) -> None:
        """Lock the database itself; ``upgrades``: only if nobody has it open. Raises OSError, too."""
        if _SET < 0:
            return
        self._descriptor = descriptor = open_private(self._database, os.O_RDWR)
        if not _lock_bytes(descriptor, fcntl.F_WRLCK, _OWN_BYTE, 1):
            raise self._in_use()
        if upgrades:
            if not _lock_bytes(descriptor, fcntl.F_WRLCK, *_SHARED_BYTES):
                raise ConfigurationError(
                    f"{self._database} is open in another program, perhaps a server of an older version; "
                    "it can be upgraded once that has ended"
                )
            _lock_bytes(descriptor, fcntl.F_UNLCK, *_SHARED_BYTES)

    def _in_use(self) -> DatabaseInUseError:
        advice = "stop that one, or name another database: --db other.db"
        return DatabaseInUseError(f"{self._database} is in use by another steplog server; {advice}")

    def release(self) -> None:
        """Let another server have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        self._lock.release()


def _flock(kind: int, start: int, length: int) -> bytes:
    """``struct flock``: fcntl(2) of each system has its own order."""
    if _IS_MAC:
        return _FLOCK.pack(start, length, 0, kind, os.SEEK_SET)
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


def _lock_bytes(descriptor: int, kind: int, start: int, length: int) -> bool:
    """Lock or unlock bytes without waiting; False where somebody else has them. Raises OSError."""
    with contextlib.suppress(BlockingIOError, PermissionError):  # EAGAIN, EACCES
        fcntl.fcntl(descriptor, _SET, _flock(kind, start, length))
        return True
    return False
