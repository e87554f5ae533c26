"""A run for each job of Hydra, with the job's composed config, by a callback in the config.

::

    hydra:
      callbacks:
        steplog:
          _target_: steplog.integrations.hydra.SteplogCallback
          project: mnist

1. The run is open, and active, while the task function runs: log with ``steplog.log``. It ends COMPLETED, or CRASHED
   with the exception that the task function raised.
2. The config is resolved; what cannot be resolved is kept as it is written. ``config["hydra"]`` has the overrides and
   the directory of the output.
3. A multirun is one run a job; their group is the directory of the sweep.
4. The project is the one given, else ``STEPLOG_PROJECT``, else the job's name; the name is the one given, else
   ``STEPLOG_NAME``, else the overrides.
5. Where a launcher has started several ranks, the first has the run; ``steplog.log`` of the others goes nowhere.
6. A run that is active before the job gets the config, and is not ended.
"""

from __future__ import annotations

import os
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import steplog

__all__ = ["SteplogCallback"]

_NAME_CHARACTERS_MAX = 128
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


class SteplogCallback(Callback):
    """``init`` are arguments of ``steplog.init``."""

    def __init__(self, **init: Any) -> None:
        self._init = init
        self._own: steplog.Run | None = None

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Begin the run. What this raises is a warning of Hydra's, and the job goes on."""
        job = config.hydra
        composed = {**_composed(config), "hydra": _about(job)}
        try:
            steplog.get_active_run().config.update(composed)
        except ValueError:
            self._own = self._begin(job, composed)

    def on_job_end(self, config: DictConfig, job_return: Any, **_: Any) -> None:
        """End it."""
        own, self._own = self._own, None
        if own is not None:
            # The property would print, and raise, what is to be recorded.
            raised = job_return._return_value if job_return.status.name == "FAILED" else None
            own.finish(error=raised)

    def _begin(self, job: DictConfig, config: dict[str, Any]) -> steplog.Run:
        init = {"config": config, **self._init}
        if any(os.environ.get(rank, "0") not in ("", "0") for rank in _RANKS):
            init["mode"] = "disabled"
        if job.mode is not None and job.mode.name == "MULTIRUN":
            init.setdefault("group", str(job.sweep.dir)[-256:])
        overrides = _written(job.job)["override_dirname"]
        if overrides and "STEPLOG_NAME" not in os.environ:
            init.setdefault("name", overrides[:_NAME_CHARACTERS_MAX])
        try:
            return steplog.init(**init)
        except ValueError:
            if init.get("project") is not None:
                raise
            return steplog.init(**{**init, "project": job.job.name})


def _composed(config: DictConfig) -> dict[str, Any]:
    mine = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    try:
        made = OmegaConf.to_container(mine, resolve=True)
    except OmegaConfBaseException:
        made = _written(mine)
    return {str(key): value for key, value in made.items()} if isinstance(made, dict) else {}


def _about(job: DictConfig) -> dict[str, Any]:
    return {"overrides": _written(job.overrides.task), "output_dir": str(job.runtime.output_dir)}


def _written(node: Any) -> Any:
    """As it is written; an override may be the text of an interpolation."""
    return OmegaConf.to_container(node, resolve=False)
