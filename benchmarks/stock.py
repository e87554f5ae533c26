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
NAMES = 8


def figures(stage: Stage) -> Iterator[Figure]:
    """Both through the same proxy, taking turns."""
    metrics = stage.pick(800, 240)
    ratios, rates = [], []
    for _ in range(stage.pick(5, 1)):
        took = {}
        for connections in (1, 8):
            with stage.server("--stock") as server, Proxy(server.url, ROUND_TRIP_S / 2) as proxy:
                environment = stage.environment(server, url=proxy.url, connections_max=connections)
                took[connections] = stage.child(pour, environment, metrics=metrics)
        ratios.append(took[1] / took[8])
        rates.append(metrics / took[8])
    yield over(
        ratios,
        group=GROUP,
        name=f"stock server at {1000 * ROUND_TRIP_S:.0f} ms, {NAMES} names, 8 connections",
        unit="× one",
        must=8,
        more_is_better=True,
        note=f"{quantile(rates, 0.5):.0f} metrics a second",
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
