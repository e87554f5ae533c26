"""Directories of benchmarks and tests, which the next run of either removes where this one was killed.

The name of each ends in ``.held``, and the process that has made it holds a lock (``flock``) on it, as its forks do. So
whether one is left over does not depend on process ids, which are given anew, and differ from container to container.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["SHARED", "make", "remove", "sweep"]

SHARED = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(tempfile.gettempdir())
_SUFFIX = ".held"
_YOUNG_S = 60.0  # it may not be locked yet
_locks: dict[Path, int] = {}


def make(kind: str, above: Path | None = None) -> Path:
    """A new directory for this user alone, until ``remove``; ``above``: where, by default the temporary directory."""
    path = Path(tempfile.mkdtemp(prefix=f"steplog-{kind}-", suffix=_SUFFIX, dir=above))
    _locks[path] = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(_locks[path], fcntl.LOCK_EX)
    return path


def remove(path: Path) -> None:
    """Remove a directory that ``make`` has made."""
    shutil.rmtree(path, ignore_errors=True)
    os.close(_locks.pop(path))


def sweep(places: Iterable[Path] | None = None, *, young_s: float = _YOUNG_S) -> list[Path]:
    """Remove those of this user's that no process holds any more, and stop a PostgreSQL that is left in one.

    Those younger than ``young_s`` stay. Returns their paths.
    """
    removed = []
    for place in {Path(tempfile.gettempdir()), SHARED} if places is None else places:
        for path in place.glob(f"steplog-*{_SUFFIX}"):
            with suppress(OSError):  # BlockingIOError: somebody holds it; or another process removes it, too
                if _is_old(path, young_s):
                    _remove_left(path)
                    removed.append(path)
    return removed


def _is_old(path: Path, young_s: float) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and time.time() - found.st_mtime >= young_s


def _remove_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for found in (*path.glob("*/postmaster.pid"), *path.glob("*/*/postmaster.pid")):
            _stop_postgresql(found)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _stop_postgresql(pid_file: Path) -> None:
    """Stop the server of a cluster at once; no other process, though it has got the same id."""
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().split()[0])
        if os.path.samefile(f"/proc/{pid}/cwd", pid_file.parent):  # where PostgreSQL works
            os.kill(pid, signal.SIGQUIT)
