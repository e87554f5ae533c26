"""A lock that whoever forks takes first: no other thread is in a block of it then, and the child has it free.

``importing`` is for imports in the threads of the agent. A child that is forked in the middle of one could never import
that module: CPython leaves its lock with a thread that the child does not have.
"""

from __future__ import annotations

import os
import threading
from time import monotonic

from steplog.reentrant_lock import ReentrantLock

__all__ = ["ForkLock", "importing"]


class ForkLock:
    """Re-entrant, to be taken by ``with``. A fork waits for ``wait_s`` at most; the child has a new one then.

    It stays for as long as the process: nothing takes the hooks of a fork back.
    """

    def __init__(self, wait_s: float) -> None:
        self._lock = ReentrantLock()
        self._wait_s = wait_s
        self._forking = threading.local()  # ``held``: the lock, where this thread took it to fork
        os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._after_in_child)

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _before(self) -> None:
        end, lock, held = monotonic() + self._wait_s, self._lock, False
        for held in lock.attempts:
            if held or monotonic() >= end:
                break
        self._forking.held = lock if held else None

    def _after(self) -> None:
        if self._forking.held is not None:
            self._forking.held.release()

    def _after_in_child(self) -> None:
        if self._forking.held is None:
            self._lock = ReentrantLock()  # another thread had it
        self._after()


importing = ForkLock(wait_s=5.0)
