"""Optuna: a run a trial, in a group a study; with a run that is given or active, all trials in that, a step a trial.

::

    callback = SteplogCallback(project="search")

    study.optimize(callback.track(objective), n_trials=20, n_jobs=2, callbacks=[callback])

``track``: the run begins with the trial, and is the active one, to which the objective can log. It can be left out.

Parameters are the config, or ``params/NAME``. ``trial.report`` gives ``intermediate_value``; what is returned is
``value``, or is called by ``study.metric_names``. A pruned trial is COMPLETED, with the tag "pruned"; one that failed
is FAILED, or CRASHED with its exception if it is tracked. Optuna calls no callback for an exception that ends a study.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from optuna import Study, Trial, TrialPruned
from optuna.trial import FrozenTrial, TrialState

from steplog import Run
from steplog.integrations.adapter_run import AdapterRun
from steplog.integrations.optuna_trial import watch
from steplog.integrations.side_run import SideRun

__all__ = ["SteplogCallback"]


class SteplogCallback:
    """``init`` are arguments of ``steplog.init`` for the run of each trial."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        self._init, self._shared, self._is_decided, self._lock = init, AdapterRun(run), False, threading.Lock()
        self._sides: dict[tuple[str, int], SideRun] = {}

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """A trial is over."""
        if self._is_shared():
            told = {"state": trial.state.name, "intermediate_values": trial.intermediate_values}
            told |= _values(study, trial) | {f"params/{name}": value for name, value in trial.params.items()}
            self._shared.log(told, step=trial.number)
            return
        side = self._sides.pop((study.study_name, trial.number), None)
        if side is None:
            side = self._begun(study.study_name, trial.number)
            for step, value in trial.intermediate_values.items():
                side.log({"intermediate_value": value}, step=step)
        if not side.has_ended:
            side.configure({**trial.params, **({"user_attrs": trial.user_attrs} if trial.user_attrs else {})})
            side.log(_values(study, trial))
            if trial.state is TrialState.PRUNED:
                side.tag("pruned")
            side.finish(status="FAILED" if trial.state is TrialState.FAIL else "COMPLETED")

    def track(self, objective: Callable[[Trial], Any]) -> Callable[[Trial], Any]:
        """An objective whose run begins with the trial, and ends by the callback, or by what the objective raises."""

        @functools.wraps(objective)
        def tracked(trial: Trial) -> Any:
            if self._is_shared():
                return objective(trial)
            side = self._begun(trial.study.study_name, trial.number)
            self._sides[trial.study.study_name, trial.number] = side
            watch(trial, side)
            try:
                return side.inside(objective, trial)
            except TrialPruned:
                raise
            except BaseException as error:
                side.finish(error=error)
                raise

        return tracked

    def _begun(self, study: str, number: int) -> SideRun:
        usual = {"group": study, **self._init, "name": f"{self._init.get('name', 'trial')}-{number}"}
        return SideRun(default_project="optuna", **usual)

    def _is_shared(self) -> bool:
        with self._lock:  # decided once, before a trial has a run that could seem to be the active one
            if not self._is_decided:
                self._shared, self._is_decided = AdapterRun(self._shared.begun or AdapterRun().active()), True
        return self._shared.begun is not None


def _values(study: Study, trial: FrozenTrial) -> dict[str, float]:
    values = trial.values or []
    usual = ["value"] if len(values) == 1 else [f"values_{index}" for index in range(len(values))]
    return dict(zip(getattr(study, "metric_names", None) or usual, values, strict=False))
