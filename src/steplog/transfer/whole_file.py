"""A file, or a directory, that is there when it is whole, and not before.

It is written beside its place and renamed. What a killed process has left of a file is removed by the next one. What
goes wrong is an OSError that names the place, and not what is written in its stead.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from steplog.errors import SteplogError
from steplog.file_system import sync

__all__ = ["NamedFile", "scratch_of", "whole_directory", "whole_file"]

_ATTEMPTS_MAX = 10


class NamedFile:
    """A file that is written to, and whose failures name ``path``."""

    def __init__(self, file: BinaryIO, path: Path | str) -> None:
        self._file = file
        self._path = path

    def write(self, data: bytes) -> int:
        """Write all of it. Raises OSError."""
        left = memoryview(data)
        with _failures_of(self._path):
            while left:  # a pipe takes a part
                left = left[self._file.write(left) :]
        return len(data)


@contextlib.contextmanager
def whole_file(path: Path, scratch: Path | None = None) -> Iterator[NamedFile]:
    """A file that takes the place of what is at ``path`` at the end; after an exception nothing has changed.

    What a link leads to is replaced, and not the link. A pipe or a device is written to as it is. ``scratch`` is where
    it is written before; what is there is lost.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        with _failures_of(path), open(path, "wb", buffering=0) as device:
            yield NamedFile(device, path)
        return
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    with _failures_of(path):
        if scratch is None:
            _remove_left(place)
            scratch = scratch_of(place, str(os.getpid()))
        file = _locked(scratch)
    try:
        yield NamedFile(file, path)
        with _failures_of(path):
            file.flush()
            sync(file.fileno())
            scratch.replace(place)  # before the lock goes, with the file
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    finally:
        with contextlib.suppress(OSError):  # of what could not be written before
            file.close()


def _locked(scratch: Path) -> BinaryIO:
    """The file, new and locked, so that ``_remove_left`` leaves it."""
    for _ in range(_ATTEMPTS_MAX):
        file = open(scratch, "wb")  # noqa: SIM115 - the caller closes it
        with contextlib.suppress(OSError):  # of a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), scratch.stat()):
                break
        file.close()  # somebody has removed it before it was locked
    else:
        file = open(scratch, "wb")  # noqa: SIM115
    return file


def _remove_left(place: Path) -> None:
    """Remove what processes have left that were killed while they wrote this file: nobody locks it any more."""
    begin, end = f".{place.name}.", ".new"
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(place.parent)
    for name in names:
        if name.startswith(begin) and name.endswith(end) and name[len(begin) : -len(end)].isdecimal():
            with contextlib.suppress(OSError), open(place.with_name(name), "rb") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                place.with_name(name).unlink()


@contextlib.contextmanager
def whole_directory(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """The same with a directory."""
    scratch = scratch or scratch_of(path, str(os.getpid()))
    before = scratch.with_name(f"{scratch.name}.old")
    with _failures_of(path):
        for each in (scratch, before):
            if each.exists():
                shutil.rmtree(each)
        scratch.mkdir()
    try:
        with _failures_of(path):
            yield scratch
            if path.exists():
                path.rename(before)
            scratch.rename(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        if before.exists() and not path.exists():
            before.rename(path)
        raise
    shutil.rmtree(before, ignore_errors=True)


def scratch_of(path: Path, mark: str = "") -> Path:
    """Where what becomes ``path`` is written. Raises OSError for what is no name of a file."""
    if not path.name or path.name == "..":
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.with_name(f".{path.name}.{mark}.new" if mark else f".{path.name}.new")


@contextlib.contextmanager
def _failures_of(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (BrokenPipeError, SteplogError):
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
