"""Removing what is deleted, and giving its room back, slice by slice while the server serves."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress

from steplog.server.repeating import repeating
from steplog.server.store import Store
from steplog.server.store_types import StoreError

__all__ = ["reaping"]

_PAUSE_S = 0.007  # between two slices, for the batches of others
_INTERVAL_S = 5.0


class _Reaper:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._gives_back = True  # what the server before may have left

    def work(self) -> float:
        """Do a slice; the seconds until the next. Room is given back first: much that is free makes it slow."""
        with suppress(StoreError):  # a full disk, say: later
            self._gives_back = self._gives_back and self._store.give_back().result()
            if not self._gives_back:
                self._gives_back = self._store.reap().result()
            if self._gives_back:
                return _PAUSE_S
        return _INTERVAL_S


def reaping(store: Store) -> AbstractContextManager[None]:
    """Reap again and again, in a thread."""
    return repeating(_Reaper(store).work, "steplog-trash")
