"""Read from the embedded server: a curve of 1,000 points out of 10³ to 10⁷, and the whole history of 10⁶ and 10⁷.

A history is read as columns and decoded into arrays, over loopback, by this process; and by ``history()`` of
``steplog.open``, to the stream that Arrow readers take, by a process of its own. The server is another.
"""

from __future__ import annotations

import json
import math
import random
import resource
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, Literal

import steplog
from benchmarks.figure import Figure, over
from benchmarks.stage import KEY, Server, Stage
from steplog import column_format

__all__ = ["figures", "fill", "read_table"]

GROUP = "reading"
POINTS = 1000
SLICE = 200_000
HISTORIES = {6: (0.5, 0.2), 7: (5.0, 2.0)}  # must, reach


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
            if power in HISTORIES:
                server.wait_until_packed()
                path = path.partition("series/")[0] + "history/?name=loss"
                yield _history(server, path, power, rounds=stage.pick(7, 3))
                for form in ("wide", "long"):
                    yield _table(stage, server, environment, power, form)


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


def _history(server: Server, path: str, power: int, rounds: int) -> Figure:
    before, own = server.cpu_s(), time.process_time()
    took = [_history_s(f"{server.url}{path}", 10**power) for _ in range(rounds)]
    spent, own = (server.cpu_s() - before) / rounds, (time.process_time() - own) / rounds
    note = f"CPU: server {spent:.2f} s, client {own:.2f} s"
    name = f"the history of 10^{power} points, as columns"
    must, reach = HISTORIES[power]
    return over(took, group=GROUP, name=name, unit="s", must=must, reach=reach, note=note)


def _table(stage: Stage, server: Server, environment: dict[str, str], power: int, form: str) -> Figure:
    before, rounds = server.cpu_s(), stage.pick(7, 3)
    found = stage.child(read_table, environment, name=f"1e{power}", points=10**power, form=form, rounds=rounds)
    spent, own = (server.cpu_s() - before) / (rounds + 1), found["cpu_s"] / (rounds + 1)
    note = f"CPU: server {spent:.2f} s, client {own:.2f} s; {found['peak_bytes'] / 1e6:,.0f} MB in the client at most"
    name = f"history() of 10^{power} points to Arrow, {form}"
    must, reach = HISTORIES[power]
    return over(found["took"], group=GROUP, name=name, unit="s", must=must, reach=reach, note=note)


def read_table(name: str, points: int, form: Literal["wide", "long"], rounds: int) -> dict[str, Any]:
    """How long each round takes after a first one, and what the process has used then."""
    run = steplog.open(f"bench/reading/{name}")
    took = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        table = run.history("loss", form=form)
        stream = table.__arrow_c_stream__()
        took.append(time.perf_counter() - begun)
        if len(table) != points:
            raise RuntimeError("the history is not whole")
        del table, stream
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"took": took[1:], "cpu_s": time.process_time(), "peak_bytes": peak}


def _history_s(url: str, points: int) -> float:
    headers = {"Authorization": f"Api-Key {KEY}", "Accept": column_format.MEDIA_TYPE}
    begun = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        tables = list(column_format.decode(answer.read()))
    read = [[column.values() for column in table.columns.values()] for table in tables]
    took = time.perf_counter() - begun
    if sum(len(steps) for steps, _, _ in read) != points:
        raise RuntimeError("the history is not whole")
    return took
