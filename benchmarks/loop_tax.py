"""What one metric a step adds to a training loop of 200 µs and 1 ms steps.

A step computes with the GIL released, as a tensor library does. Blocks with and without logging take turns; without, no
run is open. CPU is what the whole process used until everything was delivered. It is reported twice: as the ratio of
the blocks, which the machine's noise blurs, and as what our threads and calls used, which it does not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from time import perf_counter_ns

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.loop_work import step as compute
from benchmarks.loop_work import work_of
from benchmarks.stage import Stage

__all__ = ["figures", "taxed"]

GROUP = "loop_tax"
LINES = {200: (2.0, 0.5, 3000, 5), 1000: (0.5, 0.1, 6000, 3)}  # step in µs: must and reach in percent; blocks, rounds


def figures(stage: Stage) -> Iterator[Figure]:
    """By kind of server and length of step."""
    for kind, arguments in (("batch", ()), ("stock", ("--stock",))):
        for step_us, (must, reach, full_ms, full_rounds) in LINES.items():
            block_ms, rounds = stage.pick(full_ms, 1000), stage.pick(full_rounds, 2)
            if kind == "stock":
                block_ms, rounds = stage.pick(300, 50), stage.pick(3, 1)
            with stage.server(*arguments) as server:
                environment = stage.environment(server)
                steps = 1000 * block_ms // step_us
                told = stage.child(taxed, environment, step_us=step_us, steps=steps, rounds=rounds)
            yield from _figures(f"{step_us} µs steps, {kind} server", told, kind == "batch", must, reach)


def _figures(where: str, told: list[dict[str, float]], counts: bool, must: float, reach: float) -> Iterator[Figure]:
    lines = (must, reach) if counts else (None, None)
    ours = [100 * each["ours"] / each["control_cpu"] for each in told]
    note = f"{quantile([each['ours_us'] for each in told], 0.5):.2f} µs a step in calls and threads of ours"
    name = f"CPU of ours, {where}"
    yield over(ours, group=GROUP, name=name, unit="%", must=lines[0], reach=lines[1], note=note)
    cpu = [100 * (each["cpu"] / each["control_cpu"] - 1) for each in told]
    yield over(cpu, group=GROUP, name=f"CPU against the same loop, {where}", unit="%")
    wall = [100 * (each["wall"] / each["control_wall"] - 1) for each in told]
    controls = [each["control_wall"] for each in told]
    spread = 100 * (quantile(controls, 0.75) / quantile(controls, 0.25) - 1)
    judged = must if counts and spread < must else None
    note = f"the control's own spread is {spread:.1f} %"
    yield over(wall, group=GROUP, name=f"wall time, {where}", unit="%", must=judged, note=note)


def taxed(step_us: int, steps: int, rounds: int) -> list[dict[str, float]]:
    """CPU and wall seconds of each pair of blocks."""
    work = work_of(step_us)
    return [_round(work, steps, index) for index in range(rounds)]


def _round(work: memoryview, steps: int, index: int) -> dict[str, float]:
    before = _block(work, steps, None)
    run = steplog.init("bench", "loop-tax", name=f"round {index}")
    run.log("loss", 0.0, 0)
    run.flush()
    logging = _block(work, steps, run)
    call_s = _call_s(work, steps // 4, run)
    run.finish()
    after = _block(work, steps, None)
    ours = logging["threads"] + steps * call_s
    return {
        "wall": logging["wall"],
        "cpu": logging["cpu"],
        "control_wall": (before["wall"] + after["wall"]) / 2,
        "control_cpu": (before["cpu"] + after["cpu"]) / 2,
        "ours": ours,
        "ours_us": 1e6 * ours / steps,
    }


def _block(work: memoryview, steps: int, run: steplog.Run | None) -> dict[str, float]:
    """Wall seconds of a block, and CPU seconds until all is delivered."""
    cpu, main, wall = time.process_time(), time.thread_time(), time.perf_counter()
    if run is None:
        for _ in range(steps):
            compute(work)
    else:
        for step in range(1, steps + 1):
            compute(work)
            run.log("loss", 0.5, step)
    wall = time.perf_counter() - wall
    if run is not None:
        run.flush()
    cpu, main = time.process_time() - cpu, time.thread_time() - main
    return {"wall": wall, "cpu": cpu, "threads": cpu - main}


def _call_s(work: memoryview, steps: int, run: steplog.Run) -> float:
    """Seconds of a call between two steps, with cold caches; timer subtracted."""
    timer, took = [], []
    for step in range(steps):
        compute(work)
        begun = perf_counter_ns()
        empty = perf_counter_ns()
        run.log("timed", 0.5, step)
        took.append(perf_counter_ns() - empty)
        timer.append(empty - begun)
    return max(0.0, quantile(took, 0.5) - quantile(timer, 0.5)) / 1e9
