"""trackio's calls on steplog: the step counter, the config, kinds of values, which run goes on."""

from __future__ import annotations

import copy
import math
import multiprocessing
import threading
import warnings
from typing import Any

import numpy
import pytest

import steplog
import steplog.compat.trackio as trackio
from apart import apart
from end_to_end.programs import Host
from steplog.compat.unsupported import unsupported

TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)"


def read(host: Host, name: str) -> steplog.ReadOnlyRun:
    return steplog.open(f"team/{host.project}/{name}")


def points(run: steplog.ReadOnlyRun, name: str) -> list[tuple[int, Any]]:
    return [(row["step"], row["value"]) for row in run.history([name], form="long")]


@apart
def test_rows_have_one_step_counter_that_goes_on_from_the_greatest_step(host):
    trackio.init(project=host.project, name="a", group="g", config={"lr": 0.1})
    trackio.log({"loss": 3.0, "acc": numpy.float32(0.5)})
    trackio.log({"loss": 2.0}, step=7)
    trackio.log({"loss": 1.0}, step=2)
    trackio.log({"acc": 1})
    trackio.finish()
    found = read(host, "a")
    assert points(found, "loss") == [(0, 3.0), (7, 2.0), (2, 1.0)]
    assert points(found, "acc") == [(0, 0.5), (8, 1.0)]
    assert (found.config, found.group, found.status.value) == ({"lr": 0.1}, "g", "COMPLETED")


@apart
def test_the_largest_step_does_not_stop_the_rows_after_it(host):
    trackio.init(project=host.project, name="a")
    trackio.log({"loss": 1.0}, step=2**63 - 1)
    trackio.log({"loss": 2.0})
    trackio.init(project=host.project, name="a", resume="must")
    trackio.log({"loss": 3.0})
    trackio.finish()
    assert points(read(host, "a"), "loss") == [(2**63 - 1, 1.0), (2**63 - 1, 2.0), (2**63 - 1, 3.0)]


@apart
def test_a_value_that_logs_while_it_is_logged_does_not_stop_the_program(host):
    class Value:
        def __float__(self) -> float:  # as a signal's function comes in the middle of a call
            trackio.log({"inner": 1.0})
            return 2.0

    trackio.init(project=host.project, name="a")
    done = threading.Thread(target=trackio.log, args=({"outer": Value()},), daemon=True)
    done.start()
    done.join(10.0)
    assert not done.is_alive()
    trackio.finish()
    found = read(host, "a")
    assert [len(points(found, name)) for name in ("inner", "outer")] == [1, 1]


@apart
def test_finish_in_a_forked_child_waits_for_nobody(host, monkeypatch):
    monkeypatch.setenv("STEPLOG_MODE", "offline")
    monkeypatch.setenv("STEPLOG_FINISH_TIMEOUT_S", "600")
    run = trackio.init(project=host.project, name="a")
    child = multiprocessing.get_context("fork").Process(target=trackio.finish, daemon=True)
    child.start()
    child.join(20.0)
    assert child.exitcode == 0
    trackio.log({"loss": 1.0})
    trackio.finish()
    assert points(steplog.open(run.id), "loss") == [(0, 1.0)]


@apart
def test_a_config_of_any_values_stops_neither_init_nor_finish(host):
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    circular: dict[str, Any] = {"lr": 0.1}
    circular["self"] = circular
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    given = {"circular": circular, "deep": deep, "module": warnings, "key": {Hostile(): 1}, "hostile": Hostile()}
    trackio.init(project=host.project, name="a", config=given)
    trackio.config["late"] = circular
    trackio.config.update(given)
    assert unsupported.counts()
    trackio.finish()
    found = read(host, "a")
    assert (found.config["circular"]["lr"], sorted(found.config)) == (0.1, sorted([*given, "late"]))
    assert found.status.value == "COMPLETED"


@apart
def test_a_run_that_goes_on_counts_from_its_last_step(host):
    trackio.init(project=host.project, name="a")
    trackio.log({"loss": 1.0}, step=41)
    trackio.init(project=host.project, name="a", resume="allow")
    trackio.log({"loss": 2.0})
    trackio.init(project=host.project, name="a", resume="must")
    trackio.log({"loss": 3.0})
    trackio.finish()
    assert points(read(host, "a"), "loss") == [(41, 1.0), (42, 2.0), (43, 3.0)]


