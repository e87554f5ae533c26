"""A run that is one of several at once: no other code logs to it unasked, and losing it stops no search."""

from __future__ import annotations

import threading

import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, values
from steplog.integrations.side_run import SideRun


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)


@apart
def test_a_side_run_is_begun_beside_the_active_run_and_leaves_that_active():
    run = steplog.init(project="main")
    side = SideRun(project="sides", name="one")
    side.log({"x": 1.0})
    assert side.get() is not run
    assert steplog.get_active_run() is run
    side.finish()
    run.finish()
    assert fields("sides") == {"one": ("COMPLETED",)}


@apart
def test_inside_a_side_run_its_thread_logs_to_it_and_it_goes_on_after():
    both = threading.Barrier(2)

    def trial(name: str) -> None:
        side = SideRun(project="sides", name=name)

        def act(value: float) -> None:
            both.wait(30.0)
            steplog.log("x", value)
            both.wait(30.0)

        side.inside(act, float(len(name)))
        assert not side.has_ended
        side.log({"x": -1.0})
        side.finish(status="FAILED")
        assert side.has_ended

    threads = [threading.Thread(target=trial, args=(name,)) for name in ("a", "bb")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert fields("sides") == {"a": ("FAILED",), "bb": ("FAILED",)}
    assert values(opened("sides", "a"), "x") == [1.0, -1.0]
    assert values(opened("sides", "bb"), "x") == [2.0, -1.0]


@apart
def test_only_the_first_side_run_raises_where_it_cannot_be_begun(caplog):
    with pytest.raises(ValueError, match="no letter or digit"):
        SideRun(project="!").get()
    SideRun(default_project="sides", name="first").get()
    lost = SideRun(project="!")
    lost.log({"x": 1.0})
    lost.tag("pruned")
    lost.finish()
    assert "not begun, and what is logged to it is lost" in caplog.text
