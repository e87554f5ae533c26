"""Where the demo plays: two directories of its own, and what becomes of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["Room"]

_PREFIX = "steplog-demo-"
_SHARED = Path("/dev/shm")  # noqa: S108 - what is made in it has mode 0700
_SHARED_BYTES = 32 * 1024 * 1024  # the ledgers and what waits take half of it


class Room:
    """``home`` for the database, ``memory`` for journals and ledgers. Raises OSError where there is no room.

    They are the same where there is no shared memory, or not enough: the demo's journals are files then, which
    outlive a process as well.
    """

    def __init__(self, shared: Path = _SHARED) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.memory = _memory(shared) or self.home
        self.database = self.home / "server.db"
        self.has_shared_memory = self.memory != self.home

    def clear(self, keep: bool) -> None:
        """Remove all of it; with ``keep`` all but the database."""
        if self.has_shared_memory:
            shutil.rmtree(self.memory, ignore_errors=True)
        if not keep:
            shutil.rmtree(self.home, ignore_errors=True)
            return
        log = self.home / "server.db-wal"
        if log.exists() and log.stat().st_size == 0:  # left by who read last; all is in the database
            log.unlink()
            log.with_name("server.db-shm").unlink(missing_ok=True)
        for path in self.home.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not path.name.startswith(self.database.name):
                path.unlink()


def _memory(shared: Path) -> Path | None:
    try:
        room = os.statvfs(shared)
        if room.f_bavail * room.f_frsize >= _SHARED_BYTES:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shared))
    except OSError:
        pass
    return None
