"""``log`` of one run by one and by four threads at once, in an interpreter without a GIL: ``--python``.

The floor is one deque that all threads append to. Everything that was logged must be at the server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.controls import Floor, timed
from benchmarks.figure import Figure, over, quantile
from benchmarks.pythons import Python, pythons_at
from benchmarks.stage import Stage

__all__ = ["figures", "logged_by_threads"]

GROUP = "free_threading"
THREADS = (1, 4)
NEEDS = "needs an interpreter without a GIL: --python"


def figures(stage: Stage, pythons: Sequence[str] = ()) -> Iterator[Figure]:
    """For each interpreter that has no GIL."""
    found = [python for python in pythons_at(pythons) if python.free_threaded]
    if not found:
        yield Figure(group=GROUP, name="log() without the GIL", unit="", value=None, note=NEEDS)
    for python in found:
        with stage.server() as server:
            told = stage.child(
                logged_by_threads,
                python.environment(stage.environment(server, memory_bytes_max=1 << 28)),
                python=python.path,
                rounds=stage.pick(20, 5),
                calls=4000,
            )
            yield from _figures(python, told)
            lost = told["calls"] - server.points()
        name = f"of {told['calls']:,} calls not at the server, Python {python.version}"
        yield Figure(group=GROUP, name=name, unit="", value=lost, must=0, reach=0)


def _figures(python: Python, told: dict[str, Any]) -> Iterator[Figure]:
    of: dict[str, list[dict[str, dict[str, float]]]] = told["rounds"]
    for threads, rounds in of.items():
        words = "one thread" if threads == "1" else f"{threads} threads"
        name = f"log() {told['append']}, {words}, Python {python.version}"
        p50 = {who: quantile([each[who]["p50"] for each in rounds], 0.5) for who in ("floor", "run")}
        note = f"floor {p50['floor']:,.0f} ns, log() {p50['run']:,.0f} ns"
        ratios = [each["run"]["p50"] / each["floor"]["p50"] for each in rounds]
        yield over(ratios, group=GROUP, name=name, unit="× floor", note=note)
    one, four = (of[str(threads)] for threads in THREADS)
    for who, words in (("run", "log()"), ("floor", "the deque")):
        gained = [many[who]["a_second"] / single[who]["a_second"] for single, many in zip(one, four, strict=True)]
        rate = quantile([each[who]["a_second"] for each in four], 0.5) / 1e6
        yield over(
            gained,
            group=GROUP,
            name=f"calls a second, {words}, {THREADS[-1]} threads, Python {python.version}",
            unit="× one thread's",
            more_is_better=True,
            note=f"{rate:.2f} million a second",
        )


def logged_by_threads(rounds: int, calls: int) -> dict[str, Any]:
    """By number of threads, round by round: p50 of a call in ns, and calls a second of all threads together."""
    run, floor = steplog.init("bench", "free-threading"), Floor()
    found: dict[int, list[dict[str, dict[str, float]]]] = {threads: [] for threads in THREADS}
    for _ in range(rounds):
        for threads, measured in found.items():
            floor.records.clear()
            measured.append({who: _round(what, threads, calls) for who, what in (("floor", floor), ("run", run))})
    append = run.stats().append
    run.finish()
    return {"rounds": found, "append": append, "calls": rounds * calls * sum(THREADS)}


def _round(what: Any, threads: int, calls: int) -> dict[str, float]:
    took: list[list[int]] = [[] for _ in range(threads)]
    ready = threading.Barrier(threads + 1)
    values = [0.5] * 4096

    def logs(at: int) -> None:
        ready.wait()
        took[at] = timed(what, [f"metric/{at}"], range(calls), values)

    working = [threading.Thread(target=logs, args=(at,)) for at in range(threads)]
    for thread in working:
        thread.start()
    ready.wait()
    begun_ns = perf_counter_ns()
    for thread in working:
        thread.join()
    seconds = (perf_counter_ns() - begun_ns) / 1e9
    return {"p50": quantile([ns for each in took for ns in each], 0.5), "a_second": threads * calls / seconds}
