"""The default directories of this user.

In shared memory anybody may take a name. The roots of this user are those of the directories ``steplog-<uid>`` and
``steplog-<uid>-…`` that are ours alone. A new run goes to the first by name, and runs in any are found. If there is
none, the plain name is made, or where that is taken one with 64 random bits. Nothing is noted anywhere.

On macOS there is one root, in the user's cache directory: see ``cached_memory``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from steplog import cached_memory
from steplog.descriptors import reserved
from steplog.errors import NotPrivateError
from steplog.private_files import is_private, make_private

__all__ = [
    "SHARED_MEMORY",
    "make_memory_directory",
    "memory_directories",
    "memory_place",
    "state_directory",
    "user_id",
]

_IS_MAC = sys.platform == "darwin"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is private, and checked


def state_directory() -> Path:
    """The user's state directory; a temporary one without a writable home."""
    from platformdirs import user_state_path

    return _writable(user_state_path, "state")


def _writable(find: Callable[[str], Path], kind: str) -> Path:
    # Without a home platformdirs raises; older versions leave the "~".
    with contextlib.suppress(RuntimeError):
        path = find("steplog")
        if path.is_absolute() and _can_be_written(path):
            return path
    return Path(tempfile.gettempdir()) / f"steplog-{kind}-{user_id()}"


def _can_be_written(path: Path) -> bool:
    """Whether ``path``, or the nearest directory above it, is writable."""
    there = next(folder for folder in (path, *path.parents) if os.path.exists(folder) or folder == folder.parent)
    return os.access(there, os.W_OK | os.X_OK)


def memory_place() -> Path:
    """Where the roots of this user are."""
    if not _IS_MAC:
        return SHARED_MEMORY
    from platformdirs import user_cache_path

    return _writable(user_cache_path, "cache")


def memory_directories() -> list[Path]:
    """This user's roots in shared memory, by name."""
    if _IS_MAC:
        root = cached_memory.find(memory_place())
        return [] if root is None else [root]
    plain = _plain_name()
    found = []
    with contextlib.suppress(OSError):
        for entry in reserved(os.scandir, SHARED_MEMORY):
            if entry.name == plain or entry.name.startswith(f"{plain}-"):
                with contextlib.suppress(OSError):  # somebody else's, or open to others
                    if is_private(entry.path):
                        found.append(SHARED_MEMORY / entry.name)
    return sorted(found)


def make_memory_directory() -> Path | None:
    """The first of them, made if there is none; None where the system has no shared memory. Raises OSError."""
    if _IS_MAC:
        return cached_memory.make(memory_place())
    if not (found := memory_directories()):
        if not SHARED_MEMORY.is_dir():
            return None
        path = SHARED_MEMORY / _plain_name()
        try:
            make_private(path)
        except NotPrivateError:
            path = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
            make_private(path)
        found = memory_directories() or [path]  # another process may have made one, too
    return found[0]


def _plain_name() -> str:
    return f"steplog-{os.geteuid()}"


def user_id() -> int:
    """0 where the system has no users."""
    return os.getuid() if hasattr(os, "getuid") else 0
