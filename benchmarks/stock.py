"""A server that takes one metric a request, 50 ms away: several connections beside one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.proxy import Proxy
from benchmarks.stage import Stage

__all__ = ["figures", "pour"]

GROUP = "stock"
ROUND_TRIP_S = 0.05
NAMES = 16


def figures(stage: Stage) -> Iterator[Figure]:
    """All through the same kind of proxy, taking turns; 8 connections are the default."""
    metrics = stage.pick(640, 160)
    rounds: list[dict[int, float]] = []
    for _ in range(stage.pick(5, 1)):
        took = {}
        for connections in (1, 8, 16):
            with stage.server("--stock") as server, Proxy(server.url, ROUND_TRIP_S / 2) as proxy:
                environment = stage.environment(server, url=proxy.url, connections_max=connections)
                took[connections] = stage.child(pour, environment, metrics=metrics)
        rounds.append(took)
    for connections in (8, 16):
        rate = metrics / quantile([took[connections] for took in rounds], 0.5)
        yield over(
            [took[1] / took[connections] for took in rounds],
            group=GROUP,
            name=f"stock server at {1000 * ROUND_TRIP_S:.0f} ms, {NAMES} names, {connections} connections",
            unit="× one",
            must=8,
            more_is_better=True,
            note=f"{rate:.0f} metrics a second",
        )


def pour(metrics: int) -> float:
    """Seconds from the first ``log()`` to the end of ``finish()``."""
    run = steplog.init("bench", "stock", name="pour")
    run.flush()
    begun = time.perf_counter()
    for step in range(metrics // NAMES):
        for index in range(NAMES):
            run.log(f"metric/{index}", 0.5, step)
    run.finish(timeout=600)
    return time.perf_counter() - begun
