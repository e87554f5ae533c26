"""Threads that use one run at once take turns: to make what there is once of it, to change it, and to finish it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from steplog.reentrant_lock import ReentrantLock

__all__ = ["FINISHING_INTERVAL_S", "Turns"]

FINISHING_INTERVAL_S = 0.02


class Turns:
    """Of one run. A forked child and a copy begin anew: a lock may be held there for ever."""

    def __init__(self) -> None:
        self._making: dict[int, AbstractContextManager[object]] = {}  # by process
        self._changing: dict[int, AbstractContextManager[object]] = {}
        self._finishing: dict[int, int] = {}  # by process: the thread that finishes the run

    def making(self) -> AbstractContextManager[object]:
        """Held while what there is once is made, which may take long; a signal handler may come back in."""
        return self._making.setdefault(os.getpid(), ReentrantLock())

    def changing(self) -> AbstractContextManager[object]:
        """Held while a change is logged and noted, so that the last one noted is the last one logged. Never long."""
        return self._changing.setdefault(os.getpid(), ReentrantLock())

    def begin_finish(self, is_over: Callable[[], bool], deadline: float) -> bool:
        """Whether this thread is to finish it. Not once it is over, nor if another thread is at it at the deadline.

        A signal handler that interrupts ``finish`` is the same thread, and must not wait.
        """
        pid, thread = os.getpid(), threading.get_ident()
        while not is_over() and self._finishing.setdefault(pid, thread) != thread:
            if time.monotonic() >= deadline:
                return False
            time.sleep(FINISHING_INTERVAL_S)
        return not is_over()

    def end_finish(self) -> None:
        """Let another thread try, if it is not over."""
        self._finishing.pop(os.getpid(), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return Turns, ()
