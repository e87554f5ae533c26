"""``wandb.Run``: its attributes, its end, and how it is passed on."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import points, rows
from steplog.compat.unsupported import unsupported


@apart
def test_a_run_says_what_it_was_given():
    run = wandb.init(
        project="my project", name="n", notes="text", tags=["a"], group="g", job_type="train", id="abc", config={"a": 1}
    )
    assert wandb.run is run
    assert (run.project, run.name, run.notes, run.tags) == ("my project", "n", "text", ("a",))
    assert (run.group, run.job_type, run.id, run.path) == ("g", "train", "abc", "my-project/abc")
    assert (run.project_name(), run.sweep_id, run.resumed, run.starting_step) == ("my project", None, False, 0)
    assert (run.mode, run.offline, run.disabled, run.url, run.get_url()) == ("offline", True, False, None, None)
    assert abs(run.start_time - time.time()) < 60
    assert (run.settings.run_id, run.settings.project, run.settings.run_name) == ("abc", "my project", "n")
    assert run.display() is False
    assert run.status().sync_items_total == run.steplog_run.stats().logged
    assert run._label(code="x") is None


@apart
def test_fields_may_be_set():
    run = wandb.init(tags=["a"])
    run.name, run.notes = "other", "text"
    run.tags += ("b",)
    found = steplog.open(run.steplog_run)
    assert (found.name, found.notes, found.tags) == ("other", "text", ("a", "b"))
    assert (wandb.run.name, wandb.run.tags) == ("other", ("a", "b"))


@apart
def test_without_an_id_and_a_server_the_id_is_one_that_a_server_will_keep():
    run = wandb.init()
    assert (run.id, len(run.id)) == (run.steplog_run.key, 8)
    assert (run.group, run.job_type, run.notes, run.tags) == ("", "", None, ())


@apart
def test_what_a_run_has_not_is_an_attribute_error():
    run = wandb.init()
    assert not hasattr(run, "no_such_thing")
    assert not hasattr(wandb, "no_such_thing")


@apart
def test_files_have_a_folder_that_is_made_when_it_is_asked_for():
    run = wandb.init(id="abc")
    assert not list(Path().iterdir())
    Path(run.dir, "model.pt").write_text("x")
    assert Path(run.dir).is_relative_to(Path.cwd() / "steplog-runs")
    assert Path(run.dir).parent == Path(run.sync_dir)


@apart
def test_the_folder_is_where_dir_says(tmp_path):
    assert Path(wandb.init(dir=tmp_path / "elsewhere").dir).is_relative_to(tmp_path / "elsewhere")


@pytest.mark.parametrize(("code", "status"), [(None, "COMPLETED"), (0, "COMPLETED"), (1, "FAILED"), (255, "FAILED")])
@apart
def test_an_exit_code_is_the_status(code, status):
    run = wandb.init()
    wandb.finish(exit_code=code)
    assert (run.steplog_run.status.value, wandb.run) == (status, None)
    wandb.finish()
    run.finish()


@apart
def test_a_block_finishes_its_run():
    with wandb.init() as run:
        run.log({"a": 1})
    assert (run.steplog_run.status.value, wandb.run) == ("COMPLETED", None)


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("x"), "CRASHED"), (KeyboardInterrupt(), "CRASHED"), (SystemExit(0), "COMPLETED")]
)
@apart
def test_an_exception_in_a_block_is_how_its_run_ends(error, status):
    run = wandb.init()
    with pytest.raises(type(error)), run:
        raise error
    assert run.steplog_run.status.value == status
    if status == "CRASHED":
        ((_, found),) = points(run, "steplog/exception")
        assert found["type"] == type(error).__name__


@apart
def test_what_is_not_kept_is_a_metric_of_the_run_that_lacks_it():
    run = wandb.init(fork_from="a", monitor_gym=True)
    run.finish()
    assert steplog.open(run.steplog_run).summary["compat/unsupported"] == {
        "wandb.init(monitor_gym=True)": 1,
        "wandb.init(fork_from=…)": 1,
    }
    assert unsupported.counts() == {}


@apart
def test_a_name_cannot_be_set_after_the_end():
    run = wandb.init()
    run.finish()
    with pytest.raises(wandb.UsageError, match="is finished"):
        run.name = "late"


@apart
def test_a_disabled_run_takes_everything_and_keeps_nothing(tmp_path):
    run = wandb.init(mode="disabled", config={"a": 1})
    wandb.log({"loss": 0.5})
    wandb.summary["best"] = 1
    assert (run.disabled, run.url, run.step, wandb.config.a) == (True, None, 0, 1)
    assert (wandb.summary["loss"], wandb.summary["best"]) == (0.5, 1)
    wandb.config.update({"b": 2})
    run.tags = ("x",)
    wandb.finish()
    assert not (tmp_path / "state").exists() or not list((tmp_path / "state").glob("*/manifest"))


def in_a_worker(run: Any, start: str) -> None:
    run.log({start: run.config["lr"]})
    run.log({start: run.id}, step=50)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
@pytest.mark.slow
def test_a_run_is_passed_to_a_process_as_steplogs_is(start, tmp_path):
    """The rows of the worker go on where the run was, and the run's end stays its owner's."""
    program = f"""
