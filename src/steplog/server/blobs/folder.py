"""Contents in a folder, which several servers may share.

::

    <root>/<ab>/<sha256>          a content, complete and durable once it has its name
    <root>/uploads/<key>          what has come of one

1. Files and folders are this user's alone (``private_files``).
2. An upload only grows, at its end, under a lock on it: those that send one content at once, to whichever server, share
   it.
3. A hash is made while parts come, as far as this process has seen all of them; else by reading.
4. While less than ``RESERVE_BYTES`` would be left on the file system, nothing is added: ENOSPC.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, TypeVar

from steplog.file_system import sync
from steplog.private_files import is_private_file, make_private, names_in, open_directory, open_private, unlink_private
from steplog.server.blobs.content_store import ContentStore, WrongContentError, checked_key, checked_sha256, is_key

__all__ = ["RESERVE_BYTES", "FolderContents"]

RESERVE_BYTES = 64 << 20
_READ_BYTES = 1 << 20
_KNOWN_MAX = 256
_T = TypeVar("_T")


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Hashed(NamedTuple):
    """The first bytes of an upload, a file with this number."""

    inode: int
    size: int
    state: _Hash


class FolderContents(ContentStore):
    """Contents in a folder, made if missing. Raises NotPrivateError unless it is this user's alone; OSError."""

    append_bytes: ClassVar[int] = 256 << 10

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads = root / "uploads"
        self._hashes: OrderedDict[str, _Hashed] = OrderedDict()
        self._checked: OrderedDict[str, tuple[int, int]] = OrderedDict()  # files, as ``_identity`` has them
        self._lock = threading.Lock()
        for each in (root, self._uploads):
            make_private(each)

    def uploaded(self, key: str) -> int:
        path = self._upload(key)
        return os.stat(path, follow_symlinks=False).st_size if is_private_file(path) else 0

    def append(self, key: str, offset: int, data: bytes) -> int:
        with self._locked(key, make=offset == 0) as descriptor:
            if descriptor is None:
                return 0
            found = os.fstat(descriptor)
            if offset != found.st_size:
                return found.st_size
            self._check_room(len(data))
            try:
                _write_at(descriptor, offset, data)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, offset)
                raise
            self._note_hash(key, found.st_ino, offset, data)
            return offset + len(data)

    def verify(self, key: str, sha256: str, size: int) -> None:
        with self._locked(key, make=size == 0) as descriptor:
            if descriptor is None:  # another request has put it in its place, or found it wrong
                raise _gone(self._upload(key))
            found = os.fstat(descriptor)
            if found.st_size != size or self._hash_of(key, descriptor, found) != sha256:
                unlink_private(self._upload(key))
                raise WrongContentError(f"what has come has another hash than {sha256}, or another size than {size}")
            sync(descriptor)
            with self._lock:
                _keep(self._checked, key, (found.st_ino, found.st_size))

    def put(self, key: str, sha256: str) -> None:
        folder = self._content(sha256).parent
        is_new = not folder.exists()
        make_private(folder)
        if is_new:
            _sync_directory(self.root)
        with self._locked(key, make=False) as descriptor:
            with self._lock:
                checked = self._checked.pop(key, None)
            if descriptor is None:
                if self.size(sha256) is None:
                    raise _gone(self._upload(key))
            elif _identity(descriptor) != checked:
                raise _gone(self._upload(key))  # more has come since then, beyond its size
            else:
                os.replace(self._upload(key), self._content(sha256))
        _sync_directory(folder)

    def size(self, sha256: str) -> int | None:
        path = self._content(sha256)
        try:
            return os.stat(path, follow_symlinks=False).st_size if is_private_file(path) else None
        except FileNotFoundError:  # its folder is not there
            return None

    def read(self, sha256: str, first: int, end: int) -> Iterator[bytes]:
        descriptor = open_private(self._content(sha256), os.O_RDONLY)
        return _read_parts(descriptor, first, end)

    def remove(self, sha256: str) -> None:
        unlink_private(self._content(sha256))

    def sweep(self, older_s: float) -> int:
        swept, oldest = 0, time.time() - older_s
        for name in filter(is_key, names_in(self._uploads)):
            with suppress(FileNotFoundError), self._locked(name, make=False) as descriptor:
                if descriptor is not None and os.fstat(descriptor).st_mtime < oldest:
                    unlink_private(self._uploads / name)
                    swept += 1
        return swept

    def free_bytes(self) -> int | None:
        found = os.statvfs(self.root)
        return max(0, found.f_bavail * found.f_frsize - RESERVE_BYTES)

    def _upload(self, key: str) -> Path:
        return self._uploads / checked_key(key)

    def _content(self, sha256: str) -> Path:
        return self.root / checked_sha256(sha256)[:2] / sha256

    def _check_room(self, wanted: int) -> None:
        if (self.free_bytes() or 0) < wanted:
            raise OSError(errno.ENOSPC, f"less than {RESERVE_BYTES >> 20} MiB would be left", str(self.root))

    @contextmanager
    def _locked(self, key: str, *, make: bool) -> Iterator[int | None]:
        """The file of an upload, locked; None: there is none."""
        path = self._upload(key)
        while True:
            try:
                descriptor = open_private(path, os.O_RDWR | (os.O_CREAT if make else 0))
            except FileNotFoundError:
                yield None
                return
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not _is_at(descriptor, path):
                    continue  # it was removed, or put in its place, while this one waited
                yield descriptor
                return
            finally:
                os.close(descriptor)

    def _note_hash(self, key: str, inode: int, offset: int, data: bytes) -> None:
        with self._lock:
            before = self._hashes.pop(key, None)
            if offset == 0:
                before = _Hashed(inode, 0, hashlib.sha256())
            if before is None or (before.inode, before.size) != (inode, offset):
                return
        before.state.update(data)  # under the upload's lock
        with self._lock:
            _keep(self._hashes, key, before._replace(size=offset + len(data)))

    def _hash_of(self, key: str, descriptor: int, found: os.stat_result) -> str:
        with self._lock:
            hashed = self._hashes.pop(key, None)
        if hashed is not None and (hashed.inode, hashed.size) == (found.st_ino, found.st_size):
            return hashed.state.hexdigest()
        state = hashlib.sha256()
        for part in _read_parts(os.dup(descriptor), 0, found.st_size):
            state.update(part)
        return state.hexdigest()


def _keep(known: OrderedDict[str, _T], key: str, value: _T) -> None:
    known[key] = value
    while len(known) > _KNOWN_MAX:
        known.popitem(last=False)


def _identity(descriptor: int) -> tuple[int, int]:
    """The number of a file, and its size: an upload that has the same ones has the same bytes."""
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size


def _gone(path: Path) -> OSError:
    return OSError(errno.ESTALE, "what has come of the content has changed: ask how far it is", str(path))


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _read_parts(descriptor: int, first: int, end: int) -> Iterator[bytes]:
    """Parts of a file, which is closed at the end."""
    try:
        while first < end:
            data = os.pread(descriptor, min(_READ_BYTES, end - first), first)
            if not data:
                raise OSError(errno.EIO, "the content is shorter than it was")
            first += len(data)
            yield data
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _sync_directory(path: Path) -> None:
    descriptor = open_directory(path)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
