"""Directories and files that belong to this user alone: the way to all that steplog keeps in memory and on disk.

::

    <root>/                      shared memory, spool, or the directory of a key or a database
    <root>/<run>/                <32 hexadecimal digits>.<16 of them>, and perhaps a suffix
    <root>/<run>/<writer>/       any name, and so on

1. Each call opens the directories from the root down, through no link, and the file from there. No directory stays
   open: a daemonizing program closes descriptors, and uses their numbers for something else.
2. A directory is ours, and nobody else may write in it. A file is regular and ours. A pipe is not waited for.
3. *Ours* is what belongs to the effective uid, or to that of the first call in this process: it may give up rights.
   ``ConfigurationError`` says what is not (NotPrivateError, also a PermissionError).

The root itself may be below a link: where it is, is the user's to say.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from steplog.descriptors import lent, open_reserved, reserved
from steplog.errors import NotPrivateError
from steplog.file_system import sync as sync_file

__all__ = [
    "is_private",
    "is_private_file",
    "make_private",
    "names_in",
    "open_directory",
    "open_private",
    "read_private",
    "remove_at_once",
    "remove_tree",
    "rename_private",
    "unlink_private",
    "write_private",
]

_StrPath = str | os.PathLike[str]
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK
_FILE = os.O_NONBLOCK | _NO_LINK
_BELOW_ROOT = re.compile(r"(.*)/([0-9a-f]{32}\.[0-9a-f]{16}(?:\.[^/]*)?(?:/[^/]+)*)")
_NOT_A_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)
_NOT_A_FILE = (errno.ENXIO, errno.EISDIR, errno.EOPNOTSUPP)  # a pipe without a reader; a socket: on macOS the last
_ours: set[int] = set()


def _is_ours(uid: int) -> bool:
    if not _ours:
        _ours.add(os.geteuid())
    return uid in _ours or uid == os.geteuid()


def open_directory(path: _StrPath) -> int:
    """The descriptor of a directory of ours, to be closed at once. Raises OSError, NotPrivateError."""
    place, names = _split(os.fspath(path))
    descriptor = -1
    try:
        descriptor = open_reserved(place, _DIRECTORY)
        _check_directory(descriptor, place)
        for name in names:
            place = f"{place}/{name}"
            above, descriptor = descriptor, open_reserved(name, _DIRECTORY, dir_fd=descriptor)
            os.close(above)
            _check_directory(descriptor, place)
    except BaseException as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, OSError) and not isinstance(error, NotPrivateError):
            error.filename = place
        raise
    return descriptor


def _split(path: str) -> tuple[str, list[str]]:
    """The root, and the directories from there."""
    if (found := _BELOW_ROOT.fullmatch(path)) is None:
        return path or ".", []
    return found[1] or "/", found[2].split("/")


def _check_directory(descriptor: int, path: str) -> None:
    found = os.fstat(descriptor)
    if not _is_ours(found.st_uid):
        raise NotPrivateError(f"{path} belongs to another user; steplog writes nothing there")
    if found.st_mode & 0o022:
        raise NotPrivateError(f"{path}: others may write in it; `chmod 700` it, and steplog will use it")


def is_private(path: _StrPath) -> bool:
    """Whether there is a directory of ours. Raises NotPrivateError where there is something else, and OSError."""
    try:
        os.close(open_directory(path))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _NOT_A_DIRECTORY:
            raise _no_directory(error.filename) from None
        raise
    return True


def _no_directory(path: str) -> NotPrivateError:
    return NotPrivateError(f"{path} is not a directory of its own (a link, a file?); steplog writes nothing there")


def open_private(path: _StrPath, flags: int, mode: int = 0o600) -> int:
    """The descriptor of a regular file of ours; flags as of ``os.open``. Raises OSError, NotPrivateError."""
    path = os.fspath(path)
    directory, slash, name = path.rpartition("/")
    above = open_directory(directory or slash)
    try:
        descriptor = open_reserved(name, flags | _FILE, mode, dir_fd=above)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotPrivateError(f"{path} is a link, which steplog does not follow") from None
        if error.errno in _NOT_A_FILE:
            raise NotPrivateError(f"{path} is not a file") from None
        error.filename = path
        raise
    finally:
        os.close(above)
    try:
        _check_file(os.fstat(descriptor), path)
    except NotPrivateError:
        os.close(descriptor)
        raise
    return descriptor


def is_private_file(path: _StrPath) -> bool:
    """Whether there is a regular file of ours in a directory of ours; it is not opened.

    To close a descriptor of a database drops the locks that this process has on it. Raises as ``open_private``.
    """
    path = os.fspath(path)
    directory, slash, name = path.rpartition("/")
    above = open_directory(directory or slash)
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return False
    finally:
        os.close(above)
    _check_file(found, path)
    return True


def _check_file(found: os.stat_result, path: str) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPrivateError(f"{path} is a link, which steplog does not follow")
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivateError(f"{path} is not a file")
    if not _is_ours(found.st_uid):
        raise NotPrivateError(f"{path} belongs to another user")


def read_private(path: _StrPath, offset: int = 0, size: int | None = None) -> bytes:
    """``size`` bytes of a file from ``offset`` on, or all. Raises as ``open_private``."""
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        file.seek(offset)
        return file.read() if size is None else file.read(size)


def names_in(directory: _StrPath) -> list[str]:
    """The entries of a directory. Raises as ``open_directory``."""
    descriptor = open_directory(directory)
    try:
        return reserved(os.listdir, descriptor)
    finally:
        os.close(descriptor)


def unlink_private(path: _StrPath) -> None:
    """Remove a file, if it is there. Raises as ``open_directory``."""
    directory, slash, name = os.fspath(path).rpartition("/")
    with contextlib.suppress(FileNotFoundError):
        above = open_directory(directory or slash)
        try:
            os.unlink(name, dir_fd=above)
        finally:
            os.close(above)


def rename_private(path: _StrPath, name: str) -> None:
    """Rename a file or directory within its directory. Raises as ``open_directory``."""
    directory, slash, before = os.fspath(path).rpartition("/")
    above = open_directory(directory or slash)
    try:
        os.rename(before, name, src_dir_fd=above, dst_dir_fd=above)
    finally:
        os.close(above)


def make_private(path: Path) -> None:
    """Make a directory of mode 0700, or check it. Raises NotPrivateError unless it is this user's alone; OSError."""
    root, names = _split(os.fspath(path))
    for parent in reversed(Path(root).parents):
        if not parent.exists():
            parent.mkdir(mode=0o700, exist_ok=True)  # under an open umask others could put another `path` there
    _make(root, root)
    made = root
    for name in names:
        above = open_directory(made)
        try:
            made = f"{made}/{name}"
            _make(name, made, above)
        finally:
            os.close(above)


