"""Bytes a metric on the wire, in the spool and in the database: 8 noisy curves."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import steplog
from benchmarks.figure import Figure
from benchmarks.proxy import Proxy
from benchmarks.stage import Stage

__all__ = ["curve", "figures"]

GROUP = "size"
NAMES = 8


def figures(stage: Stage) -> Iterator[Figure]:
    """Through a counting proxy; then on disk while the server hangs."""
    metrics = stage.pick(1_000_000, 200_000)
    with stage.server() as server, Proxy(server.url) as proxy:
        stage.child(curve, stage.environment(server, url=proxy.url, memory_bytes_max=1 << 28), metrics=metrics)
        sent, requests = proxy.bytes_sent / metrics, proxy.requests
        database = server.database
    stored = sum(file.stat().st_size for file in database.parent.glob("server.db*")) / metrics
    note = f"request lines and headers too; {1000 * requests / metrics:.3f} requests a thousand metrics"
    yield Figure(group=GROUP, name="bytes a metric on the wire", unit="B", value=sent, must=10, reach=9, note=note)
    yield Figure(group=GROUP, name="bytes a metric in the database", unit="B", value=stored, must=16, reach=11)
    yield _in_the_spool(stage, metrics)


def _in_the_spool(stage: Stage, metrics: int) -> Figure:
    name = "bytes a metric in the spool"
    with stage.server() as server:
        environment = stage.environment(server, memory_bytes_max=1 << 28, finish_timeout_s=0.1)
        durable = stage.child(spooled, environment, metrics=metrics, server=server.process.pid)
    files = [file for file in Path(environment["STEPLOG_DIR"]).rglob("*") if file.is_file()]
    if not durable:
        return Figure(group=GROUP, name=name, unit="B", value=None, note="this version has no spool")
    files = [file for file in Path(environment["STEPLOG_DIR"]).rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / durable
    return Figure(group=GROUP, name=name, unit="B", value=size, must=11, reach=9, note=f"{len(files)} files")


def curve(metrics: int) -> None:
    """Log a curve and deliver it."""
    run = steplog.init("bench", "size", name="curve")
    _log(run, metrics)
    run.finish(timeout=600)


def spooled(metrics: int, server: int) -> int:
    """Log a curve while the process ``server`` is stopped; return the number of records on disk."""
    run = steplog.init("bench", "size", name="spooled")
    os.kill(server, signal.SIGSTOP)
    _log(run, metrics)
    deadline, durable = time.monotonic() + 60, -1
    while time.monotonic() < deadline and run.stats().durable not in (durable, metrics):
        durable = run.stats().durable
        time.sleep(3)  # longer than a spool interval
    return run.stats().durable


def _log(run: steplog.Run, metrics: int) -> None:
    source = random.Random(1)
    for step in range(metrics // NAMES):
        for index in range(NAMES):
            run.log(f"metric/{index}", (2.5 - index / 10) * math.exp(-step / 9000) + source.gauss(0, 0.05), step)
