"""Cost against use: names, pending records, processes, open runs; and the server's cost of many names.

A figure of ``log()`` is the cost at the far end divided by that at the near end: flat is 1.
"""

from __future__ import annotations

import os
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import steplog
from benchmarks.controls import timed
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import KEY, Stage

__all__ = ["figures"]

GROUP = "growth"
CALLS = 2000
MANY = 10_000
VALUES = [random.gauss(0, 1) for _ in range(4096)]


def figures(stage: Stage) -> Iterator[Figure]:
    """Names, pending records, processes, runs."""
    rounds = stage.pick(15, 3)
    with stage.server() as server:
        environment = stage.environment(server, memory_bytes_max=1 << 29, finish_timeout_s=0.1)
        yield _figure("names 1 → 10,000", "p50", stage.child(by_names, environment, rounds=rounds))
        yield _figure("processes 1 → 16", "CPU", stage.child(by_processes, environment, rounds=rounds))
        runs = stage.pick(300, 50)
        yield _figure(f"open runs 1 → {runs}", "p50", stage.child(by_runs, environment, rounds=rounds, runs=runs))
    pending = stage.pick(10_000_000, 1_000_000)
    with stage.server() as server:
        environment = stage.environment(server, memory_bytes_max=1 << 29, finish_timeout_s=0.1)
        told = stage.child(by_pending, environment, rounds=rounds, most=pending, server=server.process.pid)
        yield _figure(f"pending 1,000 → {told['pending']:,}", "p50", told)
    costs = {names: _server_cost(stage, stage.pick(4_000_000, 1_000_000), names) for names in (8, MANY)}
    note = f"8 names: {costs[8]:.2f} µs; all of it read once at the end"
    name = f"embedded server: CPU a metric, {MANY:,} names in turn"
    yield Figure(group=GROUP, name=name, unit="µs", value=costs[MANY], must=2.0, note=note)


def _server_cost(stage: Stage, metrics: int, names: int) -> float:
    """Server µs a metric, until all can be read."""
    with stage.server() as server:
        before = server.cpu_s()
        path = stage.child(pour, stage.environment(server, memory_bytes_max=1 << 29), metrics=metrics, names=names)
        asked = urllib.request.Request(f"{server.url}{path}series/", headers={"Authorization": f"Api-Key {KEY}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            answer.read()
        return (server.cpu_s() - before) / metrics * 1e6


def pour(metrics: int, names: int) -> str:
    """Log all; return the run's path on the server."""
    run = steplog.init("bench", "growth", name="server")
    many = [f"metric/{index}" for index in range(names)]
    for step in range(metrics // names):
        value = VALUES[step & 4095]
        for name in many:
            run.log(name, value, step)
    report = run.finish(timeout=600)
    if report.pending or report.dropped:
        raise RuntimeError(f"not all of it was taken and delivered: {report}")
    return f"/api/v0/bench/projects/growth/runs/{run.uuid}/"


def _figure(what: str, of: str, told: dict[str, Any]) -> Figure:
    ratios = [far / near for near, far in zip(told["near"], told["far"], strict=True)]
    note = f"{of} {quantile(told['near'], 0.5):,.0f} → {quantile(told['far'], 0.5):,.0f} ns a call"
    return over(ratios, group=GROUP, name=f"log(), {what}", unit="×", must=2.0, reach=1.3, note=note)


def _p50(run: Any, names: list[str], calls: int = CALLS) -> float:
    """Of a call; names take turns."""
    if len(names) == 1:
        return quantile(timed(run, names, range(calls), VALUES), 0.5)
    took = []
    for step in range(calls // len(names) + 1):
        for name in names:
            took += timed(run, [name], range(step, step + 1), VALUES)
    return quantile(took, 0.5)


def by_names(rounds: int) -> dict[str, list[float]]:
    """One name against ten thousand in one run; each loop passes fresh strings."""
    run = steplog.init("bench", "growth", name="names")
    many = [f"metric/{index}" for index in range(10_000)]
    for name in many:
        run.log(name, 0.5, 0)
    run.flush()
    near, far = [], []
    for _ in range(rounds):
        near.append(_p50(run, [many[0], many[0]], len(many)))
        far.append(_p50(run, many, len(many)))
    run.finish()
    return {"near": near, "far": far}


def by_processes(rounds: int) -> dict[str, list[float]]:
    """CPU of a call in one child and in sixteen that share a run."""
    run = steplog.init("bench", "growth", name="processes")
    told = {name: [_forked(run, processes) for _ in range(rounds)] for name, processes in (("near", 1), ("far", 16))}
    run.finish()
    return told


def _forked(run: steplog.Run, processes: int) -> float:
    reading, writing = os.pipe()
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            timed(run, ["loss"], range(CALLS), VALUES)
            begun = time.thread_time_ns()
            timed(run, ["loss"], range(10 * CALLS), VALUES)
            os.write(writing, f"{(time.thread_time_ns() - begun) / 10 / CALLS}\n".encode())
            os._exit(0)
        pids.append(pid)
    os.close(writing)
    with os.fdopen(reading) as told:
        costs = [float(line) for line in told]
    for pid in pids:
        os.waitpid(pid, 0)
    return quantile(costs, 0.5)


def by_runs(rounds: int, runs: int) -> dict[str, list[float]]:
    """One open run against hundreds that take turns."""
    first = steplog.init("bench", "growth", name="first", activate=False)
    near = [_p50(first, ["loss"]) for _ in range(rounds)]
    more = [steplog.init("bench", "growth", name=f"run {index}", activate=False) for index in range(runs - 1)]
    for run in more:
        run.log("loss", 0.5, 0)
    far = []
    for _ in range(rounds):
        took: list[int] = []
        for step in range(CALLS // runs + 1):
            for run in more:
                took += timed(run, ["loss"], range(step, step + 1), VALUES)
        far.append(quantile(took, 0.5))
    for run in [first, *more]:
        run.finish(timeout=0.01)
    return {"near": near, "far": far}


def by_pending(rounds: int, most: int, server: int) -> dict[str, Any]:
    """A thousand pending records against millions."""
    run = steplog.init("bench", "growth", name="pending")
    run.flush()
    os.kill(server, signal.SIGSTOP)
    near, far = [], []
    _p50(run, ["loss"], 1000)
    near = [_p50(run, ["loss"], 500) for _ in range(rounds)]
    for first in range(0, most, 100_000):
        for step in range(first, first + 100_000):
            run.log("loss", 0.5, step)
        time.sleep(0.05)
    far = [_p50(run, ["loss"], 500) for _ in range(rounds)]
    return {"near": near, "far": far, "pending": run.stats().pending}
