"""A look at the store that anyone may ask for: one at a time, in a thread of its own, and nobody waits long for it.

All who ask while one goes on get what it finds. While one hangs no other is begun, so that neither who asks often nor a
database that does not answer takes threads from those who work. One begins ``_PAUSE_S`` after the one before at the
earliest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["SingleLook"]

_PAUSE_S = 0.1
_T = TypeVar("_T")


class SingleLook(Generic[_T]):
    """For the event loop."""

    def __init__(
        self,
        timeout_s: float,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep
        self._began = -_PAUSE_S
        self._executor = ThreadPoolExecutor(1, name)
        self._looking: asyncio.Future[_T] | None = None

    def close(self) -> None:
        """End its thread, once it has found something."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def result(self, look: Callable[[], _T]) -> _T:
        """What ``look``, which is always the same and blocks, finds. Raises TimeoutError, and what it raises."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look(look))
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())  # also if nobody waits
        looking = self._looking
        await asyncio.wait([looking], timeout=self._timeout_s)
        if not looking.done():
            raise TimeoutError
        return looking.result()

    async def _look(self, look: Callable[[], _T]) -> _T:
        pause_s = self._began + _PAUSE_S - self._clock()
        if pause_s > 0:
            await self._sleep(pause_s)
        self._began = self._clock()
        return await asyncio.get_running_loop().run_in_executor(self._executor, look)
