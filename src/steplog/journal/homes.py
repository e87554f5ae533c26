"""A writer's directory: in shared memory with its lock and its marks, or on disk with its lock alone."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.mapping import map_file
from steplog.private_files import make_private, remove_tree

__all__ = ["make_in_memory", "make_on_disk", "map_cursor"]

_T = TypeVar("_T")


def make_in_memory(directory: Path) -> tuple[FileLock | None, mmap.mmap] | None:
    """A writer's directory in memory, with its lock taken, and its marks; None where there is none to be had."""
    return _made(directory, map_cursor)


def make_on_disk(directory: Path) -> FileLock | None:
    """The lock of a writer that has no shared memory, in its spool; None where the disk does not take it."""
    made = _made(directory, lambda making: None)
    return None if made is None else made[0]


def _made(directory: Path, furnish: Callable[[Path], _T]) -> tuple[FileLock | None, _T] | None:
    """The directory, with its lock taken and what ``furnish`` puts there; None, and nothing left, where that fails."""
    # Under another name first: an agent that saw the directory without its lock would take the writer for dead.
    making = directory.with_name(f"{directory.name}.new")
    alive = None
    try:
        make_private(making)
        alive = FileLock.take(making / "alive")
        furnished = furnish(making)
        making.rename(directory)
    except (OSError, ConfigurationError):
        if alive is not None:
            alive.release()
        remove_tree(making)
        return None
    return alive, furnished


def map_cursor(directory: Path) -> mmap.mmap:
    """The marks in a writer's directory in memory, made if they are not there. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / "marks", flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, CURSOR_BYTES)
        return map_file(descriptor, CURSOR_BYTES)
    finally:
        os.close(descriptor)
