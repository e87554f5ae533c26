"""File descriptors: a few in reserve for when none are left, and whether a number is still ours.

1. A process without a free descriptor (EMFILE) must still write a segment, a frame and a manifest, and connect. So it
   keeps up to ``RESERVE`` open. ``reserved`` closes one where a call finds none, and ``refill`` takes them back, as
   soon as the agent's thread has done what it needed one for.
2. In between another thread may take the number. Then the reserve has one less until descriptors are free again.
3. A program may close all descriptors (``os.closerange``, to become a daemon) and get their numbers for its own files.
   A ``Descriptor`` knows its file by device and inode, and is checked before it is used or closed.

The reserve is one end of a pipe, duplicated: a pipe has an inode of its own. A forked child closes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

__all__ = [
    "OUT_OF",
    "OUT_OF_DESCRIPTORS",
    "RESERVE",
    "Descriptor",
    "are_free",
    "close_reserve",
    "lent",
    "load_unwinder",
    "may_idle",
    "open_reserved",
    "refill",
    "reserved",
    "take_warning",
    "words",
]

RESERVE = 6
OUT_OF_DESCRIPTORS = "no file descriptors left"
OUT_OF = (errno.EMFILE, errno.ENFILE)
_LIMIT_SHARE = 10  # at most one in so many of the limit: none below 10
_LENT = 3  # what a name lookup or an import opens at once
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Descriptor(int):
    """The number of an open descriptor. Raises OSError where it is not open."""

    _file: tuple[int, int]

    def __new__(cls, number: int) -> Descriptor:
        """Of the file that is open under this number now."""
        found = os.fstat(number)
        made = super().__new__(cls, number)
        made._file = found.st_dev, found.st_ino
        return made

    def is_ours(self) -> bool:
        """Whether the number still leads to that file."""
        try:
            found = os.fstat(self)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def check(self) -> None:
        """Raise OSError where the program has closed it."""
        if not self.is_ours():
            raise OSError(errno.EBADF, "the program has closed the descriptor")

    def close(self) -> None:
        """Close it, unless the program has."""
        if self.is_ours():
            os.close(self)


class _Reserve:
    """Of this process."""

    def __init__(self) -> None:
        self.kept: list[Descriptor] = []
        self.filling = threading.Lock()
        self.ran_out = self.told = False

    def spend(self) -> bool:
        """Close one; whether that makes room."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.ran_out = True
        while self.kept:
            try:
                one = self.kept.pop()
            except IndexError:  # another thread was faster
                return False
            if one.is_ours():
                os.close(one)
                if one < limit:  # else the limit was lowered since
                    return True
        return False

    def refill(self) -> None:
        """Take what is missing, as far as there are any."""
        if not self.filling.acquire(blocking=False):
            return
        try:
            most = _most()
            self.kept[:] = [one for one in self.kept if one.is_ours()]
            if not self.kept and most > 0:
                reading, writing = os.pipe()
                os.close(writing)
                self.kept.append(Descriptor(reading))
            while len(self.kept) < most:
                self.kept.append(Descriptor(os.dup(self.kept[0])))
        except (OSError, IndexError):  # there are none; or another thread has just spent the last
            pass
        finally:
            self.filling.release()


_reserve = _Reserve()


def _most() -> int:
    return min(RESERVE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _LIMIT_SHARE)


def reserved(call: Callable[_P, _T], *given: _P.args, **named: _P.kwargs) -> _T:
    """Call what opens a descriptor, with one of the reserve where there is none. Raises what it raises."""
    while True:
        try:
            return call(*given, **named)
        except OSError as error:
            if error.errno not in OUT_OF or not _reserve.spend():
                raise


def open_reserved(path: str | os.PathLike[str], flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """``os.open``, likewise."""
    return reserved(os.open, path, flags, mode, dir_fd=dir_fd)


@contextlib.contextmanager
def lent() -> Iterator[None]:
    """For code that opens descriptors by itself: some of the reserve where there are none."""
    are_free(_LENT)
    try:
        yield
    finally:
        refill()


def are_free(count: int) -> bool:
    """Whether so many can be opened at once, with the reserve; what this takes of it is free then."""
    free: list[int] = []
    with contextlib.suppress(OSError):
        while len(free) < count:
            free.append(open_reserved(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    for number in free:
        os.close(number)
    return len(free) == count


def may_idle() -> bool:
    """Whether the limit leaves room for a connection that is not in use."""
    return _most() > 0


def refill() -> None:
    """Fill the reserve, as far as descriptors are free. Cheap where it is full."""
    _reserve.refill()


def take_warning() -> str | None:
    """What is to be said, once, after the process has run out of descriptors."""
    if not _reserve.ran_out or _reserve.told:
        return None
    _reserve.told = True
    return words(OSError(errno.EMFILE, ""))


def words(error: BaseException) -> str:
    """The text of an error."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.EMFILE:
        return f"{OUT_OF_DESCRIPTORS} (limit {resource.getrlimit(resource.RLIMIT_NOFILE)[0]})"
    if error.errno == errno.ENFILE:
        return f"{OUT_OF_DESCRIPTORS} on this machine"
    return str(error)


def load_unwinder() -> None:
    """Load what glibc's ``pthread_exit`` loads: without a descriptor at the interpreter's end it aborts the process.

    CPython ends daemon threads by that, up to 3.13.
    """
    if sys.platform == "linux" and sys.version_info < (3, 14):
        with contextlib.suppress(ImportError, OSError), lent():
            import ctypes

            ctypes.CDLL("libgcc_s.so.1")


def close_reserve() -> None:
    """Give it up; in a forked child, leave it to the parent."""
    global _reserve
    for one in _reserve.kept:
        with contextlib.suppress(OSError):
            one.close()
    _reserve = _Reserve()
