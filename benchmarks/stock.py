"""A stock server 50 ms away: the default number of connections against one and against the synchronous client.

A name stays on one connection, since the server numbers steps as they arrive: 8 names gain at most a factor of 8, less
what clients, proxy and server take from each other. The server's commits do not wait for a disk.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.peers.environments import python_of
from benchmarks.peers.pour import pour_afnio
from benchmarks.proxy import Proxy
from benchmarks.stage import ROOT, Stage

__all__ = ["figures", "pour"]

GROUP = "stock"
ROUND_TRIP_S = 0.05
NAMES = 32
AFNIO = "afnio"
ONE, DEFAULT, FEW = "one connection", "the default", "the default, 8 names"


def figures(stage: Stage) -> Iterator[Figure]:
    """All through the same kind of proxy, taking turns."""
    rates: list[dict[str, float]] = []
    why = ""
    metrics = stage.pick(1920, 480)
    for _ in range(stage.pick(3, 1)):
        found = {
            ONE: _rate(stage, max(NAMES, metrics // 20), NAMES, connections_max=1),
            DEFAULT: _rate(stage, metrics, NAMES),
            FEW: _rate(stage, metrics // 2, 8),
        }
        try:
            found[AFNIO] = _afnio(stage, max(NAMES, metrics // 20))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            why = str(error).strip().splitlines()[-1][:100]
        rates.append(found)
    for ours, names, other, must, reach in (
        (DEFAULT, NAMES, ONE, 8, None),
        (DEFAULT, NAMES, AFNIO, 20, 30),
        (FEW, 8, ONE, 8, None),
        (FEW, 8, AFNIO, None, None),
    ):
        name, unit = f"{names} names, a round trip of {1000 * ROUND_TRIP_S:.0f} ms", f"× {other}"
        pairs = [each[ours] / each[other] for each in rates if other in each]
        if not pairs:
            yield Figure(group=GROUP, name=name, unit=unit, value=None, note=why)
            continue
        middle = {who: quantile([each[who] for each in rates if who in each], 0.5) for who in (ours, other)}
        note = f"{middle[ours]:.0f} and {middle[other]:.0f} metrics a second, to the end of finish()"
        yield over(pairs, group=GROUP, name=name, unit=unit, must=must, reach=reach, more_is_better=True, note=note)


def _rate(stage: Stage, metrics: int, names: int, **settings: object) -> float:
    with stage.server("--stock", on_disk=False) as server, Proxy(server.url, ROUND_TRIP_S / 2) as proxy:
        environment = stage.environment(server, url=proxy.url, **settings)
        metrics = metrics // names * names
        return metrics / float(stage.child(pour, environment, metrics=metrics, names=names))


def pour(metrics: int, names: int) -> float:
    """Seconds from the first ``log()`` to the end of ``finish()``."""
    run = steplog.init("bench", "stock", name="pour")
    run.flush()
    begun = time.perf_counter()
    for step in range(metrics // names):
        for index in range(names):
            run.log(f"metric/{index}", 0.5, step)
    run.finish(timeout=600)
    return time.perf_counter() - begun


def _afnio(stage: Stage, metrics: int) -> float:
    """Metrics a second of the synchronous client."""
    python = python_of(stage.peers, AFNIO, install=False)
    with stage.server("--stock", on_disk=False) as server, Proxy(server.url, ROUND_TRIP_S / 2) as proxy:
        environment = stage.environment(server, url=proxy.url) | {"PYTHONPATH": str(ROOT)}
        environment["HOME"] = str(stage.new_directory())
        return metrics / float(stage.child(pour_afnio, environment, python=python, metrics=metrics, names=NAMES))
