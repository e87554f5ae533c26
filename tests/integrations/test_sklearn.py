"""scikit-learn's callbacks: searches a step a candidate, scores a step an iteration, failures as such."""

from __future__ import annotations

import numpy
import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points, values

pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9: pip install 'steplog[frameworks]'")

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steplog.integrations.sklearn import SteplogCallback

pytestmark = pytest.mark.filterwarnings("default:lbfgs failed to converge")
X = numpy.random.default_rng(0).normal(size=(40, 3))
Y = X[:, 0] > 0


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)


def model(*given, **init):
    return LogisticRegression(max_iter=3).set_callbacks(SteplogCallback(*given, **init))


@apart
def test_a_search_logs_each_candidate_and_the_best():
    search = GridSearchCV(LogisticRegression(), {"C": [0.001, 1.0]}, cv=2)
    search.set_callbacks(SteplogCallback(project="digits", name="search")).fit(X, Y)
    read = opened("digits", "search")
    assert points(read, "mean_test_score") == list(enumerate(search.cv_results_["mean_test_score"].tolist()))
    assert values(read, "params") == [{"C": 0.001}, {"C": 1.0}]
    assert values(read, "best_score") == [search.best_score_]
    assert values(read, "best_params") == [search.best_params_]
    assert read.config["param_grid"] == {"C": [0.001, 1.0]}
    assert (read.config["model"], read.config["estimator__C"]) == ("GridSearchCV", 1.0)


@apart
def test_scores_are_computed_at_each_iteration_where_they_are_asked_for():
    with steplog.init(project="digits", name="mine") as run:
        model(run, scoring=["accuracy", "f1"]).fit(X, Y)
        model(run).fit(X, Y)
    read = opened("digits", "mine")
    assert [step for step, _ in points(read, "train/accuracy")] == [0, 1, 2]
    assert len(values(read, "train/f1")) == 3
    assert {row["name"] for row in read.series()} == {"train/accuracy", "train/f1"}


@apart
def test_a_fit_that_raises_is_crashed_and_one_beside_an_exception_is_not():
    bad = GridSearchCV(LogisticRegression(), {"C": [-1.0]}, cv=2, error_score="raise")
    try:
        bad.set_callbacks(SteplogCallback(project="digits", name="bad")).fit(X, Y)
    except ValueError:
        model(project="digits", name="good").fit(X, Y)
    model(project="digits", name="last").fit(X, Y)
    assert fields("digits") == {"bad": ("CRASHED",), "good": ("COMPLETED",), "last": ("RUNNING",)}
    assert "'C' parameter" in values(opened("digits", "bad"), "steplog/exception")[0]["message"]


@apart
def test_estimators_among_the_parameters_are_told_as_scikit_learn_prints_them():
    made = make_pipeline(StandardScaler(), LogisticRegression(C=2.0))
    made.set_callbacks(SteplogCallback(project="digits", name="steps")).fit(X, Y)
    config = opened("digits", "steps").config
    assert config["steps"][0] == ["standardscaler", "StandardScaler()"]
    assert config["logisticregression__C"] == 2.0


@pytest.mark.slow
@apart
def test_a_search_in_several_processes_is_one_run():
    search = GridSearchCV(LogisticRegression(), {"C": [0.001, 1.0]}, cv=2, n_jobs=2)
    search.set_callbacks(SteplogCallback(project="digits", name="search")).fit(X, Y)
    assert fields("digits") == {"search": ("RUNNING",)}
    assert len(values(opened("digits", "search"), "mean_test_score")) == 2
