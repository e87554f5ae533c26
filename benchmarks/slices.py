"""How long the agent keeps the interpreter to itself: the gaps that a training thread sees in its own time.

The thread does nothing but look at the clock and log, at a steady rate; where it finds that time has passed without it,
somebody else had the GIL, or the processor. The same loop without a run open sees the machine's share of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.controls import Noop
from benchmarks.figure import Figure, over
from benchmarks.stage import Stage

__all__ = ["figures", "watched"]

GROUP = "slices"
EDGES_US = (50, 100, 200, 500, 1000, 2000, 5000)
RATES = (5_000, 100_000)  # metrics a second


def figures(stage: Stage) -> Iterator[Figure]:
    """A slow and a fast producer; the histogram is in the note: gaps a second, ours and the control's."""
    for rate in RATES:
        with stage.server() as server:
            environment = stage.environment(server)
            told = stage.child(watched, environment, rate=rate, seconds=stage.pick(5, 1), rounds=stage.pick(6, 2))
        lost = [ours["lost_ms"] - control["lost_ms"] for ours, control in told]
        words = []
        for index, edge in enumerate(EDGES_US):
            ours, control = (sum(pair[who]["counts"][index] for pair in told) / len(told) for who in (0, 1))
            words.append(f"≥{edge} µs {ours:.1f}/{control:.1f}")
        yield over(
            lost,
            group=GROUP,
            name=f"time that a thread loses in gaps of 50 µs and more, {rate:,} metrics a second",
            unit="ms/s",
            note="gaps a second, with a run and without: " + ", ".join(words),
        )


def watched(rate: int, seconds: int, rounds: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The gaps with a run and without, round by round."""
    found = []
    for index in range(rounds):
        control = _gaps(Noop(), rate, seconds)
        run = steplog.init("bench", "slices", name=f"{index}")
        run.log("loss", 0.5, 0)
        run.flush()
        found.append((_gaps(run, rate, seconds), control))
        run.finish()
    return found


def _gaps(run: steplog.Run | Noop, rate: int, seconds: int) -> dict[str, Any]:
    gaps: list[int] = []
    every, step = 1_000_000_000 // rate, 0
    now = begun = perf_counter_ns()
    due, end = now, now + 1_000_000_000 * seconds
    while now < end:
        before = now
        if now >= due:
            run.log("loss", 0.5, step)
            step += 1
            due += every
        now = perf_counter_ns()
        if now - before >= 50_000:
            gaps.append(now - before)
            due = max(due, now - 100 * every)
    took_s = (now - begun) / 1e9
    return {
        "lost_ms": sum(gaps) / 1e6 / took_s,
        "counts": [sum(1 for gap in gaps if gap >= 1000 * edge) / took_s for edge in EDGES_US],
    }
