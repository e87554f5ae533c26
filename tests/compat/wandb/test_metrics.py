"""``define_metric``: which definition holds for a name, the steps that it gives, and what is refused."""

from __future__ import annotations

import math

import pytest

import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import points, rows
from steplog.compat.wandb.metric_definitions import MetricDefinitions


@apart
def test_values_go_to_the_step_of_their_step_metric():
    run = wandb.init()
    wandb.define_metric("epoch")
    wandb.define_metric("val/*", step_metric="epoch")
    for epoch in (3, 4):
        wandb.log({"loss": 0.5})
        wandb.log({"val/acc": epoch / 10, "epoch": epoch, "loss": 0.25})
    assert points(run, "val/acc") == [(3, 0.3), (4, 0.4)]
    assert points(run, "loss") == [(0, 0.5), (1, 0.25), (2, 0.5), (3, 0.25)]
    assert [step for step, _ in points(run, "epoch")] == [1, 3]


@apart
def test_a_row_without_its_step_metric_takes_the_last_value_of_that():
    run = wandb.init()
    wandb.define_metric("*", step_metric="train/global_step")
    wandb.log({"loss": 0.5, "train/global_step": 10})
    wandb.log({"eval": 1})
    wandb.log({"loss": 0.25, "train/global_step": 20})
    assert rows(run) == {
        10: {"loss": 0.5, "train/global_step": 10, "eval": 1},
        20: {"loss": 0.25, "train/global_step": 20},
    }


@apart
def test_a_step_metric_goes_where_all_else_in_its_row_goes():
    """As Lightning and transformers define theirs, so that a row of the run is one of theirs."""
    run = wandb.init()
    wandb.define_metric("global_step")
    wandb.define_metric("*", step_metric="global_step", step_sync=True)
    for step in (10, 20):
        wandb.log({"loss": 1 / step, "global_step": step})
    assert rows(run) == {step: {"loss": 1 / step, "global_step": step} for step in (10, 20)}


@pytest.mark.parametrize("step", [0.5, math.nan, math.inf, "three", None, True])
@apart
def test_a_step_metric_that_is_no_whole_number_gives_no_steps(step):
    run = wandb.init()
    wandb.define_metric("loss", step_metric="time")
    wandb.log({"loss": 1, "time": step})
    wandb.log({"loss": 2})
    assert points(run, "loss") == [(0, 1), (1, 2)]


@apart
def test_a_step_metric_may_lie_in_a_dict():
    run = wandb.init()
    wandb.define_metric("val.*", step_metric="state.epoch")
    wandb.log({"state": {"epoch": 7}})
    wandb.log({"val": {"acc": 0.5}})
    assert points(run, "val.acc") == [(7, 0.5)]


@apart
def test_a_step_metric_may_have_one_itself():
    run = wandb.init()
    wandb.define_metric("x", step_metric="y")
    wandb.define_metric("z", step_metric="x")
    wandb.log({"x": 7, "y": 0.5, "z": 1})
    assert (points(run, "x"), points(run, "y"), points(run, "z")) == ([(7, 7)], [(0, 0.5)], [(7, 1)])


def test_an_exact_name_comes_before_the_longest_beginning():
    definitions = MetricDefinitions()
    for name, step in (("*", "a"), ("train/*", "b"), ("train/loss", "c"), ("train/l*", "d")):
        definitions.define(name, step)
    found = [definitions.step_metric_of(name) for name in ("x", "train/acc", "train/loss", "train/lr")]
    assert found == ["a", "b", "c", "d"]


def test_a_second_definition_adds_to_the_first_unless_it_replaces_it():
    definitions = MetricDefinitions()
    definitions.define("loss", "epoch", summary="min")
    definitions.define("loss", summary="max")
    assert (definitions.of("loss").step_metric, definitions.of("loss").summary) == ("epoch", ("max",))
    definitions.define("loss", summary="max", overwrite=True)
    assert definitions.of("loss").step_metric is None


def test_a_metric_says_what_it_was_given():
    definitions = MetricDefinitions()
    epoch = definitions.define("epoch", hidden=True)
    loss = definitions.define("loss", epoch, summary=" Min, last", goal="minimize")
    assert (epoch.name, epoch.hidden, epoch.step_sync, epoch.summary) == ("epoch", True, False, None)
    assert (loss.step_metric, loss.step_sync, loss.summary, loss.goal) == ("epoch", True, ("min", "last"), "minimize")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": ""}, "requires non-empty name"),
        ({"name": "a*b"}, "glob suffixes only"),
        ({"name": "a", "summary": "median"}, "summary op: median"),
        ({"name": "a", "hidden": "yes"}, "arg: hidden type: str"),
        ({"name": 5}, "arg: name type: int"),
        ({"name": "a", "step_metric": 5}, "arg: step_metric type: int"),
    ],
)
def test_what_wandb_refuses_is_refused_in_its_words(given, words):
    with pytest.raises(wandb.Error, match=words):
        MetricDefinitions().define(**given)


def test_the_extremes_pass_over_nan():
    definitions = MetricDefinitions()
    definitions.define("loss", summary="min,max,first")
    for value in (math.nan, 2.0, math.nan, 1.0):
        definitions.take({"loss": value, "other": 5, "text": "x"})
    found = definitions.summary_of("loss")
    assert (found["min"], found["max"], math.isnan(found["first"])) == (1.0, 2.0, True)
