"""LightGBM: what ``train``, ``cv`` and the scikit-learn estimators evaluate, at each iteration.

::

    lightgbm.train(params, data, valid_sets=[valid], callbacks=[steplog_callback(project="trees")])

``valid/l2`` of ``train``; ``valid/l2-mean`` and ``valid/l2-stdv`` of ``cv``. Parameters are the config. A run of its
own ends with the program, or when the next one begins: LightGBM calls nobody when training is over, so what follows,
such as a test's score, can be logged to it. ``record`` logs what a trained model knows of itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightgbm import Booster
from lightgbm.callback import CallbackEnv

from steplog import get_active_run
from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["record", "steplog_callback"]

_trained = threading.local()


class _Callback:
    """``order``: before early stopping, which leaves the loop by an exception, and after changes of parameters."""

    order = 25
    before_iteration = False

    def __init__(self, run: Run | None, init: dict[str, Any]) -> None:
        self._given, self._init = run, init
        self._target = AdapterRun(run)

    def __call__(self, env: CallbackEnv) -> None:
        if env.iteration == env.begin_iteration:
            if (before := getattr(_trained, "target", None)) is not None:  # which may have stopped early
                before.finish()
            _trained.target = self._target = AdapterRun(self._given, default_project="lightgbm", **self._init)
            self._target.configure(env.params)
            self._target.rest(is_over=False)
        self._target.log(dict(_flat(env.evaluation_result_list or ())), step=env.iteration)
        if env.iteration == env.end_iteration - 1:
            self._target.rest()


def steplog_callback(run: Run | None = None, **init: Any) -> _Callback:
    """A callback for one training after another; ``init`` are arguments of ``steplog.init`` for runs of its own."""
    return _Callback(run, init)


def record(model: Any, run: Run | None = None) -> None:
    """Log ``best_iteration``, ``best/…`` scores and feature importance (gain) of a ``Booster``, or of an estimator.

    Raises as ``steplog.log`` does.
    """
    booster: Booster = getattr(model, "booster_", model)
    best = {
        f"best/{data}/{name}": value for data, scores in booster.best_score.items() for name, value in scores.items()
    }
    gain = dict(zip(booster.feature_name(), booster.feature_importance("gain").tolist(), strict=True))
    stopped = {"best_iteration": booster.best_iteration} if booster.best_iteration > 0 else {}
    (run or get_active_run()).log({**stopped, **best, "feature_importance": gain})


def _flat(results: Any) -> Iterator[tuple[str, float]]:
    for data, metric, value, _, *deviation in results:
        name = metric.replace(" ", "/", 1) if data == "cv_agg" else f"{data}/{metric}"  # cv_agg: until 4.6
        if deviation and deviation[0] is not None:
            yield f"{name}-mean", value
            yield f"{name}-stdv", deviation[0]
        else:
            yield name, value
