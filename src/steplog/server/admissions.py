"""What decides over projects for users, as the store has it, for a few seconds each; for the event loop.

1. What is known is used for ``_FRESH_S``, and for as long again while it is read anew. So a role that is taken away
   gives nothing after twice that, and a run that is written to waits for no read.
2. Who is refused is refused by a read of that moment (``read``), so that a role that was just given counts, and a
   project that must not be seen takes as long to refuse as one that is not there: one read.
3. At most ``_KNOWN_MAX`` are kept, those that were read last.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from starlette.concurrency import run_in_threadpool

from steplog.server.permissions import Facts
from steplog.server.store import Store
from steplog.server.store_types import StoreError

__all__ = ["Admissions"]

_FRESH_S = 2.0
_KNOWN_MAX = 10_000

_Place: TypeAlias = tuple[int, str, str]  # of a user, a namespace and a project


class Admissions:
    """Looks up what decides in a store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[_Place, tuple[Facts, float]] = OrderedDict()  # and when it was read
        self._refreshing: dict[_Place, asyncio.Task[None]] = {}

    def known(self, place: _Place) -> Facts | None:
        """What is known."""
        facts, read_at = self._known.get(place, (None, 0.0))
        if facts is None:
            return None
        age_s = self._clock() - read_at
        if age_s >= 2 * _FRESH_S:
            return None
        if age_s >= _FRESH_S and place not in self._refreshing:
            self._refreshing[place] = asyncio.create_task(self._refresh(place))
        return facts

    async def read(self, place: _Place) -> Facts | None:
        """What the store says. Raises StoreError."""
        read_at = self._clock()
        facts = await run_in_threadpool(self._store.facts_of, *place)
        self._known.pop(place, None)
        if facts is not None:
            self._known[place] = facts, read_at
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return facts

    def forget(self) -> None:
        """Read all anew: a project was changed here."""
        self._known.clear()

    async def _refresh(self, place: _Place) -> None:
        try:
            with suppress(StoreError):  # then what is known counts to its end
                await self.read(place)
        finally:
            del self._refreshing[place]
