"""``wandb.summary``: what is logged last, what is set, and what ``define_metric`` makes of it."""

from __future__ import annotations

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import points


def kept() -> dict[str, object]:
    """The values of the summary as the run has them."""
    assert wandb.run is not None
    found = steplog.open(wandb.run.steplog_run).summary
    return {name[len("summary/") :]: value for name, value in found.items() if name.startswith("summary/")}


@apart
def test_the_summary_is_the_last_value_of_each_name():
    run = wandb.init()
    assert dict(run.summary) == {}
    wandb.log({"loss": 0.5, "acc": 0.1})
    wandb.log({"loss": 0.25})
    assert (wandb.summary["loss"], wandb.summary.acc, run.summary.get("loss")) == (0.25, 0.1, 0.25)
    assert (wandb.summary["_step"], "loss" in wandb.summary, wandb.summary.get("no", 7)) == (1, True, 7)
    assert set(wandb.summary.keys()) == {"loss", "acc", "_step", "_runtime", "_timestamp"}
    with pytest.raises(KeyError):
        _ = wandb.summary["no"]
    assert not hasattr(wandb.summary, "no")


@apart
def test_lists_and_histograms_are_in_the_summary_as_the_last_of_them():
    wandb.init()
    for size in (3, 2):
        wandb.log(
            {"list": list(range(size)), "hist": wandb.Histogram(np_histogram=([size], [0, 1])), "d": {"e": (1, 2)}}
        )
    assert (wandb.summary["list"], wandb.summary["hist"]["values"], wandb.summary["d"]["e"]) == ([0, 1], [2], [1, 2])


@apart
def test_what_is_set_is_a_metric_of_its_own_and_touches_no_curve():
    run = wandb.init()
    wandb.log({"acc": 0.5})
    wandb.summary["acc"] = 0.9
    wandb.run.summary.best = 3
    wandb.run.summary.update({"text": "done"})
    assert (wandb.summary["acc"], kept()) == (0.9, {"acc": 0.9, "best": 3, "text": "done"})
    assert points(run, "acc") == [(0, 0.5)]
    assert run.step == 1


@apart
def test_a_dict_in_a_summary_is_one_too():
    wandb.init()
    wandb.summary["a"] = {"b": 1}
    wandb.summary["a"]["c"] = 2
    wandb.summary["a"].update({"d": {"e": 3}})
    assert wandb.summary["a"]["d"]["e"] == 3
    assert dict(wandb.summary["a"].items())["c"] == 2
    assert kept() == {"a.b": 1, "a.c": 2, "a.d.e": 3}


@apart
def test_what_is_deleted_is_null():
    wandb.init()
    wandb.summary["a"] = 1
    del wandb.summary["a"]
    assert ("a" in wandb.summary, kept()) == (False, {"a": None})
    with pytest.raises(KeyError):
        del wandb.summary["a"]


@apart
def test_a_value_that_is_logged_after_it_was_set_does_not_replace_it():
    wandb.init()
    wandb.summary["best"] = 1
    wandb.log({"best": 2})
    assert wandb.summary["best"] == 1


@apart
def test_definitions_keep_the_extremes_and_log_them_at_the_end():
    run = wandb.init()
    wandb.define_metric("loss", summary="min")
    wandb.define_metric("acc/*", summary="max,mean,last")
    wandb.define_metric("hidden", summary="none")
    for loss, acc in ((0.5, 0.25), (0.125, 0.75), (0.25, 0.5)):
        wandb.log({"loss": loss, "acc/val": acc, "hidden": 1})
    assert dict(wandb.summary["loss"]) == {"min": 0.125}
    assert dict(wandb.summary["acc/val"]) == {"max": 0.75, "mean": 0.5, "last": 0.5}
    assert "hidden" not in wandb.summary
    run.finish()
    found = steplog.open(run.steplog_run).summary
    assert {name: found[name] for name in found if name.startswith("summary/")} == {
        "summary/loss.min": 0.125,
        "summary/acc/val.max": 0.75,
        "summary/acc/val.mean": 0.5,
    }


@apart
def test_the_extremes_of_a_run_that_goes_on_are_those_of_all_of_it():
    for values in ((1.0, 9.0), (3.0, 4.0)):
        run = wandb.init(id="job", resume="allow")
        wandb.define_metric("loss", summary="min,max,first")
        for value in values:
            wandb.log({"loss": value})
        run.finish()
    found = steplog.open(run.steplog_run).summary
    names = ("summary/loss.min", "summary/loss.max", "summary/loss.first")
    assert [found[name] for name in names] == [1.0, 9.0, 1.0]


@apart
def test_the_best_is_what_the_goal_says():
    wandb.init()
    wandb.define_metric("loss", summary="best")
    wandb.define_metric("acc", summary="best", goal="maximize")
    wandb.log({"loss": 2, "acc": 2})
    wandb.log({"loss": 3, "acc": 1})
    assert (wandb.summary["loss"]["min"], wandb.summary["acc"]["max"]) == (2, 2)


@apart
def test_a_summary_before_init_raises_wandbs_error():
    with pytest.raises(wandb.Error, match=r"before wandb\.summary\['a'\]"):
        wandb.summary["a"] = 1
