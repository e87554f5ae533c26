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

from steplog.integrations.adapter_run import AdapterRun

__all__ = ["SteplogCallback"]

_NAME_CHARACTERS_MAX = 128
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


class SteplogCallback(Callback):
    """``init`` are arguments of ``steplog.init``."""

    def __init__(self, **init: Any) -> None:
        self._init = init
        self._target: AdapterRun | None = None

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Begin the run. What this raises is a warning of Hydra's, and the job goes on."""
        job = config.hydra
        init = {**_init_of(job), **self._init}
        if any(os.environ.get(rank, "0") not in ("", "0") for rank in _RANKS):
            init["mode"] = "disabled"
        self._target = AdapterRun(default_project=job.job.name, **init)
        self._target.get()
        self._target.configure(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
        self._target.configure({"hydra": _about(job)})

    def on_job_end(self, config: DictConfig, job_return: Any, **_: Any) -> None:
        """End it."""
        if self._target is not None:
            # The property would print, and raise, what is to be recorded.
            raised = job_return._return_value if job_return.status.name == "FAILED" else None
            self._target.finish(error=raised)


def _init_of(job: DictConfig) -> dict[str, Any]:
    """What a run of its own is called."""
    init: dict[str, Any] = {}
    if job.mode is not None and job.mode.name == "MULTIRUN":
        init["group"] = str(job.sweep.dir)[-256:]
    overrides = _written(job.job)["override_dirname"]
    if overrides and "STEPLOG_NAME" not in os.environ:
        init["name"] = overrides[:_NAME_CHARACTERS_MAX]
    return init


def _about(job: DictConfig) -> dict[str, Any]:
    return {"overrides": _written(job.overrides.task), "output_dir": str(job.runtime.output_dir)}


def _written(node: Any) -> Any:
    """As it is written; an override may be the text of an interpolation."""
    return OmegaConf.to_container(node, resolve=False)
