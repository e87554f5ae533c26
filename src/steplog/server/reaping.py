"""Removing what is deleted, slice by slice, while the server serves."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress

from steplog.server.repeating import repeating
from steplog.server.store import Store
from steplog.server.store_types import StoreError

__all__ = ["reaping"]

_PAUSE_S = 0.02  # between two slices, for the batches of others
_INTERVAL_S = 5.0


def reaping(store: Store) -> AbstractContextManager[None]:
    """Reap again and again, in a thread."""

    def reap() -> float:
        with suppress(StoreError):  # a full disk, say: later
            if store.reap().result():
                return _PAUSE_S
        return _INTERVAL_S

    return repeating(reap, "steplog-trash")
