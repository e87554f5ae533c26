"""A new file that is complete when it appears under its name, and durable then. It replaces nothing.

It is written as ``.<name>.<random>`` of mode 0600 in the same directory. A kill may leave that one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from steplog.errors import ConfigurationError
from steplog.file_system import sync

__all__ = ["check_free", "give_name", "replace", "scratch_file"]

_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def check_free(target: Path) -> None:
    """Raise ConfigurationError where something is there already."""
    if os.path.lexists(target):
        raise _taken(target)


@contextlib.contextmanager
def scratch_file(target: Path) -> Iterator[Path]:
    """An empty file beside the target, to be written; removed after the block. Raises ConfigurationError."""
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from None
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def give_name(scratch: Path, target: Path) -> None:
    """Sync it and give it its name, unless something is there by now. Raises ConfigurationError, OSError."""
    _sync(scratch, os.O_RDWR)
    try:
        os.link(scratch, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS or os.path.lexists(target):
            raise
        os.rename(scratch, target)
    _sync_directory(target)


def replace(scratch: Path, target: Path) -> None:
    """Sync it and put it in the place of the target. Raises OSError."""
    _sync(scratch, os.O_RDWR)
    os.replace(scratch, target)
    _sync_directory(target)


def _taken(target: Path) -> ConfigurationError:
    return ConfigurationError(f"{target} exists; a backup replaces nothing")


def _sync_directory(file: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can
        _sync(file.parent, os.O_RDONLY)


def _sync(path: Path, how: int) -> None:
    descriptor = os.open(path, how | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
