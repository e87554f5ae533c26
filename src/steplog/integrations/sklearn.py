"""scikit-learn from 1.9: what a search has found, and scores of estimators that fit in iterations.

::

    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}).set_callbacks(SteplogCallback(project="digits"))
    search.fit(X, y)

    LogisticRegression().set_callbacks(SteplogCallback(scoring="accuracy"))

    mean_test_score, params, …       of a search, a step a candidate; best_score, best_params
    train/accuracy                   of an estimator, a step an iteration, on the data that it is fitted to

Parameters are the config. Estimators that take callbacks are those with ``set_callbacks``: searches, ``Pipeline``,
``LogisticRegression`` and ``StandardScaler`` in 1.9. A run of its own has one ``fit``, and is CRASHED if that raises.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sklearn.callback import CallbackContext
from sklearn.metrics import check_scoring

from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogCallback"]

_OF_A_CANDIDATE = ("mean_test_", "std_test_", "rank_test_", "mean_train_", "mean_fit_time", "mean_score_time")


class SteplogCallback:
    """``scoring``: as scikit-learn's, computed at each iteration; ``init``: arguments of ``steplog.init``."""

    def __init__(self, run: Run | None = None, *, scoring: Any = None, **init: Any) -> None:
        self._given, self._init, self._scoring = run, init, scoring
        self._target = AdapterRun(run)
        self._raised: BaseException | None = None
        if scoring is not None:
            vars(self)["on_fit_task_end"] = self._score  # which asks for data, and costs scikit-learn their making

    def setup(self, estimator: Any, context: CallbackContext) -> None:
        """A ``fit`` begins."""
        self._raised = sys.exc_info()[1]  # what the program is about to deal with, if anything
        self._target = AdapterRun(self._given, default_project="sklearn", **self._init)
        self._target.configure({"model": type(estimator).__name__, **_plain(estimator.get_params())})

    def teardown(self, estimator: Any, context: CallbackContext) -> None:
        """It is over."""
        error = sys.exc_info()[1]
        if error is not None and error is not self._raised:
            self._target.finish(error=error)
            return
        if (results := getattr(estimator, "cv_results_", None)) is not None:
            self._log_search(estimator, results)
        self._target.rest()

    def on_fit_task_begin(self, estimator: Any, context: CallbackContext) -> None:
        """Do nothing."""

    def on_fit_task_end(self, estimator: Any, context: CallbackContext, **_: Any) -> None:
        """Nothing, without ``scoring``."""

    def _score(
        self,
        estimator: Any,
        context: CallbackContext,
        *,
        X: Any = None,  # noqa: N803 - scikit-learn's name
        y: Any = None,
        fitted_estimator: Any = None,
    ) -> None:
        if context.parent is None or fitted_estimator is None or X is None:
            return
        scoring = [self._scoring] if isinstance(self._scoring, str) else self._scoring
        found = check_scoring(estimator, scoring)(fitted_estimator, X, y)
        scores = found if isinstance(found, dict) else {"score": found}
        self._target.log({f"train/{name}": score for name, score in scores.items()}, step=context.task_id)

    def _log_search(self, search: Any, results: dict[str, Any]) -> None:
        kept = [name for name in results if name.startswith(_OF_A_CANDIDATE)]
        for index, params in enumerate(results["params"]):
            self._target.log({"params": params, **{name: results[name][index] for name in kept}}, step=index)
        best = {name: getattr(search, f"{name}_", None) for name in ("best_score", "best_params")}
        self._target.log({name: value for name, value in best.items() if value is not None})


def _plain(value: Any) -> Any:
    """Parameters may be estimators, also in lists."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
