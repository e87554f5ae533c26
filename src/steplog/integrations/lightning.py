"""A logger of Lightning, imported as ``lightning.pytorch`` or as ``pytorch_lightning``.

::

    trainer = Trainer(logger=SteplogLogger(project="mnist", name="resnet"))

1. Rank zero logs, to one run. Where Lightning forks (``ddp_notebook``) that takes a look at ``logger.experiment``
   before ``fit``; else each of ``fit`` and ``test`` is a run.
2. ``fit`` and ``test`` of a logger are one run, which ends with the program, or when the next logger begins its own.
3. A training that fails, is interrupted or gets SIGTERM ends its run CRASHED, with the exception; a later ``fit`` goes
   on with it. A run that the program has begun is ended by the program, or when that is about to exit.
4. Checkpoints are below ``save_dir`` or the trainer's ``default_root_dir``; artifacts, too, with ``log_model``.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from multiprocessing.context import get_spawning_popen
from typing import Any

try:
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        raise ModuleNotFoundError
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
except ModuleNotFoundError:
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

from steplog import Run
from steplog.integrations.adapter_run import AdapterRun
from steplog.integrations.lightning_files import LightningFiles

__all__ = ["SteplogLogger"]


class SteplogLogger(LightningFiles, Logger):
    """Logs to ``run``, else to the active run, else to one of its own, begun by ``steplog.init(**init)``."""

    def __init__(self, run: Run | None = None, save_dir: str | None = None, prefix: str = "", **init: Any) -> None:
        super().__init__()
        self._log_model = init.pop("log_model", False)
        self._save_dir = save_dir
        self._prefix = f"{prefix}/" if prefix else ""
        self._project = init.get("project") or "lightning_logs"
        self._run = AdapterRun(run, default_project=self._project, **init)
        self._version = init.get("id")

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run, begun by the first look at it; in other ranks than zero what logs nowhere."""
        return self._run.look()

    @property
    def name(self) -> str:
        """The project."""
        run = self._run.begun
        return self._project if run is None or run.project is None else run.project.display_name

    @property
    def version(self) -> str | None:
        """The id that the run was given, else its uuid, as it is at the first look; None before the run begins."""
        if self._version is None and (run := self._run.begun) is not None:
            self._version = run.key or run.id
        return self._version

    @property
    def save_dir(self) -> str | None:  # noqa: D102 - as given
        return self._save_dir

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log them at this step."""
        self._run.log({f"{self._prefix}{name}": value for name, value in metrics.items()}, step)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace | None, *_: Any, **__: Any) -> None:
        """Set them in the run's config."""
        self._run.configure(params)

    @rank_zero_only
    def log_graph(self, *_: Any, **__: Any) -> None:
        """What says that a ``fit`` or ``test`` begins; no graph is logged."""
        self._run.get()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """A ``fit`` or ``test`` is over; where it has failed, the exception is being handled now."""
        self._log_left_checkpoints()
        if status == "failed":
            self._run.fail(sys.exc_info()[1])
        else:
            self._run.rest()

    def __getstate__(self) -> dict[str, Any]:
        if get_spawning_popen() is not None:  # the processes that Lightning starts log to the run of this one
            _ = self.experiment
        return self.__dict__
