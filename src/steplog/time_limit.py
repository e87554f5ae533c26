"""How long the exchanges of a block of code may take together."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Limit", "current", "within"]


class Limit:
    """So long may the exchanges of a block take together, from the first one on; or only until there is an answer."""

    def __init__(self, limit_s: float, first_answer: bool) -> None:
        self.limit_s, self._first_answer, self._end = limit_s, first_answer, 0.0

    def left_s(self) -> float:
        """Seconds that are left; the time begins with the first call."""
        now = time.monotonic()
        self._end = self._end or now + self.limit_s
        return round(self._end - now, 2)

    def answered(self) -> None:
        """There is an answer."""
        if self._first_answer:
            self._end = math.inf


_limit: ContextVar[Limit | None] = ContextVar("steplog_limit", default=None)


@contextmanager
def within(limit_s: float | None, *, first_answer: bool = False) -> Iterator[None]:
    """Internal: let all exchanges of clients in this block take that long at most, together; None: no limit.

    ``first_answer``: until one is answered, after which they take as long as they may.
    """
    if (around := _limit.get()) is not None:
        around.left_s()  # its time runs from now on
    token = _limit.set(None if limit_s is None else Limit(limit_s, first_answer))
    try:
        yield
    finally:
        _limit.reset(token)


def current() -> Limit | None:
    """The limit of the block around."""
    return _limit.get()
