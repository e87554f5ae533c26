"""The longest of 200,000 calls of ``log`` beside one busy Python thread, above the longest of an empty function.

The calls come in bursts of 50, as of a loop that logs a step, with a rest in between that gives the GIL away. Both
functions are called in turns in one process. A call during which the scheduler took the processor away is left out:
that says what else the machine does. A call that waits, for the GIL too, gives it up by itself, and counts.
"""

from __future__ import annotations

import random
import resource
import threading
import time
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.controls import Noop
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage

__all__ = ["bursts", "figures"]

GROUP = "busy_thread"
BURST = 50
REST_S = 0.001
VALUE_BYTES = 4096
VALUE_EACH = 50  # of "numbers and values": one value a burst


def figures(stage: Stage) -> Iterator[Figure]:
    """Numbers alone, and with a text a burst; compiled and pure."""
    for pure in (False, True):
        for what in ("numbers", "numbers and values"):
            yield _figure(stage, what, pure)


def _figure(stage: Stage, what: str, pure: bool) -> Figure:
    kind = "pure" if pure else "c"
    name = f"log() {kind}, {what}"
    told = []
    for _ in range(stage.pick(5, 1)):
        with stage.server() as server:
            environment = stage.environment(server, pure=int(pure))
            values = what != "numbers"
            told.append(stage.child(bursts, environment, values=values, calls=stage.pick(200_000, 20_000)))
    if told[0]["append"] != kind:
        return Figure(group=GROUP, name=name, unit="ms", value=None, note="the extension is not built here")
    above = [max(0, each["log"] - each["noop"]) / 1e6 for each in told]
    longest = {who: quantile([each[who] for each in told], 0.5) / 1e6 for who in ("log", "noop")}
    left_out = sum(each["left_out"] for each in told)
    note = (
        f"longest {longest['log']:.2f} and {longest['noop']:.2f} ms of {told[0]['calls']:,} calls, {left_out} left out"
    )
    return over(above, group=GROUP, name=name, unit="ms", must=1, reach=0.3, note=note)


def bursts(values: bool, calls: int) -> dict[str, Any]:
    """The longest call in ns of ``log`` and of a no-op, from the first call on; ``values``: a text each 50 calls."""
    texts = ["x" * random.randrange(1, VALUE_BYTES - 1) for _ in range(1000)]  # and two quotes
    run, noop, stop = steplog.init("bench", "busy thread", name="bursts"), Noop(), threading.Event()
    threading.Thread(target=_spin, args=(stop,), daemon=True).start()
    took: dict[str, list[int]] = {"log": [], "noop": []}
    for step in range(calls):
        value = texts[step // VALUE_EACH % len(texts)] if values and step % VALUE_EACH == 0 else 1.0 / (step + 1)
        name = "text" if isinstance(value, str) else "loss"
        for who, what in (("log", run), ("noop", noop)):
            preempted = _preemptions()
            begun = perf_counter_ns()
            what.log(name, value, step)
            ns = perf_counter_ns() - begun
            if _preemptions() == preempted:
                took[who].append(ns)
        if step % BURST == 0:
            time.sleep(REST_S)
    stop.set()
    append = run.stats().append
    run.finish(timeout=0.1)
    longest = {who: max(found) for who, found in took.items()}
    return longest | {"calls": calls, "left_out": calls - len(took["log"]), "append": append}


def _preemptions() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def _spin(stop: threading.Event) -> None:
    count = 0
    while not stop.is_set():
        count += 1
