"""The synchronous client's throughput; only its own environment has it."""

from __future__ import annotations

import os
import time

from benchmarks.peers.adapters import PEERS

__all__ = ["pour_afnio"]


def pour_afnio(metrics: int, names: int) -> float:
    """Seconds from the first ``log`` to the end of ``finish``."""
    run = PEERS["afnio"].open(os.getcwd())
    run.log({"warm": 0.5}, 0)
    begun = time.perf_counter()
    for step in range(metrics // names):
        run.log({f"metric/{index}": 0.5 for index in range(names)}, step)
    run.finish()
    return time.perf_counter() - begun
