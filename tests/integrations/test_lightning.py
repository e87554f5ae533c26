"""Lightning's trainer with our logger: one run, whatever the trainer does, with what Lightning's own logger has."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from integrations.trainings import TORCHRUN, Trainings, needs, trainings
from server.process import ServerProcess

pytestmark = [needs("torch", "lightning"), pytest.mark.slow]

MODEL = """\
from LIGHTNING import LightningModule, Trainer
from LIGHTNING.loggers import CSVLogger
from steplog.integrations.lightning import SteplogLogger

class Model(LightningModule):
    def __init__(self, lr=0.1, raises=None, **more):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("train/loss", loss)
        if self.hparams.raises and self.global_step == 3:
            raise self.hparams.raises
        return loss

    def validation_step(self, batch, index):
        self.log("val/loss", self.layer(batch[0]).mean(), sync_dist=True)

    def test_step(self, batch, index):
        self.log("test/loss", self.layer(batch[0]).mean(), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)

def data():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=4)

def trainer(*loggers, epochs=1, **given):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
    return Trainer(accelerator="cpu", logger=loggers, max_epochs=epochs, **quiet, **{"devices": 1} | given)
""".replace("LIGHTNING", "lightning.pytorch")

ONE_AFTER_THE_OTHER = """
import copy, json, pickle
from omegaconf import OmegaConf
told = {}

beside = CSVLogger("csv", name="beside")
logger = copy.deepcopy(pickle.loads(pickle.dumps(SteplogLogger(project=PROJECT, name="first", prefix="p"))))
first = trainer(logger, beside, epochs=2)
cfg = OmegaConf.create({"width": 8, "twice": "${width}"})
first.fit(Model(cfg=cfg, of=torch.nn.ReLU), data(), data())
logger.experiment.log("mine", 1.0, step=0)
first.test(Model(), data())
told["first"] = [logger.name, logger.version, logger.experiment.uuid, first.checkpoint_callback.best_model_path]

fails = SteplogLogger(project=PROJECT, name="fails", save_dir="elsewhere", id="by-hand")
failing = trainer(fails)
try:
    failing.fit(Model(raises=ValueError("a loss of nan")), data())
except ValueError:
    told["fails"] = [fails.version, failing.checkpoint_callback.dirpath]

retried = SteplogLogger(project=PROJECT, name="retried")
for error in (MemoryError("the batch is too large"), None):
    try:
        trainer(retried).fit(Model(raises=error), data())
    except MemoryError:
        pass

try:
    trainer(SteplogLogger(project=PROJECT, name="interrupted")).fit(Model(raises=KeyboardInterrupt()), data())
except SystemExit as error:
    told["exit code"] = error.code

with steplog.init(project=PROJECT, name="theirs") as run:
    for error in (ValueError("the program goes on"), None):
        try:
            trainer(SteplogLogger(project=PROJECT, name="made")).fit(Model(raises=error), data())
        except ValueError:
            told["theirs"] = run.status.value
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, server: ServerProcess) -> Iterator[Trainings]:
    yield from trainings(tmp_path_factory, server)


@pytest.fixture(scope="module")
def told(host: Trainings) -> Any:
    """What the program of several trainings says."""
    done = host.train(MODEL + ONE_AFTER_THE_OTHER)
    assert done.code == 0, done.errors
    return json.loads(done.out.splitlines()[-1])


