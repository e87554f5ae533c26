"""Contents and their catalogue in memory, for what no real store is brought to do."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from steplog.server.blobs.content_store import ContentStore, WrongContentError


class Project(NamedTuple):
    """As much of a project as contents need."""

    uuid: str = "p"
    id: int = 1


class MemoryContents(ContentStore):
    """Contents in memory; ``calls`` are those of ``append``, by offset and length."""

    append_bytes = 100

    def __init__(self) -> None:
        self.uploads: dict[str, bytearray] = {}
        self.contents: dict[str, bytes] = {}
        self.calls: list[tuple[int, int]] = []
        self.room: int | None = None
        self.before: Callable[[str], None] = lambda _: None  # called with the name of each call

    def uploaded(self, key: str) -> int:
        self.before("uploaded")
        return len(self.uploads.get(key, b""))

    def append(self, key: str, offset: int, data: bytes) -> int:
        self.before("append")
        if self.room is not None and sum(map(len, self.uploads.values())) + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.calls.append((offset, len(data)))
        upload = self.uploads.setdefault(key, bytearray())
        if len(upload) == offset:
            upload += data
        return len(upload)

    def verify(self, key: str, sha256: str, size: int) -> None:
        self.before("verify")
        upload = self.uploads[key]
        if len(upload) != size or hashlib.sha256(upload).hexdigest() != sha256:
            del self.uploads[key]
            raise WrongContentError

    def put(self, key: str, sha256: str) -> None:
        self.contents[sha256] = bytes(self.uploads.pop(key))

    def size(self, sha256: str) -> int | None:
        return len(self.contents[sha256]) if sha256 in self.contents else None

    def read(self, sha256: str, first: int, end: int) -> Iterator[bytes]:
        self.before("read")
        yield self.contents[sha256][first:end]

    def remove(self, sha256: str) -> None:
        self.contents.pop(sha256, None)

    def sweep(self, older_s: float) -> int:
        return 0

    def free_bytes(self) -> int | None:
        return self.room


class Catalogue:
    """Which contents a project has."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[str, str], int] = {}
        self.added = 0

    def content_size(self, project: Any, sha256: str) -> int | None:
        return self.sizes.get((project.uuid, sha256))

    def content_bytes(self, project: Any) -> int:
        return sum(size for (uuid, _), size in self.sizes.items() if uuid == project.uuid)

    def add_content(self, project: Any, sha256: str, size: int, put: Callable[[], None]) -> Future[None]:
        put()
        self.sizes[project.uuid, sha256] = size
        self.added += 1
        done: Future[None] = Future()
        done.set_result(None)
        return done
