"""Contents on their way in: parts of them are added to an upload, which becomes a content once it has the right hash.

1. An upload grows at its end alone. Of a part whose beginning is there already the rest is taken; a part that begins
   beyond the end is not read. So a part may be sent again, and several clients may send one content.
2. What has arrived counts, also of a part that breaks off.
3. At most ``_GATHERED_BYTES_MAX`` of all parts are in memory; further ones wait unread, ``_WAIT_S`` at most.
4. Bytes are written, checked and read on threads of their own: scalars wait for none of it.
5. A check that takes longer than ``_CHECK_S`` goes on, and the client is told to ask again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from steplog.server.blobs.content_store import ContentStore
from steplog.server.byte_ranges import ContentPart
from steplog.server.file_types import QuotaExceededError
from steplog.server.store import Store
from steplog.server.store_types import ProjectRow, StoreBusyError, StoreFullError

__all__ = ["ContentUploads", "Received"]

_WRITERS = 8
_GATHERED_BYTES_MAX = 64 * 1024 * 1024
_WAIT_S = 5.0  # with the time for a part, less than a connection waits for its body
_CHECK_S = 20.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger("steplog.server")
_T = TypeVar("_T")


class Received(NamedTuple):
    """What became of a part.

    Attributes:
        bytes: how far the upload has come.
        present: the project has the content.
        is_new: it has had it since this part.
    """

    bytes: int
    present: bool = False
    is_new: bool = False


class ContentUploads:
    """The uploads of a server; for the event loop."""

    def __init__(self, contents: ContentStore, store: Store, project_bytes_max: int = 0) -> None:
        """``project_bytes_max``: what the contents of a project may take; 0: any."""
        self._contents = contents
        self._store = store
        self._project_bytes_max = project_bytes_max
        self._threads = ThreadPoolExecutor(_WRITERS, "steplog-contents-write")
        self._room = asyncio.Semaphore(max(1, _GATHERED_BYTES_MAX // contents.append_bytes))
        self._endings: dict[str, asyncio.Task[bool]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # of uploads
        self._adding = asyncio.Lock()  # a content, where that must not pass the quota
        self._is_failing = False

    def close(self) -> None:
        """End its threads, without waiting for what they do: an upload that is not checked goes on later."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def receive(
        self, project: ProjectRow, sha256: str, part: ContentPart, body: Callable[[], AsyncIterator[bytes]]
    ) -> Received:
        """Take a part of a content, or say how far it has come; ``body`` is read only where something of it is new.

        Raises WrongContentError, QuotaExceededError, MissingError, StoreError.
        """
        if await self._has(project, sha256):
            return Received(part.size, present=True)
        key = f"{project.uuid}-{sha256}"
        have = await self._run(partial(self._contents.uploaded, key))
        if have == 0:
            await self._check_room(project, part.size)
        if not part.asks and part.first <= have < part.end:
            have = await self._append(key, have, part, body())
        elif part.size == 0:
            await self._run(partial(self._contents.append, key, 0, b""))
        if have >= part.size:
            return await self._ended(project, key, sha256, part.size)
        if not have and await self._has(project, sha256):  # another client has sent the end of it meanwhile
            return Received(part.size, present=True)
        return Received(have)

    async def _append(self, key: str, have: int, part: ContentPart, body: AsyncIterator[bytes]) -> int:
        """Add what of a part is new, and of one that breaks off what has come; how far the upload is then."""
        try:
            await asyncio.wait_for(self._room.acquire(), _WAIT_S)
        except asyncio.TimeoutError:
            raise StoreBusyError("The server takes as many files at once as it can; send this one again.") from None
        try:
            at, size = part.first, 0
            gathered: list[bytes] = []
            try:
                async for data in body:
                    gathered.append(data)
                    size += len(data)
                    if size >= self._contents.append_bytes:
                        have = await self._add(key, have, at, b"".join(gathered))
                        at, gathered, size = at + size, [], 0
                        if have < at:  # the upload is gone, or another has begun it anew
                            return have
            except HTTPException:
                await self._add(key, have, at, b"".join(gathered))
                raise
            return await self._add(key, have, at, b"".join(gathered))
        finally:
            self._room.release()

    async def _add(self, key: str, have: int, at: int, data: bytes) -> int:
        """Add what lies beyond the end, where others may add, too; how far the upload is then."""
        while at <= have < at + len(data):
            async with self._lock(key):
                now = await self._run(partial(self._contents.append, key, have, data[have - at :]))
            if now <= have:
                return now
            have = now
        return have

    async def _ended(self, project: ProjectRow, key: str, sha256: str, size: int) -> Received:
        """Make a whole upload a content, once."""
        task = self._endings.get(key)
        if task is None:
            task = self._endings[key] = asyncio.create_task(self._end(project, key, sha256, size))
            task.add_done_callback(partial(self._forget, key))
        done, _ = await asyncio.wait([task], timeout=_CHECK_S)
        if not done:
            raise StoreBusyError("The file has arrived, and is being checked; ask again.")
        return Received(size, present=True, is_new=task.result())

    def _forget(self, key: str, task: asyncio.Task[bool]) -> None:
        del self._endings[key]
        if not task.cancelled():
            task.exception()  # perhaps nobody waits any more

    async def _end(self, project: ProjectRow, key: str, sha256: str, size: int) -> bool:
        """Whether it was this call that made it one. Nothing is added to what is being checked."""
        async with self._lock(key):
            if await self._has(project, sha256):
                return False
            await self._check_quota(project, size)
            await self._run(partial(self._contents.verify, key, sha256, size))
            async with self._adding if self._project_bytes_max else nullcontext():
                await self._check_quota(project, size)
                put = partial(self._contents.put, key, sha256)
                await asyncio.wrap_future(self._store.add_content(project, sha256, size, put))
            return True

    def _lock(self, key: str) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def _has(self, project: ProjectRow, sha256: str) -> bool:
        return await run_in_threadpool(self._store.content_size, project, sha256) is not None

    async def _check_room(self, project: ProjectRow, size: int) -> None:
        """Refuse at its beginning what cannot be kept. Raises QuotaExceededError, StoreFullError."""
        await self._check_quota(project, size)
        free = await self._run(self._contents.free_bytes)
        if free is not None and free < size:
            raise StoreFullError(f"The server has room for {free} bytes of files, and this one has {size}.")

    async def _check_quota(self, project: ProjectRow, size: int) -> None:
        if not self._project_bytes_max:
            return
        used = await run_in_threadpool(self._store.content_bytes, project)
        if used + size > self._project_bytes_max:
            raise QuotaExceededError(used, self._project_bytes_max)

    async def _run(self, work: Callable[[], _T]) -> _T:
        """Do something with the contents in one of the threads. Raises StoreError."""
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StoreFullError("The server has no room for files; what has arrived stays.") from error
            if not self._is_failing:
                _log.warning("files cannot be written now: %s", error)
            self._is_failing = True
            raise StoreBusyError("The server cannot write files now; what has arrived stays.") from error
        self._is_failing = False
        return done
