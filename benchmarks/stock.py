"""A server that takes one metric a request, 50 ms away: several connections beside one, and the synchronous client."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.peers.measure import python_of
from benchmarks.peers.pour import pour_afnio
from benchmarks.proxy import Proxy
from benchmarks.stage import ROOT, Stage

__all__ = ["figures", "pour"]

GROUP = "stock"
ROUND_TRIP_S = 0.05
NAMES = 32
AFNIO = "afnio"


def figures(stage: Stage) -> Iterator[Figure]:
    """All through the same kind of proxy, taking turns; 8 connections are the default."""
    metrics = stage.pick(640, 192)
    rates: list[dict[str, float]] = []
    why = ""
    for _ in range(stage.pick(3, 1)):
        found = {}
        for connections in (1, 8, 16):
            few = metrics // 4 if connections == 1 else metrics
            with stage.server("--stock") as server, Proxy(server.url, ROUND_TRIP_S / 2) as proxy:
                environment = stage.environment(server, url=proxy.url, connections_max=connections)
                found[f"{connections}"] = few / stage.child(pour, environment, metrics=few)
        try:
            found[AFNIO] = _afnio(stage, metrics // 8)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            why = str(error).strip().splitlines()[-1][:100]
        rates.append(found)
    where = f"stock server at {1000 * ROUND_TRIP_S:.0f} ms, {NAMES} names"
    for connections, lines in (("8", (8.0, None, 20.0, 30.0)), ("16", (None,) * 4)):
        for other, must, reach in (("1", *lines[:2]), (AFNIO, *lines[2:])):
            name = f"{where}, {connections} connections"
            unit = "× one connection" if other == "1" else "× afnio"
            pairs = [each[connections] / each[other] for each in rates if other in each]
            if not pairs:
                yield Figure(group=GROUP, name=name, unit=unit, value=None, note=why)
                continue
            middle = {who: quantile([each[who] for each in rates if who in each], 0.5) for who in (connections, other)}
            note = f"{middle[connections]:.0f} and {middle[other]:.0f} metrics a second, to the end of finish()"
            yield over(pairs, group=GROUP, name=name, unit=unit, must=must, reach=reach, more_is_better=True, note=note)


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


def _afnio(stage: Stage, metrics: int) -> float:
    """Metrics a second of the client that waits for each."""
    python = python_of(stage.peers, AFNIO, install=False)
    with stage.server("--stock") as server, Proxy(server.url, ROUND_TRIP_S / 2) as proxy:
        environment = stage.environment(server, url=proxy.url) | {"PYTHONPATH": str(ROOT)}
        environment["HOME"] = str(stage.new_directory())
        return metrics / float(stage.child(pour_afnio, environment, python=python, metrics=metrics, names=NAMES))
