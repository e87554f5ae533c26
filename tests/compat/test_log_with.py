"""What frameworks log by their own adapters to MLflow and trackio, with steplog's modules under these names."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.programs import Host

pytestmark = pytest.mark.slow

INSTALL = """
import json, sys, warnings
import steplog.compat
for name in ("mlflow", "trackio"):
    steplog.compat.install(name, replace=True)
import torch
"""
LIGHTNING = """
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger

class Model(LightningModule):
    def __init__(self, lr, net):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss)
        losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

losses = []
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=4)
logger = MLFlowLogger(experiment_name=sys.argv[1], run_name="lit", tags={"team": "a"}, log_model=True)
quiet = {"enable_progress_bar": False, "enable_model_summary": False}
trainer = Trainer(max_epochs=2, logger=logger, log_every_n_steps=1, accelerator="cpu", **quiet)
trainer.fit(Model(0.01, {"depth": 2}), data)
print(json.dumps([logger.run_id, losses]))
"""
TRANSFORMERS = """
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
model = BertForSequenceClassification(BertConfig(**small, vocab_size=50, max_position_embeddings=16))
data = [{"input_ids": torch.randint(0, 50, (8,)), "labels": torch.tensor(i % 2)} for i in range(16)]
given = {"report_to": ["mlflow", "trackio"], "run_name": "hf", "project": sys.argv[1] + "-trackio"}
often = {"max_steps": 6, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "no"}
arguments = TrainingArguments("out", **given, **often, use_cpu=True, disable_tqdm=True, per_device_train_batch_size=4)
trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data)
trainer.train()
print(json.dumps(trainer.state.log_history))
"""
ACCELERATE = """
from accelerate import Accelerator

accelerator = Accelerator(log_with=["mlflow", "trackio"], cpu=True)
named = {"mlflow": {"run_name": "acc"}, "trackio": {"name": "acc-trackio"}}
accelerator.init_trackers(sys.argv[1], config={"lr": 0.1, "depth": 3}, init_kwargs=named)
for step in range(5):
    accelerator.log({"loss": 1 / (step + 1)}, step=step * 2)
accelerator.end_training()
print("null")
"""
IGNITE = """
from ignite.engine import Engine, Events
from ignite.handlers.mlflow_logger import MLflowLogger

engine = Engine(lambda engine, batch: batch * 0.5)
layer = torch.nn.Linear(2, 1)
logger = MLflowLogger()
logger.log_params({"lr": 0.01})
given = {"tag": "training", "output_transform": lambda loss: {"loss": loss}}
logger.attach_output_handler(engine, event_name=Events.ITERATION_COMPLETED, **given)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
logger.attach_opt_params_handler(engine, event_name=Events.ITERATION_STARTED, optimizer=optimizer)
engine.run(range(5), max_epochs=2)
print(json.dumps(logger.active_run.info.run_id))
logger.close()
"""


def trained(host: Host, tmp_path: Path, program: str, *needed: str) -> Any:
    """What a program prints last, in JSON."""
    missing = [name for name in ("torch", *needed) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install 'steplog[frameworks]'")
    path = tmp_path / "train.py"
    path.write_text(INSTALL + program)
    environment = host.environment | {"HF_HUB_OFFLINE": "1", "STEPLOG_FINISH_TIMEOUT_S": "30"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(path), host.project],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.rglob("meta.yaml"), *tmp_path.rglob("*.db")] == []  # MLflow's and trackio's own files
    return json.loads(done.stdout.splitlines()[-1])


def points(run: str, name: str) -> list[tuple[int, float]]:
    return [(row["step"], row["value"]) for row in steplog.open(run).history([name], form="long")]


def test_lightnings_mlflow_logger_logs_every_step_its_params_and_tags(host, tmp_path):
    run_id, losses = trained(host, tmp_path, LIGHTNING, "lightning")

    @apart  # not the training: importing frameworks may take longer than what it waits
    def check() -> None:
        run = steplog.open(run_id)
        assert points(run_id, "loss") == [(step, pytest.approx(loss)) for step, loss in enumerate(losses)]
        assert (run.name, run.status.value, run.tags) == ("lit", "COMPLETED", ("team=a",))
        assert run.config == {"lr": 0.01, "net/depth": 2}
        assert run.summary["compat/unsupported"] == {"mlflow.log_artifact()": 1, "mlflow.log_artifacts()": 1}

    check()


def test_transformers_reports_to_both_what_its_history_has(host, tmp_path):
    history = trained(host, tmp_path, TRANSFORMERS, "transformers", "accelerate")
    losses = [(each["step"], each["loss"]) for each in history if "loss" in each]
    evaluated = [(each["step"], each["eval_loss"]) for each in history if "eval_loss" in each]
    assert (len(losses), len(evaluated)) == (3, 2)

    @apart
    def check() -> None:
        place = f"team/{host.project}/hf"
        assert (points(place, "loss"), points(place, "eval_loss")) == (losses, evaluated)
        assert steplog.open(place).config["hidden_size"] == 16
        place = f"team/{host.project}-trackio/hf"
        assert [value for _, value in points(place, "train/loss")] == [value for _, value in losses]
        assert [value for _, value in points(place, "eval/loss")] == [value for _, value in evaluated]
        assert steplog.open(place).config["max_steps"] == 6
        assert "allow_val_change" not in steplog.open(place).config

    check()


def test_accelerates_trackers_log_config_and_steps(host, tmp_path):
    trained(host, tmp_path, ACCELERATE, "accelerate")

    @apart
    def check() -> None:
        for name in ("acc", "acc-trackio"):
            run = steplog.open(f"team/{host.project}/{name}")
            assert (run.status.value, run.config) == ("COMPLETED", {"lr": 0.1, "depth": 3})
            assert points(f"team/{host.project}/{name}", "loss") == [(step * 2, 1 / (step + 1)) for step in range(5)]

    check()


def test_ignites_mlflow_logger_logs_outputs_and_learning_rates(host, tmp_path):
    run_id = trained(host, tmp_path, IGNITE, "ignite")

    @apart
    def check() -> None:
        run = steplog.open(run_id)
        assert (run.status.value, run.config) == ("COMPLETED", {"lr": 0.01})
        assert points(run_id, "training loss") == [(step + 1, step % 5 * 0.5) for step in range(10)]
        assert {value for _, value in points(run_id, "lr group_0")} == {0.01}

    check()
