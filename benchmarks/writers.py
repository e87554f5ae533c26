"""``finish()`` of a run whose worker processes have just ended, with a batch of each still to be sent.

Each writer's records are a request of their own, so the time grows with the writers. What it is held against is the
time with one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage

__all__ = ["figures", "finished"]

GROUP = "writers"
WRITERS = (1, 20, 200)
RECORDS = 10


def figures(stage: Stage) -> Iterator[Figure]:
    """In turns, so that what else runs on the machine is beside all of them."""
    seconds: dict[int, list[float]] = {count: [] for count in WRITERS}
    with stage.server() as server:
        environment = stage.environment(server)
        for _ in range(stage.pick(9, 3)):
            for count in WRITERS:
                seconds[count].append(stage.child(finished, environment, writers=count))
    one = quantile(seconds[1], 0.5)
    for count, taken in seconds.items():
        note = "" if count == 1 else f"{quantile(taken, 0.5) / one:.1f} times as long as with one"
        milliseconds = [1000 * each for each in taken]
        must = None if count == 1 else 3000 * one
        yield over(milliseconds, group=GROUP, name=f"finish(), {count} writers", unit="ms", must=must, note=note)


def finished(writers: int) -> float:
    """Seconds that ``finish`` takes."""
    run = steplog.init("bench", "writers")
    run.log("loss", 0.5, 0)
    run.flush()
    pids = []
    for _ in range(writers):
        pid = os.fork()
        if pid == 0:
            for step in range(RECORDS):
                run.log("worker", 0.5, step)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    begun = time.perf_counter()
    report = run.finish()
    took = time.perf_counter() - begun
    assert report.delivered == 1 + RECORDS * writers
    return took
