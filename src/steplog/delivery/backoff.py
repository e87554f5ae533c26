"""When to try again after a failure. Pure.

The delay is tenacity's exponential (1 s, doubling to 60 s) with full jitter, so that many clients of one server do not
come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). ``Retry-After`` is a
lower bound. Requests that were under way together fail together, and that is one failure.
"""

from __future__ import annotations

import random

from tenacity import RetryCallState, Retrying, wait_exponential

__all__ = ["DELAY_MAX_S", "Backoff"]

DELAY_MAX_S = 60.0
_ceiling = wait_exponential(multiplier=1, max=DELAY_MAX_S)
_RETRYING = Retrying()


class Backoff:
    """When to try a server, a run or a range again; times are on the monotonic clock, in seconds."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._failed_at = 0.0
        self.attempt_number = 0  # failures in a row, as tenacity counts them
        self.due = 0.0  # on the monotonic clock, in seconds

    def failed(self, now: float, at_least_s: float | None = None, sent_at: float | None = None) -> None:
        """A failure, at ``now``, of what was sent at ``sent_at``."""
        if self.attempt_number and sent_at is not None and sent_at < self._failed_at:
            self.due = max(self.due, now + (at_least_s or 0.0))
            return
        self.attempt_number += 1
        self._failed_at = now
        state = RetryCallState(_RETRYING, None, (), {})
        state.attempt_number = self.attempt_number
        self.due = now + max(self._random.uniform(0.0, _ceiling(state)), at_least_s or 0.0)

    def rest(self, now: float, seconds: float | None) -> None:
        """It asked to be left alone for so long."""
        self.due = max(self.due, now + (seconds or 0.0))

    def try_again(self) -> None:
        """Try at once; if that fails too, it is one more failure in a row."""
        self.due = 0.0

    def passed(self) -> None:
        """It works again."""
        self.attempt_number = 0
        self.due = 0.0
