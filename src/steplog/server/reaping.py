"""Removing what is deleted, and giving its room back, slice by slice while the server serves.

Runs that their project keeps no longer go to the trash first (``Store.expire_runs``), in a thread of their own, since
that waits for the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from steplog.server.repeating import repeating
from steplog.server.store import Store
from steplog.server.store_types import StoreError

__all__ = ["reaping"]

_PAUSE_S = 0.007  # between two slices, for the batches of others; at least
_PAUSE_SHARE = 2.0  # of what a slice took, which is more while the machine is busy
_INTERVAL_S = 5.0
_EXPIRY_INTERVAL_S = 600.0
_EXPIRY_FIRST_S = 60.0  # after a start, which has enough to do
_EXPIRY_PAUSE_S = 0.1  # between some hundred runs and the next


class _Reaper:
    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._gives_back = True  # what the server before may have left
        self._slices = 0

    def work(self) -> float:
        """Do a slice; the seconds until the next. Room is given back first: much that is free makes it slow."""
        began = self._clock()
        with suppress(StoreError):  # a full disk, say: later
            self._gives_back = self._gives_back and self._store.give_back().result()
            if not self._gives_back:
                self._gives_back = self._store.reap().result()
                self._slices += self._gives_back
            if self._gives_back:
                return max(_PAUSE_S, _PAUSE_SHARE * (self._clock() - began))
        return _INTERVAL_S

    def figures(self) -> Mapping[str, float]:
        """How many slices had something to remove."""
        return {"reaped_slices_total": self._slices}


@contextmanager
def reaping(store: Store, clock: Callable[[], float] = time.monotonic) -> Iterator[Callable[[], Mapping[str, float]]]:
    """Reap again and again, in a thread; gives its figures, as ``Store.figures`` has them."""
    reaper = _Reaper(store, clock)

    def expire() -> float:
        with suppress(StoreError):
            if store.expire_runs():
                return _EXPIRY_PAUSE_S
        return _EXPIRY_INTERVAL_S

    with repeating(reaper.work, "steplog-trash"), repeating(expire, "steplog-retention", _EXPIRY_FIRST_S):
        yield reaper.figures
