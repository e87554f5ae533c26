"""Ray: a run a trial of Tune, in a group an experiment; and what a trainer of Train reports.

::

    tune.Tuner(trainable, run_config=tune.RunConfig(callbacks=[SteplogLoggerCallback(project="search")])).fit()
    TorchTrainer(loop, run_config=train.RunConfig(callbacks=[SteplogReportCallback(project="mnist")])).fit()

Results of Tune are values at ``training_iteration``. A trial that fails for good is CRASHED with its error; one that a
restored ``Tuner`` goes on with goes on in its run. Train: what rank 0 reports, at the number of the report, logged in
Ray's controller process to a run that the program that calls ``fit`` begins and ends. A server has to be configured.
"""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback

from steplog import Run
from steplog.integrations.adapter_run import AdapterRun
from steplog.integrations.flat_names import flat_names
from steplog.integrations.side_run import SideRun

try:
    from ray.train import UserCallback
except ImportError:  # Train before its second version, which has none
    UserCallback = object

__all__ = ["SteplogLoggerCallback", "SteplogReportCallback"]

_OF_RAY = {"config", "done", "should_checkpoint", "trial_id", "experiment_tag", "date", "timestamp", "pid", "hostname"}
_OF_RAY |= {"node_ip", "checkpoint_dir_name", "training_iteration", "iterations_since_restore", "time_since_restore"}


class SteplogLoggerCallback(LoggerCallback):
    """For Tune; ``init`` are arguments of ``steplog.init`` for the run of each trial."""

    def __init__(self, **init: Any) -> None:
        self._init = init
        self._sides: dict[str, SideRun] = {}
        self._before: dict[str, str] = {}  # the run of each trial, of a Tuner that this one goes on with

    def log_trial_start(self, trial: Trial) -> None:
        """It starts, or goes on after a pause or a failure."""
        if trial.trial_id not in self._sides:
            init = {"name": str(trial), "group": trial.experiment_dir_name, "job_type": trial.trainable_name}
            goes_on = {"id": self._before[trial.trial_id], "resume": "allow"} if trial.trial_id in self._before else {}
            self._sides[trial.trial_id] = side = SideRun(default_project="ray", **{**init, **self._init, **goes_on})
            side.configure({name: value for name, value in trial.config.items() if name != "callbacks"})

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """A report of a trial."""
        self.log_trial_start(trial)
        kept = flat_names({name: value for name, value in result.items() if name not in _OF_RAY})
        self._sides[trial.trial_id].log(kept, step=result.get("training_iteration"))

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """It will not go on."""
        if (side := self._sides.get(trial.trial_id)) is not None:
            error = (trial.get_pickled_error() or RuntimeError(str(trial.get_error()))) if failed else None
            side.finish(error=error)

    def get_state(self) -> dict[str, Any]:
        """What Tune keeps of this for a Tuner that goes on."""
        return {
            "runs": self._before | {trial: str(side.begun.uuid) for trial, side in self._sides.items() if side.begun}
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """See ``get_state``."""
        self._before = state["runs"]


class SteplogReportCallback(UserCallback):
    """For Train; ``init`` are arguments of ``steplog.init``."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        self._target, self._reports = AdapterRun(run, default_project="ray", **init), 0

    def __getstate__(self) -> dict[str, Any]:
        """It is sent to the controller; the run begins here, where it is known how all ends."""
        self._target.get()
        self._target.rest(is_over=False)
        return dict(vars(self))

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """All workers have reported."""
        if self._reports == 0:
            self._target.configure(run_context.train_loop_config)
        self._target.log(flat_names(metrics[0]), step=self._reports)
        self._reports += 1

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Ray may try again."""
        told = {"exceptions": {str(rank): repr(error)[:1000] for rank, error in worker_exceptions.items()}}
        self._target.log(told, step=self._reports)
