"""What stands for shared memory on macOS, which has no file system in memory: files in the user's cache directory.

::

    ~/Library/Caches/steplog/memory-<host>-<start>/    16 hexadecimal digits each

Mapped files survive the process, as shared memory does. They survive the machine as well, but not whole: after a power
cut one page is new and another old. So the directory is that of this host and this start of it, and what earlier starts
of this host left is removed. Where macOS does not tell its start, there is no directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from steplog.host import boot_id, host_id
from steplog.private_files import is_private, make_private, remove_at_once

__all__ = ["find", "make"]


def find(place: Path) -> Path | None:
    """The directory below ``place``, if it is there and this user's alone."""
    root = _root(place)
    with contextlib.suppress(OSError):
        if root is not None and is_private(root):
            return root
    return None


def make(place: Path) -> Path | None:
    """The same, made if it is missing; None where there can be none. Raises OSError."""
    root = _root(place)
    if root is not None:
        make_private(root)
        for name in os.listdir(place):
            if name.startswith(_of_host()) and name != root.name:
                remove_at_once(place / name)
    return root


def _of_host() -> str:
    return f"memory-{host_id()}-"


def _root(place: Path) -> Path | None:
    start = boot_id()
    return place / f"{_of_host()}{hashlib.sha256(start.encode()).hexdigest()[:16]}" if start else None
