"""A queue of writes, for one thread that takes them. After its end, which is None, nothing comes."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from steplog.server.store_types import StoreBusyError

__all__ = ["WriteQueue"]


class _Write(Protocol):
    @property
    def future(self) -> Future[Any]: ...


_Item = TypeVar("_Item", bound=_Write)


class WriteQueue(SimpleQueue["_Item | None"], Generic[_Item]):
    """Writes, each with the future of who waits for it."""

    def __init__(self) -> None:
        self._closed = False
        self._lock = threading.Lock()

    def submit(self, write: _Item) -> None:
        """Queue a write; once the queue is closed, its future has StoreBusyError."""
        with self._lock:
            if self._closed:
                write.future.set_exception(StoreBusyError("the server is stopping"))
            else:
                self.put(write)

    def close(self) -> None:
        """Let nothing more come."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self.put(None)

    def take_all(self) -> list[_Item]:
        """All that wait and are still wanted, for the thread that takes them; the end stays."""
        found: list[_Item] = []
        with suppress(Empty):
            while (write := self.get_nowait()) is not None:
                if write.future.set_running_or_notify_cancel():
                    found.append(write)
            self.put(None)
        return found
