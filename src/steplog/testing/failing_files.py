"""A file system that fails, stalls and loses power on demand.

``power_cut`` leaves what was synced: contents under names. A sync costs no time::

    files = FailingFiles()
    files.fail(at=7, error=errno.ENOSPC, forever=True)
    files.hang(only={"sync"})
    ...
    files.go_on()
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from steplog.journal.files import Files

__all__ = ["HANG_MAX_S", "FailingFiles"]

HANG_MAX_S = 60.0
_P = ParamSpec("_P")
_T = TypeVar("_T")
_Names = Collection[str] | None  # of operations; None: all


def _faulty(operation: Callable[Concatenate[Files, _P], _T]) -> Callable[Concatenate[FailingFiles, _P], _T]:
    def faulty(self: FailingFiles, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        self._do(operation.__name__)
        return operation(self, *args, **kwargs)

    return faulty


@dataclass
class _Countdown:
    """Operations left until a fault, of those in ``only``."""

    left: int
    only: _Names

    def is_over(self, name: str) -> bool:
        if self.only is None or name in self.only:
            self.left -= 1
            return self.left <= 0
        return False


class FailingFiles(Files):
    """``Files`` with faults.

    Attributes:
        operations: the names of all operations, in order.
        failed: how many failed.
        stall: called before each operation with its name; may block.
        hangs: set while an operation hangs.
        synced_again: inodes synced after a failed sync; must stay empty.
    """

    def __init__(self, stall: Callable[[str], None] = lambda name: None) -> None:
        self.operations: list[str] = []
        self.failed = 0
        self.stall = stall
        self.hangs = threading.Event()
        self.synced_again: list[int] = []
        self._fails: _Countdown | None = None
        self._hangs: _Countdown | None = None
        self._goes_on = threading.Event()
        self._forever = self._short = False
        self._error = errno.EIO
        self._refused: set[int] = set()  # inodes with a failed sync
        self._contents: dict[int, bytes] = {}  # synced contents by inode
        self._names: dict[Path, dict[str, int]] = {}  # synced entries by directory
        self._held: dict[int, int] = {}  # open descriptors: no inode number is reused

    def fail(
        self, at: int = 1, error: int = errno.EIO, *, forever: bool = False, only: _Names = None, short: bool = False
    ) -> None:
        """Make the ``at``-th operation from now fail, and with ``forever`` all after it.

        ``only`` restricts this to operations with these names; ``short`` makes a write leave half of its data.
        """
        self._fails, self._forever, self._error, self._short = _Countdown(at, only), forever, error, short

    def heal(self) -> None:
        """Stop failing."""
        self._fails = None

    def hang(self, at: int = 1, *, only: _Names = None) -> None:
        """Make the ``at``-th operation from now hang, and all after it; see ``fail`` for ``only``."""
        self._goes_on.clear()
        self.hangs.clear()
        self._hangs = _Countdown(at, only)

    def go_on(self) -> None:
        """Release what hangs, and stop hanging."""
        self._hangs = None
        self.hangs.clear()
        self._goes_on.set()

    def power_cut(self, directory: Path) -> None:
        """Reset ``directory``, which must not be in use, to what was synced."""
        found = self._on_disk(directory)
        shutil.rmtree(directory)
        directory.mkdir(mode=0o700)
        for path, data in found.items():
            if data is None:
                path.mkdir(mode=0o700)
            else:
                path.write_bytes(data)
                path.chmod(0o600)

    def contents(self, directory: Path) -> dict[Path, bytes]:
        """The synced contents of the files now below ``directory``."""
        inodes = {path: path.stat().st_ino for path in directory.rglob("*") if path.is_file()}
        return {path: self._contents.get(inode, b"") for path, inode in inodes.items()}

    def _on_disk(self, directory: Path) -> dict[Path, bytes | None]:
        found: dict[Path, bytes | None] = {}
        directories = {inode for inode, held in self._held.items() if stat.S_ISDIR(os.fstat(held).st_mode)}
        for name, inode in self._names.get(directory, {}).items():
            path = directory / name
            if inode in directories:
                found[path] = None
                found.update(self._on_disk(path))
            else:
                found[path] = self._contents.get(inode, b"")
        return found

    def close_all(self) -> None:
        """Close the descriptors that are held."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _do(self, name: str, partly: Callable[[], Any] = lambda: None) -> None:
        self.operations.append(name)
        self.stall(name)
        if (hangs := self._hangs) is not None and hangs.is_over(name):  # go_on() may come meanwhile
            self.hangs.set()
            self._goes_on.wait(HANG_MAX_S)
        if self._fails is None or not self._fails.is_over(name):
            return
        if not self._forever:
            self._fails = None
        self.failed += 1
        if self._short:
            partly()
        raise OSError(self._error, os.strerror(self._error))

    create = _faulty(Files.create)
    open = _faulty(Files.open)
    make_private = _faulty(Files.make_private)
    truncate = _faulty(Files.truncate)
    size = _faulty(Files.size)
    read = _faulty(Files.read)
    unlink = _faulty(Files.unlink)
    rename = _faulty(Files.rename)
    replace = _faulty(Files.replace)
    names = _faulty(Files.names)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """See Files."""
        self._do("write", lambda: os.write(descriptor, bytes(data[: len(data) // 2])))
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """See Files."""
        inode = os.fstat(descriptor).st_ino
        self._hold(inode, os.dup(descriptor))
        if inode in self._refused:
            self.synced_again.append(inode)
        self._refused.add(inode)
        self._do("sync")
        self._refused.discard(inode)
        self._keep(inode)

    def sync_file(self, path: Path) -> None:
        """See Files."""
        self._do("sync_file")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        inode = os.fstat(descriptor).st_ino
        self._hold(inode, descriptor)
        self._keep(inode)

    def _keep(self, inode: int) -> None:
        descriptor = self._held[inode]
        self._contents[inode] = os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def _hold(self, inode: int, descriptor: int) -> None:
        if inode in self._held:
            os.close(descriptor)
        else:
            self._held[inode] = descriptor

    def close(self, descriptor: int) -> None:
        """See Files; closes the descriptor even when it fails."""
        super().close(descriptor)
        self._do("close")

    def sync_directory(self, path: Path) -> None:
        """See Files."""
        self._do("sync_directory")
        entries = {entry.name: entry.inode() for entry in os.scandir(path)}
        for name, inode in entries.items():
            self._hold(inode, os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        self._names[path] = entries

    def remove_tree(self, path: Path) -> bool:
        """See Files."""
        with contextlib.suppress(OSError):
            self._do("remove_tree")
            return super().remove_tree(path)
        return False
