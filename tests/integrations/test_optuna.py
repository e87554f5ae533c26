"""Trials of Optuna: a run each, or all in one, with the status that the trial has."""

from __future__ import annotations

import multiprocessing
import os

import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points, values

optuna = pytest.importorskip("optuna", reason="needs optuna: pip install 'steplog[frameworks]'")
optuna.logging.set_verbosity(optuna.logging.ERROR)

from steplog.integrations.optuna import SteplogCallback  # noqa: E402 - after the skip


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)


def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    for step in range(2):
        trial.report(x + step, step)
    match trial.number:
        case 1:
            raise optuna.TrialPruned
        case 2:
            raise KeyError("boom")
        case 3:
            return float("nan")
    return 2 * x


STATUS = {"trial-0": "COMPLETED", "trial-1": "COMPLETED", "trial-2": "FAILED", "trial-3": "FAILED"}


@apart
def test_each_trial_is_a_run_with_its_params_values_and_state():
    study = optuna.create_study(study_name="lrs")
    study.optimize(objective, n_trials=4, callbacks=[SteplogCallback(project="hpo")], catch=(KeyError,))
    x = [trial.params["x"] for trial in study.trials]
    found = fields("hpo", "status", "group", "tag")
    assert {name: status for name, (status, _, _) in found.items()} == STATUS
    assert {group for _, group, _ in found.values()} == {"lrs"}
    assert {name: tags for name, (_, _, tags) in found.items() if tags} == {"trial-1": ["pruned"]}
    first = opened("hpo", "trial-0")
    assert first.config == {"x": x[0]}
    assert points(first, "intermediate_value") == [(0, x[0]), (1, x[0] + 1)]
    assert values(first, "value") == [2 * x[0]]
    assert values(opened("hpo", "trial-1"), "intermediate_value") == [x[1], x[1] + 1]


@apart
def test_a_tracked_objective_logs_to_its_own_trial_in_any_thread():
    callback = SteplogCallback(project="hpo", name="t")

    @callback.track
    def tracked(trial):
        steplog.log("seen", trial.number)
        return objective(trial)

    study = optuna.create_study(study_name="lrs")
    study.optimize(tracked, n_trials=4, n_jobs=2, callbacks=[callback], catch=(KeyError,))
    found = fields("hpo", "status", "tag")
    assert found == {
        "t-0": ("COMPLETED", []),
        "t-1": ("COMPLETED", ["pruned"]),
        "t-2": ("CRASHED", []),
        "t-3": ("FAILED", []),
    }
    for trial in study.trials:
        run = opened("hpo", f"t-{trial.number}")
        assert values(run, "seen") == [trial.number]
        assert run.config == trial.params
        assert points(run, "intermediate_value") == sorted(trial.intermediate_values.items())
    assert "boom" in values(opened("hpo", "t-2"), "steplog/exception")[0]["message"]


@apart
def test_a_tracked_trial_that_goes_on_has_its_parameters_and_reports():
    callback = SteplogCallback(project="hpo")
    seen = []

    @callback.track
    def looks(trial):
        lr, depth = trial.suggest_float("lr", 0.1, 0.2), trial.suggest_int("depth", 1, step=2, high=9)
        trial.report(0.5, step=3)
        run = opened("hpo", "trial-0")
        seen.append((run.config, points(run, "intermediate_value"), {"lr": lr, "depth": depth}))
        return lr

    optuna.create_study().optimize(looks, n_trials=1, callbacks=[callback])
    ((config, reports, params),) = seen
    assert config == params
    assert reports == [(3, 0.5)]


@apart
def test_a_tracked_trial_that_ends_the_study_is_crashed_with_what_it_raised():
    callback = SteplogCallback(project="hpo")
    study = optuna.create_study()
    with pytest.raises(KeyError):
        study.optimize(callback.track(objective), n_trials=4, callbacks=[callback])
    assert fields("hpo")["trial-2"] == ("CRASHED",)


@apart
def test_an_active_run_has_all_trials_a_step_each():
    def two(trial):
        return trial.suggest_float("x", 0.0, 1.0), trial.suggest_categorical("kind", ["a"]) == "a"

    study = optuna.create_study(directions=["minimize", "maximize"])
    with steplog.init(project="hpo", name="all"):
        callback = SteplogCallback()
        study.optimize(callback.track(two), n_trials=3, callbacks=[callback])
    run = opened("hpo", "all")
    assert fields("hpo") == {"all": ("COMPLETED",)}
    assert points(run, "values_0") == [(trial.number, trial.params["x"]) for trial in study.trials]
    assert values(run, "values_1") == [1.0, 1.0, 1.0]
    assert values(run, "params/kind") == ["a", "a", "a"]
    assert values(run, "state") == ["COMPLETE"] * 3


def worker(storage: str) -> None:
    study = optuna.load_study(study_name="shared", storage=storage)
    study.optimize(
        lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2, callbacks=[SteplogCallback(project="hpo")]
    )
    os._exit(0)  # as a process of multiprocessing does: nothing is left to be done at exit


@pytest.mark.slow
@apart
def test_processes_of_one_study_have_a_run_for_each_of_its_trials(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="shared", storage=storage)
    processes = [multiprocessing.get_context("spawn").Process(target=worker, args=(storage,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(50.0)
    assert [process.exitcode for process in processes] == [0, 0]
    assert fields("hpo", "status", "group") == {f"trial-{number}": ("COMPLETED", "shared") for number in range(4)}
