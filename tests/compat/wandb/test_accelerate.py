"""Accelerate's own tracker (``log_with="wandb"``) and Ignite's logger on this module."""

from __future__ import annotations

import pytest

from compat.wandb.beside import frameworks, left_by_ours, left_by_wandb

ACCELERATE = """
import warnings
warnings.simplefilter("ignore")
from accelerate import Accelerator

accelerator = Accelerator(log_with="wandb", cpu=True)
given = {"wandb": {"name": "a", "tags": ["t"], "id": "abc"}}
accelerator.init_trackers("acc", config={"lr": 0.1, "layers": [4, 1]}, init_kwargs=given)
for step in range(5):
    accelerator.log({"loss": 1 / (step + 1)}, step=step * 2)
tracker = accelerator.get_tracker("wandb")
assert tracker.tracker.id == "abc"
"""
TABLE = """
tracker.log_table("table", columns=["a"], data=[[1]])
import numpy
tracker.log_images({"image": [numpy.zeros((4, 4))]})
"""
END = "accelerator.end_training()\n"
IGNITE = """
import warnings
warnings.simplefilter("ignore")
from ignite.engine import Engine, Events
from ignite.handlers.wandb_logger import WandBLogger, global_step_from_engine

engine = Engine(lambda engine, batch: 1 / (engine.state.iteration + 1))
logger = WandBLogger(project="ign", name="a", config={"lr": 0.1})
logger.attach_output_handler(
    engine, event_name=Events.ITERATION_COMPLETED(every=2), tag="training", output_transform=lambda loss: {"loss": loss}
)
engine.run(range(4), max_epochs=2)
logger.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "program", "more"),
    [
        pytest.param(("accelerate", "torch"), ACCELERATE, TABLE + END, marks=frameworks("accelerate"), id="accelerate"),
        pytest.param(("ignite", "torch"), IGNITE, "", marks=frameworks("ignite"), id="ignite"),
    ],
)
def test_its_tracker_leaves_the_run_that_it_leaves_with_wandb(modules, program, more, tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours = left_by_ours(program + more, tmp_path / "ours")
    theirs = left_by_wandb(program + (END if more else ""), tmp_path / "theirs")
    if more:
        ((_, table),) = ours["a"]["values"].pop("table")
        assert table["data"] == [[1]]
        ((_, images),) = ours["a"]["values"].pop("image")
        assert [image["_type"] for image in images] == ["image"]
    assert ours == theirs
