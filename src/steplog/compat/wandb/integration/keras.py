"""``wandb.integration.keras``: a row an epoch or a batch, as ``epoch/loss`` and the like.

``WandbCallback``, which wandb has no more, logs what ``fit`` gives, under the names that it has there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import keras

from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.artifact_names import safe_name
from steplog.compat.wandb.integration.running import log_model, running
from steplog.compat.wandb.table import Table

__all__ = ["WandbCallback", "WandbEvalCallback", "WandbMetricsLogger", "WandbModelCheckpoint"]


class WandbMetricsLogger(keras.callbacks.Callback):
    """Log each epoch; or each batch, or each so many batches."""

    def __init__(self, log_freq: str | int = "epoch", initial_global_step: int = 0) -> None:
        super().__init__()
        run = running("WandbMetricsLogger()")
        self._every = None if log_freq == "epoch" else 1 if log_freq == "batch" else int(log_freq)
        self._batches = initial_global_step
        self._rows = 0
        steps = "epoch/epoch" if self._every is None else "batch/batch_step"
        run.define_metric(steps)
        run.define_metric(f"{steps.partition('/')[0]}/*", step_metric=steps)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        self._batches += 1
        if self._every is not None and batch % self._every == 0:
            self._log("batch", {**(logs or {}), "batch_step": self._rows})
            self._rows += self._every

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        self._log("epoch", {**(logs or {}), "epoch": epoch})

    def _log(self, part: str, values: dict[str, Any]) -> None:
        rate = self.model.optimizer.learning_rate
        with suppress(Exception):  # an optimizer of one's own
            values["learning_rate"] = float(rate(self._batches) if callable(rate) else rate)
        running("WandbMetricsLogger()").log({f"{part}/{name}": value for name, value in values.items()})


class WandbModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras's own, each of whose files is a version of the artifact ``run_ID_model``."""

    def __init__(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(filepath, *args, **kwargs)
        running("WandbModelCheckpoint()")
        self._seen: tuple[str, int] | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        super().on_train_batch_end(batch, logs)
        if self.save_freq != "epoch":
            self._log({**(logs or {}), "batch": batch + 1}, f"epoch_{self._epoch}_batch_{batch}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        super().on_epoch_end(epoch, logs)
        if self.save_freq == "epoch":
            self._log(logs or {}, f"epoch_{epoch}")

    def _log(self, values: Mapping[str, Any], alias: str) -> None:
        """Log the file, if it was written since the last time."""
        with suppress(KeyError, OSError, ValueError):  # Keras says what is wrong with its name, or it was not written
            path = str(self.filepath).format(**{**values, "epoch": self._epoch + 1})
            seen = path, os.stat(path).st_mtime_ns
            if seen != self._seen:
                self._seen = seen
                run = running("WandbModelCheckpoint()")
                run.log_artifact(path, safe_name(f"run_{run.id}_model"), "model", aliases=[alias])


class WandbEvalCallback(keras.callbacks.Callback):
    """Subclass it: ``add_ground_truth`` and ``add_model_predictions`` fill tables, which are logged."""

    def __init__(self, data_table_columns: list[str], pred_table_columns: list[str]) -> None:
        super().__init__()
        running("WandbEvalCallback()")
        self.data_table_columns, self.pred_table_columns = data_table_columns, pred_table_columns

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        self.init_data_table(self.data_table_columns)
        self.add_ground_truth(logs)
        self.log_data_table()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        self.init_pred_table(self.pred_table_columns)
        self.add_model_predictions(epoch, logs)
        self.log_pred_table()

    def add_ground_truth(self, logs: Mapping[str, Any] | None = None) -> None:
        """To be defined."""
        raise NotImplementedError(f"{type(self).__name__}.add_ground_truth")

    def add_model_predictions(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """To be defined."""
        raise NotImplementedError(f"{type(self).__name__}.add_model_predictions")

    def init_data_table(self, column_names: list[str]) -> None:
        """Begin the table of the data."""
        self.data_table = Table(column_names)
        self.data_table_ref = self.data_table

    def init_pred_table(self, column_names: list[str]) -> None:
        """Begin the table of an epoch's predictions."""
        self.pred_table = Table(column_names)

    def log_data_table(self, name: str = "val", type: str = "dataset", table_name: str = "val_data") -> None:  # noqa: A002 - wandb's name
        """Log the table of the data."""
        running("log_data_table()").log({table_name: self.data_table}, commit=False)

    def log_pred_table(
        self,
        type: str = "evaluation",  # noqa: A002 - wandb's name
        table_name: str = "eval_data",
        aliases: list[str] | None = None,
    ) -> None:
        """Log the table of an epoch's predictions."""
        running("log_pred_table()").log({table_name: self.pred_table}, commit=False)


class WandbCallback(keras.callbacks.Callback):
    """Log each epoch, and the best one in the summary, and as an artifact; predictions and weights are counted."""

    def __init__(
        self, monitor: str = "val_loss", verbose: int = 0, mode: str = "auto", save_model: bool = True, **options: Any
    ) -> None:
        super().__init__()
        running("WandbCallback()")
        is_rising = mode == "max" or (mode == "auto" and ("acc" in monitor or monitor.startswith("fmeasure")))
        self._monitor, self._sign = monitor, -1.0 if is_rising else 1.0
        self._best = float("inf")
        for name in ("predictions", "log_weights", "log_gradients", "log_evaluation"):
            if options.get(name):
                unsupported.note(f"wandb.keras.WandbCallback({name}=…)", "log what you need of it: wandb.log({…})")
        self._saves = save_model

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """By Keras."""
        run = running("WandbCallback()")
        run.log({"epoch": epoch, **(logs or {})})
        value = (logs or {}).get(self._monitor)
        if value is not None and self._sign * float(value) < self._best:
            self._best = self._sign * float(value)
            run.summary.update({f"best_{self._monitor}": value, "best_epoch": epoch})
            if self._saves:
                log_model(run, safe_name(f"model-{run.name or run.id}"), "model-best.keras", self.model.save)
