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
from itertools import repeat
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
    """Of this process. Threads spend while one fills; Ctrl-C in the middle costs none (see ReentrantLock)."""

    def __init__(self) -> None:
        self.kept: list[Descriptor] = []
        self._filling = threading.Lock()
        self._turns = map(self._filling.acquire, repeat(False))
        self.ran_out = self.told = False

    def spend(self) -> bool:
        """Close one; whether that makes room."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.ran_out = True
        with contextlib.suppress(IndexError):  # there are none, or another thread was faster
            for one in iter(self.kept.pop, None):
                try:
                    is_ours = one.is_ours()
                    if is_ours:
                        os.close(one)
                except BaseException:
                    self.kept.append(one)
                    raise
                if is_ours and one < limit:  # else the limit was lowered since
                    return True
        return False

    def refill(self) -> None:
        """Take what is missing, as far as there are any."""
        held = False
        try:
            for held in self._turns:  # noqa: B007 - see ReentrantLock
                break
            if held:
                self._fill()
        except (OSError, IndexError):  # there are none; or another thread has just spent the last
            pass
        finally:
            if held:
                self._filling.release()

    def _fill(self) -> None:
        most = _most()
        for one in self.kept.copy():
            if not one.is_ours():
                with contextlib.suppress(ValueError):  # spent meanwhile
                    self.kept.remove(one)
        if not self.kept and most > 0:
            self._open()
        while len(self.kept) < most:
            self._duplicate(self.kept[0])

    def _open(self) -> None:
        reading, writing, is_kept = -1, -1, False
        try:
            for reading, writing in iter(os.pipe, None):  # noqa: B007 - see ReentrantLock
                break
            self.kept.append(Descriptor(reading))
            is_kept = True
        finally:
            if writing >= 0:
                os.close(writing)
            if reading >= 0 and not is_kept:
                os.close(reading)

    def _duplicate(self, one: Descriptor) -> None:
        number, is_kept = -1, False
        try:
            for number in map(os.dup, (one,)):  # noqa: B007 - see ReentrantLock
                break
            made = Descriptor(number)
            if made._file != one._file:  # another thread has spent it, and its number is a file of the program's
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self.kept.append(made)
            is_kept = True
        finally:
            if number >= 0 and not is_kept:
                os.close(number)


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
    try:
        with contextlib.suppress(OSError):
            while len(free) < count:
                free.append(open_reserved(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
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
