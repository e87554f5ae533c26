"""Keras' training loop: what its history has is what the run has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="needs keras and torch: pip install 'steplog[frameworks]'")

from steplog.integrations.keras import SteplogCallback  # noqa: E402 - after the skip

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras itself

RANDOM = numpy.random.default_rng(0)
X = RANDOM.normal(size=(40, 3))
Y = X[:, :1]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keep_offline(monkeypatch, tmp_path)


def model() -> Any:
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
    return made


def fit(callback: Any, epochs: int = 3, **given: Any) -> dict[str, list[float]]:
    history = model().fit(X, Y, batch_size=10, epochs=epochs, verbose=0, callbacks=[callback], **given)
    return history.history


@apart
def test_epochs_have_what_the_history_has_and_the_learning_rate():
    def halve(epoch: int, rate: float) -> float:
        return rate / 2

    with steplog.init(project="mnist", name="mine"):
        schedule = keras.callbacks.LearningRateScheduler(halve)
        given = {"batch_size": 10, "epochs": 3, "validation_split": 0.25, "verbose": 0}
        history = model().fit(X, Y, callbacks=[schedule, SteplogCallback()], **given).history
    run = opened("mnist", "mine")
    for name in ("loss", "mae", "val_loss", "val_mae"):
        assert points(run, f"epoch/{name}") == list(enumerate(history[name]))
    assert points(run, "epoch/learning_rate") == [
        (0, pytest.approx(0.05)),
        (1, pytest.approx(0.025)),
        (2, pytest.approx(0.0125)),
    ]
    assert {row["name"].partition("/")[0] for row in run.series()} == {"epoch"}


@pytest.mark.parametrize(("log_freq", "steps"), [("batch", list(range(8))), (3, [0, 3, 6])])
@apart
def test_batches_are_numbered_through_all_epochs(log_freq: Any, steps: list[int]):
    with steplog.init(project="mnist", name="mine"):
        fit(SteplogCallback(log_freq=log_freq), epochs=2)
    run = opened("mnist", "mine")
    assert [step for step, _ in points(run, "batch/loss")] == steps
    assert [step for step, _ in points(run, "epoch/loss")] == [0, 1]
    assert [value for _, value in points(run, "batch/learning_rate")] == [pytest.approx(0.1)] * len(steps)


def test_without_log_freq_keras_calls_nothing_at_a_batch():
    assert keras.src.utils.is_default(SteplogCallback().on_train_batch_end)
    assert not keras.src.utils.is_default(SteplogCallback(log_freq=10).on_train_batch_end)


@pytest.mark.parametrize("wrong", [0, -1, "step", 2.5])
def test_a_log_freq_that_is_none_is_refused(wrong: Any):
    with pytest.raises(ValueError, match="log_freq"):
        SteplogCallback(log_freq=wrong)


@apart
def test_a_run_of_its_own_has_the_config_and_takes_what_evaluate_finds():
    callback = SteplogCallback(project="mnist", name="own")
    trained = model()
    trained.fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[callback])
    found = trained.evaluate(X, Y, verbose=0, callbacks=[callback], return_dict=True)
    run = opened("mnist", "own")
    assert {"epochs": run.config["epochs"], "steps": run.config["steps"]} == {"epochs": 2, "steps": 4}
    assert run.config["optimizer"]["name"] == "sgd"
    assert points(run, "test/loss") == [(0, found["loss"])]
    assert len(points(run, "epoch/loss")) == 2


@apart
def test_a_model_whose_optimizer_says_nothing_is_trained_and_logged():
    class Quiet(keras.optimizers.SGD):
        def get_config(self) -> Any:
            raise NotImplementedError

    trained = model()
    trained.compile(optimizer=Quiet(0.1), loss="mse")
    with steplog.init(project="mnist", name="mine"):
        trained.fit(X, Y, epochs=2, verbose=0, callbacks=[SteplogCallback()])
    assert len(points(opened("mnist", "mine"), "epoch/loss")) == 2
    assert "optimizer" not in opened("mnist", "mine").config


@apart
def test_a_training_after_one_that_failed_has_a_run_of_its_own():
    class Fails(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        model().fit(X, Y, verbose=0, callbacks=[SteplogCallback(project="mnist", name="first"), Fails()])
    fit(SteplogCallback(project="mnist", name="second"))
    assert fields("mnist") == {"first": ("COMPLETED",), "second": ("RUNNING",)}
    assert [len(points(opened("mnist", name), "epoch/loss")) for name in ("first", "second")] == [1, 3]


@apart
def test_a_training_that_goes_on_is_the_same_run():
    callback = SteplogCallback(project="mnist", name="own", initial_step=100, log_freq="batch")
    fit(callback, epochs=1)
    fit(callback, epochs=3, initial_epoch=1)
    assert list(fields("mnist")) == ["own"]
    assert [step for step, _ in points(opened("mnist", "own"), "epoch/loss")] == [0, 1, 2]
    assert [step for step, _ in points(opened("mnist", "own"), "batch/loss")] == list(range(100, 112))


PROGRAM = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy
from steplog.integrations.keras import SteplogCallback

class Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise ZeroDivisionError

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile(loss="mse")
callback = SteplogCallback(project="mnist", name="own")
model.fit(numpy.zeros((8, 3)), numpy.zeros((8, 1)), epochs=3, verbose=0, callbacks=[callback, Fails()])
"""


@pytest.mark.slow
def test_an_exception_that_ends_the_program_makes_the_run_crashed():
    environment = os.environ | {"PYTHONPATH": str(Path(steplog.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (1, True)

    @apart
    def look() -> None:
        assert fields("mnist") == {"own": ("CRASHED",)}
        assert len(points(opened("mnist", "own"), "epoch/loss")) == 2

    look()