import multiprocessing, sys
import steplog.compat.wandb as wandb
from compat.wandb.test_run import in_a_worker
if __name__ == "__main__":
    run = wandb.init(id="passed", config={{"lr": 0.5}})
    run.log({{"a": 1}})
    worker = multiprocessing.get_context({start!r}).Process(target=in_a_worker, args=(run, {start!r}))
    worker.start()
    worker.join()
    import steplog
    table = steplog.open(run.steplog_run).history({start!r}, form="long")
    print(worker.exitcode, [(row["step"], row["value"], row["json"]) for row in table])
"""
    (tmp_path / "program.py").write_text(program)
    path = os.pathsep.join(str(Path(__file__).parents[up] / where) for up, where in ((2, ""), (3, "src")))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0 [(1, 0.5, None), (50, None, 'passed')]"), done.stderr


@apart
def test_a_copy_of_a_run_is_the_run():
    run = wandb.init()
    assert copy.deepcopy({"run": run})["run"] is run


@apart
def test_a_pickled_run_logs_on_where_it_was():
    run = wandb.init(id="p", config={"a": 1})
    run.log({"x": 1})
    again = pickle.loads(pickle.dumps(run))
    again.log({"x": 2})
    assert (again.id, dict(again.config), points(run, "x")) == ("p", {"a": 1}, [(0, 1), (1, 2)])
    again.finish()
    assert run.steplog_run.status.value == "RUNNING"


@apart
def test_a_forked_child_that_ends_leaves_the_run_open():
    run = wandb.init(config={"sizes": [1]})
    run.define_metric("a", summary="max")
    run.log({"a": 1})
    if (pid := os.fork()) == 0:
        run.config.sizes.append(2)
        run.log({"b": 2})
        wandb.run.conclude()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert rows(run) == {0: {"a": 1}, 1: {"b": 2}}
    assert steplog.open(run.steplog_run).config == {"sizes": [1]}


@apart
def test_a_forked_child_that_finishes_does_not_end_the_run():
    run = wandb.init()
    if (pid := os.fork()) == 0:
        run.log({"b": 2})
        wandb.finish(exit_code=1)
        os._exit(0 if wandb.run is None else 1)
    assert os.waitpid(pid, 0)[1] == 0
    run.log({"a": 1})
    assert (steplog.open(run.steplog_run).status.value, rows(run)) == ("RUNNING", {0: {"a": 1, "b": 2}})
    run.finish()
    assert steplog.open(run.steplog_run).status.value == "COMPLETED"


@apart
def test_a_forked_child_begins_a_run_of_its_own():
    run = wandb.init(id="parent")
    if (pid := os.fork()) == 0:
        assert wandb.run is run
        own = wandb.init(id="child")
        os._exit(0 if own is not run and wandb.run is own and own.id == "child" else 1)
    assert os.waitpid(pid, 0)[1] == 0
