"""A re-entrant lock that stays locked after neither an exception of a signal handler nor a fork. Pure.

``with lock`` is no alternative: on CPython 3.14 a handler may raise once the lock is taken, and before the block
begins, so that it stays locked for ever. Only at calls and at backward jumps does CPython look at signals. An
iterator's next item comes without either; so an attempt to take the lock is one item of ``attempts``, which says
whether it is taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import repeat
from typing import Any, TypeVar

__all__ = ["ReentrantLock"]

_T = TypeVar("_T")
_ATTEMPT_S = 0.25


class ReentrantLock:
    """Taken by ``run``; where a call of Python's costs too much, by ``attempts``, as ``run`` does it."""

    __slots__ = ("_lock", "attempts", "release")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self.release = self._lock.release
        # Not for ever: a fork in a signal handler may interrupt one, whose child is to look at another lock.
        self.attempts = map(self._lock.acquire, repeat(True), repeat(_ATTEMPT_S))

    def run(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Call it with the lock."""
        held = False
        try:
            while not held:
                for held in self.attempts:  # noqa: B007 - one attempt
                    break
            return call(*arguments)
        finally:
            if held:
                self.release()

    def try_run(self, call: Callable[..., _T], *arguments: Any, otherwise: _T) -> _T:
        """Call it with the lock; ``otherwise`` where that cannot be had within a quarter of a second."""
        held = False
        try:
            for held in self.attempts:  # noqa: B007 - one attempt
                break
            return call(*arguments) if held else otherwise
        finally:
            if held:
                self.release()

    def forked(self) -> None:
        """In a forked child: forget a thread of the parent's that holds it."""
        if self._lock.acquire(blocking=False):  # it is free, or this thread's
            self.release()
        else:
            self._renew()
