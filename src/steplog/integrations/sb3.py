"""Stable-Baselines3: all that its logger records, at the number of timesteps.

::

    model.learn(10_000, callback=SteplogCallback(project="cartpole"))

    logger = Logger(folder=None, output_formats=[HumanOutputFormat(sys.stdout), SteplogWriter(project="cartpole")])
    model.set_logger(logger)

``record(key, value, exclude="steplog")`` leaves a value out. A figure is an image, a batch of videos a list of them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure, HParam, Image, KVWriter, Video

from steplog.integrations.adapter_run import AdapterRun
from steplog.integrations.sb3_pictures import picture_of

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogCallback", "SteplogWriter"]

_PLAIN = (bool, int, float, str, dict, type(None))
_STATE = {"num_timesteps", "start_time", "verbose", "tensorboard_log", "lr_schedule"}  # no hyperparameters


class SteplogWriter(KVWriter):
    """An output format for ``Logger``. ``close`` ends a run of its own."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        self.target = AdapterRun(run, default_project="sb3", **init)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Log what was recorded since the last time."""
        kept: dict[str, Any] = {}
        for key, value in key_values.items():
            if "steplog" in (key_excluded.get(key) or ()):
                continue
            if isinstance(value, HParam):
                self.target.configure(value.hparam_dict)
            elif isinstance(value, (Figure, Image, Video)):
                self.target.keep(lambda _, of=(key, value): kept.update({of[0]: picture_of(of[1])}))  # type: ignore[misc]
            else:
                kept[key] = value
        self.target.log(kept, step=step)

    def close(self) -> None:
        """End the run, if it is one of its own."""
        self.target.finish()


class SteplogCallback(BaseCallback):
    """Adds a ``SteplogWriter`` to the model's logger while it learns; hyperparameters are the run's config."""

    def __init__(self, run: Run | None = None, verbose: int = 0, **init: Any) -> None:
        super().__init__(verbose)
        self._given, self._init = run, init
        self._writer = SteplogWriter(run, **init)

    def _on_training_start(self) -> None:
        if self.num_timesteps == 0 and self._writer.target.is_own:  # it learns anew: another run
            self._writer.close()
            self._writer = SteplogWriter(self._given, **self._init)
        self._writer.target.configure(self._hyperparameters())
        if self._writer not in self.logger.output_formats:  # where it learned before, and failed
            self.logger.output_formats.append(self._writer)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._writer.write(self.logger.name_to_value, self.logger.name_to_excluded, self.num_timesteps)
        self.logger.output_formats.remove(self._writer)
        self._writer.target.rest()

    def _hyperparameters(self) -> dict[str, Any]:
        found = {"algorithm": type(self.model).__name__, "total_timesteps": self.locals.get("total_timesteps")}
        with suppress(Exception):  # of environments that are none of gymnasium's
            found["env"] = self.training_env.get_attr("spec")[0].id
        for name, value in vars(self.model).items():
            if not name.startswith("_") and name not in _STATE:
                if isinstance(value, _PLAIN) or name == "policy_class":
                    found[name] = value
                elif "Schedule" in type(value).__name__:
                    found[name] = str(value)
        return found
