"""Linger: how long records wait for others, so that one request carries many (Kafka's word). Pure.

At most ``batch_age_s``, counted from the last look that left none behind; less by twice the longest exchange of late,
down to half, so that a record is delivered before a spool interval is over.

A look evicts a training loop's CPU caches. So after a range that left nothing behind there is none before the next
records are old enough, or fill a range at the rate of the last ones: one look for each request.
"""

from __future__ import annotations

__all__ = ["Linger"]

_LOOK_INTERVAL_S = 0.04  # at least, between two looks whether there is enough for a range
_FORGOTTEN = 0.8  # of the longest exchange, what is left of it at the next


class Linger:
    """Of one journal, whose ranges hold ``slots_max`` positions at most."""

    def __init__(self, batch_age_s: float, slots_max: int) -> None:
        self._batch_age_s = batch_age_s
        self._slots_max = slots_max
        self._exchange_s = 0.0
        self._age_s = batch_age_s
        self._look = (0.0, 0)  # the last one: when, and up to where there was something to read
        self._taken_at: float | None = None  # the last look that left nothing behind; None: there was none yet
        self.look_at = 0.0  # before this, and while nobody waits, no look is of use

    def found_none(self, now: float) -> None:
        """A look has found nothing to send."""
        self._taken_at = now

    def ready_at(self, now: float, first: int, end: int) -> float:
        """A look has found ``[first, end)``: when that is old enough, or may be enough."""
        self._look = now, end
        taken_at = self._taken_at = now if self._taken_at is None else self._taken_at
        full_s = (now - taken_at) * (self._slots_max - (end - first)) / (end - first)
        return min(taken_at + self._age_s, now + max(_LOOK_INTERVAL_S, full_s))

    def delivered(self, now: float, first: int, end: int) -> None:
        """The range ``[first, end)`` has arrived."""
        looked_at, seen = self._look
        self._exchange_s = max(now - looked_at, _FORGOTTEN * self._exchange_s)
        self._age_s = max(self._batch_age_s / 2, self._batch_age_s - 2 * self._exchange_s)
        if end < seen:
            return
        if self._taken_at is not None and end - first < self._slots_max:
            full_s = (looked_at - self._taken_at) * self._slots_max / max(1, end - first)
            self.look_at = looked_at + min(self._age_s, full_s)
        self._taken_at = looked_at
