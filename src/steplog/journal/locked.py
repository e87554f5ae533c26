"""The append without the GIL: that of ``append``, its claim and its write under a lock of the writer.

Without the GIL a range iterator gives one index to two threads (https://github.com/python/cpython/issues/120496), and a
compound statement is as many steps as it has. So:

1. Whoever claims, writes, closes or follows a segment holds the writer's lock. What a call does before (the look at the
   clock, the conversion of a value) and after it (what a refusal does) may run anyone's code, and holds none.
2. A slot is written by one ``pack_into``, which stores its fields in order, the kind last. On x86-64 every processor
   sees stores in that order, so readers need no lock.
3. A hole is a slot that is empty while a reader holds the lock, unless that reader has interrupted a call itself.

Measured on CPython 3.13, free-threaded: see ``docs/speed.md``.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from itertools import repeat
from typing import Any, TypeVar

from steplog.journal import slot
from steplog.journal.append import Append, Segment

__all__ = ["LockedAppend", "WriterLock"]

_T = TypeVar("_T")
_WAIT_S = 0.25
_pack_float, _pack_int = slot.pack_float, slot.pack_int
_FLOAT_TO_INT = slot.key_of(0, slot.KIND_INT) - slot.key_of(0, slot.KIND_FLOAT)
_NO_STEP = slot.NO_STEP
_INT64 = 2**63


class WriterLock:
    """A re-entrant lock that stays locked after neither an exception of a signal handler nor a fork.

    ``with lock`` is no alternative: on CPython 3.14 a handler may raise once the lock is taken, and before the block
    begins. An iterator's next item is taken and stored without a look at signals in between, so each item of
    ``attempts`` is one attempt to take the lock, and says whether it is taken.
    """

    __slots__ = ("_lock", "attempts", "release")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self.release = self._lock.release
        # Not for ever: a fork in a signal handler may interrupt one, whose child is to look at another lock.
        self.attempts = map(self._lock.acquire, repeat(True), repeat(_WAIT_S))

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

    def try_run(self, call: Callable[..., _T], *arguments: Any) -> _T | None:
        """Call it with the lock; None where that is not to be had within 0.25 s."""
        held = False
        try:
            for held in self.attempts:  # noqa: B007
                break
            return call(*arguments) if held else None
        finally:
            if held:
                self.release()

    def forked(self) -> None:
        """In a forked child: forget a thread of the parent's that holds it."""
        if self._lock.acquire(blocking=False):  # it is free, or this thread's
            self.release()
        else:
            self._renew()


class LockedAppend(Append):
    """See Append."""

    __slots__ = ("lock",)
    kind = "locked"

    def __init__(self, segment: Segment, slow: Callable[[Any, Any, Any, Any], None], clock: Callable[[], int]) -> None:
        super().__init__(segment, slow, clock)
        self.lock = WriterLock()

    def log(self, name: Any, value: object = ..., step: int | None = None, client: object = None) -> None:
        """Record one metric, or a mapping; see Run.log."""
        if value.__class__ is float:
            pack: Callable[..., None] = _pack_float
            kind = 0
        elif value.__class__ is int and -_INT64 <= value < _INT64:
            pack, kind = _pack_int, _FLOAT_TO_INT
        else:
            return self.slow(name, value, step, client)
        if client is None and (step is None or (step.__class__ is int and step > _NO_STEP)):
            segment, lock = self.segment, self.lock
            try:
                key = segment.names[name] + kind
            except (KeyError, TypeError):  # a new name, or none
                return self.slow(name, value, step, client)
            held, offset = False, -1
            now = self.clock()
            try:
                while not held:
                    for held in lock.attempts:  # noqa: B007 - see WriterLock
                        break
                offset = segment.claim()  # first the claim, then the slots: see Segment.close()
                pack(segment.slots, offset, _NO_STEP if step is None else step, value, now, key)
                return None
            except struct.error:  # no room, or a step above the maximum
                segment.write_tombstone(offset)
            except BaseException:  # a signal handler's
                segment.write_tombstone(offset)
                raise
            finally:
                if held:
                    lock.release()
        return self.slow(name, value, step, client)
