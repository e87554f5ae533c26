"""Lightning's own ``WandbLogger`` on this module."""

from __future__ import annotations

from typing import Any

from compat.wandb.beside import at_steps_of, frameworks, left_by_ours, left_by_wandb

pytestmark = frameworks("lightning", "torch")

PROGRAM = """
import json, logging, warnings
warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
import numpy, torch
import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, WandbLogger


class Model(pl.LightningModule):
    def __init__(self, lr=0.1, layers=(4, 1)):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(*layers)

    def training_step(self, batch, at):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, at):
        self.log("val/loss", self.layer(batch[0]).pow(2).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


torch.manual_seed(0)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=8)
logger = WandbLogger(project="lit", name="a", save_dir=".", tags=["t"], id="abc")
logger.watch(model := Model(), log_freq=2)
checkpoint = pl.callbacks.ModelCheckpoint("checkpoints", monitor="val/loss")
trainer = pl.Trainer(
    max_epochs=3, logger=[logger, CSVLogger(".", "csv", "")], log_every_n_steps=2, callbacks=[checkpoint],
    accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(model, data, data)
trainer.validate(model, data, verbose=False)
assert (logger.version, logger.name, logger.experiment.name) == ("abc", "lit", "a")
"""
MEDIA = """
logger.log_table("table", columns=["a", "b"], data=[[1, "x"]])
logger.log_image("image", images=[numpy.zeros((4, 4))], caption=["c"])
logger.log_text("text", columns=["a"], data=[["y"]])
import wandb
assert type(logger.experiment) is wandb.sdk.wandb_run.Run
checkpoint_logger = WandbLogger(log_model="all", experiment=wandb.run)
checkpoint_logger.after_save_checkpoint(checkpoint)
from steplog.compat.unsupported import unsupported
assert unsupported.counts() == {"wandb.watch()": 1}, unsupported.counts()
assert list(wandb.run.use_artifact("model-abc:best").manifest.entries) == ["model.ckpt"]
"""


def test_lightnings_logger_leaves_the_run_that_it_leaves_with_wandb(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours, theirs = left_by_ours(PROGRAM + MEDIA, tmp_path / "ours"), left_by_wandb(PROGRAM, tmp_path / "theirs")
    values: dict[str, Any] = ours["a"]["values"]
    ((_, table),) = values.pop("table")
    assert table == {"_type": "table", "columns": ["a", "b"], "data": [[1, "x"]]}
    ((_, text),) = values.pop("text")
    assert text["data"] == [["y"]]
    ((_, images),) = values.pop("image")
    assert [(image["_type"], image["caption"]) for image in images] == [("image", "c")]
    assert len(values["train/loss_step"]) == 6
    gradients: dict[str, Any] = theirs["a"]["values"]
    for name in [name for name in gradients if name.startswith(("gradients/", "parameters/"))]:
        del gradients[name]
    assert ours["a"] == at_steps_of("trainer/global_step", theirs["a"])
