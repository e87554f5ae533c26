"""Ignite's engines: a logger attached as Ignite's own are, with their names and steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points

WHY = "needs pytorch-ignite and torch: pip install 'steplog[frameworks]'"
torch = pytest.importorskip("torch", reason=WHY)
engines = pytest.importorskip("ignite.engine", reason=WHY)

from ignite.handlers import global_step_from_engine  # noqa: E402 - after the skip

from steplog.integrations.ignite import SteplogLogger  # noqa: E402

Events = engines.Events


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep_offline(monkeypatch, tmp_path)


def trainer() -> Any:
    return engines.Engine(lambda engine, batch: 1 / engine.state.iteration)


def attach(logger: Any, training: Any) -> None:
    """As Ignite's documentation attaches a logger."""
    evaluator = engines.Engine(lambda engine, batch: None)
    evaluator.state.metrics = {}

    @training.on(Events.EPOCH_COMPLETED)
    def evaluate(engine: Any) -> None:
        evaluator.run([0], max_epochs=1)

    @evaluator.on(Events.EPOCH_COMPLETED)
    def measure(engine: Any) -> None:
        engine.state.metrics = {"accuracy": torch.tensor(0.5), "parts": [1, 2.5], "note": "good"}

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.25)
    every_other = Events.ITERATION_COMPLETED(every=2)
    logger.attach_output_handler(training, every_other, tag="training", output_transform=lambda loss: {"loss": loss})
    at = global_step_from_engine(training)
    logger.attach_output_handler(
        evaluator, Events.EPOCH_COMPLETED, tag="validation", metric_names="all", global_step_transform=at
    )
    logger.attach_opt_params_handler(training, Events.EPOCH_STARTED, optimizer=optimizer)


@apart
def test_outputs_metrics_and_parameters_are_logged_at_ignites_steps():
    with steplog.init(project="mnist", name="mine"):
        training = trainer()
        attach(SteplogLogger(), training)
        training.run(range(4), max_epochs=2)
    run = opened("mnist", "mine")
    assert points(run, "training/loss") == [(step, 1 / step) for step in (2, 4, 6, 8)]
    assert points(run, "validation/accuracy") == [(1, 0.5), (2, 0.5)]
    assert points(run, "validation/parts/1") == [(1, 2.5), (2, 2.5)]
    assert points(run, "validation/note") == [(1, "good"), (2, "good")]
    assert points(run, "lr/group_0") == [(1, 0.25), (2, 0.25)]


@apart
def test_a_run_of_its_own_ends_with_the_block():
    with SteplogLogger(project="mnist", name="own", config={"lr": 0.1}) as logger:
        training = trainer()
        attach(logger, training)
        training.run(range(4), max_epochs=1)
        logger.run.log("more", 1.5)
        assert logger.run.config["lr"] == 0.1
        assert logger.run.name == "own"
    assert fields("mnist") == {"own": ("COMPLETED",)}
    assert points(opened("mnist", "own"), "more") == [(0, 1.5)]


@apart
def test_an_exception_that_leaves_the_block_makes_its_run_crashed():
    def train() -> None:
        with SteplogLogger(project="mnist", name="own") as logger:
            training = engines.Engine(lambda engine, batch: 1 / (2 - engine.state.iteration))
            attach(logger, training)
            training.run(range(4), max_epochs=1)

    with pytest.raises(ZeroDivisionError):
        train()
    assert fields("mnist") == {"own": ("CRASHED",)}


@apart
def test_a_run_that_the_program_began_is_not_ended_by_the_logger():
    with steplog.init(project="mnist", name="mine") as run:
        SteplogLogger(run=run).close()
        run.log("after", 1.5)
    assert points(opened("mnist", "mine"), "after") == [(0, 1.5)]


@apart
def test_another_process_of_the_world_logs_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    training = trainer()
    attach(SteplogLogger(project="mnist", name="own"), training)
    training.run(range(4), max_epochs=1)
    assert steplog.journals() == []


@pytest.mark.filterwarnings("ignore:Logger output_handler can not log:UserWarning")
@apart
def test_what_ignite_writes_by_its_tensorboard_logger_is_synced(tmp_path: Path):
    loggers = pytest.importorskip("ignite.handlers.tensorboard_logger", reason=WHY)
    pytest.importorskip("tensorboardX", reason=WHY)
    from steplog.compat import tensorboard_sync

    with steplog.init(project="mnist", name="mine") as run:
        tensorboard_sync.start(run)
        training = trainer()
        with loggers.TensorboardLogger(log_dir=str(tmp_path / "runs")) as logger:
            attach(logger, training)
            training.run(range(4), max_epochs=1)
    assert points(opened("mnist", "mine"), "training/loss") == [(2, 0.5), (4, 0.25)]
    assert points(opened("mnist", "mine"), "lr/group_0") == [(1, 0.25)]
