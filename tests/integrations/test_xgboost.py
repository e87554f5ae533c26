"""Boosting by XGBoost, which need not be there: its package is faked by the calls that its documentation promises.

https://xgboost.readthedocs.io/en/stable/python/callbacks.html
"""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points, values

IS_REAL = importlib.util.find_spec("xgboost") is not None
CONFIG = {
    "learner": {"objective": {"name": "reg:squarederror"}, "gradient_booster": {"tree_train_param": {"eta": "0.5"}}}
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)
    if not IS_REAL:
        package, callback = ModuleType("xgboost"), ModuleType("xgboost.callback")
        callback.TrainingCallback = type("TrainingCallback", (), {})
        monkeypatch.setitem(sys.modules, "xgboost", package)
        monkeypatch.setitem(sys.modules, "xgboost.callback", callback)


def callback(*given, **init):
    from steplog.integrations.xgboost import SteplogCallback

    return SteplogCallback(*given, **init)


class Model:
    """A Booster, as far as a callback looks at it."""

    def __init__(self, **attributes: str) -> None:
        self._attributes = attributes

    def save_config(self) -> str:
        return json.dumps(CONFIG)

    def attr(self, name: str) -> str | None:
        return self._attributes.get(name)


def train(called, model, *rounds):
    """``rounds``: of each iteration the scores by data and metric."""
    history: dict = {}
    assert called.before_training(model) is model
    for epoch, scores in enumerate(rounds):
        if isinstance(scores, Exception):
            raise scores
        for (data, metric), score in scores.items():
            history.setdefault(data, {}).setdefault(metric, []).append(score)
        assert called.after_iteration(model, epoch, history) is False
    assert called.after_training(model) is model


@apart
def test_each_iteration_logs_the_last_value_of_each_metric():
    model = Model(best_iteration="1", best_score="0.25")
    with steplog.init(project="trees", name="mine") as run:
        train(callback(run), model, {("valid", "rmse"): 0.5}, {("valid", "rmse"): 0.25, ("train", "mae"): 0.125})
    read = opened("trees", "mine")
    assert points(read, "valid/rmse") == [(0, 0.5), (1, 0.25)]
    assert points(read, "train/mae") == [(1, 0.125)]
    assert (values(read, "best_iteration"), values(read, "best_score")) == ([1], [0.25])
    assert read.config == {"eta": 0.5}


@apart
def test_cross_validation_logs_mean_and_deviation():
    folds = SimpleNamespace(cvfolds=[SimpleNamespace(bst=Model())], attr=Model().attr)
    train(callback(project="trees", name="cv"), folds, {("test", "rmse"): (0.5, 0.125)})
    read = opened("trees", "cv")
    assert (values(read, "test/rmse-mean"), values(read, "test/rmse-std")) == ([0.5], [0.125])
    assert read.config == {"eta": 0.5}


@apart
def test_a_training_that_raised_is_failed_once_the_next_begins():
    with pytest.raises(ZeroDivisionError):
        train(callback(project="trees", name="first"), Model(), {("valid", "rmse"): 0.5}, ZeroDivisionError())
    train(callback(project="trees", name="second"), Model(), {("valid", "rmse"): 0.25})
    steplog.log("test/rmse", 0.75)
    train(callback(project="trees", name="third"), Model(), {("valid", "rmse"): 0.125})
    assert fields("trees") == {"first": ("FAILED",), "second": ("COMPLETED",), "third": ("RUNNING",)}
    assert values(opened("trees", "second"), "test/rmse") == [0.75]
    assert values(opened("trees", "second"), "valid/rmse") == [0.25]


@pytest.mark.skipif(not IS_REAL, reason="needs xgboost: pip install xgboost-cpu")
@apart
def test_xgboost_itself_calls_so():
    import numpy
    import xgboost

    x = numpy.random.default_rng(0).normal(size=(60, 2))
    data, seen = xgboost.DMatrix(x, x[:, 0]), {}
    params = {"eta": 0.5, "nthread": 1, "eval_metric": "rmse"}
    given = {"verbose_eval": False, "early_stopping_rounds": 2}
    called = callback(project="trees", name="real")
    xgboost.train(params, data, 3, evals=[(data, "all")], evals_result=seen, callbacks=[called], **given)
    found = xgboost.cv(params, data, 2, nfold=2, as_pandas=False, callbacks=[callback(project="trees", name="cv")])
    read = opened("trees", "real")
    assert values(read, "all/rmse") == seen["all"]["rmse"]
    assert values(read, "best_iteration") == [2]
    assert read.config["eta"] == 0.5
    assert values(opened("trees", "cv"), "test/rmse-mean") == found["test-rmse-mean"]
