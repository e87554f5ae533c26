"""XGBoost: what ``train``, ``cv`` and the scikit-learn estimators evaluate, at each iteration.

::

    xgboost.train(params, data, evals=[(valid, "valid")], callbacks=[SteplogCallback(project="trees")])

``valid/rmse`` of ``train``; ``test/rmse-mean`` and ``test/rmse-std`` of ``cv``. Parameters are the config. A run of its
own ends with the program, or when the next one begins: what follows a training can be logged to it. In a distributed
training give the callback to the first worker alone.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from xgboost.callback import TrainingCallback

from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogCallback"]

_trains = threading.local()


class SteplogCallback(TrainingCallback):
    """``init`` are arguments of ``steplog.init`` for runs of its own, one a training."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        super().__init__()
        self._given, self._init = run, init
        self._target = AdapterRun(run)

    def before_training(self, model: Any) -> Any:
        """Begin."""
        if (left := getattr(_trains, "target", None)) is not None:  # an exception has ended it
            left.finish(status="FAILED")
        _trains.target = self._target = AdapterRun(self._given, default_project="xgboost", **self._init)
        self._target.configure(_parameters(model))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, list[Any]]]) -> bool:
        """Log the last value of each metric; never stop."""
        found: dict[str, float] = {}
        for data, metrics in evals_log.items():
            for name, values in metrics.items():
                if isinstance(values[-1], tuple):
                    found[f"{data}/{name}-mean"], found[f"{data}/{name}-std"] = values[-1]
                else:
                    found[f"{data}/{name}"] = values[-1]
        self._target.log(found, step=epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Log what early stopping has found, if it was used."""
        _trains.target = None
        if model.attr("best_iteration") is not None:
            best = {"best_iteration": int(model.attr("best_iteration")), "best_score": float(model.attr("best_score"))}
            self._target.log(best)
        self._target.rest()
        return model


def _parameters(model: Any) -> dict[str, Any]:
    """Of a ``Booster``, or of the first one of ``cv``: all parameters with their values, as XGBoost tells them."""
    if not hasattr(model, "save_config"):
        model = model.cvfolds[0].bst
    found: dict[str, Any] = {}
    _gather(json.loads(model.save_config()).get("learner", {}), found)
    return found


def _gather(part: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict):
            _gather(value, found)
        elif isinstance(value, str) and value and name != "name":
            found[name] = _number(value)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
