"""The peers, each opened, given one step's values and finished as its documentation shows; and ours.

An adapter imports its library when opened: that is timed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.controls import Floor

__all__ = ["PEERS", "Open", "Peer"]


@dataclass
class Open:
    """An open run: how to log a step, and how to finish; ``stand_in``: what the server in place of its own counted."""

    log: Callable[[dict[str, float], int], Any]
    finish: Callable[[], Any]
    stand_in: Callable[[], dict[str, float]] = dict


@dataclass(frozen=True)
class Peer:
    """``requirement``: what to install; ``delivers``: to the embedded server, not to files."""

    open: Callable[[str], Open]
    requirement: str | None
    how: str
    delivers: bool = False


def _floor(_: str) -> Open:
    floor = Floor()

    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            floor.log(name, value, step)

    return Open(log, floor.records.clear)


def _ours(_: str) -> Open:
    import steplog

    run = steplog.init("bench", "peers")

    def log(values: dict[str, float], step: int) -> None:
        if len(values) == 1:
            (name,) = values
            run.log(name, values[name], step)
        else:
            run.log(values, step=step)

    return Open(log, run.finish)


def _afnio(_: str) -> Open:
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    from afnio.tellurio.client import TellurioClient
    from afnio.tellurio.run import init

    base, _, port = os.environ["STEPLOG_URL"].rpartition(":")
    client = TellurioClient(base, int(port))
    client.login(os.environ["STEPLOG_API_KEY"])
    run = init("bench", "peers", client=client)

    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            run.log(name, value, step, client=client)

    return Open(log, lambda: run.finish(client=client))


def _wandb(directory: str) -> Open:
    import wandb

    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    run = wandb.init(project="bench", dir=directory, mode="offline", settings=settings)
    return Open(lambda values, step: run.log(values, step=step), run.finish)


def _trackio(directory: str) -> Open:
    os.environ["TRACKIO_DIR"] = directory
    import trackio

    trackio.init(project="bench", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return Open(lambda values, step: trackio.log(values, step=step), trackio.finish)


def _swanlab(directory: str) -> Open:
    import swanlab

    swanlab.init(project="bench", log_dir=directory, mode="offline")
    return Open(lambda values, step: swanlab.log(values, step=step), swanlab.finish)


def _tensorboard(directory: str) -> Open:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(directory)

    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Open(log, writer.close)


def _pluto(directory: str) -> Open:
    import pluto

    # Not in a "with": it lives as long as this process, whose end of the pipe ends it.
    command = [sys.executable, "-m", "benchmarks.peers.says_yes"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    settings = {"dir": directory, "_auth": "none", "disable_console": True, "disable_system_metrics": True}
    settings |= {f"url_{name}": url for name in ("app", "api", "ingest", "py")}
    run = pluto.init(project="bench", dir=directory, settings=settings)

    def counted() -> dict[str, float]:
        with urllib.request.urlopen(f"{url}/stand-in", timeout=30) as answer:
            told: dict[str, float] = json.load(answer)
            return told

    return Open(lambda values, step: run.log(values, step=step), run.finish, counted)


def _aim(directory: str) -> Open:
    from aim import Run

    run = Run(repo=directory, system_tracking_interval=None, capture_terminal_logs=False)

    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            run.track(value, name=name, step=step)

    return Open(log, run.close)


def _dvclive(directory: str) -> Open:
    from dvclive import Live

    live = Live(directory, save_dvc_exp=False, dvcyaml=None)

    def log(values: dict[str, float], step: int) -> None:
        live.step = step
        for name, value in values.items():
            live.log_metric(name, value)

    return Open(log, live.end)


def _neptune(directory: str) -> Open:
    from neptune_scale import Run

    run = Run(
        run_id=f"bench-{os.getpid()}",
        project="bench/bench",
        mode="offline",
        log_directory=directory,
        enable_console_log_capture=False,
        source_tracking_config=None,
    )
    return Open(lambda values, step: run.log_metrics(data=values, step=step), run.close)


def _mlflow(directory: str) -> Open:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
    mlflow.config.enable_async_logging(True)
    mlflow.set_experiment("bench")
    mlflow.start_run()
    return Open(lambda values, step: mlflow.log_metrics(values, step=step), _flush_mlflow)


def _flush_mlflow() -> None:
    import mlflow

    mlflow.flush_async_logging()
    with contextlib.suppress(Exception):
        mlflow.end_run()


PEERS = {
    "deque floor": Peer(_floor, None, "in memory alone"),
    "steplog c": Peer(_ours, None, "embedded server", delivers=True),
    "steplog pure": Peer(_ours, None, "embedded server", delivers=True),
    "tensorboardX": Peer(_tensorboard, "tensorboardX==2.6.5", "files"),
    "trackio": Peer(_trackio, "trackio==0.43.0", "local"),
    "swanlab": Peer(_swanlab, "swanlab==0.10.3", "offline"),
    "pluto-ml": Peer(_pluto, "pluto-ml==0.0.29", "a stand-in for its server"),
    "aim": Peer(_aim, "aim==3.29.1", "local repository"),
    "dvclive": Peer(_dvclive, "dvclive==3.49.1", "files"),
    "neptune-scale": Peer(_neptune, "neptune-scale==0.30.0", "offline"),
    "wandb": Peer(_wandb, "wandb==0.31.0", "offline"),
    "mlflow": Peer(_mlflow, "mlflow==3.17.2", "asynchronous, SQLite"),
    "afnio": Peer(_afnio, "afnio==0.3.7", "synchronous, embedded server", delivers=True),
}
