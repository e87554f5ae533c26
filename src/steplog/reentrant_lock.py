"""A re-entrant lock that an exception of a signal handler, such as Ctrl-C's, leaves as free as it was.

CPython 3.14 looks at signals once a lock in C is taken and before the block of its ``with`` begins: a handler that
raises there leaves the lock locked for ever (https://github.com/python/cpython/issues/148874, fixed in 3.15). It looks
at them after a call of C code, not at the return of a function in Python and not at the next item of an iterator.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import repeat
from typing import TYPE_CHECKING, Literal, TypeVar

__all__ = ["ReentrantLock"]

if TYPE_CHECKING:
    from threading import RLock as _RLock
else:
    _RLock = type(threading.RLock())

_T = TypeVar("_T")
_ATTEMPT_S = 0.25  # then a handler has its turn


class ReentrantLock(_RLock):  # type: ignore[misc]  # final in typeshed alone
    """A ``threading.RLock``, to be taken by ``with``.

    ``attempts`` is for where that costs too much, or the lock may be another one after a fork. Each item is one
    attempt, of a quarter of a second at most, and says whether the lock is taken::

        held = False
        try:
            for held in lock.attempts:
                break
            ...
        finally:
            if held:
                lock.release()
    """

    def __init__(self) -> None:
        super().__init__()
        self.attempts = map(self.acquire, repeat(True), repeat(_ATTEMPT_S))

    def __enter__(self) -> Literal[True]:  # type: ignore[override]  # takes nothing
        while True:
            for held in self.attempts:
                if held:
                    return True
                break

    def attempt(self, call: Callable[[], _T], otherwise: _T) -> _T:
        """Call it with the lock; ``otherwise`` where one attempt does not get that."""
        held = False
        try:
            for held in self.attempts:  # noqa: B007 - see above
                break
            return call() if held else otherwise
        finally:
            if held:
                self.release()
