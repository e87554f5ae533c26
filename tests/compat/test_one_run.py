"""Other loggers' names share the active run: a ``SummaryWriter`` beside them logs to theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from compat.offline import Offline
from steplog.compat.tensorboard import SummaryWriter


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


@contextmanager
def wandb_run() -> Iterator[Any]:
    import steplog.compat.wandb as wandb

    wandb.init(project="mnist", name="mine")
    yield lambda: wandb.log({"own": 1.5})
    wandb.finish()


@contextmanager
def mlflow_run() -> Iterator[Any]:
    import steplog.compat.mlflow as mlflow

    mlflow.set_experiment("mnist")
    with mlflow.start_run(run_name="mine"):
        yield lambda: mlflow.log_metric("own", 1.5)


@contextmanager
def trackio_run() -> Iterator[Any]:
    import steplog.compat.trackio as trackio

    trackio.init(project="mnist", name="mine")
    yield lambda: trackio.log({"own": 1.5})
    trackio.finish()


@pytest.mark.parametrize("begin", [wandb_run, mlflow_run, trackio_run])
@apart
def test_a_writer_beside_another_logger_logs_to_its_run(offline: Offline, begin: Any):
    writer = SummaryWriter("runs/a")
    with begin() as log:
        writer.add_scalar("loss", 0.5, 7)
        writer.add_hparams({"lr": 0.1}, {})
        log()
        writer.close()
    assert offline.runs() == ["mnist/mine"]
    assert (offline.points("mine", "loss"), offline.points("mine", "own")) == ([(7, 0.5)], [(0, 1.5)])
    assert steplog.open("mine").config["lr"] == 0.1
    assert offline.status("mine") == "COMPLETED"
