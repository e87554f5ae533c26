"""How many commits there were, and what they took: of any number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["CommitTimes"]


class CommitTimes:
    """Counts of a server, since its start."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._commits = self._retries = 0
        self._seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around a transaction: it counts unless it raises."""
        began = self._clock()
        yield
        seconds = self._clock() - began
        with self._lock:
            self._commits += 1
            self._seconds += seconds

    def note_retry(self) -> None:
        """A transaction was not as if it had been alone, and is run again."""
        with self._lock:
            self._retries += 1

    def figures(self) -> Mapping[str, float]:
        """As ``Store.figures`` has them."""
        with self._lock:
            return {
                "commits_total": self._commits,
                "commit_seconds_total": self._seconds,
                "commit_retries_total": self._retries,
            }
