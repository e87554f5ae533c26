"""One peer's measurements: ``python -m benchmarks.peers.contest NAME DIRECTORY CALLS ANSWER``, in its environment."""

from __future__ import annotations

import json
import os
import random
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

KEYS = (1, 8, 64)
PACE_S = 0.0005
STEP_US = 200
BUDGET_S = 15.0  # for any one part: the slowest peers get fewer calls
FINISH_S = 90.0


def contest(name: str, directory: str, calls: int) -> dict[str, Any]:
    """Times in µs and s; ``floor`` is measured in the same turns."""
    begun = time.perf_counter()
    run = PEERS[name].open(directory)
    told: dict[str, Any] = {"init_s": time.perf_counter() - begun}
    floor = Floor()
    run.log({"warm": 0.5}, 0)
    step = 1
    for keys in KEYS:
        took, beside = [], []
        deadline = time.perf_counter() + BUDGET_S / 3
        values = {f"metric/{key}": random.random() for key in range(keys)}
        for _ in range(max(50, calls // keys)):
            step += 1
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
    told |= _paced(run, step, calls)
    told["tax"] = _tax(run, step + calls)
    told["finish_s"] = _finish(run)
    return told


def _paced(run: Open, step: int, calls: int) -> dict[str, float]:
    took, deadline = [], time.perf_counter() + BUDGET_S
    for index in range(calls):
        time.sleep(PACE_S)
        begun = perf_counter_ns()
        run.log({"loss": 0.5}, step + index)
        took.append(perf_counter_ns() - begun)
        if time.perf_counter() > deadline:
            break
    return {"paced_p50": quantile(took, 0.5) / 1000, "paced_p999": quantile(took, 0.999) / 1000}


def _tax(run: Open, step: int) -> float:
    """How much longer steps of 200 µs take with one metric each, in percent; blocks take turns."""
    size, deadline = work_of(STEP_US), time.perf_counter() + BUDGET_S
    ratios: list[float] = []
    steps = count(step)
    while len(ratios) < 9 and time.perf_counter() < deadline:
        without = worked(size, 500, lambda index: None)
        beside = worked(size, 500, lambda index: run.log({"loss": 0.5}, next(steps)))
        ratios.append(100 * (beside / without - 1))
    return quantile(ratios, 0.5)


def _finish(run: Open) -> float | None:
    """Seconds; None: it does not end in ninety."""
    begun = time.perf_counter()
    ending = threading.Thread(target=run.finish, daemon=True)
    ending.start()
    ending.join(FINISH_S)
    return None if ending.is_alive() else time.perf_counter() - begun


if __name__ == "__main__":
    answer = contest(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    Path(sys.argv[4]).write_text(json.dumps(answer), "utf-8")
    sys.stdout.flush()
    os._exit(0)  # what a peer does at exit is its own time
