"""Figures of what is left after a kill: bytes on disk a scalar, and the time to recover a million records.

A run of eight names with noise in every value logs while the server is away, is killed, and is recovered: from the
start of the process that recovers (its imports and its own run included) to the status that follows the last record.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

from crash.episode import ENDED, Episode
from polling import wait_until
from server.process import ServerProcess

RECORDS = 1_000_000
PROGRAM = """
import math, os, random, signal, sys, time
import steplog
from polling import wait_until
run = steplog.init("team", os.environ["PROJECT"], "run0")
print("ready", flush=True)
sys.stdin.readline()
source = random.Random(1)
names = [f"metric {index}" for index in range(8)]
for step in range(int(sys.argv[1]) // 8):
    for index, name in enumerate(names):
        run.log(name, math.exp(-step / 50_000) + 0.1 * source.gauss(0, 1) + index, step)
    if step % 2000 == 1999:
        time.sleep(0.05)
wait_until(lambda: run.stats().durable >= int(sys.argv[1]), 600)
print(run.stats().pending, sum(run.stats().dropped.values()), flush=True)
sys.stdin.readline()
"""


class Figures(Episode):
    """One large run."""

    def measure(self, records: int) -> dict[str, Any]:
        """The figures."""
        program = self._directory / "program.py"
        program.write_text(PROGRAM)
        with self._networked() as network:
            with subprocess.Popen(
                [sys.executable, str(program), str(records)],
                env=self._environment(network) | {"STEPLOG_MEMORY_BYTES_MAX": str(64 * 1024 * 1024)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                network.state = "down"
                process.stdin.write("\n")
                process.stdin.flush()
                pending, dropped = map(int, process.stdout.readline().split())
                os.kill(process.pid, signal.SIGKILL)
            size = sum(file.stat().st_size for file in (self._directory / "state").rglob("*.spool"))
            seconds = self._time_to_recover(network)
            (run,) = [run for run in self._runs() if run["name"] == "run0"]
            stored = len(self._metrics(run["uuid"]))
        return {
            "records": pending,
            "dropped": dropped,
            "spool bytes a scalar": round(size / pending, 2),
            "seconds to recover": round(seconds, 2),
            "lost": pending - stored,
        }

    def _time_to_recover(self, network: Any) -> float:
        network.state = "up"
        began = time.monotonic()
        self._start(network, "recover", "last", None)
        wait_until(lambda: any(run["name"] == "run0" and run["status"] in ENDED for run in self._runs()), 600)
        return time.monotonic() - began


def figures(server: ServerProcess, records: int = RECORDS) -> dict[str, Any]:
    """Measure them."""
    return Figures(server, random.Random(1)).measure(records)
