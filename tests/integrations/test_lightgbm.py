"""Boosting by LightGBM: each evaluation at its iteration, also where a training stops early."""

from __future__ import annotations

import multiprocessing

import numpy
import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points, values

lightgbm = pytest.importorskip("lightgbm", reason="needs lightgbm: pip install 'steplog[frameworks]'")

from steplog.integrations.lightgbm import record, steplog_callback  # noqa: E402 - after the skip

PARAMS = {"objective": "regression", "metric": ["l2"], "verbosity": -1, "num_threads": 1, "learning_rate": 0.5}
RANDOM = numpy.random.default_rng(0)
X = RANDOM.normal(size=(120, 3))
Y = X[:, 0] + 0.1 * RANDOM.normal(size=120)


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)


def train(rounds: int, *callbacks):
    """A model, and what LightGBM itself has recorded."""
    seen: dict = {}
    data = lightgbm.Dataset(X[:80], Y[:80])
    valid = lightgbm.Dataset(X[80:], Y[80:], reference=data)
    given = [lightgbm.record_evaluation(seen), *callbacks]
    model = lightgbm.train(PARAMS, data, rounds, valid_sets=[valid], valid_names=["valid"], callbacks=given)
    return model, seen["valid"]["l2"]


@apart
def test_a_training_logs_what_lightgbm_evaluates_to_the_active_run():
    with steplog.init(project="trees", name="mine"):
        _, seen = train(3, steplog_callback())
    run = opened("trees", "mine")
    assert points(run, "valid/l2") == list(enumerate(seen))
    assert run.config["learning_rate"] == 0.5


@apart
def test_folds_that_stop_early_have_a_run_each_which_ends_with_the_next():
    scores = []
    for fold in range(2):
        stop = lightgbm.early_stopping(1, verbose=False)
        model, seen = train(40, stop, steplog_callback(project="trees", name=f"fold-{fold}"))
        steplog.log("test/l2", float(fold))
        record(model)
        scores.append(seen)
    assert fields("trees") == {"fold-0": ("COMPLETED",), "fold-1": ("RUNNING",)}
    assert 1 < len(scores[0]) < 40
    for fold in range(2):
        run = opened("trees", f"fold-{fold}")
        assert values(run, "valid/l2") == scores[fold]
        assert values(run, "test/l2") == [float(fold)]
        assert values(run, "best_iteration") == [model.best_iteration]
        assert values(run, "best/valid/l2") == [min(scores[fold])]
        assert values(run, "feature_importance")[0].keys() == {"Column_0", "Column_1", "Column_2"}


def train_folds(names: list[str]) -> None:
    for name in names:
        train(40, lightgbm.early_stopping(1, verbose=False), steplog_callback(project="trees", name=name))


@apart
def test_folds_in_a_process_of_multiprocessing_have_a_run_each():
    """Where a run does not rest when its training is over, but ends."""
    process = multiprocessing.get_context("fork").Process(target=train_folds, args=(["fold-0", "fold-1"],))
    process.start()
    process.join(30.0)
    found = fields("trees")
    assert found.keys() == {"fold-0", "fold-1"}
    assert found["fold-0"] == ("COMPLETED",)
    assert len(values(opened("trees", "fold-0"), "valid/l2")) == len(values(opened("trees", "fold-1"), "valid/l2"))


@apart
def test_cross_validation_logs_mean_and_deviation_by_lightgbms_own_names():
    data = lightgbm.Dataset(X, Y)
    callback = steplog_callback(project="trees", name="cv")
    seen = lightgbm.cv(PARAMS, data, 3, nfold=2, stratified=False, callbacks=[callback])
    run = opened("trees", "cv")
    assert values(run, "valid/l2-mean") == seen["valid l2-mean"]
    assert values(run, "valid/l2-stdv") == seen["valid l2-stdv"]


@apart
def test_one_callback_serves_estimators_one_after_another():
    callback = steplog_callback(project="trees", name="model")
    for count in (2, 3):
        model = lightgbm.LGBMRegressor(n_estimators=count, verbosity=-1, n_jobs=1)
        model.fit(X, Y, eval_X=X, eval_y=Y, eval_names=["all"], callbacks=[callback])
        record(model)
    counts = sorted(len(values(steplog.open(row["uuid"]), "all/l2")) for row in steplog.runs("trees"))
    assert counts == [2, 3]


@apart
def test_results_of_older_versions_are_logged_by_the_same_names():
    """Until 4.6, they are tuples, and those of cv() name no data set."""
    from lightgbm.callback import CallbackEnv

    with steplog.init(project="trees", name="older"):
        callback = steplog_callback()
        callback(CallbackEnv(None, {}, 0, 0, 2, [("valid", "l2", 0.5, False)]))
        callback(CallbackEnv(None, {}, 1, 0, 2, [("cv_agg", "valid l2", 0.25, False, 0.125)]))
    run = opened("trees", "older")
    assert points(run, "valid/l2") == [(0, 0.5)]
    assert points(run, "valid/l2-mean") == [(1, 0.25)]
    assert points(run, "valid/l2-stdv") == [(1, 0.125)]
