"""Measure one peer: ``python -m benchmarks.peers.contest PART NAME DIRECTORY CALLS ANSWER``, in its environment.

Each part is a process: ``cost`` times calls; ``end`` logs ten times CALLS and times ``finish``; ``kill`` logs CALLS
values at 2,000 a second and kills itself in the next instruction.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from itertools import count
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.controls import Floor
from benchmarks.figure import quantile
from benchmarks.loop_work import work_of, worked
from benchmarks.peers.adapters import PEERS, Open

__all__ = ["BUDGET_S", "FINISH_S", "PACE_S", "values_to_keep"]

KEYS = (1, 8, 64)
PACE_S = 0.0005
STEP_US = 200
BUDGET_S = 5.0  # of each measurement in a round: the slowest peers get fewer calls
FINISH_S = 90.0
EXIT_S = 30.0


def cost(run: Open, calls: int) -> dict[str, Any]:
    """Times in µs; ``floor`` in the same turns."""
    told: dict[str, Any] = {}
    floor, steps = Floor(), count(1)
    for keys in KEYS:
        took, beside = [], []
        deadline = time.perf_counter() + BUDGET_S / 3
        values = {f"metric/{key}": random.random() for key in range(keys)}
        for _ in range(max(50, calls // keys)):
            step = next(steps)
            begun_ns = perf_counter_ns()
            run.log(values, step)
            between = perf_counter_ns()
            for each, value in values.items():
                floor.log(each, value, step)
            beside.append(perf_counter_ns() - between)
            took.append(between - begun_ns)
            if time.perf_counter() > deadline:
                break
        told[f"p50_{keys}"], told[f"floor_{keys}"] = quantile(took, 0.5) / 1000, quantile(beside, 0.5) / 1000
    told |= _paced(run, steps, calls, "paced")
    told["tax"] = _tax(run, steps)
    stop = threading.Event()
    threading.Thread(target=_spin, args=(stop,), daemon=True).start()
    told |= _paced(run, steps, calls, "busy")
    stop.set()
    return told


def _spin(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


def _paced(run: Open, steps: count[int], calls: int, name: str) -> dict[str, float]:
    took, deadline = [], time.perf_counter() + BUDGET_S
    for _ in range(calls):
        time.sleep(PACE_S)
        begun = perf_counter_ns()
        run.log({"loss": 0.5}, next(steps))
        took.append(perf_counter_ns() - begun)
        if time.perf_counter() > deadline:
            break
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {f"{name}_{what}": quantile(took, share) / 1000 for what, share in shares.items()}


def _tax(run: Open, steps: count[int]) -> float:
    """Percent that one metric adds to steps of 200 µs; blocks take turns."""
    size, deadline = work_of(STEP_US), time.perf_counter() + BUDGET_S
    ratios: list[float] = []
    while not ratios or (len(ratios) < 9 and time.perf_counter() < deadline):
        without = worked(size, 500, lambda index: None)
        beside = worked(size, 500, lambda index: run.log({"loss": 0.5}, next(steps)))
        ratios.append(100 * (beside / without - 1))
    return quantile(ratios, 0.5)


def end(run: Open, calls: int) -> dict[str, Any]:
    """Seconds of ``finish`` after ten times ``calls``; None: more than ninety."""
    deadline, logged = time.perf_counter() + BUDGET_S, 0
    for value in values_to_keep(10 * calls):
        run.log({"loss": value}, logged + 1)
        logged += 1
        if time.perf_counter() > deadline:
            break
    begun = time.perf_counter()
    ending = threading.Thread(target=run.finish, daemon=True)
    ending.start()
    ending.join(FINISH_S)
    return {"logged": logged, "finish_s": None if ending.is_alive() else time.perf_counter() - begun}


def kill(run: Open, calls: int) -> dict[str, Any]:
    """Does not return."""
    for step, value in enumerate(values_to_keep(calls)):
        time.sleep(PACE_S)
        run.log({"loss": value}, step + 1)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def values_to_keep(calls: int) -> list[float]:
    """Values that can be found in a peer's files, as text or as a float's bytes."""
    source = random.Random(7)
    return [source.random() for _ in range(calls)]


def _stand_in(counted: dict[str, float], took_s: float) -> dict[str, float]:
    """How much of the part a peer can have waited for the stand-in, in percent; and the time of a request."""
    if not counted or not counted["requests"]:
        return {}
    return {
        "stand_in_requests": counted["requests"],
        "stand_in_ms": 1000 * counted["busy_s"] / counted["requests"],
        "stand_in_slowest_ms": counted["slowest_ms"],
        "stand_in_percent": 100 * counted["busy_s"] / took_s,
    }


PARTS = {"cost": cost, "end": end, "kill": kill}


def main(part: str, name: str, directory: str, calls: str, answer: str) -> bool:
    """Open the peer, run the part, write the result; whether what the peer does at exit is worth waiting for."""
    begun = time.perf_counter()
    run = PEERS[name].open(directory)
    told: dict[str, Any] = {"init_s": time.perf_counter() - begun}
    if part == "cost":
        run.log({"warm": 0.5}, 0)
    told |= PARTS[part](run, int(calls))
    told |= _stand_in(run.stand_in(), time.perf_counter() - begun)
    Path(answer).write_text(json.dumps(told), "utf-8")
    return told.get("finish_s") is not None


if __name__ == "__main__":
    worth = main(*sys.argv[1:])
    sys.stdout.flush()
    if not worth:
        os._exit(0)
    # What a peer does at exit is not timed, but some write only then: bytes on disk are counted after it.
    leaving = threading.Timer(EXIT_S, os._exit, [0])
    leaving.daemon = True
    leaving.start()
