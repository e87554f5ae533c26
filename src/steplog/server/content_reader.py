"""Reads contents, on threads of its own: a disk that hangs holds up nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple, TypeVar

from steplog.server.blobs.content_store import ContentStore
from steplog.server.blobs.content_type import HEAD_BYTES, sniffed
from steplog.server.store_types import StoreBusyError

__all__ = ["ContentReader", "Pieces"]

_READERS = 8
_TYPES_MAX = 4096  # whose types are kept
_log = logging.getLogger("steplog.server")
_T = TypeVar("_T")


class Pieces(NamedTuple):
    """What is read of a content."""

    media_type: str
    pieces: Iterator[bytes]


class ContentReader:
    """Reads contents, on threads of its own; for the event loop."""

    def __init__(self, contents: ContentStore) -> None:
        self._contents = contents
        self._threads = ThreadPoolExecutor(_READERS, "steplog-contents-read")
        self._types: OrderedDict[str, str] = OrderedDict()  # by hash
        self._is_failing = False

    def close(self) -> None:
        """End its threads, without waiting for a disk that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def opened(self, sha256: str, first: int, end: int, size: int) -> Pieces:
        """The bytes ``[first, end)`` of a content, the first of them read. Raises StoreError."""
        found = await self.run(lambda: self._opened(sha256, first, end, size))
        self._types[sha256] = found.media_type
        if len(self._types) > _TYPES_MAX:
            self._types.popitem(last=False)
        return found

    async def run(self, work: Callable[[], _T]) -> _T:
        """Read something in one of the threads. Raises StoreError."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            if not self._is_failing:
                _log.warning("files cannot be read now: %s", error)
            self._is_failing = True
            raise StoreBusyError("The server cannot read its files now; they are where they were.") from error
        self._is_failing = False
        return found

    def _opened(self, sha256: str, first: int, end: int, size: int) -> Pieces:
        media_type = self._types.get(sha256)
        if media_type is None:
            media_type = sniffed(b"".join(self._contents.read(sha256, 0, min(size, HEAD_BYTES))))
        if first >= end:
            return Pieces(media_type, iter(()))
        pieces = self._contents.read(sha256, first, end)
        return Pieces(media_type, chain((next(pieces, b""),), pieces))
