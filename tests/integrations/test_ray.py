"""Ray's callbacks, by the calls that its documentation promises; and by Ray itself, where that is installed.

https://docs.ray.io/en/latest/tune/api/doc/ray.tune.logger.LoggerCallback.html
https://docs.ray.io/en/latest/train/api/doc/ray.train.UserCallback.html
"""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points, values

IS_REAL = importlib.util.find_spec("ray") is not None and importlib.util.find_spec("pyarrow") is not None


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path, request):
    if "host" not in request.fixturenames:
        keep_offline(monkeypatch, tmp_path)
    if not IS_REAL:
        made = {
            name: ModuleType(name)
            for name in ("ray", "ray.train", "ray.tune", "ray.tune.logger", "ray.tune.experiment")
        }
        made["ray.train"].UserCallback = made["ray.tune.logger"].LoggerCallback = made["ray.tune.experiment"].Trial = (
            object
        )
        for name, module in made.items():
            monkeypatch.setitem(sys.modules, name, module)


def trial(trial_id: str, error: Exception | None = None, **config):
    made = {"trial_id": trial_id, "config": config, "experiment_dir_name": "exp", "trainable_name": "train"}
    made |= {"get_pickled_error": lambda: error, "get_error": lambda: "a text"}
    return type("Trial", (SimpleNamespace,), {"__str__": lambda self: f"train_{trial_id}"})(**made)


def callback(**init):
    from steplog.integrations.ray import SteplogLoggerCallback

    return SteplogLoggerCallback(project="tune", **init)


@apart
def test_each_trial_of_tune_is_a_run_with_its_results_and_how_it_ended():
    called, good, bad, worse = callback(), trial("1", lr=0.5), trial("2", KeyError("boom")), trial("3")
    for each in (good, bad, worse):
        called.log_trial_start(each)
    for iteration in (1, 2):
        result = {"loss": 0.5 / iteration, "nested": {"a": iteration}, "config": {}, "pid": 7, "done": False}
        called.log_trial_result(9, good, {**result, "training_iteration": iteration})
    called.log_trial_start(good)  # it was paused
    called.log_trial_end(good)
    called.log_trial_end(bad, failed=True)
    called.log_trial_end(worse, failed=True)
    read = opened("tune", "train_1")
    assert fields("tune", "status", "group", "job_type") == {
        "train_1": ("COMPLETED", "exp", "train"),
        "train_2": ("CRASHED", "exp", "train"),
        "train_3": ("CRASHED", "exp", "train"),
    }
    assert points(read, "loss") == [(1, 0.5), (2, 0.25)]
    assert points(read, "nested/a") == [(1, 1), (2, 2)]
    assert [row["name"] for row in read.series()] == ["loss", "nested/a"]
    assert read.config == {"lr": 0.5}
    assert "boom" in values(opened("tune", "train_2"), "steplog/exception")[0]["message"]
    assert values(opened("tune", "train_3"), "steplog/exception")[0]["message"] == "a text"


@apart
def test_a_restored_tuner_goes_on_in_the_runs_of_its_trials():
    first, again = callback(), callback()
    first.log_trial_result(1, trial("1"), {"loss": 0.5, "training_iteration": 1})
    again.set_state(pickle.loads(pickle.dumps(first.get_state())))
    again.log_trial_result(1, trial("1"), {"loss": 0.25, "training_iteration": 2})
    again.log_trial_end(trial("1"))
    assert fields("tune") == {"train_1": ("COMPLETED",)}
    assert len(steplog.runs("tune")) == 1
    assert points(opened("tune", "train_1"), "loss") == [(1, 0.5), (2, 0.25)]


@apart
def test_what_rank_0_reports_to_train_is_logged_to_a_run_of_the_program(host, held):
    from steplog.integrations.ray import SteplogReportCallback

    context = SimpleNamespace(train_loop_config={"lr": 0.5})
    called = SteplogReportCallback(namespace="team", project=host.project, name="own")
    sent = pickle.loads(pickle.dumps(called))
    run = steplog.get_active_run()  # begun before it is sent: the program ends it
    sent.after_report(run_context=context, metrics=[{"loss": 0.5}, {"loss": 0.75}], checkpoint=None)
    sent.after_exception(run_context=context, worker_exceptions={1: KeyError("boom")})
    sent.after_report(run_context=context, metrics=[{"loss": 0.25}, {}], checkpoint=None)
    run.finish()
    held.wait_for("own", "COMPLETED")
    read = steplog.open(str(run.uuid))
    assert points(read, "loss") == [(0, 0.5), (1, 0.25)]
    assert points(read, "exceptions") == [(1, {"1": "KeyError('boom')"})]
    assert read.config == {"lr": 0.5}


TUNE_AND_TRAIN = """
import ray, sys
from ray import train, tune
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from steplog.integrations.ray import SteplogLoggerCallback, SteplogReportCallback

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)

def trainable(config):
    for step in range(3):
        tune.report({"loss": config["x"] * step})
        if config["x"] == 2:
            raise KeyError("boom")

given = tune.RunConfig(storage_path=sys.argv[1], callbacks=[SteplogLoggerCallback()], verbose=0)
tune.Tuner(trainable, param_space={"x": tune.grid_search([1, 2])}, run_config=given).fit()

def loop(config):
    for step in range(3):
        train.report({"report": step})

given = train.RunConfig(storage_path=sys.argv[1], callbacks=[SteplogReportCallback(begin("train"))])
one = train.ScalingConfig(num_workers=1)
DataParallelTrainer(loop, scaling_config=one, run_config=given).fit()
ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.skipif(not IS_REAL, reason="needs Ray: pip install 'ray[tune]'")
def test_ray_itself_calls_so(host, held, tmp_path, monkeypatch):
    script = host.write(TUNE_AND_TRAIN)
    variables = host.environment | {"STEPLOG_PROJECT": host.project, "STEPLOG_NAMESPACE": "team"}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ray")], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = {row["name"]: row for row in steplog.runs(f"team/{host.project}", columns=["name", "status", "loss.count"])}
    assert found.pop("train")["status"] == "COMPLETED"
    assert sorted((row["status"], row["loss.count"]) for row in found.values()) == [("COMPLETED", 3), ("CRASHED", 1)]
    assert held.values("train", "report") == [0, 1, 2]
