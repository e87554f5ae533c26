"""Private memory at rest and with many pending records, above an interpreter with requests imported.

Private is what the kernel counts as this process's alone; segments are shared memory, and bounded separately.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figure import Figure
from benchmarks.fresh import open_and_finish, private_bytes, rest
from benchmarks.stage import Stage

__all__ = ["figures"]

GROUP = "memory"
MIB = 1 << 20


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


def _interpreter() -> int:
    program = "import requests, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        return private_bytes(child.pid)
