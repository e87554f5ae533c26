"""Objects, as long as something else holds them.

Any thread adds and lists them at any time. ``weakref.WeakSet`` raises where one adds while another lists.

Without the GIL a lock is held around each use of a dict, and by a thread that forks: CPython 3.13 leaves the lock
inside of a dict that another thread uses at the time locked in the child.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, ClassVar, Generic, TypeVar
from weakref import ref

from steplog.fork_lock import ForkLock

__all__ = ["Living"]

T = TypeVar("T")
_free_threaded = "t" in getattr(sys, "abiflags", "")


class Living(Generic[T]):
    """A set of them, by identity."""

    _lock: ClassVar[Any] = ForkLock(wait_s=0.25) if _free_threaded else nullcontext()

    def __init__(self) -> None:
        self._refs: dict[int, ref[T]] = {}

    def add(self, item: T) -> None:
        """Keep it for as long as it lives."""
        key, refs, kind = id(item), self._refs, Living

        def forget(_: ref[T]) -> None:  # may be called once Python has cleared this module
            with kind._lock:
                refs.pop(key, None)

        with Living._lock:
            refs[key] = ref(item, forget)

    def __iter__(self) -> Iterator[T]:
        """Those that live now."""
        with Living._lock:
            refs = self._refs.copy()  # in one step
        found = [each() for each in refs.values()]
        return iter([item for item in found if item is not None])

    def clear(self) -> None:
        """Forget all."""
        with Living._lock:
            self._refs.clear()
