"""transformers' Trainer with our callback: what the trainer's own history has, in one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from integrations.trainings import TORCHRUN, Trainings, needs, trainings
from server.process import ServerProcess

pytestmark = [needs("torch", "transformers", "accelerate"), pytest.mark.slow]

MODEL = """\
import json
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from steplog.integrations.transformers import SteplogCallback

def model():
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    return BertForSequenceClassification(BertConfig(vocab_size=32, max_position_embeddings=16, **small))

ROWS = [{"input_ids": [row % 32] * 4, "attention_mask": [1] * 4, "labels": row % 2} for row in range(64)]

class Failing(Trainer):
    def training_step(self, *arguments, **given):
        if self.state.global_step == 4:
            raise ValueError("a loss of nan")
        return super().training_step(*arguments, **given)

def trainer(callback, made=Trainer, model=model, **given):
    often = {"logging_steps": 1, "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "no", "max_steps": 6}
    quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "per_device_train_batch_size": 4}
    arguments = TrainingArguments("out", hub_token="hf_a_secret", **{**often, **quiet, **given})
    chosen = {"model_init": model} if made is None else {"model": model()}
    return (made or Trainer)(args=arguments, train_dataset=ROWS, eval_dataset=ROWS[:8], callbacks=[callback], **chosen)
"""

ONE_AFTER_THE_OTHER = """
told = {}
first = trainer(SteplogCallback(project=PROJECT), run_name="first")
first.train()
told["trained"] = list(first.state.log_history)
first.evaluate(ROWS[8:16], metric_key_prefix="test")
told["tested"] = first.state.log_history[len(told["trained"]):]
told["predicted"] = first.predict(ROWS[:8], metric_key_prefix="eval_late").metrics

for made in (Failing, Trainer):
    callback = SteplogCallback(project=PROJECT, id="exp-7", resume="allow")
    given = {"save_strategy": "steps", "save_steps": 2}
    second = trainer(callback, made, **given)
    try:
        second.train(resume_from_checkpoint=made is Trainer)
    except ValueError:
        steplog.get_active_run().finish(status="FAILED")

if "optuna" in sys.argv:
    search = {"hp_space": lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2)}}
    search |= {"hp_name": lambda trial: f"trial-{trial.number}", "n_trials": 2, "backend": "optuna"}
    trainer(SteplogCallback(project=PROJECT), None, run_name="search", max_steps=2).hyperparameter_search(**search)

with steplog.init(project=PROJECT, name="theirs") as run:
    trainer(SteplogCallback(project="never")).train()
    told["theirs"] = run.status.value
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, server: ServerProcess) -> Iterator[Trainings]:
    yield from trainings(tmp_path_factory, server)


@pytest.fixture(scope="module")
def told(host: Trainings) -> Any:
    """What the program of several trainings says."""
    done = host.train(MODEL + ONE_AFTER_THE_OTHER, *["optuna"][: not needs("optuna").args[0]])
    assert done.code == 0, done.errors
    return json.loads(done.out.splitlines()[-1])


def test_the_run_has_what_the_trainers_history_has_by_the_names_wandb_users_know(host: Trainings, told: Any):
    found = host.points("first")
    once = ["train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss"]
    *history, end = told["trained"]
    assert {name: found.pop(f"summary/{name}") for name in once} == {name: [(6, end[name])] for name in once}
    for row in [*history, *told["tested"]]:
        step = row.pop("step")
        row.pop("epoch")
        for name, value in row.items():
            part, known = name.split("_", 1) if name.startswith(("eval_", "test_")) else ("train", name)
            assert found[f"{part}/{known}"].pop(0) == (step, value)
    for name, value in told["predicted"].items():
        assert found[f"eval/{name.removeprefix('eval_')}"].pop(0) == (6, value)
    assert [step for step, _ in found.pop("train/epoch")] == [1, 2, 3, 3, 4, 5, 6, 6, 6, 6]
    assert not any(found.values())
    assert host.server.run("first").status == "COMPLETED"


def test_arguments_and_model_are_the_config_without_tokens(host: Trainings, told: Any):
    config = host.told("first")["config"]
    assert (config["learning_rate"], config["hidden_size"], config["model_type"]) == (5e-05, 8, "bert")
    assert config["model/num_parameters"] > 100
    assert "hf_a_secret" not in json.dumps(config)


def test_a_training_from_a_checkpoint_goes_on_in_its_run(host: Trainings, told: Any):
    steps = [step for step, _ in host.points("exp-7")["train/loss"]]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert host.told("exp-7")["status"] == "COMPLETED"


@needs("optuna")
def test_each_trial_of_a_search_is_a_run(host: Trainings, told: Any):
    trials = [host.told(f"trial-{number}") for number in range(2)]
    assert [(trial["status"], trial["group"]) for trial in trials] == [("COMPLETED", "search")] * 2
    assert len({trial["config"]["learning_rate"] for trial in trials}) == 2
    assert [len(host.points(f"trial-{number}")["train/loss"]) for number in range(2)] == [2, 2]


def test_a_run_of_the_program_is_used_and_left_to_the_program(host: Trainings, told: Any):
    assert told["theirs"] == "RUNNING"
    assert len(host.points("theirs")["train/loss"]) == 6
    assert {row.name for row in host.server.runs()} >= {"first", "exp-7", "theirs"}


def test_an_exception_of_a_training_is_that_of_its_run(host: Trainings):
    done = host.train(MODEL + 'trainer(SteplogCallback(project=PROJECT), Failing, run_name="fails").train()')
    assert done.code == 1
    (kept,) = host.server.values("fails", "steplog/exception")
    assert (kept["type"], kept["message"]) == ("ValueError", "a loss of nan")
    assert "in training_step" in kept["traceback"]
    assert (host.server.run("fails").status, len(host.points("fails")["train/loss"])) == ("CRASHED", 4)


def test_two_ranks_are_one_run_and_no_point_is_there_twice(host: Trainings):
    ranks = 'trainer(SteplogCallback(project=PROJECT), run_name="ranks", ddp_backend="gloo").train()'
    done = host.train(MODEL + ranks, under=TORCHRUN)
    assert done.code == 0, done.errors
    assert [step for step, _ in host.points("ranks")["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [row.status for row in host.server.runs() if row.name.startswith("ranks")] == ["COMPLETED"]
