"""Keys, or sessions, as the store has them, for a few seconds each; for the event loop.

1. A key is read when it is shown. For ``_FRESH_S`` it counts as it was read; for as long again it counts while it is
   read anew. So a key that is in use costs a read in ``_FRESH_S`` and waits for none, and one that is revoked opens
   nothing after twice that.
2. One read at a time, of all keys that wait for one. After a read that has found a wrong key, the next one waits for
   ``_PAUSE_S``: however many wrong keys are shown, they cost at most ``1 / _PAUSE_S`` reads a second.
3. A wrong key is one for ``_WRONG_S`` without a read.
4. At most ``_KNOWN_MAX`` keys and ``_WRONG_MAX`` wrong ones are kept, those that were shown last.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, Protocol, TypeVar

__all__ = ["KeyCache"]

_FRESH_S = 2.0
_WRONG_S = 1.0
_PAUSE_S = 0.02
_KNOWN_MAX = 4096
_WRONG_MAX = 1024
_HASHES_A_READ = 256


class _Row(Protocol):
    @property
    def hash(self) -> bytes: ...


_R = TypeVar("_R", bound=_Row)


class KeyCache(Generic[_R]):
    """Looks up the keys that are shown. ``read`` gives the valid ones of those with some hashes."""

    def __init__(
        self,
        read: Callable[[Sequence[bytes]], Sequence[_R]],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._read_valid = read
        self._clock = clock
        self._sleep = sleep
        # Of its own, so that no slow read of the routes holds up who is let in.
        self._executor = ThreadPoolExecutor(1, "steplog-key-reads")
        self._known: OrderedDict[bytes, tuple[_R, float]] = OrderedDict()  # and when it was read
        self._wrong: OrderedDict[bytes, float] = OrderedDict()
        self._asked: dict[bytes, asyncio.Future[_R | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End its thread."""
        self._executor.shutdown()

    async def find(self, key_hash: bytes) -> _R | None:
        """The valid key with this hash. Raises StoreError."""
        now = self._clock()
        found, read_at = self._known.get(key_hash, (None, 0.0))
        if found is not None and now - read_at < 2 * _FRESH_S:
            self._known.move_to_end(key_hash)
            if now - read_at >= _FRESH_S:
                self._ask(key_hash)
            return found
        if now - self._wrong.get(key_hash, -_WRONG_S) < _WRONG_S:
            return None
        return await asyncio.shield(self._ask(key_hash))

    def forget(self, key_hash: bytes) -> None:
        """Read it anew when it is next shown."""
        self._known.pop(key_hash, None)
        self._wrong.pop(key_hash, None)

    def _ask(self, key_hash: bytes) -> asyncio.Future[_R | None]:
        answer = self._asked.get(key_hash)
        if answer is None:
            answer = self._asked[key_hash] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # also if nobody waits for it
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
        return answer

    async def _read(self) -> None:
        try:
            while self._asked:
                hashes = list(islice(self._asked, _HASHES_A_READ))
                read_at = self._clock()
                rows: Sequence[_R] | Exception
                try:
                    rows = await asyncio.get_running_loop().run_in_executor(self._executor, self._read_valid, hashes)
                except Exception as error:  # noqa: BLE001 - for those that wait
                    rows = error
                if not self._answer(hashes, rows, read_at):
                    await self._sleep(_PAUSE_S)
        finally:
            self._reading = None

    def _answer(self, hashes: list[bytes], rows: Sequence[_R] | Exception, read_at: float) -> bool:
        """Keep what was read, and tell those that wait; whether all of it were keys."""
        answers = [self._asked.pop(key_hash) for key_hash in hashes]
        if isinstance(rows, Exception):
            for answer in answers:
                answer.set_exception(rows)
            return False
        valid = {row.hash: row for row in rows}
        for key_hash, answer in zip(hashes, answers, strict=True):
            row = valid.get(key_hash)
            if row is None:
                self._known.pop(key_hash, None)
                self._wrong[key_hash] = read_at
            else:
                self._wrong.pop(key_hash, None)
                self._known[key_hash] = row, read_at
            answer.set_result(row)
        while len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        while len(self._wrong) > _WRONG_MAX:
            self._wrong.popitem(last=False)
        return len(valid) == len(hashes)
