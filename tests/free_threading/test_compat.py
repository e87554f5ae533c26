"""The other loggers' calls, from several threads at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from free_threading.at_once import at_each_collection, at_once, without_gil
from steplog.compat.mlflow import artifacts, tracked_run
from steplog.compat.mlflow.tracked_run import TrackedRun
from steplog.compat.tensorboard import writer_run
from steplog.compat.trackio import run as trackio_run
from steplog.compat.trackio.run import RunConfig
from steplog.compat.wandb import run_config
from steplog.compat.wandb.metric_definitions import MetricDefinitions
from steplog.compat.wandb.rows import Rows
from steplog.compat.wandb.run_config import Config
from steplog.compat.wandb.step_counter import StepCounter

TIMES = 500


class Logged:
    """A run that keeps the steps of what is logged to it."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.tags: tuple[str, ...] = ()

    def log(self, row: object, step: int) -> None:
        self.steps.append(step)


def rows_of(run: Logged, counter: StepCounter) -> Rows:
    return Rows(run, counter, MetricDefinitions(), has_steps=True)  # type: ignore[arg-type]


@without_gil
def test_rows_that_threads_log_to_wandb_at_once_have_steps_that_differ():
    run, counter, next_step = Logged(), StepCounter(), [0]

    def take() -> int:
        """As an iterator without the GIL may, but more often."""
        found = next_step[0]
        time.sleep(0)
        next_step[0] = found + 1
        return found

    rows, counter.take = rows_of(run, counter), take

    def log() -> None:
        for _ in range(TIMES):
            rows.log({"loss": 0.5})

    at_once(log, threads=4)
    assert sorted(run.steps) == list(range(4 * TIMES))


def many_keys(prefix: str) -> list[dict[str, list[int]]]:
    return [{f"{prefix}{number}": [number]} for number in range(TIMES)]


def test_threads_set_keys_of_a_trackio_config():
    logged: dict[str, object] = {}
    config = RunConfig(lambda changed, removed: logged.update(changed), {})
    given = iter(range(1000))

    def change() -> None:
        for each in many_keys(f"{next(given)}.")[:100]:
            config.update(each)

    at_once(change, change, change)
    assert len(logged) == len(config) == 300


def test_threads_set_keys_of_a_wandb_config():
    logged: dict[str, object] = {}
    config, given = Config(logged.update), iter(range(1000))

    def change() -> None:
        for each in many_keys(f"{next(given)}.")[:200]:
            config.update(each)
            config.keys()

    at_once(change, change, change)
    assert len(logged) == len(config) == 600


def test_a_wandb_config_that_two_threads_set_logs_each_value_once(monkeypatch: pytest.MonkeyPatch):
    logged: list[dict[str, object]] = []
    config, copied_as_usual = Config(logged.append), run_config._copied
    others: list[threading.Thread] = []

    def copied(value: object) -> object:
        if not others:  # another thread sets one, before this one has
            others.append(threading.Thread(target=config.update, args=({"b": [2]},)))
            others[0].start()
            others[0].join(0.2)
        return copied_as_usual(value)

    monkeypatch.setattr(run_config, "_copied", copied)
    config.update({"a": [1]})
    others[0].join()
    assert logged == [{"a": [1]}, {"b": [2]}]


def test_what_is_in_a_wandb_config_changes_in_place_while_it_is_logged():
    """The copy that is kept of it raised RuntimeError in the training."""
    config = Config(list[dict[str, object]]().append)

    def change() -> None:
        nested = config.get("nested")
        if nested is not None and len(nested) < 1000:
            nested[f"more {len(nested)}"] = [1]

    with at_each_collection(change):
        config.update({"nested": {str(number): [number] for number in range(100)}})
    assert len(config["nested"]) > 100


def test_two_threads_that_log_rows_of_an_mlflow_table_have_those_of_both(monkeypatch: pytest.MonkeyPatch):
    tracked, others = TrackedRun(Logged(), "1", None), list[threading.Thread]()  # type: ignore[arg-type]
    monkeypatch.setattr(artifacts, "_keep", lambda *_: None)
    monkeypatch.setattr(artifacts.files, "keep_written", lambda *_: None)

    class Tables(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            found = super().get(name, default)
            if not others:  # another thread logs one, before this one has
                others.append(threading.Thread(target=artifacts.keep_table, args=(tracked, {"q": [2]}, "t.json")))
                others[0].start()
                others[0].join(0.2)
            return found

    tracked.tables = Tables()
    artifacts.keep_table(tracked, {"q": [1]}, "t.json")
    others[0].join()
    assert tracked.tables["t.json"] == (["q"], [[1], [2]])


def test_a_wandb_config_is_free_in_a_child_forked_while_it_is_set():
    begun, done = threading.Event(), threading.Event()
    parent = os.getpid()

    def log(values: dict[str, object]) -> None:
        if os.getpid() == parent:
            begun.set()
            done.wait()

    config = Config(log)
    thread = threading.Thread(target=config.update, args=({"a": 1},))
    thread.start()
    begun.wait()
    if (child := os.fork()) == 0:
        signal.alarm(20)  # ends it
        config.update({"b": 2})
        os._exit(0)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_two_threads_that_set_tags_of_an_mlflow_run_set_those_of_both(monkeypatch: pytest.MonkeyPatch):
    run = Logged()
    tracked, texts_of = TrackedRun(run, "1", None), tracked_run.tag_texts  # type: ignore[arg-type]
    other: list[threading.Thread] = []

    def tag_texts(tags: dict[str, str]) -> list[str]:
        found = texts_of(tags)
        if not other:  # another thread sets one, before this one has
            other.append(threading.Thread(target=tracked.set_tags, args=({"b": "2"},)))
            other[0].start()
            other[0].join(0.2)
        return found

    monkeypatch.setattr(tracked_run, "tag_texts", tag_texts)
    tracked.set_tags({"a": "1"})
    other[0].join()
    assert sorted(run.tags) == ["a=1", "b=2"]


@apart
def test_a_tag_that_is_named_while_a_writer_changes_its_run_is_named_anew(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    first, second = (steplog.init("me", "demo", name=name, activate=False) for name in ("first", "second"))
    writer, name_of = writer_run.WriterRun("runs/a"), writer_run.checked_tag
    writer._change(first, "before/")

    def checked_tag(tag: str) -> str:
        if tag.startswith("before/"):
            writer._change(second, "after/")  # as another thread does, whose run is over
        return name_of(tag)

    monkeypatch.setattr(writer_run, "checked_tag", checked_tag)
    writer.log("loss", 0.5, 1)
    writer.log("loss", 0.5, 2)
    assert (first.last_step("before/loss"), second.last_step("after/loss")) == (1, 2)


class TrackioRun:
    def __init__(self, told: list[str]) -> None:
        self.is_finished = False
        self.config = SimpleNamespace(tell=lambda: told.append("config"))


def test_what_changed_in_a_trackio_config_is_logged_at_exit_while_a_run_begins():
    """Their set raised RuntimeError, and what had changed in all of them was lost."""
    told: list[str] = []
    runs, add = [TrackioRun(told)], trackio_run._runs.add

    def begin() -> None:
        runs.append(TrackioRun([]))
        add(runs[-1])  # type: ignore[arg-type]

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_name == "__iter__" and event == "line":
            begin()
        return trace

    add(runs[0])  # type: ignore[arg-type]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        trackio_run._conclude()
    finally:
        sys.settrace(before)
    assert len(runs) > 1
    assert told == ["config"]
