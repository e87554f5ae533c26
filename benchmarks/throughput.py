"""Metrics a second from the first ``log()`` to the end of ``finish()``, stored by the embedded server."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Iterator

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage

__all__ = ["figures", "pour"]

GROUP = "throughput"
NAMES = 8
MEMORY_BYTES_MAX = 256 << 20  # two million records wait in 61 MiB; the default would drop what the disk does not take


def figures(stage: Stage) -> Iterator[Figure]:
    """The same number of metrics from one process, and from four that share the run."""
    metrics = stage.pick(2_000_000, 1_000_000)
    for processes in (1, 4):
        rounds = []
        for _ in range(stage.pick(5, 3)):
            with stage.server() as server:
                environment = stage.environment(server, memory_bytes_max=MEMORY_BYTES_MAX)
                begun = server.cpu_s()
                told = stage.child(pour, environment, metrics=metrics, processes=processes)
                told["server"] = (server.cpu_s() - begun) / metrics
                stored = server.points() - told["own"]
            if stored != metrics:
                raise RuntimeError(f"{metrics} metrics were logged, and {stored} are stored")
            rounds.append(told)
        yield from _figures(metrics, f"{processes} process{'es' * (processes > 1)}", rounds)


def _figures(metrics: int, what: str, rounds: list[dict[str, float]]) -> Iterator[Figure]:
    rates = [each["rate"] / 1000 for each in rounds]
    log = quantile([each["log_s"] for each in rounds], 0.5)
    had = quantile([each["rate"] * (each["client"] + each["server"]) + each["looping"] for each in rounds], 0.5)
    yield over(
        rates,
        group=GROUP,
        name=f"metrics a second, {what}",
        unit="k/s",
        must=250,
        reach=1000,
        more_is_better=True,
        note=f"{metrics:,} metrics, {log:.2f} s in log(), the rest in finish(); {had:.1f} processors were had",
    )
    for side, must, reach in (("client", 1.0, 0.4), ("server", 2.0, 0.8)):
        used = [1e6 * each[side] for each in rounds]
        name = f"{side} CPU a metric, {what}"
        yield over(used, group=GROUP, name=name, unit="µs", must=must, reach=reach)


def pour(metrics: int, processes: int) -> dict[str, float]:
    """Log at full speed; seconds, and CPU seconds a metric outside the logging loops."""
    run = steplog.init("bench", "throughput", name="pour")
    run.flush()
    own = run.stats().delivered  # what steplog itself has logged
    begun, used = time.perf_counter(), _cpu_s()
    if processes == 1:
        looped = _log(run, metrics)
        log_s = time.perf_counter() - begun
    else:
        looped = _fork(run, metrics, processes)
        log_s = time.perf_counter() - begun
    report = run.finish(timeout=600)
    took, used = time.perf_counter() - begun, _cpu_s() - used
    if report.pending or report.dropped:
        raise RuntimeError(f"not all of it was taken and delivered: {report}")
    return {
        "rate": metrics / took,
        "log_s": log_s,
        "client": (used - looped) / metrics,
        "looping": looped / took,
        "own": own,
    }


def _fork(run: steplog.Run, metrics: int, processes: int) -> float:
    """Children that log their share; the CPU of their loops."""
    reading, writing = os.pipe()
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            used = _log(run, metrics // processes)
            os.write(writing, f"{used:.9f}\n".encode())
            os._exit(0)
        pids.append(pid)
    os.close(writing)
    with os.fdopen(reading) as told:
        looped = sum(float(line) for line in told)
    for pid in pids:
        os.waitpid(pid, 0)
    return looped


def _log(run: steplog.Run, metrics: int) -> float:
    values = [random.gauss(0, 1) for _ in range(4096)]
    names = [f"metric/{index}" for index in range(NAMES)]
    begun = time.thread_time()
    for step in range(metrics // NAMES):
        value = values[step & 4095]
        for name in names:
            run.log(name, value, step)
    return time.thread_time() - begun


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
