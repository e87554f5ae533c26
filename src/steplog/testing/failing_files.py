"""A file system that fails, for tests of what is written to disk.

``FailingFiles`` is the real one until it is told otherwise. It numbers its operations; one of them, or each from one
on, can fail; a write that fails may have written a part first. It can stall. And it keeps book of what was synced,
which takes no time here, so that ``power_cut`` leaves of a directory what a disk would: the contents that were synced,
under the names that were.

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
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steplog.journal.files import Files

__all__ = ["HANG_MAX_S", "FailingFiles"]

HANG_MAX_S = 60.0


class FailingFiles(Files):
    """Fails, stalls and is cut off when it is told to.

    Attributes:
        operations: what was done, by name, in order.
        failed: how many of them failed.
        stall: called before each operation with its name; may take its time.
        hangs: set while an operation hangs.
        synced_again: files that were synced once more after a sync of theirs had failed. There should be none.
    """

    def __init__(self, stall: Callable[[str], None] = lambda name: None) -> None:
        self.operations: list[str] = []
        self.failed = 0
        self.stall = stall
        self.hangs = threading.Event()
        self.synced_again: list[int] = []
        self._fail_at: int | None = None
        self._hang_at: int | None = None
        self._hang_only: frozenset[str] | None = None
        self._goes_on = threading.Event()
        self._forever = False
        self._error = errno.EIO
        self._only: frozenset[str] | None = None
        self._short = False
        self._refused: set[int] = set()  # inodes whose sync failed
        self._contents: dict[int, bytes] = {}  # what is on the disk, by inode
        self._names: dict[Path, dict[str, int]] = {}  # the entries of a directory that are
        self._held: dict[int, int] = {}  # a descriptor each, so that no inode is used twice

    def fail(
        self,
        at: int = 1,
        error: int = errno.EIO,
        *,
        forever: bool = False,
        only: frozenset[str] | set[str] | None = None,
        short: bool = False,
    ) -> None:
        """Let the ``at``-th operation from now on fail, and with ``forever`` every one after it.

        Only operations named in ``only`` count, if it is given. With ``short``, a write leaves half of its data first.
        """
        self._fail_at, self._forever, self._error, self._short = at, forever, error, short
        self._only = None if only is None else frozenset(only)

    def heal(self) -> None:
        """Let nothing fail from now on."""
        self._fail_at = None

    def hang(self, at: int = 1, *, only: frozenset[str] | set[str] | None = None) -> None:
        """Let the ``at``-th operation from now on, of those in ``only``, and all that come after it hang."""
        self._goes_on.clear()
        self.hangs.clear()
        self._hang_only = None if only is None else frozenset(only)
        self._hang_at = at

    def go_on(self) -> None:
        """Let nothing hang from now on, and what hangs go on."""
        self._hang_at = None
        self.hangs.clear()
        self._goes_on.set()

    def _hang(self, name: str) -> None:
        if self._hang_at is None or (self._hang_only is not None and name not in self._hang_only):
            return
        self._hang_at -= 1
        if self._hang_at <= 0:
            self.hangs.set()
            self._goes_on.wait(HANG_MAX_S)

    def power_cut(self, directory: Path) -> None:
        """Leave of ``directory``, whose own name is safe, what was synced; nothing is to use it meanwhile."""
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
        """What is synced of the files that are below ``directory`` now."""
        inodes = {path: path.stat().st_ino for path in directory.rglob("*") if path.is_file()}
        return {path: self._contents.get(inode, b"") for path, inode in inodes.items()}

    def _on_disk(self, directory: Path) -> dict[Path, bytes | None]:
        found: dict[Path, bytes | None] = {}
        for name, inode in self._names.get(directory, {}).items():
            path = directory / name
            if inode in self._names_of_directories():
                found[path] = None
                found.update(self._on_disk(path))
            else:
                found[path] = self._contents.get(inode, b"")
        return found

    def _names_of_directories(self) -> set[int]:
        return {inode for inode, descriptor in self._held.items() if os.path.isdir(f"/proc/self/fd/{descriptor}")}

    def close_all(self) -> None:
        """Let go of what the book is kept with."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    # -- the operations ---------------------------------------------------------------------------------------------

    def _do(self, name: str, partly: Callable[[], Any] = lambda: None) -> None:
        self.operations.append(name)
        self.stall(name)
        self._hang(name)
        if self._fail_at is None or (self._only is not None and name not in self._only):
            return
        self._fail_at -= 1
        if self._fail_at > 0:
            return
        if not self._forever:
            self._fail_at = None
        self.failed += 1
        if self._short:
            partly()
        raise OSError(self._error, os.strerror(self._error))

    def create(self, path: Path) -> int:
        """See Files."""
        self._do("create")
        return super().create(path)

    def open(self, path: Path) -> int:
        """See Files."""
        self._do("open")
        return super().open(path)

    def make_private(self, path: Path) -> None:
        """See Files."""
        self._do("make_private")
        super().make_private(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """See Files."""
        self._do("write", lambda: os.write(descriptor, bytes(data[: len(data) // 2])))
        return super().write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """See Files."""
        self._do("truncate")
        super().truncate(descriptor, size)

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
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
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
        """See Files. The descriptor is gone even where that fails."""
        super().close(descriptor)
        self._do("close")

    def sync_directory(self, path: Path) -> None:
        """See Files."""
        self._do("sync_directory")
        entries = {entry.name: entry.inode() for entry in os.scandir(path)}
        for name, inode in entries.items():
            self._hold(inode, os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        self._names[path] = entries

    def size(self, path: Path) -> int:
        """See Files."""
        self._do("size")
        return super().size(path)

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """See Files."""
        self._do("read")
        return super().read(path, offset, size)

    def unlink(self, path: Path) -> None:
        """See Files."""
        self._do("unlink")
        super().unlink(path)

    def remove_tree(self, path: Path) -> None:
        """See Files."""
        with contextlib.suppress(OSError):
            self._do("remove_tree")
            super().remove_tree(path)

    def rename(self, path: Path, to: Path) -> None:
        """See Files."""
        self._do("rename")
        super().rename(path, to)

    def replace(self, path: Path, data: bytes) -> None:
        """See Files."""
        self._do("replace")
        super().replace(path, data)

    def names(self, directory: Path) -> list[str]:
        """See Files."""
        self._do("names")
        return super().names(directory)
