"""The cost of one ``log`` while the sender delivers: each append that there is, a deque and a no-op."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from timeit import repeat
from typing import Any

import steplog
from benchmarks.controls import Floor, Noop, timed
from benchmarks.figure import Figure, over, quantile
from benchmarks.pythons import Python, pythons_at
from benchmarks.stage import Stage

__all__ = ["compare", "figures"]

GROUP = "log_cost"
WHO = {
    "floor": "deque floor",
    "noop": "an empty function",
    "c": "steplog c",
    "pure": "steplog pure",
    "locked": "steplog locked",
}
KEYS = (1, 8, 64)
LINES = {"c": (1.0, None), "pure": (4.0, 2.5)}  # must and reach, in floors


def figures(stage: Stage, pythons: Sequence[str] = ()) -> Iterator[Figure]:
    """One server for all rounds of an interpreter; 8 and 64 values a step only in the first."""
    for number, python in enumerate(pythons_at(pythons)):
        with stage.server() as server:
            try:
                told = stage.child(
                    compare,
                    python.environment(stage.environment(server, memory_bytes_max=1 << 28)),
                    python=python.path,
                    rounds=stage.pick(40, 10),
                    calls=stage.pick(4000, 3000),
                    keys=KEYS if number == 0 else KEYS[:1],
                )
            except RuntimeError as error:
                why = str(error).strip().splitlines()[-1][:100]
                yield Figure(group=GROUP, name=f"log(), Python {python.version}", unit="", value=None, note=why)
                continue
        yield from _figures(python, told)


def _figures(python: Python, told: dict[str, Any]) -> Iterator[Figure]:
    for keys, rounds in told["p50"].items():
        for kind in told["kinds"]:
            name = f"log() {kind}, {keys} a step, Python {python.version}"
            ratios = [each[kind] / each["floor"] for each in rounds]
            must, reach = LINES.get(kind, (None, None)) if keys == "1" else (None, None)
            beside = {who: quantile([each[who] for each in rounds], 0.5) for who in ("floor", "noop", kind)}
            yield over(
                ratios,
                group=GROUP,
                name=name,
                unit="× floor",
                must=must,
                reach=reach,
                note=", ".join(f"{who} {ns:,.0f} ns" for who, ns in beside.items()),
                beside={WHO[who]: ns for who, ns in beside.items()} if keys == "1" else {},
            )
            if kind == "c" and keys == "1":
                yield over(
                    [each[kind] / each["noop"] for each in rounds],
                    group=GROUP,
                    name=name,
                    unit="× no-op",
                    reach=1.0,
                    note=f"reading the clock alone takes {told['clock_ns']:.0f} ns, timer excluded",
                )
    if "c" not in told["kinds"] and not python.free_threaded:
        why = "the extension is not built for it"
        yield Figure(group=GROUP, name=f"log() c, Python {python.version}", unit="", value=None, note=why)


def compare(rounds: int, calls: int, keys: Sequence[int] = KEYS) -> dict[str, Any]:
    """p50 in ns of each contestant by number of keys a step, round by round."""
    contestants: dict[str, Any] = {"floor": Floor(), "noop": Noop()}
    for pure in ("0", "1"):
        os.environ["STEPLOG_PURE"] = pure
        run = steplog.init("bench", "log-cost", name=f"pure {pure}", activate=False)
        if (kind := run.stats().append) not in contestants:
            contestants[kind] = run
        else:
            run.finish()
    values = [random.gauss(0, 1) for _ in range(4096)]
    p50: dict[int, list[dict[str, float]]] = {each: [] for each in keys}
    for index in range(rounds):
        for each, found in p50.items():
            names = [f"metric/{key}" for key in range(each)]
            count = max(50, calls // each)
            steps = range(index * count, (index + 1) * count)
            contestants["floor"].records.clear()  # it would measure the memory that it fills
            found.append({who: quantile(timed(what, names, steps, values), 0.5) for who, what in contestants.items()})
    kinds = [who for who in contestants if who not in ("floor", "noop")]
    for kind in kinds:
        contestants[kind].finish()
    return {"p50": p50, "kinds": kinds, "clock_ns": _clock_ns()}


def _clock_ns() -> float:
    """The cost of ``time.time_ns`` above an empty loop."""
    calls = 20_000
    clock = min(repeat("f()", "from time import time_ns as f", number=calls))
    return 1e9 * (clock - min(repeat("f", "f = 1", number=calls))) / calls
