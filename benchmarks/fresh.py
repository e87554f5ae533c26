"""Programs whose first import of steplog is measured: this module imports nothing but what every program has.

Raises RuntimeError where steplog is there already, since what it takes would not be seen.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

__all__ = ["import_requests", "open_and_finish", "private_bytes", "rest"]

PER_SLICE = 200_000


def import_requests() -> float:
    """Milliseconds."""
    _check_fresh()
    begun = time.perf_counter()
    import requests  # noqa: F401

    return 1000 * (time.perf_counter() - begun)


def open_and_finish() -> dict[str, float]:
    """Milliseconds of each step of a program without training."""
    _check_fresh()
    begun = time.perf_counter()
    import steplog

    imported = time.perf_counter()
    run = steplog.init("bench", "startup")
    opened = time.perf_counter()
    run.log("loss", 0.5, 0)
    run.flush()
    flushed = time.perf_counter()
    run.finish()
    finished = time.perf_counter()
    parts = {"import": imported - begun, "init": opened - imported, "finish": finished - flushed}
    return {what: 1000 * seconds for what, seconds in parts.items()}


def rest(pending: int, server: int) -> dict[str, int]:
    """Private bytes with an open run; then with records that a stopped server does not take."""
    _check_fresh()
    import steplog

    run = steplog.init("bench", "memory", name="rest")
    run.log("loss", 0.5, 0)
    run.flush()
    time.sleep(2)  # the agent has prepared what it prepares
    told = {"rest": private_bytes()}
    os.kill(server, signal.SIGSTOP)
    for first in range(0, pending, PER_SLICE):
        for step in range(first, first + PER_SLICE):
            run.log("loss", 0.5, step)
        # As fast as the spool follows, not faster: what is measured is what waits, not what is dropped.
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and first - run.stats().durable > 3 * PER_SLICE:
            time.sleep(0.05)
    time.sleep(3)
    stats = run.stats()
    return told | {
        "pending_private": private_bytes(),
        "pending": stats.pending,
        "dropped": sum(stats.dropped.values()),
        "shared": stats.memory_bytes,
    }


def private_bytes(pid: int | str = "self") -> int:
    """Private in ``smaps_rollup``, shared memory aside."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest_of = line.partition(":")
        fields[name] = 1024 * int(rest_of.split()[0])
    return fields["Private_Clean"] + fields["Private_Dirty"] - fields.get("Pss_Shmem", 0)


def _check_fresh() -> None:
    if there := {"requests", "steplog"} & set(sys.modules):
        raise RuntimeError(f"imported before it is measured: {', '.join(sorted(there))}")
