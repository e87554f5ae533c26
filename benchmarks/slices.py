"""How long a training thread waits for the GIL because of the agent.

The thread only looks at the clock and logs, at a steady rate. If time passed without it, it either waited for the GIL,
a voluntary switch in the kernel's count, or was preempted, an involuntary one. A slice is the CPU time of the agent's
threads during such a wait, which other processes can lengthen. The control is the same loop without a run.
"""

from __future__ import annotations

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

__all__ = ["figures", "watched"]

GROUP = "slices"
EDGES_US = (20, 50, 100, 200, 500, 1000, 2000, 5000)
RATES = (1_000, 100_000)  # metrics a second
SELDOM = 0.1  # a second: not worth a word


def figures(stage: Stage) -> Iterator[Figure]:
    """A slow and a fast producer; the note has the histogram: waits a second at least that long."""
    for rate in RATES:
        with stage.server() as server:
            environment = stage.environment(server)
            told = stage.child(watched, environment, rate=rate, seconds=stage.pick(4, 1), rounds=stage.pick(4, 3))
        words = []
        for index, edge in enumerate(EDGES_US):
            a_second = sum(each["counts"][index] for each, _ in told) / len(told)
            if a_second >= SELDOM:
                words.append(f"≥ {edge} µs {a_second:.1f}")
        without = sum(control["waits"] for _, control in told) / len(told)
        waits = sum(each["waits"] for each, _ in told) / len(told)
        note = f"a second: {', '.join(words) or 'none'}; waits {waits:.1f}, without a run {without:.1f}"
        lost = [each["lost_ms"] for each, _ in told]
        name = f"{rate:,} metrics a second"
        yield over(lost, group=GROUP, name=f"{name}, all together", unit="ms/s", note=note)
        longest = [each["max_ms"] for each, _ in told]
        waited = quantile([each["waited_ms"] for each, _ in told], 0.5)
        note = f"the longest wait, whoever else had the processors: {waited:.1f} ms"
        yield over(longest, group=GROUP, name=f"{name}, the longest", unit="ms", note=note)


def watched(rate: int, seconds: int, rounds: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Waits with and without a run, round by round."""
    found = []
    for index in range(rounds):
        control = _waits(Noop(), rate, seconds)
        run = steplog.init("bench", "slices", name=f"{index}")
        run.log("loss", 0.5, 0)
        run.flush()
        found.append((_waits(run, rate, seconds), control))
        run.finish()
    return found


def _waits(run: steplog.Run | Noop, rate: int, seconds: int) -> dict[str, Any]:
    slices, waits = [], []
    agents = [
        time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if thread.ident is not None and thread.name.startswith("steplog-")
    ]
    every, step = 1_000_000_000 // rate, 0
    now = begun = perf_counter_ns()
    due, end = now, now + 1_000_000_000 * seconds
    used, switches = _used_ns(agents), _switches()
    while now < end:
        before = now
        if now >= due:
            run.log("loss", 0.5, step)
            step += 1
            due += every
        after, had = _used_ns(agents), used
        used = after
        now = perf_counter_ns()
        if now - before >= 1000 * EDGES_US[0]:
            seen, switches = switches, _switches()
            if switches > seen:
                waits.append(now - before)
                slices.append(min(after - had, now - before))
            due = max(due, now - 100 * every)
            now = perf_counter_ns()
    took_s = (now - begun) / 1e9
    return {
        "lost_ms": sum(slices) / 1e6 / took_s,
        "max_ms": max(slices, default=0) / 1e6,
        "waited_ms": max(waits, default=0) / 1e6,
        "waits": len(waits) / took_s,
        "counts": [sum(1 for each in slices if each >= 1000 * edge) / took_s for edge in EDGES_US],
    }


def _used_ns(clocks: list[int]) -> int:
    return sum(map(time.clock_gettime_ns, clocks))


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
