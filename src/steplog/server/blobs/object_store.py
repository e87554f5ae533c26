"""Contents in object storage, or any other file system of fsspec, which several servers may share.

::

    <root>/<ab>/<sha256>                    a content
    <root>/uploads/<key>/<offset>           parts of one that is under way, which follow each other
    <root>/uploads/<key>/whole-<random>     all of them in one, to be checked

1. Objects are written whole or not at all, and never changed: a part is an object. Of parts that overlap, those count
   that follow each other from 0 on.
2. What is checked is copied first, under a name that nobody else knows: what comes meanwhile is not in it.
3. Errors of a storage's own kind are OSErrors here, without the URL's password.

https://filesystem-spec.readthedocs.io
"""

from __future__ import annotations

import errno
import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import fsspec

from steplog.server.blobs.content_store import ContentStore, WrongContentError, checked_key, checked_sha256, is_key

__all__ = ["ObjectContents"]

_READ_BYTES = 4 << 20
_CHECKED_MAX = 256
_FLAT = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci"}  # object storage, which has no folders
_PART = re.compile(r"[0-9]{20}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")


class ObjectContents(ContentStore):
    """Contents below a URL. Raises ImportError without what its kind needs; OSError, ValueError."""

    append_bytes: ClassVar[int] = 8 << 20

    def __init__(self, url: str) -> None:
        self._checked: OrderedDict[str, str] = OrderedDict()  # copies that were checked, by key
        self._lock = threading.Lock()
        self._made: set[str] = set()
        with _as_os_errors():
            options = {"auto_mkdir": True} if url.startswith(("file://", "local://")) else {}
            self._files, root = fsspec.core.url_to_fs(url, **options)
            protocols = self._files.protocol
            self._is_flat = not _FLAT.isdisjoint([protocols] if isinstance(protocols, str) else protocols)
            self._root = root.rstrip("/")
            self._try_out()

    def _try_out(self) -> None:
        """Write something, and remove it."""
        probe = f"{self._root}/.probe-{secrets.token_hex(8)}"
        self._make(probe)
        self._files.pipe_file(probe, b"steplog")
        self._files.rm_file(probe)

    def uploaded(self, key: str) -> int:
        return sum(size for _, size in self._parts(key))

    def append(self, key: str, offset: int, data: bytes) -> int:
        parts = self._parts(key)
        have = sum(size for _, size in parts)
        if offset != have or not data:
            return have
        self._write(f"{self._upload(key)}/{offset:020}", data)
        return offset + len(data)

    def verify(self, key: str, sha256: str, size: int) -> None:
        parts = self._parts(key)
        if size and not parts:  # another request has put it in its place, or found it wrong
            raise OSError(errno.ESTALE, "what has come of the content has changed: ask how far it is")
        whole = f"{self._upload(key)}/whole-{secrets.token_hex(8)}"
        with _as_os_errors():
            found = self._join(parts, whole)
        if found != (sha256, size):
            self._remove_upload(key)
            raise WrongContentError(f"what has come has another hash than {sha256}, or another size than {size}")
        with self._lock:
            self._checked[key] = whole
            while len(self._checked) > _CHECKED_MAX:
                self._checked.popitem(last=False)

    def put(self, key: str, sha256: str) -> None:
        with self._lock:
            whole = self._checked.pop(key, None)
        if whole is None:
            if self.size(sha256) is None:
                raise OSError(errno.ESTALE, "what has come of the content is gone: ask how far it is")
            return
        with _as_os_errors():
            self._make(self._content(sha256))
            self._files.cp_file(whole, self._content(sha256))
        self._remove_upload(key)

    def size(self, sha256: str) -> int | None:
        path = self._content(sha256)
        with _as_os_errors():
            self._files.invalidate_cache(path)
            try:
                return int(self._files.info(path)["size"])
            except FileNotFoundError:
                return None

    def read(self, sha256: str, first: int, end: int) -> Iterator[bytes]:
        path = self._content(sha256)
        while first < end:
            with _as_os_errors():
                data = self._files.cat_file(path, start=first, end=min(first + _READ_BYTES, end))
            if not data:
                raise OSError(errno.EIO, "the content is shorter than it was")
            first += len(data)
            yield data

    def remove(self, sha256: str) -> None:
        with _as_os_errors(), suppress(FileNotFoundError):
            self._files.rm_file(self._content(sha256))

    def sweep(self, older_s: float) -> int:
        swept, oldest = 0, datetime.now(timezone.utc) - timedelta(seconds=older_s)
        for folder in self._listed(f"{self._root}/uploads"):
            key = folder["name"].rstrip("/").rpartition("/")[2]
            if not is_key(key):
                continue
            with _as_os_errors():
                times = [self._files.modified(part["name"]) for part in self._listed(self._upload(key))]
            if all(_in_utc(time) < oldest for time in times):
                self._remove_upload(key)
                swept += bool(times)
        return swept

    def _upload(self, key: str) -> str:
        return f"{self._root}/uploads/{checked_key(key)}"

    def _content(self, sha256: str) -> str:
        return f"{self._root}/{checked_sha256(sha256)[:2]}/{sha256}"

    def _parts(self, key: str) -> list[tuple[str, int]]:
        """The parts that follow each other from the beginning on: their paths and sizes."""
        sizes = {}
        for each in self._listed(self._upload(key)):
            name = each["name"].rpartition("/")[2]
            if _PART.fullmatch(name):
                sizes[int(name)] = each["name"], int(each["size"])
        found, at = [], 0
        while at in sizes and sizes[at][1]:
            found.append(sizes[at])
            at += sizes[at][1]
        return found

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        with _as_os_errors():
            self._files.invalidate_cache(folder)
            try:
                found = self._files.ls(folder, detail=True)
            except FileNotFoundError:
                return []
        return [each for each in found if each["name"].rstrip("/") != folder]

    def _join(self, parts: list[tuple[str, int]], whole: str) -> tuple[str, int]:
        """Write all parts to one object; its hash and size."""
        state, size = hashlib.sha256(), 0
        self._make(whole)
        with self._files.open(whole, "wb") as target:
            for path, _ in parts:
                data = self._files.cat_file(path)
                state.update(data)
                target.write(data)
                size += len(data)
        return state.hexdigest(), size

    def _write(self, path: str, data: bytes) -> None:
        with _as_os_errors():
            self._make(path)
            self._files.pipe_file(path, data)

    def _make(self, path: str) -> None:
        """Make the folder of an object, where there are folders: elsewhere it would be a bucket."""
        folder = path.rpartition("/")[0]
        if folder not in self._made and not self._is_flat:
            self._files.makedirs(folder, exist_ok=True)
            self._made.add(folder)
            if len(self._made) > 10_000:
                self._made.clear()

    def _remove_upload(self, key: str) -> None:
        folder = self._upload(key)
        self._made.discard(folder)
        with _as_os_errors(), suppress(FileNotFoundError):
            self._files.invalidate_cache(folder)
            self._files.rm(folder, recursive=True)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - each kind of storage has its own
        words = _CREDENTIALS.sub("", str(error))
        raise OSError(errno.EIO, f"the storage of files failed: {type(error).__name__}: {words}") from None


def _in_utc(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
