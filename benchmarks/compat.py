"""``log`` of four numbers through the wandb module, in turns with plain ``run.log``, wandb itself and trackio.

All are open in one process; wandb is offline, trackio local. Those two are measured where they are installed
(``pip install 'steplog[frameworks]'``). A round is a block of calls of each. What a block of ours has logged is
delivered to the embedded server before the next block begins, so that no block shares the GIL with another's delivery.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage

__all__ = ["compare", "figures"]

GROUP = "compat"
PLAIN = "run.log of the mapping"
OURS = {  # must and reach, in µs
    "wandb.log()": (2.5, 1.0),
    "wandb.log(step=…)": (2.5, 1.0),
    "wandb.log() of a tensor's item and a dict": (None, None),
    "wandb.log() with define_metric": (None, None),
}
PEERS = ("wandb", "trackio")
_CALLS_MAX = 200  # of a peer in a block
_FLUSH_S = 10.0


def figures(stage: Stage) -> Iterator[Figure]:
    """One server, one process."""
    with stage.server() as server:
        told = stage.child(
            compare,
            stage.environment(server, memory_bytes_max=1 << 28),
            rounds=stage.pick(60, 15),
            calls=stage.pick(2000, 1000),
            folder=str(stage.new_directory()),
        )
    plain = told[PLAIN]
    absent = [name for name in PEERS if name not in told]
    note = f"{PLAIN} {quantile(plain, 0.5) / 1000:.2f} µs"
    note += f"; not installed here: {', '.join(absent)}" if absent else ""
    for name, (must, reach) in OURS.items():
        rounds = [each / 1000 for each in told[name]]
        yield over(rounds, group=GROUP, name=f"{name}, 4 keys", unit="µs", must=must, reach=reach, note=note)
    above = [ours / floor for ours, floor in zip(told["wandb.log()"], plain, strict=True)]
    yield over(above, group=GROUP, name="wandb.log(), 4 keys", unit=f"× {PLAIN}")
    for name in PEERS:
        if name in told:
            times = [theirs / ours for theirs, ours in zip(told[name], told["wandb.log()"], strict=True)]
            note = f"{name} {quantile(told[name], 0.5) / 1000:.1f} µs"
            yield over(times, group=GROUP, name=f"{name} itself, 4 keys", unit="× our wandb.log()", note=note)


def compare(rounds: int, calls: int, folder: str) -> dict[str, list[float]]:
    """ns a call, round by round, of each that is here."""
    contestants = {**_ours(), **_peers(folder)}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (log, run) in contestants.items():
            count = min(calls, _CALLS_MAX) if name in PEERS else calls
            began = perf_counter_ns()
            for _ in range(count):
                log()
            found[name].append((perf_counter_ns() - began) / count)
            if name not in PEERS:
                getattr(run, "steplog_run", run).flush(_FLUSH_S)
    for _, run in contestants.values():
        run.finish()
    return found


def _ours() -> dict[str, tuple[Callable[[], Any], Any]]:
    import steplog.compat.wandb as wandb

    row = {"loss": 0.5, "accuracy": 0.25, "lr": 0.001, "epoch": 1.0}
    nested = {"loss": _Item(), "val": {"accuracy": 0.25, "loss": 0.5}, "epoch": 1.0}
    plain = steplog.init("bench", "compat", name="plain", activate=False)
    rows, steps, any_values, defined = (
        wandb.init(project="compat", name=f"rows {index}", reinit="create_new") for index in range(4)
    )
    defined.define_metric("*", step_metric="epoch")
    numbers = [iter(range(2**40)) for _ in range(2)]
    return {
        PLAIN: (lambda: plain.log(row, step=next(numbers[0])), plain),
        "wandb.log()": (lambda: rows.log(row), rows),
        "wandb.log(step=…)": (lambda: steps.log(row, step=next(numbers[1])), steps),
        "wandb.log() of a tensor's item and a dict": (lambda: any_values.log(nested), any_values),
        "wandb.log() with define_metric": (lambda: defined.log(row), defined),
    }


class _Item:
    """A scalar as a tensor library has it."""

    shape, dtype = (), "float64"

    def item(self) -> float:
        return 0.5


def _peers(folder: str) -> dict[str, tuple[Callable[[], Any], Any]]:
    row = {"loss": 0.5, "accuracy": 0.25, "lr": 0.001, "epoch": 1.0}
    found: dict[str, tuple[Callable[[], Any], Any]] = {}
    if find_spec("wandb") is not None:
        import wandb

        settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
        run = wandb.init(project="bench", dir=folder, mode="offline", settings=settings)
        found["wandb"] = lambda: run.log(row), run
    if find_spec("trackio") is not None:
        os.environ["TRACKIO_DIR"] = folder
        import trackio

        trackio.init(project="bench", embed=False, auto_log_gpu=False, auto_log_cpu=False)
        found["trackio"] = lambda: trackio.log(row), trackio
    return found
