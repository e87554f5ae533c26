"""Removing what is deleted, and giving its room back, slice by slice while the server serves.

Runs that their project keeps no longer go to the trash first (``Store.expire_runs``), in a thread of their own, since
that waits for the disk. So do contents that nothing names, and uploads that nobody goes on with.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from steplog.server.blobs.content_store import ContentStore
from steplog.server.repeating import repeating
from steplog.server.store import Store
from steplog.server.store_types import StoreError

__all__ = ["collecting", "reaping"]

_PAUSE_S = 0.007  # between two slices, for the batches of others; at least
_PAUSE_SHARE = 2.0  # of what a slice took, which is more while the machine is busy
_INTERVAL_S = 5.0
_EXPIRY_INTERVAL_S = 600.0
_EXPIRY_FIRST_S = 60.0  # after a start, which has enough to do
_EXPIRY_PAUSE_S = 0.1  # between some hundred runs and the next
_COLLECTION_INTERVAL_S = 60.0
_COLLECTION_FIRST_S = 30.0
_COLLECTION_PAUSE_S = 0.1  # between some contents and the next
_SWEEP_INTERVAL_S = 3600.0
_UPLOAD_AGE_MAX_S = 7 * 24 * 3600.0  # of a client that went home for the weekend, and longer
_log = logging.getLogger("steplog.server")


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


class _Collector:
    """Collects contents, and sweeps uploads."""

    def __init__(self, store: Store, contents: ContentStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._contents = contents
        self._clock = clock
        self._swept_at: float | None = None
        self._swept = 0
        self._is_failing = False

    def work(self) -> float:
        """Do a slice; the seconds until the next."""
        try:
            found = self._store.collect_contents(self._contents.remove)
            if self._swept_at is None or self._clock() - self._swept_at >= _SWEEP_INTERVAL_S:
                self._swept_at = self._clock()
                self._swept += self._contents.sweep(_UPLOAD_AGE_MAX_S)
        except (StoreError, OSError) as error:  # later
            if isinstance(error, OSError) and not self._is_failing:
                _log.warning("files that nothing names cannot be removed now: %s", error)
            self._is_failing = isinstance(error, OSError)
            return _COLLECTION_INTERVAL_S
        self._is_failing = False
        return _COLLECTION_PAUSE_S if found else _COLLECTION_INTERVAL_S

    def figures(self) -> Mapping[str, float]:
        """How many uploads were given up, and the room for contents."""
        figures = {"uploads_swept_total": float(self._swept)}
        with suppress(OSError):
            free = self._contents.free_bytes()
            figures |= {} if free is None else {"content_free_bytes": free}
        return figures


@contextmanager
def collecting(
    store: Store, contents: ContentStore | None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[], Mapping[str, float]]]:
    """Collect contents again and again, in a thread; gives its figures. None: there are no contents."""
    if contents is None:
        yield dict
        return
    collector = _Collector(store, contents, clock)
    with repeating(collector.work, "steplog-contents", _COLLECTION_FIRST_S):
        yield collector.figures


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
