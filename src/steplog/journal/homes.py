"""A writer's directory: in shared memory with its lock and its marks, or on disk with its lock alone."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.journal.directories import make_private, remove_tree
from steplog.journal.locks import Lock
from steplog.journal.mapping import map_file
from steplog.journal.marks import MARKS_BYTES

__all__ = ["make_in_memory", "make_on_disk", "map_marks"]


def make_in_memory(directory: Path) -> tuple[Lock | None, mmap.mmap] | None:
    """A writer's directory in memory, with its lock taken, and its marks; None where there is none to be had."""
    # Under another name first: an agent that saw the directory without its lock would take the writer for dead.
    making = directory.with_name(f"{directory.name}.new")
    alive = None
    try:
        make_private(making)
        alive = Lock.take(making / "alive")
        marks = map_marks(making)
        making.rename(directory)
    except (OSError, ConfigurationError):
        if alive is not None:
            alive.release()
        remove_tree(making)
        return None
    return alive, marks


def make_on_disk(directory: Path) -> Lock | None:
    """The lock of a writer that has no shared memory, in its spool; None where the disk does not take it."""
    making = directory.with_name(f"{directory.name}.new")
    alive = None
    try:
        make_private(making)
        alive = Lock.take(making / "alive")
        making.rename(directory)
    except (OSError, ConfigurationError):
        if alive is not None:
            alive.release()
        remove_tree(making)
        return None
    return alive


def map_marks(directory: Path) -> mmap.mmap:
    """The marks in a writer's directory in memory, made if they are not there. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / "marks", flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, MARKS_BYTES)
        return map_file(descriptor, MARKS_BYTES)
    finally:
        os.close(descriptor)