def test_a_fit_and_a_test_are_one_run_with_what_the_trainers_own_logger_has(host: Trainings, told: Any):
    with (host.directory / "csv" / "beside" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    beside: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        step = int(row.pop("step"))
        for name, value in row.items():
            if value:
                beside.setdefault(f"p/{name}", []).append((step, float(value)))
    found = host.points("first")
    assert found.pop("mine") == [(0, 1.0)]
    assert found.pop("p/epoch") == beside.pop("p/epoch")
    assert {name: len(seen) for name, seen in found.items()} == {"p/train/loss": 16, "p/val/loss": 2, "p/test/loss": 1}
    assert found == {name: [(step, pytest.approx(value)) for step, value in seen] for name, seen in beside.items()}
    assert host.server.run("first").status == "COMPLETED"


def test_hyperparameters_are_the_config_of_the_run(host: Trainings, told: Any):
    config = host.told("first")["config"]
    assert (config["lr"], config["cfg"]) == (0.1, {"width": 8, "twice": 8})
    assert config["of"] == "torch.nn.modules.activation.ReLU"


def test_checkpoints_are_in_folders_called_by_project_and_run(host: Trainings, told: Any):
    uuid = host.server.run("first").uuid
    name, version, seen, best = told["first"]
    assert (name, version, seen) == (host.project, uuid, uuid)
    assert best.startswith(str(host.directory / host.project / uuid / "checkpoints"))
    version, folder = told["fails"]
    assert (version, folder) == ("by-hand", f"elsewhere/{host.project}/by-hand/checkpoints")


def test_a_training_that_fails_ends_its_run_with_the_exception(host: Trainings, told: Any):
    (kept,) = host.server.values("fails", "steplog/exception")
    assert (kept["type"], kept["message"]) == ("ValueError", "a loss of nan")
    assert "in training_step" in kept["traceback"]
    assert host.server.run("fails").status == "CRASHED"


def test_a_second_fit_after_a_failure_goes_on_with_the_run(host: Trainings, told: Any):
    steps = [step for step, _ in host.points("retried")["train/loss"]]
    assert steps == [*range(3), *range(8)]
    assert host.told("retried")["status"] == "COMPLETED"


def test_an_interrupted_training_is_crashed_by_that(host: Trainings, told: Any):
    (kept,) = host.server.values("interrupted", "steplog/exception")
    assert (told["exit code"], kept["type"], host.server.run("interrupted").status) == (
        1,
        "KeyboardInterrupt",
        "CRASHED",
    )


def test_a_run_of_the_program_is_used_and_left_to_the_program(host: Trainings, told: Any):
    assert told["theirs"] == "RUNNING"
    assert len(host.points("theirs")["train/loss"]) == 11
    assert [(row.name, row.status) for row in host.server.runs()][:5] == [
        ("first", "COMPLETED"),
        ("fails", "CRASHED"),
        ("retried", "COMPLETED"),
        ("interrupted", "CRASHED"),
        ("theirs", "COMPLETED"),
    ]


RANKS = """
if __name__ == "__main__":
    strategy, = sys.argv[1:] or ["ddp"]
    logger = SteplogLogger(project=PROJECT, name=os.environ["RUN_NAME"])
    if strategy == "ddp_fork":
        logger.experiment
    # torchrun's ranks each run this; else Lightning starts the second
    ranks = trainer(logger, epochs=2, devices=2, strategy=strategy)
    ranks.fit(Model(), data(), data())
    logger.log_metrics({"after": 1.0}, 8)
"""


@pytest.mark.parametrize("way", ["torchrun", "ddp", "ddp_spawn", "ddp_fork"])
def test_two_ranks_are_one_run_and_no_point_is_there_twice(host: Trainings, way: str):
    """Of 32 rows each rank has 16, which are 4 steps an epoch."""
    done = host.train(
        MODEL + RANKS, way.replace("torchrun", "ddp"), under=TORCHRUN if way == "torchrun" else (), RUN_NAME=way
    )
    assert done.code == 0, done.errors
    found = host.points(way)
    assert {name: [step for step, _ in seen] for name, seen in found.items()} == {
        "train/loss": [*range(8)],
        "val/loss": [3, 7],
        "epoch": [0, 1, 2, 3, 3, 4, 5, 6, 7, 7],
        "after": [8],
    }
    assert [row.status for row in host.server.runs() if row.name.startswith(way)] == ["COMPLETED"]


STOPPED = """
class Stopped(Model):
    def on_train_batch_start(self, batch, index):
        if self.global_step == 50:
            print("now", flush=True)

trainer(SteplogLogger(project=PROJECT, name="NAME"), epochs=100_000).fit(Stopped(), data())
"""


def test_a_training_that_is_told_to_stop_is_crashed_by_that(host: Trainings):
    host.interrupt(MODEL + STOPPED.replace("NAME", "terminated"), signal.SIGTERM)
    (kept,) = host.server.values("terminated", "steplog/exception")
    assert kept["type"] == "lightning.pytorch.utilities.exceptions.SIGTERMException"
    assert host.server.run("terminated").status == "CRASHED"


def test_of_a_training_that_is_killed_every_step_arrives(host: Trainings):
    done = host.interrupt(MODEL + STOPPED.replace("NAME", "killed"), signal.SIGKILL)
    assert done.code == -signal.SIGKILL
    host.deliver("killed", "CRASHED")
    steps = [step for step, _ in host.points("killed")["train/loss"]]
    assert len(steps) >= 50
    assert steps == [*range(len(steps))]


@needs("pytorch_lightning")
def test_lightning_by_its_other_name_is_the_same(host: Trainings):
    source = (
        MODEL.replace("lightning.pytorch", "pytorch_lightning")
        + """
logger = SteplogLogger(project=PROJECT, name="other name")
assert "lightning.pytorch" not in sys.modules
trainer(logger).fit(Model(), data())
"""
    )
    assert host.train(source).code == 0
    assert len(host.points("other name")["train/loss"]) == 8
    assert host.server.run("other name").status == "COMPLETED"