@apart
def test_init_refuses_what_trackio_refuses(host):
    for given, words in (
        ({"resume": "must"}, "Must provide a run name"),
        ({"resume": "must", "name": "nowhere"}, "does not exist in project"),
        ({"resume": "sometimes"}, "resume must be one of"),
        ({"config": {"_mine": 1}}, "is reserved"),
    ):
        with pytest.raises(ValueError, match=words):
            trackio.init(project=host.project, **given)
    assert steplog.journals() == []


@apart
def test_a_second_init_finishes_the_run_before(host):
    first = trackio.init(project=host.project, name="first")
    trackio.log({"x": 1})
    second = trackio.init(project=host.project, name="second")
    assert (first.is_finished, second.is_finished) == (True, False)
    assert read(host, "first").status.value == "COMPLETED"


@apart
def test_without_a_run_a_call_raises_as_trackios_does(host):
    for call in (trackio.finish, lambda: trackio.log({}), lambda: trackio.log_system({}), lambda: trackio.alert("a")):
        with pytest.raises(RuntimeError, match=r"Call trackio.init\(\) before"):
            call()


@apart
def test_a_thread_logs_to_the_run_of_the_program(host):
    trackio.init(project=host.project, name="a")
    thread = threading.Thread(target=lambda: trackio.log({"x": 1.0}))
    thread.start()
    thread.join()
    trackio.log({"x": 2.0})
    trackio.finish()
    assert points(read(host, "a"), "x") == [(0, 1.0), (1, 2.0)]


@apart
def test_threads_that_begin_runs_of_their_own_do_not_finish_each_others(host):
    mine = trackio.init(project=host.project, name="mine")
    theirs: list[Any] = []

    def work() -> None:
        theirs.append(trackio.init(project=host.project, name="theirs"))
        trackio.log({"x": 2.0})
        trackio.finish()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    trackio.log({"x": 1.0})
    assert (mine.is_finished, theirs[0].is_finished) == (False, True)
    trackio.finish()
    assert (points(read(host, "mine"), "x"), points(read(host, "theirs"), "x")) == ([(0, 1.0)], [(0, 2.0)])


@apart
def test_the_config_is_logged_as_it_changes_and_what_changed_inside_it_at_the_end(host):
    run = trackio.init(project=host.project, name="a", config={"lr": 0.1, "net": {"depth": 3}, "gone": 1})
    assert trackio.config is run.config
    trackio.config["seed"] = 7
    trackio.config.update({"more": (1, 2)}, allow_val_change=True)
    trackio.config.setdefault("seed", 8)
    del trackio.config["gone"]
    assert run._run.config == {"lr": 0.1, "net": {"depth": 3}, "seed": 7, "more": [1, 2]}
    trackio.config["net"]["depth"] = 4
    copied = copy.deepcopy(trackio.config)
    copied["lr"] = 99
    trackio.finish()
    assert read(host, "a").config == {"lr": 0.1, "net": {"depth": 4}, "seed": 7, "more": [1, 2]}


@pytest.mark.slow
@pytest.mark.parametrize(("end", "code", "status"), [("", 0, "COMPLETED"), (TERMINATE, -15, "CRASHED")])
def test_the_config_that_changed_inside_is_logged_when_the_program_ends(host, end, code, status):
    done = host.run(
        f"""
        import os, signal
        import steplog.compat.trackio as trackio
        trackio.init(project="{host.project}", name="left", config={{"net": {{"depth": 3}}}})
        trackio.config["net"]["depth"] = 4
        trackio.log({{"x": 1}})
        {end}
        """
    )
    assert done.code == code, done.errors
    found = read(host, "left")
    assert (found.config, found.status.value) == ({"net": {"depth": 4}}, status)


