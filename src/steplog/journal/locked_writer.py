"""The writer without the GIL: that of ``writer``, each of its steps under the lock of its append (see ``locked``).

1. What is converted, refused and told to others (``use_client``, ``refuse``) is so without the lock, which may thus be
   taken under any other. Under it come the pool's, the ledger's and the wake of maintenance alone.
2. The thread that finds a segment full makes the next one under the lock: the others could do nothing but the same.
   Maintenance makes spares without it, however long that takes.
3. A fork waits for the calls that other threads are in: without the GIL CPython 3.13 leaves the lock inside of a dict
   locked in the child, where two threads wanted it at the time. One that takes a quarter of a second is left alone.
4. A forked child makes the lock anew if another thread held it. It goes on with nothing that the lock guards but the
   append, which is whole at any time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from steplog.journal.append import Append, Segment
from steplog.journal.compiled import append_type
from steplog.journal.locked import LockedAppend, LockedSegment
from steplog.journal.memory import Block, MemoryPool
from steplog.journal.writer import Refusal, Writer
from steplog.living import Living
from steplog.reentrant_lock import ReentrantLock

__all__ = ["LockedWriter", "writer_type"]

_T = TypeVar("_T")
_writers: Living[LockedWriter] = Living()
_forking = threading.local()  # ``held``: the locks that this thread took to fork


class LockedWriter(Writer):
    """See Writer."""

    def __init__(self, pool: MemoryPool, writer: bytes, *, append: Append | None = None, **options: Any) -> None:
        self._lock = append.lock if isinstance(append, LockedAppend) else ReentrantLock()
        self._alone(partial(super().__init__, pool, writer, append=append, **options))
        _writers.add(self)

    def _alone(self, call: Callable[..., _T], *arguments: Any) -> _T:
        """Call it with the lock."""
        held, lock = False, self._lock
        try:
            while not held:
                lock = self._lock  # another one in a child of a fork meanwhile
                for held in lock.attempts:  # noqa: B007 - see ReentrantLock
                    break
            return call(*arguments)
        finally:
            if held:
                lock.release()

    def _hot(self, hot: type[Append], clock: Callable[[], int]) -> Append:
        made = super()._hot(hot, clock)
        if isinstance(made, LockedAppend):
            made.lock = self._lock
        return made

    def _segment_in(self, *place: Any) -> Segment:
        made = super()._segment_in(*place)
        if isinstance(made, LockedSegment):
            made.lock = self._lock
        return made

    def _store(self, *record: Any) -> bool | None:
        return self._alone(super()._store, *record)

    def _rotate(self, segment: Segment, need: int) -> bool | None:
        return self._alone(super()._rotate, segment, need)

    def _go_on(self, segment: Segment, block: Block | None, region: int) -> None:
        self._alone(super()._go_on, segment, block, region)

    def _link_next(self, segment: Segment, make: Callable[[int], Segment]) -> None:
        self._alone(super()._link_next, segment, make)

    def _drop(self, need: int) -> None:
        self._alone(super()._drop, need)

    def count(self, reason: str) -> None:
        """See Writer."""
        self._alone(super().count, reason)

    def end(self, refuse: Refusal) -> None:
        """See Writer."""
        self._alone(super().end, refuse)

    def forked(self, refuse: Refusal) -> None:
        """See Writer."""
        if self._lock.acquire(blocking=False):  # free, or this thread's
            self._lock.release()
        else:
            self._lock = ReentrantLock()
        if isinstance(self.append, LockedAppend):
            self.append.lock = self._lock
        self._alone(super().forked, refuse)

    def _take_used_up(self) -> int:
        return self._alone(super()._take_used_up)

    def _known_spares(self) -> tuple[Block, ...]:
        return self._alone(super()._known_spares)

    def _take_spare(self, region: int) -> Block | None:
        return self._alone(super()._take_spare, region)

    def _give_back(self, block: Block) -> bool:
        return self._alone(super()._give_back, block)


def writer_type(append: Append | None = None) -> type[Writer]:
    """The writer that goes with this append, or with that of a new writer."""
    hot = append_type() if append is None else type(append)
    return LockedWriter if issubclass(hot, LockedAppend) else Writer


def _before_fork() -> None:
    held_here = _forking.__dict__.setdefault("held", [])
    for writer in _writers:
        lock, held = writer._lock, False
        for held in lock.attempts:  # noqa: B007 - see ReentrantLock
            break
        if held:
            held_here.append(lock)


def _after_fork() -> None:
    held_here = _forking.__dict__.get("held", ())
    while held_here:
        held_here.pop().release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
