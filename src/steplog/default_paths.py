"""The default directories of this user."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["memory_directory", "state_directory", "user_id"]


def state_directory() -> Path:
    """The user's state directory; a temporary one without a writable home."""
    from platformdirs import user_state_path

    # Without a home platformdirs raises; older versions leave the "~".
    with contextlib.suppress(RuntimeError):
        path = user_state_path("steplog")
        if path.is_absolute() and _can_be_written(path):
            return path
    return Path(tempfile.gettempdir()) / f"steplog-state-{user_id()}"


def _can_be_written(path: Path) -> bool:
    """Whether ``path``, or the nearest directory above it, is writable."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return os.access(there, os.W_OK | os.X_OK)


def memory_directory() -> Path:
    """In shared memory."""
    return Path(f"/dev/shm/steplog-{user_id()}")  # noqa: S108 - the journal makes it 0700, and checks it


def user_id() -> int:
    """0 where the system has no users."""
    return os.getuid() if hasattr(os, "getuid") else 0
