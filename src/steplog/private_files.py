"""Directories and files that belong to this user alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from pathlib import Path

from steplog.descriptors import lent, open_reserved
from steplog.errors import ConfigurationError

__all__ = ["make_private", "remove_tree", "write_private"]


def make_private(path: Path) -> None:
    """Make a directory of mode 0700, or check it. Raises ConfigurationError unless it is this user's alone; OSError."""
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir(mode=0o700, exist_ok=True)  # under an open umask others could put another `path` there
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # whatever the umask
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(
            f"{path} is not a directory of its own (a link, a file?); steplog writes nothing there"
        )
    if found.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user; steplog writes nothing there")
    if found.st_mode & 0o022:
        raise ConfigurationError(f"{path}: others may write in it; `chmod 700` it, and steplog will use it")


def write_private(path: Path, data: bytes, sync: bool = False) -> None:
    """Replace the file as a whole by one of mode 0600, durable if ``sync``. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = open_reserved(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def remove_tree(path: Path | None) -> None:
    """Remove a directory as far as that goes. Raises nothing."""
    if path is not None and path.is_dir():  # rmtree would open a pipe, and wait for its other end
        with lent():
            shutil.rmtree(path, ignore_errors=True)
