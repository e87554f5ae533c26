"""A training step: computes with the GIL released for a given time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

__all__ = ["step", "work_of", "worked"]

_BLOCK = bytes(8 << 20)


def work_of(step_us: float) -> memoryview:
    """The number of bytes that take a processor this long to hash."""
    best = 1e9
    for _ in range(5):
        begun = time.thread_time()
        hashlib.sha256(_BLOCK).digest()
        best = min(best, time.thread_time() - begun)
    size = int(len(_BLOCK) * step_us / 1e6 / best)
    return memoryview(_BLOCK)[: max(4096, min(len(_BLOCK), size))]


def step(work: memoryview) -> None:
    """One step."""
    hashlib.sha256(work).digest()


def worked(work: memoryview, steps: int, after: Callable[[int], object]) -> float:
    """Seconds of so many steps, with ``after`` called after each."""
    begun = time.perf_counter()
    for index in range(steps):
        step(work)
        after(index)
    return time.perf_counter() - begun
