"""Read a curve of 1,000 points out of 10³ to 10⁷ from the embedded server."""

from __future__ import annotations

import json
import math
import random
import time
import urllib.request
from collections.abc import Iterator

import steplog
from benchmarks.figure import Figure, over
from benchmarks.stage import KEY, Stage

__all__ = ["figures", "fill"]

GROUP = "reading"
POINTS = 1000
SLICE = 200_000


def figures(stage: Stage) -> Iterator[Figure]:
    """One run grows; its curve is read at each power of ten."""
    powers = range(3, 8) if not stage.quick else range(3, 7)
    with stage.server() as server:
        environment = stage.environment(server, memory_bytes_max=1 << 28)
        for power in powers:
            path = stage.child(fill, environment, points=10**power, name=f"1e{power}")
            took = [_read_ms(f"{server.url}{path}") for _ in range(stage.pick(15, 5))]
            must, reach = (500, 50) if power == 7 else (None, None)
            yield over(took, group=GROUP, name=f"a curve of 10^{power} points", unit="ms", must=must, reach=reach)


def fill(points: int, name: str) -> str:
    """Fill a run with one metric; return the path of its series."""
    run = steplog.init("bench", "reading", name=name)
    source = random.Random(2)
    for first in range(0, points, SLICE):
        for step in range(first, min(points, first + SLICE)):
            run.log("loss", math.exp(-step / 1e6) + source.gauss(0, 0.05), step)
        run.flush()
    report = run.finish(timeout=600)
    if report.pending or report.dropped:
        raise RuntimeError(f"not all of it was delivered: {report}")
    return f"/api/v0/bench/projects/reading/runs/{run.uuid}/series/?name=loss&points={POINTS}"


def _read_ms(url: str) -> float:
    request = urllib.request.Request(url, headers={"Authorization": f"Api-Key {KEY}"})
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = answer.read()
    took = 1000 * (time.perf_counter() - begun)
    if not json.loads(body):
        raise RuntimeError("the curve is empty")
    return took
