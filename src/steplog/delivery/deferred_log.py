"""Log messages that wait until no lock is held.

Decisions are made under the agent's lock, and a logging handler of the user's may take any time, raise, or wait for a
thread that waits for us. So messages wait here, and the agent's threads log them outside of the lock.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partialmethod

__all__ = ["KEPT_MAX", "deferred_log"]

KEPT_MAX = 1000
_log = logging.getLogger("steplog")


class _DeferredLog:
    """Takes messages as a logger does."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, str, tuple[object, ...]]] = deque(maxlen=KEPT_MAX)

    def _defer(self, level: int, text: str, *values: object) -> None:
        self.waiting.append((level, text, values))

    info = partialmethod(_defer, logging.INFO)
    warning = partialmethod(_defer, logging.WARNING)
    error = partialmethod(_defer, logging.ERROR)

    def tell(self) -> None:
        """Log all of them, each once."""
        while self.waiting:
            try:
                level, text, values = self.waiting.popleft()
            except IndexError:  # another thread was faster
                return
            _log.log(level, text, *values)

    def forget(self) -> None:
        """Drop them: after a fork they are the parent's."""
        self.waiting.clear()


deferred_log = _DeferredLog()
