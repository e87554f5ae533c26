"""What four scalars a step add to a PyTorch training on a CPU: nothing, steplog, wandb offline, TensorBoard, in turns.

::

    python -m benchmarks.training [--steps 100000] [--rounds 3] [ARM ...]

It needs ``steplog[frameworks]``, and for the arms of other loggers wandb and tensorboard. Each arm trains the same
small network in a process of its own. A call is timed alone, and the CPU of the whole process beside it, without
that of wandb's other process.

``away`` is steplog with a server that is stopped after the run has begun; ``lightning`` and ``tracker`` are the
adapters' own calls.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter_ns, process_time
from typing import Any

ARMS = ("none", "steplog", "away", "lightning", "tracker", "wandb", "tensorboard")
NAMES = ("loss", "accuracy", "grad_norm", "lr")
Log = Callable[[dict[str, float], int], object]


def main() -> None:
    """One line a figure: the median of the rounds, and the least and the most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*", default=list(ARMS))
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        print(json.dumps(_trained(given.train, given.steps)))
        return
    told: dict[str, list[dict[str, float]]] = {arm: [] for arm in given.arms}
    for number in range(given.rounds):
        for arm in given.arms if number % 2 == 0 else reversed(given.arms):
            told[arm].append(_in_turn(arm, given.steps))
            print(f"{arm} {number}: {told[arm][-1]}", file=sys.stderr, flush=True)
    for arm, rounds in told.items():
        parts = []
        for figure, unit in {
            "step": "µs of CPU a step",
            "call": "µs a call",
            "p999": "µs p99.9",
            "most": "ms at most",
        }.items():
            values = [each[figure] for each in rounds]
            parts.append(f"{median(values):9.2f} [{min(values):.2f} … {max(values):.2f}] {unit}")
        print(f"{arm:12s}", *parts, flush=True)


def _in_turn(arm: str, steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"STEPLOG_DIR": directory, "STEPLOG_QUIET": "1", "HOME": directory}
        serve = [sys.executable, "-m", "steplog", "serve", "--port", "0"]
        server = subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        while server.stdout.readline().split()[:1] != ["stop"]:
            pass
        environment |= {"STEPLOG_URL": url, "SERVER_PID": str(server.pid), "WANDB_SILENT": "true"}
        environment["STEPLOG_API_KEY"] = next(Path(directory).glob("*.key")).read_text().strip()
        try:
            command = [sys.executable, "-m", "benchmarks.training", "--train", arm, "--steps", str(steps)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            told: dict[str, float] = json.loads(next(line for line in done.stdout.splitlines() if line[:1] == "{"))
            return told
        finally:
            server.send_signal(signal.SIGCONT)
            server.kill()
            server.wait()
            server.stdout.close()


def _trained(arm: str, steps: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    batch = torch.randn(64, 16)
    log = _log_of(arm)
    took = []
    for step in range(steps + 100):
        if step == 100:
            began = process_time()  # caches are warm
        loss = (model(batch) - batch[:, :1]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
        metrics = {"loss": value, "accuracy": 1 - value, "grad_norm": value * 2, "lr": 0.01}
        before = perf_counter_ns()
        log(metrics, step)
        took.append(perf_counter_ns() - before)
    seconds = process_time() - began
    calls = sorted(took[100:])
    return {
        "step": 1e6 * seconds / steps,
        "call": calls[len(calls) // 2] / 1e3,
        "p999": calls[int(0.999 * len(calls))] / 1e3,
        "most": calls[-1] / 1e6,
    }


def _log_of(arm: str) -> Log:
    if arm == "none":
        return lambda metrics, step: None
    if arm == "wandb":
        return _wandb()
    if arm == "tensorboard":
        return _tensorboard()
    import steplog

    run = steplog.init(project="training")
    run.log("begun", 1)
    run.flush()
    if arm == "away":
        os.kill(int(os.environ["SERVER_PID"]), signal.SIGSTOP)
    if arm == "lightning":
        from steplog.integrations.lightning import SteplogLogger

        return SteplogLogger(run).log_metrics
    if arm == "tracker":
        from steplog.integrations.accelerate import SteplogTracker

        tracker: Any = SteplogTracker(run=run)
        return lambda metrics, step: tracker.log(metrics, step=step)
    return lambda metrics, step: run.log(metrics, step=step)


def _wandb() -> Log:
    import wandb

    run: Any = wandb.init(project="training", mode="offline", dir=os.environ["HOME"])
    return lambda metrics, step: run.log(metrics, step=step)


def _tensorboard() -> Log:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(os.environ["HOME"])

    def log(metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return log


if __name__ == "__main__":
    main()
