"""``wandb.integration.sb3``: a model's settings as config, and its file; the curves come by ``sync_tensorboard``."""

from __future__ import annotations

import os
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from steplog.compat.wandb.integration.running import running
from steplog.compat.wandb.term import termwarn

__all__ = ["WandbCallback"]

_PLAIN = (float, int, str)
_LOGS = ("gradients", "parameters", "all", None)


class WandbCallback(BaseCallback):
    """Call ``wandb.init`` before it. The file stays where ``model_save_path`` says."""

    def __init__(
        self,
        verbose: int = 0,
        model_save_path: str | None = None,
        model_save_freq: int = 0,
        gradient_save_freq: int = 0,
        log: str | None = "all",
    ) -> None:
        super().__init__(verbose)
        running("WandbCallback()")
        if log not in _LOGS:
            termwarn(f"`log` must be one of {_LOGS}, falling back to 'all'")
            log = "all"
        if model_save_path is None and model_save_freq != 0:
            raise AssertionError("to use the `model_save_freq` you have to set the `model_save_path` parameter")
        self.model_save_path, self.model_save_freq = model_save_path, model_save_freq
        self.gradient_save_freq, self.log = gradient_save_freq, log
        if model_save_path is not None:
            os.makedirs(model_save_path, exist_ok=True)
            self.path = os.path.join(model_save_path, "model.zip")

    def _init_callback(self) -> None:
        run = running("WandbCallback()")
        settings: dict[str, Any] = {"algo": type(self.model).__name__}
        for name, value in vars(self.model).items():
            if name not in run.config:
                settings[name] = value if type(value) in _PLAIN else str(value)
        if self.gradient_save_freq > 0:
            run.watch(self.model.policy, log_freq=self.gradient_save_freq, log=self.log)
        run.config.setdefaults(settings)

    def _on_step(self) -> bool:
        if self.model_save_freq > 0 and self.n_calls % self.model_save_freq == 0:
            self.save_model()
        return True

    def _on_training_end(self) -> None:
        if self.model_save_path is not None:
            self.save_model()

    def save_model(self) -> None:
        """Write the model to its file."""
        self.model.save(self.path)
        running("save_model()").save(self.path, base_path=self.model_save_path)
