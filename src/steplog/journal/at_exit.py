"""Work at the end of a process, also of a child of multiprocessing."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable

from steplog.loaded import loaded

__all__ = ["call_at_exit"]


def call_at_exit(method: Callable[[], object]) -> None:
    """Call this bound method at exit, also in a child of multiprocessing, which runs no atexit.

    Not in a forked child, and not once its object is gone.
    """
    pid, kept = os.getpid(), weakref.WeakMethod(method)

    def leave() -> None:
        found = kept()
        if pid == os.getpid() and found is not None:
            found()

    atexit.register(leave)
    if (util := loaded("multiprocessing.util")) is not None:
        util.Finalize(None, leave, exitpriority=-10)
