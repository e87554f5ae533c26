"""Reinforcement learning by Stable-Baselines3: what its logger records, at the number of timesteps."""

from __future__ import annotations

import numpy
import pytest

import steplog
from apart import apart
from integrations.kept_runs import keep_offline, opened, points, values

pytest.importorskip("stable_baselines3", reason="needs stable-baselines3: pip install 'steplog[frameworks]'")

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure, HParam, Image, KVWriter, Logger, Video

from steplog.integrations.sb3 import SteplogCallback, SteplogWriter


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)


class Recorder(KVWriter):
    """What the logger gives its writers, by step."""

    def __init__(self) -> None:
        self.seen: dict[int, dict] = {}

    def write(self, key_values, key_excluded, step=0):
        self.seen[step] = dict(key_values)

    def close(self):
        pass


def agent(logger: Logger | None = None) -> PPO:
    torch.set_num_threads(1)
    made = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, n_epochs=1, device="cpu", seed=0)
    if logger is not None:
        made.set_logger(logger)
    return made


def test_a_writer_logs_what_is_not_excluded_and_pictures(caplog):
    with steplog.init(project="rl", name="mine"):
        logger = Logger(folder=None, output_formats=[SteplogWriter()])
        logger.record("a", 1.0)
        logger.record("tensorboard only", 2.0, exclude=("stdout", "steplog"))
        logger.record("hparams", HParam({"lr": 0.1}, {"a": 0.0}))
        logger.record("figure", Figure(None, close=False))
        logger.record("image", Image(numpy.zeros((3, 4, 5), numpy.uint8), "CHW"))
        logger.record("grey", Image(numpy.zeros((4, 5), numpy.uint8), "HW"))
        logger.record("video", Video(torch.zeros(2, 3, 3, 4, 5, dtype=torch.uint8), fps=4))
        logger.dump(step=7)
        logger.close()
        assert steplog.get_active_run().status.value == "RUNNING"
    read = opened("rl", "mine")
    assert points(read, "a") == [(7, 1.0)]
    assert [row["name"] for row in read.series()] == ["a", "image", "grey", "video"]
    values = {row["name"]: row["json"] for row in read.history(["image", "grey", "video"], form="long")}
    assert [(values[name]["width"], values[name]["height"]) for name in ("image", "grey")] == [(5, 4)] * 2
    assert [(video["_type"], video["frames"]) for video in values["video"]] == [("video", 3)] * 2
    assert read.config == {"lr": 0.1}
    assert "not kept: " in caplog.text  # the figure, which is none


@pytest.mark.slow
@apart
def test_ppo_logs_each_dump_and_its_hyperparameters_and_goes_on_where_it_learns_on():
    recorder = Recorder()
    model = agent(Logger(folder=None, output_formats=[recorder]))
    callback = SteplogCallback(project="rl", name="ppo")
    model.learn(64, callback=callback)
    steplog.log("test/reward", 9.0)
    model.learn(64, callback=callback, reset_num_timesteps=False)
    run = opened("rl", "ppo")
    assert points(run, "rollout/ep_rew_mean") == [
        (step, seen["rollout/ep_rew_mean"]) for step, seen in recorder.seen.items() if "rollout/ep_rew_mean" in seen
    ]
    assert [step for step, _ in points(run, "time/iterations")] == [32, 64, 96, 128]
    assert [step for step, _ in points(run, "train/loss")] == [
        64,
        64,
        96,
        128,
        128,
    ]  # also what learn() leaves undumped
    assert values(run, "test/reward") == [9.0]
    assert run.config["algorithm"] == "PPO"
    assert run.config["env"] == "CartPole-v1"
    assert (run.config["n_steps"], run.config["gamma"], run.config["seed"]) == (32, 0.99, 0)
    assert model.logger.output_formats == [recorder]

    model.learn(32, callback=callback)
    assert sorted(row["status"] for row in steplog.runs("rl")) == ["COMPLETED", "RUNNING"]


class Breaks(BaseCallback):
    def _on_step(self) -> bool:
        raise ZeroDivisionError


@pytest.mark.slow
@apart
def test_a_callback_whose_training_raised_is_used_again():
    recorder = Recorder()
    model = agent(Logger(folder=None, output_formats=[recorder]))
    with steplog.init(project="rl", name="mine") as run:
        callback = SteplogCallback(run)
        with pytest.raises(ZeroDivisionError):
            model.learn(32, callback=[callback, Breaks()])
        model.learn(32, callback=callback)
        assert model.logger.output_formats == [recorder]
    assert [step for step, _ in points(opened("rl", "mine"), "time/iterations")] == [32]