@apart
def test_tables_and_histograms_are_steplogs_and_the_rest_the_json_of_trackio(host):
    trackio.init(project=host.project, name="a")
    trackio.log(
        {
            "table": trackio.Table(columns=["n", "i"], data=[[1, "a"], [2]]),
            "histogram": trackio.Histogram([1.0, 2.0, 2.0, math.nan], num_bins=2),
            "markdown": trackio.Markdown("# hi"),
            "trace": trackio.Trace([{"role": "user", "content": "hi"}]),
            "dict": {"a": numpy.int64(1)},
        }
    )
    assert unsupported.counts() == {}
    trackio.finish()
    summary = read(host, "a").summary
    assert summary["table"] == {"_type": "table", "columns": ["n", "i"], "data": [[1, "a"], [2, None]]}
    assert summary["histogram"] == {"_type": "histogram", "bins": [1.0, 1.5, 2.0], "values": [1, 2]}
    assert summary["markdown"] == {"_type": "trackio.markdown", "_value": "# hi"}
    assert summary["trace"]["messages"] == [{"role": "user", "content": "hi"}]
    assert summary["dict"] == {"a": 1}


@apart
def test_spaces_and_webhooks_are_counted_and_stop_nothing(host):
    trackio.init(project=host.project, name="a", space_id="me/space", webhook_url="http://127.0.0.1:9")
    trackio.log({"loss": 1.0})
    trackio.sync(project=host.project)
    trackio.import_csv("a.csv", project="b")
    assert set(unsupported.counts()) == {
        "trackio.init(space_id=…)",
        "trackio.init(webhook_url=…)",
        "trackio.sync()",
        "trackio.import_csv()",
    }
    trackio.finish()
    assert points(read(host, "a"), "loss") == [(0, 1.0)]


@apart
def test_what_cannot_be_logged_is_a_warning_and_the_counter_stays(host):
    run = trackio.init(project=host.project, name="a")
    for call in (lambda: trackio.log({"x": 1}, step="seven"), lambda: trackio.log(5), lambda: trackio.log_system(5)):
        with pytest.warns(UserWarning, match="failed"):
            call()
    with pytest.warns(UserWarning, match="Reserved keys renamed"):
        trackio.log({"step": 1.0})
    trackio.finish()
    with pytest.warns(UserWarning, match="finished"):
        run.log({"late": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log({"late": 1})
    assert points(read(host, "a"), "__step") == [(0, 1.0)]


@apart
def test_a_row_with_a_name_too_long_is_kept_with_the_name_cut(host):
    trackio.init(project=host.project, name="a" * 300)
    trackio.log({"x" * 257: 0.25, "": 0.5, 7: 0.75, "loss": 1.0})
    assert list(unsupported.counts()) == [
        "a name of over 256 characters",
        "trackio.log() of a name over 256 bytes",
        'trackio.log() of the name ""',
    ]
    run = trackio.context_vars.current_run.get()
    trackio.finish()
    found = steplog.open(run.id)
    assert {name: points(found, name) for name in ("x" * 256, "7", "loss")} == {
        "x" * 256: [(0, 0.25)],
        "7": [(0, 0.75)],
        "loss": [(0, 1.0)],
    }


@apart
def test_system_values_and_alerts_are_kept(host, caplog):
    trackio.init(project=host.project, name="a")
    trackio.log({"loss": 1.0}, step=4)
    trackio.log_system({"fan": 0.5})
    trackio.alert("diverged", "loss is high", level=trackio.AlertLevel.ERROR)
    assert trackio.log_gpu() == trackio.log_cpu() == {}
    trackio.finish()
    assert [value for _, value in points(read(host, "a"), "system/fan")] == [0.5]
    assert "trackio.alert() error: diverged: loss is high (step 4)" in caplog.text
    (alert,) = trackio.Api().alerts(host.project, level="error")
    assert (alert["title"], alert["text"], alert["step"], alert["run"]) == ("diverged", "loss is high", 4, "a")


@apart
def test_the_api_reads_runs_and_their_config(host):
    for name in ("first", "second"):
        trackio.init(project=host.project, name=name, config={"name": name})
    trackio.finish()
    runs = trackio.Api().runs(host.project)
    assert [run.name for run in runs] == ["first", "second"]
    assert (len(runs), runs[1].config) == (2, {"name": "second"})
    assert runs[0].rename("renamed").name == read(host, "renamed").name
    assert runs[0].delete()
    assert len(trackio.Api().runs(host.project)) == 1
    with pytest.raises(ValueError, match="does not exist"):
        trackio.Api().runs("nowhere")


def test_all_names_are_there_and_others_are_not():
    assert [name for name in trackio.__all__ if not hasattr(trackio, name)] == []
    assert not hasattr(trackio, "of_tomorrow")
    with pytest.raises(NotImplementedError):
        trackio.Molecule()
