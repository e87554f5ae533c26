"""The ledger: what a worker of the demo did, call by call, in a mapping that outlives it.

::

    0     stop        u8    written by the demo: end the training
    8     returned    u64   how many calls of log() have returned
    16    timer       u64   what measuring an empty interval gives, in ns
    24    step        u64   ┐ for the display
    32    loss        f64   ┘
    64    entries, 24 bytes each: fingerprint u64, start u64, took u64 (ns of CLOCK_MONOTONIC, the same for all
          processes)

The fingerprint of a call is written before it begins, start and duration after it has returned, and then the
count. So a killed worker leaves at most one call *under way*: its fingerprint is there, and whether it returned
nobody can say; in the database it is neither lost nor wrong. A fingerprint is of the name, the step and the value
as JSON, and no worker logs the same twice; where the server gives the step, the value alone is different each time.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["STEPLESS", "Calls", "Ledger", "fingerprint", "timer_ns"]

STEPLESS = frozenset(("examples", "probe"))  # the names that are logged without a step
_HEADER_BYTES = 64
_ENTRY = struct.Struct("<QQ")
_ENTRY_BYTES = 24
_NUMBER = struct.Struct("<Q")
_SHOWN = struct.Struct("<Qd")
_RETURNED, _TIMER, _SHOWN_AT = 8, 16, 24
_TIMER_SAMPLES = 2001


def fingerprint(name: str, step: int | None, value: Any) -> int:
    """Eight bytes that stand for one record; never 0."""
    counted = None if name in STEPLESS else step
    text = json.dumps((name, counted, value), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


@dataclass(frozen=True, slots=True)
class Calls:
    """What a ledger says of the calls that returned."""

    fingerprints: array[int]
    starts: array[int]
    took: array[int]
    under_way: int  # the fingerprint of a call that may or may not have returned; 0: there is none


class Ledger:
    """One worker's, in the file at ``path``; ``calls_max`` makes it, without it is opened. Raises OSError."""

    def __init__(self, path: Path, calls_max: int | None = None) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if calls_max is not None else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if calls_max is not None:
                # Not sparse: a full file system says so here, and not by a signal in the middle of a store.
                _allocate(descriptor, _HEADER_BYTES + (calls_max + 1) * _ENTRY_BYTES)
            self._memory = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self.calls_max = (len(self._memory) - _HEADER_BYTES) // _ENTRY_BYTES - 1

    # -- the worker's side ----------------------------------------------------------------------------------------

    def timed(self, log: Callable[[str, Any, int | None], object]) -> Callable[[str, Any, int | None], None]:
        """``log``, noted and timed. One thread calls it."""
        memory, clock = self._memory, time.perf_counter_ns
        number, entry = _NUMBER.pack_into, _ENTRY.pack_into
        returned, offset = 0, _HEADER_BYTES

        def timed_log(name: str, value: Any, step: int | None = None) -> None:
            nonlocal returned, offset
            number(memory, offset, fingerprint(name, step, value))
            start = clock()
            log(name, value, step)
            took = clock() - start
            entry(memory, offset + 8, start, took)
            returned += 1
            offset += _ENTRY_BYTES
            number(memory, _RETURNED, returned)

        return timed_log

    def show(self, step: int, loss: float) -> None:
        """Say how far the training is."""
        _SHOWN.pack_into(self._memory, _SHOWN_AT, step, loss)

    def put_timer(self, nanoseconds: int) -> None:
        """Say what the timer costs."""
        _NUMBER.pack_into(self._memory, _TIMER, nanoseconds)

    @property
    def stopped(self) -> bool:
        """Whether the training is to end."""
        return self._memory[0] != 0

    # -- the demo's side ------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the training."""
        self._memory[0] = 1

    @property
    def returned(self) -> int:
        """How many calls have returned."""
        return int(_NUMBER.unpack_from(self._memory, _RETURNED)[0])

    @property
    def timer(self) -> int:
        """What the timer costs, in ns."""
        return int(_NUMBER.unpack_from(self._memory, _TIMER)[0])

    @property
    def shown(self) -> tuple[int, float]:
        """Step and loss of the training."""
        step, loss = _SHOWN.unpack_from(self._memory, _SHOWN_AT)
        return step, loss

    def calls(self) -> Calls:
        """Every call that returned."""
        number = self.returned
        end = _HEADER_BYTES + number * _ENTRY_BYTES
        words = array("Q", self._memory[_HEADER_BYTES:end])
        return Calls(words[0::3], words[1::3], words[2::3], int(_NUMBER.unpack_from(self._memory, end)[0]))

    def close(self) -> None:
        """Unmap it."""
        self._memory.close()


def timer_ns() -> int:
    """What the timer shows for nothing at all: the median of an empty interval, in ns."""
    clock = time.perf_counter_ns
    samples = []
    for _ in range(_TIMER_SAMPLES):
        start = clock()
        samples.append(clock() - start)
    return sorted(samples)[_TIMER_SAMPLES // 2]


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
