"""News: what there is to say, kept until no lock is held.

What decides runs under the agent's lock, and a handler of the user's may take any time, raise, or wait for a thread
that waits for us. So decisions leave a message here, and the agent's threads tell it outside of the lock.
"""

from __future__ import annotations

import logging
from collections import deque

__all__ = ["KEPT_MAX", "deferred_log"]

KEPT_MAX = 1000
_log = logging.getLogger("steplog")


class _DeferredLog:
    """Takes messages as a logger does."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, str, tuple[object, ...]]] = deque(maxlen=KEPT_MAX)

    def info(self, text: str, *values: object) -> None:
        """Something is well again."""
        self._kept.append((logging.INFO, text, values))

    def warning(self, text: str, *values: object) -> None:
        """Something keeps us waiting."""
        self._kept.append((logging.WARNING, text, values))

    def error(self, text: str, *values: object) -> None:
        """Something takes somebody to look at it."""
        self._kept.append((logging.ERROR, text, values))

    def tell(self) -> None:
        """Say all of it, in order; each message once, whatever a handler of the log does."""
        while self._kept:
            try:
                level, text, values = self._kept.popleft()
            except IndexError:  # another thread was faster
                return
            _log.log(level, text, *values)

    def forget(self) -> None:
        """In a new process: what is not said yet, its parent says."""
        self._kept.clear()


deferred_log = _DeferredLog()