def _make(name: str, path: str, above: int | None = None) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=above)
        os.chmod(name, 0o700, dir_fd=above)  # whatever the umask
    if not is_private(path):
        raise FileNotFoundError(errno.ENOENT, "it was removed", path)


def write_private(path: Path, data: bytes, sync: bool = False) -> None:
    """Replace the file as a whole by one of mode 0600, durable if ``sync``. Raises as ``open_directory``."""
    directory, slash, name = os.fspath(path).rpartition("/")
    above = open_directory(directory or slash)
    try:
        _replace(above, name, data, sync)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(above)


def _replace(directory: int, name: str, data: bytes, sync: bool) -> None:
    scratch = f".{name}.{secrets.token_hex(8)}"
    descriptor = open_reserved(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            if sync:
                file.flush()
                sync_file(file.fileno())
        os.replace(scratch, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch, dir_fd=directory)
        raise


def remove_tree(path: Path | None) -> None:
    """Remove a directory as far as that goes, through no link. Raises nothing."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        if is_private(path.parent) and stat.S_ISDIR(path.lstat().st_mode):  # rmtree would wait at a pipe
            with lent():
                shutil.rmtree(path, ignore_errors=True)


def remove_at_once(path: Path) -> bool:
    """Rename a directory to ``<name>.<8 hex digits>.old``, then remove it; whether it is gone. Raises nothing.

    So nobody finds half of it. What cannot be removed gets its name back.
    """
    aside = f"{path.name}.{secrets.token_hex(4)}.old"
    try:
        if not is_private(path.parent) or not stat.S_ISDIR(path.lstat().st_mode):
            return False
        rename_private(path, aside)
    except FileNotFoundError:
        return True
    except OSError:
        remove_tree(path)
        return not os.path.lexists(path)
    removing = path.with_name(aside)
    remove_tree(removing)
    if os.path.lexists(removing):
        with contextlib.suppress(OSError):  # somebody has made it anew
            rename_private(removing, path.name)
            return False
    return True
