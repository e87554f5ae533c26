"""The examples log what they print, with steplog in wandb's place; and the same as with wandb itself."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

import pytest

from examples.running import EXAMPLES, Kept, Place, place

TINY_GPT = [
    "--wandb_log=True",
    *("--batch_size=4", "--block_size=16", "--n_layer=1", "--n_embd=16"),
    *("--eval_iters=2", "--eval_interval=10", "--log_interval=5", "--max_iters=20", "--device=cpu"),
]
TINY_PPO = ["--track", "--total-timesteps", "1024", "--num-steps", "64"]
NUMBER = r"(-?\d+(?:\.\d+)?)"


@pytest.fixture
def here(tmp_path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made


def needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: pip install 'steplog[frameworks]'")


def printed(text: str, pattern: str) -> list[tuple[float, ...]]:
    """The numbers of each line that is like this, ``#`` being one."""
    lines = re.finditer("^" + re.escape(pattern).replace(r"\#", NUMBER), text, re.MULTILINE)
    found = [tuple(map(float, line.groups())) for line in lines]
    assert found, f"no line like {pattern!r} in:\n{text}"
    return found


def same(points: list[tuple[int, float]], expected: list[tuple[float, float]]) -> bool:
    return [step for step, _ in points] == [step for step, _ in expected] and [value for _, value in points] == (
        pytest.approx([value for _, value in expected], abs=1e-6)
    )


@pytest.mark.slow
def test_the_plain_example_logs_what_it_prints(here):
    text = here.example("logistic.py", "--epochs", "3", "--lr", "0.1")
    (run,) = here.runs("logistic")
    rows = printed(text, "epoch #: train #, val #, accuracy #")
    assert same(run.series("train.loss"), [(epoch, train) for epoch, train, _, _ in rows])
    assert same(run.series("val/loss"), [(epoch, loss) for epoch, _, loss, _ in rows])
    assert same(run.series("val/accuracy"), [(epoch, accuracy) for epoch, _, _, accuracy in rows])
    assert run.config == {"epochs": 3, "lr": 0.1, "seed": 0}
    assert (run.name, run.status, run.tags, run.group) == ("lr 0.1", "COMPLETED", ["plain"], "examples")
    ((step, table),) = run.series("predictions")
    assert (step, table["columns"], len(table["data"])) == (3, ["x", "y", "label", "predicted"], 10)
    ((_, weights),) = run.series("summary/weights")
    assert len(weights) == 3
    ((_, least),) = run.series("summary/val/loss.min")
    assert least == pytest.approx(min(loss for _, _, loss, _ in rows), abs=1e-6)


@pytest.mark.slow
def test_the_gpt_logs_what_it_prints_and_goes_on_with_its_run(here):
    needs("torch")
    texts = [
        here.example("nanogpt.py", *TINY_GPT),
        here.example("nanogpt.py", *TINY_GPT, "--max_iters=30", "--init_from=resume"),
    ]
    (run,) = here.runs("nanogpt")
    losses = [row for text in texts for row in printed(text, "step #: train loss #, val loss #")]
    assert [step for step, _, _ in losses] == [0, 10, 20, 20, 30]
    assert same(run.series("train/loss"), [(step, train) for step, train, _ in losses])
    assert same(run.series("val/loss"), [(step, val) for step, _, val in losses])
    assert same(run.series("iter"), [(step, step) for step, _, _ in losses])
    every = [row for text in texts for row in printed(text, "iter #: loss #")]
    assert same(run.series("loss"), every)
    assert (run.name, run.status, run.config["n_embd"], run.config["max_iters"]) == ("characters", "COMPLETED", 16, 30)
    best = [best for text in texts for (best,) in printed(text, "best val loss #")]
    assert [value for _, value in run.series("summary/best_val_loss")] == pytest.approx(best, abs=1e-6)


@pytest.mark.slow
def test_ppo_is_one_run_with_its_config_and_the_curves_of_its_event_file(here):
    needs("torch", "tensorboard")
    text = here.example("ppo.py", *TINY_PPO)
    (run,) = here.runs("ppo")
    returns = printed(text, "global_step=#, episodic_return=#")
    # The writer keeps 32 bits of a value in its file; the run has what it was given.
    assert same(run.series("charts/episodic_return"), returns)
    losses = [loss for _, loss in printed(text, "SPS: #, value_loss=#")]
    assert same(run.series("losses/value_loss"), [(512 * (1 + at), loss) for at, loss in enumerate(losses)])
    ((_, table),) = run.series("hyperparameters")
    assert "|num_steps|64|" in table
    assert (run.config["num_steps"], run.config["batch_size"], run.status) == (64, 512, "COMPLETED")
    assert list(here.directory.glob("runs/ppo__1__*/events.out.tfevents.*")), "the files are written as before"


def without(run: Kept, *names: str) -> dict[str, list[tuple[int, float]]]:
    """The curves, but for what is measured or steplog's own."""
    left_out = (*names, "summary/", "steplog/", "system/", "compat/", "_")
    return {name: run.series(name) for name in run.points if not name.startswith(left_out)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("project", "arguments", "measured"),
    [("logistic", ["--epochs", "3"], ("predictions",)), ("nanogpt", TINY_GPT, ("ms",))],
)
def test_an_example_logs_the_same_as_with_wandb_itself(here, project, arguments, measured):
    needs("wandb", *(["torch"] if project != "logistic" else []))
    ours, theirs = both(here, project, arguments)
    assert without(ours, *measured)
    assert without(ours, *measured) == without(theirs, *measured)


@pytest.mark.slow
def test_ppo_logs_the_values_that_wandb_takes_from_its_event_file(here):
    """wandb numbers the rows by itself, and has the step as a metric; values are those of 32 bits."""
    needs("wandb", "torch", "tensorboard")
    ours, theirs = both(here, "ppo", TINY_PPO)
    for name, points in without(ours, "charts/SPS", "hyperparameters").items():
        assert [value for _, value in theirs.series(name)] == pytest.approx([value for _, value in points], rel=1e-5)


def both(here: Place, project: str, arguments: list[str]) -> list[Kept]:
    """The run of an example with steplog, and the one that wandb has written of it."""
    here.example(f"{project}.py", *arguments)
    here.run(str(EXAMPLES / f"{project}.py"), *arguments, WANDB_MODE="offline")
    here.run("-m", "steplog", "import", "wandb")
    ours, theirs = here.runs(project)
    assert {key: value for key, value in theirs.config.items() if key[0] != "_"} == ours.config
    return [ours, theirs]


def test_the_example_of_files_keeps_them_and_goes_on_with_its_model(here):
    text = here.run(str(EXAMPLES / "files.py"), "--steps", "20")
    ((loss,),) = printed(text, "first: loss #, model curve:v0")
    ((again,),) = printed(text, "second: begins with curve:v0, loss #")
    printed(text, "kept with the first: # checkpoints, from ckpt/0.json")
    first, second = here.runs("curves")
    assert first.series("loss")[-1][1] == pytest.approx(loss, abs=1e-5)
    assert second.series("loss")[-1][1] == pytest.approx(again, abs=1e-5)
    assert [value["_type"] for _, value in first.series("curve")] == ["image"] * 10
