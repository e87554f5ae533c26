"""Private memory at rest and with many pending records, above an interpreter with requests imported.

Private is what the kernel counts as this process's alone; segments are shared memory, and bounded separately.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import steplog
from benchmarks.figure import Figure
from benchmarks.stage import Stage
from benchmarks.startup import open_and_finish

__all__ = ["figures", "private_bytes", "rest"]

GROUP = "memory"
MIB = 1 << 20
PER_SLICE = 200_000


def figures(stage: Stage) -> Iterator[Figure]:
    """At rest, and with as much pending as memory and disk take."""
    base = _interpreter()
    pending = stage.pick(10_000_000, 1_000_000)
    with stage.server() as server:
        environment = stage.environment(server, finish_timeout_s=0.1)
        stage.child(open_and_finish, environment)  # compiles what is imported, which takes memory of its own
        told = stage.child(rest, environment, pending=pending, server=server.process.pid)
    note = f"an interpreter with requests: {base / MIB:.1f} MiB"
    yield Figure(
        group=GROUP, name="at rest", unit="MiB", value=(told["rest"] - base) / MIB, must=15, reach=8, note=note
    )
    kept = f"{told['pending']:,} pending, {told['dropped']:,} dropped, {told['shared'] / MIB:.0f} MiB of segments"
    name = f"after {pending:,} records that wait"
    yield Figure(
        group=GROUP, name=name, unit="MiB", value=(told["pending_private"] - base) / MIB, must=30, reach=16, note=kept
    )


def private_bytes(pid: int | str = "self") -> int:
    """Private in ``smaps_rollup``, shared memory aside."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest_of = line.partition(":")
        fields[name] = 1024 * int(rest_of.split()[0])
    return fields["Private_Clean"] + fields["Private_Dirty"] - fields.get("Pss_Shmem", 0)


def _interpreter() -> int:
    program = "import requests, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        return private_bytes(child.pid)


def rest(pending: int, server: int) -> dict[str, int]:
    """Private bytes with an open run; then with records that a stopped server does not take."""
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
