"""A look at the store that anyone may ask for: one at a time, in a thread of its own, and nobody waits long for it.

All who ask while one goes on get what it finds. While one hangs no other is begun, so that neither who asks often nor a
database that does not answer takes threads from those who work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["SingleLook"]

_T = TypeVar("_T")


class SingleLook(Generic[_T]):
    """For the event loop."""

    def __init__(self, timeout_s: float, name: str) -> None:
        self._timeout_s = timeout_s
        self._executor = ThreadPoolExecutor(1, name)
        self._looking: asyncio.Future[_T] | None = None

    def close(self) -> None:
        """End its thread, once it has found something."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def result(self, look: Callable[[], _T]) -> _T:
        """What ``look``, which is always the same and blocks, finds. Raises TimeoutError, and what it raises."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(self._executor, look)
            self._looking.add_done_callback(_seen)
        looking = self._looking
        await asyncio.wait([looking], timeout=self._timeout_s)
        if not looking.done():
            raise TimeoutError
        return looking.result()


def _seen(looking: asyncio.Future[_T]) -> None:
    """Nobody may be waiting any more for what it raises; asyncio would log that as an error of the server."""
    if not looking.cancelled():
        looking.exception()
