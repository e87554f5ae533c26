"""Lightning's logger: checkpoints as artifacts, and what it takes besides numbers."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import steplog
from apart import apart
from integrations.kept_runs import keep_offline
from polling import wait_until

pytest.importorskip("lightning", reason="needs lightning: pip install 'steplog[frameworks]'")

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from steplog.integrations.lightning import SteplogLogger

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Lightning warns of much


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    keep_offline(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)


class Model(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def fitted(log_model: Any, **checkpoint: Any) -> tuple[steplog.Run, ModelCheckpoint]:
    logger = SteplogLogger(project="lit", name="a", id="abc", log_model=log_model)
    callback = ModelCheckpoint("checkpoints", monitor="loss", **checkpoint)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(16, 4)), batch_size=8)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", logger=logger, max_epochs=3, callbacks=[callback], **quiet)
    trainer.fit(Model(), data)
    return logger.experiment, callback


def logged(run: steplog.Run) -> list[Any]:
    return [entry for entry, _ in run._opened.files.artifacts()]  # type: ignore[union-attr]


@apart
def test_the_best_checkpoint_is_an_artifact_when_the_fit_has_ended():
    run, callback = fitted(log_model=True, save_top_k=1)
    best = run.use_artifact("model-abc:best")
    assert [file.path for file in best.files] == ["model.ckpt"]
    with open(callback.best_model_path, "rb") as file:
        assert best.files[0].read() == file.read()
    assert best.metadata["score"] == pytest.approx(float(callback.best_model_score))
    wait_until(lambda: len(logged(run)) == 1)


@apart
def test_all_checkpoints_are_versions_as_they_are_saved():
    run, _ = fitted(log_model="all", save_top_k=-1)
    wait_until(lambda: len({entry.metadata["original_filename"] for entry in logged(run)}) == 3)
    assert len(logged(run)) == 3


@apart
def test_without_being_told_no_checkpoint_is_kept():
    run, _ = fitted(log_model=False)
    assert logged(run) == []


@apart
def test_images_sounds_videos_and_tables_are_values_at_their_step():
    logger = SteplogLogger(project="lit", name="a", prefix="p")
    logger.log_image("image", [numpy.zeros((4, 5)), torch.zeros(3, 4, 5)], step=3, caption=["c", "d"])
    logger.log_audio("audio", [numpy.zeros(8)], step=3, sample_rate=[8000])
    logger.log_video("video", [numpy.zeros((2, 3, 4, 5), numpy.uint8)], step=3, fps=[8])
    logger.log_table("table", columns=["a"], data=[[1]], step=3)
    logger.log_text("text", columns=["a"], data=[["t"]], step=3)
    found = {row["name"]: row["json"] for row in steplog.open(logger.experiment).history(form="long")}
    assert [(image["_type"], image["caption"]) for image in found["p/image"]] == [("image", "c"), ("image", "d")]
    assert (found["p/audio"][0]["sample_rate"], found["p/video"][0]["fps"]) == (8000, 8)
    assert (found["p/table"]["data"], found["p/text"]["data"]) == ([[1]], [["t"]])
    with pytest.raises(ValueError, match="Expected 1 items"):
        logger.log_image("image", [numpy.zeros((4, 5))], caption=["c", "d"])
    with pytest.raises(TypeError, match="Expected a list"):
        logger.log_image("image", numpy.zeros((4, 5)))
