"""Which run an adapter logs to, when that ends, and what becomes of what cannot be logged."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import multiprocessing
import pickle
from typing import Any, NoReturn

import pytest

import steplog
from apart import apart
from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from steplog import RunStatus
from steplog.integrations.adapter_run import SAID_MAX, AdapterRun
from steplog.integrations.config_values import config_values


def adapter(host: Host, name: str = "own", **given: Any) -> AdapterRun:
    return AdapterRun(project=host.project, name=name, **given)


@apart
def test_a_given_run_comes_before_the_active_one_and_that_before_one_of_its_own(host: Host, held: Oracle):
    given = steplog.init(project=host.project, name="given", activate=False)
    active = steplog.init(project=host.project, name="active")
    AdapterRun(given, project=host.project, name="own").log({"loss": 1.0}, 7)
    adapter(host).log({"loss": 2.0}, 8)
    for run in (active, given):
        run.finish()
    own = adapter(host)
    own.log({"loss": 3.0}, 9)
    own.finish()
    assert [held.metrics(name) for name in ("given", "active", "own")] == [
        [("loss", 1.0, 7)],
        [("loss", 2.0, 8)],
        [("loss", 3.0, 9)],
    ]


@apart
def test_only_a_run_of_its_own_is_ended_by_an_adapter(host: Host, held: Oracle):
    active = steplog.init(project=host.project, name="active")
    other = adapter(host)
    other.get()
    other.finish()
    other.fail(ValueError("a loss of nan"))
    assert active.status is RunStatus.RUNNING
    active.finish()
    own = adapter(host)
    own.get()
    own.fail(ValueError("a loss of nan"))
    assert (held.run("active").status, held.run("own").status) == ("COMPLETED", "CRASHED")
    (kept,) = held.values("own", "steplog/exception")
    assert (kept["type"], kept["message"]) == ("ValueError", "a loss of nan")


@apart
def test_what_ends_the_program_ends_also_a_run_that_is_not_its_own(host: Host, held: Oracle):
    ends = [("interrupted", KeyboardInterrupt()), ("exits with 1", SystemExit(1)), ("exits with 0", SystemExit(0))]
    for name, error in ends:
        steplog.init(project=host.project, name=name)
        other = adapter(host)
        other.get()
        other.fail(error)
    assert [row.status for row in held.runs()] == ["CRASHED", "CRASHED", "COMPLETED"]


@apart
def test_a_run_at_rest_takes_what_comes_and_ends_when_another_adapter_begins_its_own(host: Host, held: Oracle):
    first, second = adapter(host, "first"), adapter(host, "second")
    first.log({"loss": 1.0}, 0)
    first.rest()
    first.log({"test": 2.0}, 1)
    first.look().log("by the program", 3.0, 2)
    second.log({"loss": 4.0}, 0)
    second.finish()
    assert held.metrics("first") == [("loss", 1.0, 0), ("test", 2.0, 1), ("by the program", 3.0, 2)]
    assert [(row.name, row.status) for row in held.runs()] == [("first", "COMPLETED"), ("second", "COMPLETED")]


@apart
def test_a_run_of_the_program_that_begins_later_leaves_one_at_rest_to_the_end(host: Host, held: Oracle):
    own = adapter(host)
    own.log({"loss": 1.0}, 0)
    own.rest()
    theirs = steplog.init(project=host.project, name="theirs")
    assert (own.look().status, steplog.get_active_run()) == (RunStatus.RUNNING, theirs)
    own.finish()
    assert (held.run("own").status, held.run("theirs").status) == ("COMPLETED", "RUNNING")


@apart
def test_an_adapter_that_is_at_work_shares_its_run_with_the_next(host: Host, held: Oracle):
    first = adapter(host, "first")
    first.log({"loss": 1.0}, 0)
    adapter(host, "second").log({"trial": 2.0}, 0)
    first.rest()
    first.get()  # it goes on, as for a second training
    adapter(host, "third").log({"trial": 3.0}, 1)
    first.finish()
    assert held.metrics("first") == [("loss", 1.0, 0), ("trial", 2.0, 0), ("trial", 3.0, 1)]
    assert len(held.runs()) == 1


@apart
def test_an_own_run_that_is_over_goes_on_where_another_training_begins(host: Host, held: Oracle):
    own = adapter(host)
    own.log({"loss": 1.0}, 0)
    own.fail(MemoryError("the batch is too large"))
    assert held.run("own").status == "CRASHED"
    assert own.get().status is RunStatus.RUNNING
    own.log({"loss": 0.5}, 1)
    steplog.log("beside", 2.0, 1)
    own.finish()
    own.look().log("last", 3.0, 1)  # which begins no training: the next adapter may end it
    next_one = adapter(host, "next")
    next_one.get()
    next_one.finish()
    assert [point for point in held.metrics("own") if point[0] != "steplog/exception"] == [
        ("loss", 1.0, 0),
        ("loss", 0.5, 1),
        ("beside", 2.0, 1),
        ("last", 3.0, 1),
    ]
    assert [(row.name, row.status) for row in held.runs()] == [("own", "COMPLETED"), ("next", "COMPLETED")]


@apart
def test_what_cannot_be_logged_is_said_once_and_takes_nothing_with_it(
    host: Host, held: Oracle, caplog: pytest.LogCaptureFixture
):
    own = adapter(host)
    for step in range(3):
        own.log({"loss": 1.0, "n" * 300: 2.0, 4: 3.0}, step)  # type: ignore[dict-item]
    own.log({"loss": 1.0}, "seven")  # type: ignore[arg-type]
    own.finish()
    own.log({"late": 1.0}, 4)
    own.log({"late": 1.0}, 5)
    assert held.metrics("own") == [
        (name, value, step) for step in range(3) for name, value in [("loss", 1.0), ("4", 3.0)]
    ]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(":")[2][:12] for text in told] == [" not logged:"] * 3
    assert ["256 bytes" in told[0], "step" in told[1], "finished" in told[2]] == [True] * 3


@apart
def test_what_is_wrong_in_ever_new_words_is_not_said_for_ever(
    host: Host, held: Oracle, caplog: pytest.LogCaptureFixture
):
    own = adapter(host)
    for step in range(100):
        own.log({"loss": 1.0}, step + 0.5)  # type: ignore[arg-type]
    assert len([record for record in caplog.records if "not logged: " in record.getMessage()]) == SAID_MAX
    own.finish()


@apart
def test_the_default_project_counts_where_nothing_names_one(host: Host, held: Oracle, monkeypatch: pytest.MonkeyPatch):
    other = AdapterRun(default_project="theirs", name="elsewhere")
    assert other.get().project.slug == "theirs"
    other.finish()
    monkeypatch.setenv("STEPLOG_PROJECT", host.project)
    by_setting = AdapterRun(default_project="theirs", name="here")
    by_setting.get()
    by_setting.finish()
    assert [row.name for row in held.runs()] == ["here"]
    with pytest.raises(ValueError, match="resume"):
        AdapterRun(default_project="theirs", resume="perhaps").get()


@apart
def test_a_server_that_refuses_the_run_is_an_error_before_the_training(monkeypatch: pytest.MonkeyPatch, host: Host):
    host.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_API_KEY", "a-wrong-key")
    with pytest.raises(steplog.InvalidAPIKeyError):
        adapter(host).log({"loss": 1.0})


@apart
def test_copies_log_to_the_same_run_and_never_end_it(host: Host, held: Oracle):
    own = adapter(host)
    own.log({"loss": 1.0}, 0)
    for step, other in enumerate((copy.deepcopy(own), copy.copy(own), pickle.loads(pickle.dumps(own))), start=1):
        other.log({"loss": 2.0}, step)
        other.rest()
        other.finish()
        other.fail(ValueError("of the copy"))
    assert own.get().status is RunStatus.RUNNING
    own.finish()
    assert sorted(held.metrics("own")) == [("loss", 1.0, 0), *(("loss", 2.0, step) for step in (1, 2, 3))]
    assert held.run("own").status == "COMPLETED"


def rests(project: str) -> None:
    own = AdapterRun(project=project, name="own")
    for step in range(2):  # a training, and a test
        own.get()
        own.log({"loss": 1.0}, step)
        own.rest()


@apart
def test_a_process_of_multiprocessing_leaves_its_run_completed(host: Host, held: Oracle):
    """Such a process ends by ``os._exit``: nothing that is left to the end of the program is done."""
    process = multiprocessing.get_context("fork").Process(target=rests, args=(host.project,))
    process.start()
    process.join()
    assert held.metrics("own") == [("loss", 1.0, 0), ("loss", 1.0, 1)]
    assert [(row.name, row.status) for row in held.runs()] == [("own", "COMPLETED")]


class Model:
    """A class that is a hyperparameter."""


def test_hyperparameters_are_plain_dicts_and_names():
    nested = argparse.Namespace(lr=0.1, model=Model, data=argparse.Namespace(path="d", transform=config_values))
    assert config_values(nested) == {
        "lr": 0.1,
        "model": f"{Model.__module__}.Model",
        "data": {"path": "d", "transform": "steplog.integrations.config_values.config_values"},
    }
    assert config_values({1: {2: None}}) == {"1": {"2": None}}
    assert config_values(None) == {}
    with pytest.raises(TypeError, match="hyperparameters are a mapping or a Namespace, not int"):
        config_values(3)  # type: ignore[arg-type]


@apart
def test_a_hyperparameter_that_cannot_be_looked_at_takes_no_others_with_it(host: Host, held: Oracle):
    class Hostile(dict[str, object]):
        def items(self) -> NoReturn:
            raise RuntimeError

    circular: dict[str, object] = {"b": 1}
    circular["self"] = circular
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    own = adapter(host)
    own.configure({"lr": 0.1, "circular": circular, "deep": deep, "hostile": Hostile()})
    own.finish()
    found: dict[str, Any] = {}
    for config in held.values("own", "steplog/config"):
        found |= json.loads(config) if isinstance(config, str) else config
    assert (found["lr"], found["circular"]["b"], sorted(found)) == (0.1, 1, ["circular", "deep", "hostile", "lr"])


@apart
def test_a_config_that_cannot_be_set_is_said_and_stops_nothing(
    host: Host, held: Oracle, caplog: pytest.LogCaptureFixture
):
    own = adapter(host)
    own.configure(3)  # type: ignore[arg-type]
    own.configure(argparse.Namespace(lr=0.1))
    assert own.get().config.copy() == {"lr": 0.1}
    assert "not set in the config: hyperparameters are" in caplog.text
    own.finish()
