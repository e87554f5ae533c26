"""Where the files of this user are, where no setting says otherwise."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["memory_directory", "state_directory", "user_id"]


def state_directory() -> Path:
    """The user's state directory; where there is no home, or one that cannot be written, a private temporary one."""
    from platformdirs import user_state_path

    # Without a home there is nothing to expand "~" to: platformdirs raises, and in older versions left the "~".
    with contextlib.suppress(RuntimeError):
        path = user_state_path("steplog")
        if path.is_absolute() and _can_be_written(path):
            return path
    return Path(tempfile.gettempdir()) / f"steplog-state-{user_id()}"


def _can_be_written(path: Path) -> bool:
    """Whether this directory, or the nearest one above it that there is, takes files."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return os.access(there, os.W_OK | os.X_OK)


def memory_directory() -> Path:
    """Where shared memory is."""
    return Path(f"/dev/shm/steplog-{user_id()}")  # noqa: S108 - made with 0700, and checked, by the journal


def user_id() -> int:
    """Who this process runs for; 0 where the system has no users."""
    return os.getuid() if hasattr(os, "getuid") else 0
