"""wandb's own callbacks for frameworks: stable-baselines3, LightGBM, Keras, and XGBoost's and CatBoost's calls."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.beside import at_steps_of, frameworks, left_by_ours, left_by_wandb
from compat.wandb.logged import rows
from steplog.compat.unsupported import unsupported

SB3 = """
import warnings
warnings.simplefilter("ignore")
import wandb
from stable_baselines3 import PPO
from wandb.integration.sb3 import WandbCallback

run = wandb.init(project="rl", name="a", config={"total": 64}, sync_tensorboard=True, monitor_gym=True, save_code=True)
model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, n_epochs=1, tensorboard_log="runs", seed=0)
model.learn(128, callback=WandbCallback(model_save_path="models", model_save_freq=64, verbose=2))
run.finish()
"""
LIGHTGBM = """
import warnings
warnings.simplefilter("ignore")
import lightgbm, numpy, wandb
from wandb.integration.lightgbm import log_summary, wandb_callback

wandb.init(project="trees", name="a")
x = numpy.arange(200.0).reshape(-1, 2)
data = lightgbm.Dataset(x, x[:, 0] % 7)
model = lightgbm.train(
    {"objective": "regression", "verbose": -1, "num_leaves": 4, "seed": 0}, data, 5, valid_sets=[data],
    valid_names=["valid"], callbacks=[wandb_callback()],
)
log_summary(model, feature_importance=False)
assert wandb.summary["best_score"]["valid"]["l2"] == model.best_score["valid"]["l2"]
wandb.finish()
"""
KERAS = """
import os, warnings
warnings.simplefilter("ignore")
os.environ["KERAS_BACKEND"] = "torch"
import steplog.compat.wandb as wandb
import keras, numpy
from steplog.compat.wandb.integration.keras import WandbCallback, WandbMetricsLogger, WandbModelCheckpoint

run = wandb.init(project="keras", name="a")
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
x = numpy.ones((8, 2))
callbacks = [WandbMetricsLogger(), WandbMetricsLogger("batch"), WandbCallback(save_model=False)]
callbacks.append(WandbModelCheckpoint("model.keras", monitor="loss"))
model.fit(x, x[:, :1], epochs=2, batch_size=4, verbose=0, validation_data=(x, x[:, :1]), callbacks=callbacks)
assert os.path.exists("model.keras")
assert run.summary["best_epoch"] in (0, 1)
wandb.finish()
"""


def both(program: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run that the program leaves with this module, and with wandb."""
    (folder / "ours").mkdir()
    (folder / "theirs").mkdir()
    return left_by_ours(program, folder / "ours")["a"], left_by_wandb(program, folder / "theirs")["a"]


@pytest.mark.parametrize("program", [pytest.param(SB3, marks=frameworks("stable_baselines3", "tensorboard"))])
def test_sb3s_curves_come_by_tensorboard_and_its_settings_by_the_callback(program, tmp_path):
    ours, theirs = both(program, tmp_path)
    expected = at_steps_of("global_step", theirs)["values"]
    del expected["global_step"]
    assert ours["values"].keys() == expected.keys() >= {"train/loss", "rollout/ep_rew_mean", "time/fps"}
    for name, points in expected.items():
        assert [step for step, _ in ours["values"][name]] == [step for step, _ in points]
        if name != "time/fps":
            values = [value for _, value in ours["values"][name]]
            assert values == pytest.approx([value for _, value in points], rel=1e-6)  # event files have 32 bits
    assert ours["config"].keys() == theirs["config"].keys() >= {"total", "algo", "n_steps", "gamma"}
    same = [name for name, value in theirs["config"].items() if " at 0x" not in str(value) and "time" not in name]
    assert {name: ours["config"][name] for name in same} == {name: theirs["config"][name] for name in same}


@pytest.mark.parametrize("program", [pytest.param(LIGHTGBM, marks=frameworks("lightgbm"))])
def test_lightgbms_callback_leaves_the_run_that_it_leaves_with_wandb(program, tmp_path):
    ours, theirs = both(program, tmp_path)
    assert ours == theirs


@pytest.mark.parametrize("program", [pytest.param(KERAS, marks=frameworks("keras", "torch"))])
def test_keras_callbacks_log_epochs_and_batches(program, tmp_path):
    values = left_by_ours(program, tmp_path)["a"]["values"]
    assert [step for step, _ in values["epoch/loss"]] == [0, 0, 1, 1]  # of both loggers
    assert [step for step, _ in values["batch/loss"]] == [0, 1, 2, 3]
    assert {"epoch/val_loss", "epoch/learning_rate", "loss", "val_loss", "epoch"} <= values.keys()


@apart
def test_xgboosts_callback_logs_a_row_an_iteration(monkeypatch):
    class TrainingCallback:
        pass

    monkeypatch.setitem(sys.modules, "xgboost", ModuleType("xgboost"))
    callback_module = ModuleType("xgboost.callback")
    callback_module.TrainingCallback = TrainingCallback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xgboost.callback", callback_module)
    booster = SimpleNamespace(
        save_config=lambda: '{"learner": {"objective": "reg"}}',
        get_score=lambda importance_type: {"f0": 2.0},
        attr={"best_score": "0.5", "best_iteration": "1"}.get,
        save_model=lambda path: Path(path).write_text("{}"),
    )
    run = wandb.init()
    callback = wandb.xgboost.WandbCallback(log_model=True)
    callback.before_training(booster)
    for at, values in enumerate(([3.0], [3.0, 1.0], [3.0, 1.0, 2.0])):
        assert callback.after_iteration(booster, at, {"valid": {"rmse": values}}) is False
    callback.after_training(booster)
    found = rows(run)
    assert found[1] == {"valid-rmse": 1.0, "epoch": 1}
    assert found[3] == {
        "Feature Importance": {"_type": "table", "columns": ["Feature", "Importance"], "data": [["f0", 2]]}
    }
    assert found[4] == {"best_score": 0.5, "best_iteration": 1}
    assert (run.summary["valid-rmse"]["min"], run.config["learner"]["objective"]) == (1.0, "reg")
    assert unsupported.counts() == {}
    used = run.use_artifact(f"{run.id}_model.json:latest")
    assert used.contents(used.get_entry("model.json")) == b"{}"


@apart
def test_catboosts_callback_logs_a_row_where_there_are_new_values():
    run = wandb.init()
    callback = wandb.catboost.WandbCallback()
    history = {"learn": {"RMSE": [3.0]}}
    assert callback.after_iteration(SimpleNamespace(iteration=1, metrics=history))
    assert callback.after_iteration(SimpleNamespace(iteration=2, metrics=history))
    assert rows(run) == {0: {"learn-RMSE": 3.0, "iteration@metric-period-1": 1}}


def test_without_a_run_a_callback_raises_wandbs_error():
    with pytest.raises(wandb.Error, match=r"You must call `wandb.init\(\)` before"):
        wandb.catboost.WandbCallback()
