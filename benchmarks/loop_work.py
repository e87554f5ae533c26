"""A training step: it computes with the GIL released, as a tensor library does, for as long as it is told."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

__all__ = ["step", "work_of", "worked"]

_BLOCK = bytes(8 << 20)


def work_of(step_us: float) -> memoryview:
    """As many bytes as take a processor this long to hash; by its own clock, whoever else there is."""
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
    """Seconds for so many steps, with ``after`` called after each."""
    begun = time.perf_counter()
    for index in range(steps):
        step(work)
        after(index)
    return time.perf_counter() - begun
