"""``wandb.init``: which run the call gives."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import rows
from steplog.compat.unsupported import unsupported


@apart
def test_a_second_init_gives_the_open_run():
    first = wandb.init(project="p", config={"a": 1})
    second = wandb.init(project="q", config={"b": 2}, name="other")
    assert second is first is wandb.run
    assert (dict(first.config), first.project, first.steplog_run.status.value) == ({"a": 1}, "p", "RUNNING")


@apart
def test_threads_that_call_init_at_once_get_one_run():
    found = []
    other = threading.Thread(target=lambda: found.append(wandb.init()))

    class Config(dict):
        def items(self):  # init() is in the middle of it
            other.start()
            other.join(0.5)
            return super().items()

    run = wandb.init(config=Config(lr=0.1))
    other.join()
    assert found == [run]
    assert len(steplog.journals()) == 1


@pytest.mark.parametrize("reinit", [True, "finish_previous"])
@apart
def test_reinit_finishes_the_open_runs(reinit):
    first, beside = wandb.init(), wandb.init(reinit="create_new")
    second = wandb.init(reinit=reinit)
    assert [run.steplog_run.status.value for run in (first, beside, second)] == ["COMPLETED", "COMPLETED", "RUNNING"]
    assert wandb.run is second


@pytest.mark.parametrize("reinit", [None, False, "default", "return_previous"])
@apart
def test_other_words_give_the_newest_open_run(reinit):
    wandb.init()
    newest = wandb.init(reinit="create_new")
    assert wandb.init(reinit=reinit) is newest


@apart
def test_a_run_beside_the_open_one_takes_no_name_of_the_module():
    first = wandb.init()
    second = wandb.init(reinit="create_new")
    wandb.log({"a": 1})
    second.log({"b": 2})
    assert wandb.run is first
    assert (rows(first), rows(second)) == ({0: {"a": 1}}, {0: {"b": 2}})
    second.finish()
    assert (wandb.run, first.steplog_run.status.value) == (first, "RUNNING")
    wandb.finish()
    assert wandb.run is None


@apart
def test_reinit_is_read_from_settings_and_the_environment(monkeypatch):
    first = wandb.init(settings=wandb.Settings(reinit="create_new"))
    assert wandb.init(settings={"reinit": "create_new"}) is not first
    monkeypatch.setenv("WANDB_REINIT", "true")
    wandb.init()
    assert first.steplog_run.status.value == "COMPLETED"


@apart
def test_a_notebook_finishes_the_open_run_and_changes_its_config_freely(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    first = wandb.init(config={"a": 1})
    wandb.config.a = 2
    second = wandb.init()
    assert (first.steplog_run.status.value, wandb.run, first.config.a) == ("COMPLETED", second, 2)
    assert wandb.init(reinit="return_previous") is second


@apart
def test_must_resume_while_a_run_is_open_raises_as_wandb_does():
    wandb.init()
    with pytest.raises(wandb.Error, match="another run is active"):
        wandb.init(id="x", resume="must")


@apart
def test_the_run_that_steplog_has_open_is_joined_and_stays_its_owners():
    owner = steplog.init(project="p", name="mine")
    owner.log("before", 1, step=4)
    run = wandb.init(project="q", name="other", config={"a": 1}, tags=["x"], group="g")
    wandb.log({"loss": 0.5})
    assert (run.name, run.project, run.group, run.tags, dict(owner.config)) == ("mine", "p", "g", ("x",), {"a": 1})
    assert rows(run) == {4: {"before": 1}, 5: {"loss": 0.5}}
    wandb.finish(1)
    assert (wandb.run, owner.status.value) == (None, "RUNNING")
    owner.log("after", 1)


@pytest.mark.parametrize("end", [steplog.finish, lambda: steplog.init(project="p").finish()])
@apart
def test_a_run_that_steplog_has_ended_is_not_given_again(end):
    first = wandb.init()
    end()
    assert first.is_over
    second = wandb.init()
    wandb.log({"a": 1})
    assert (second is not first, wandb.run is second, rows(second)) == (True, True, {0: {"a": 1}})


def test_what_writers_of_event_files_write_comes_to_the_run_until_its_end():
    reason = "needs tensorboardX: pip install 'steplog[frameworks]'"
    writers = pytest.importorskip("tensorboardX", reason=reason)

    @apart
    def synced() -> None:
        run = wandb.init(sync_tensorboard=True)
        writer = writers.SummaryWriter("runs/a")
        for step in (10, 20):
            writer.add_scalar("loss", step / 10, step)
            wandb.log({"own": step})
        run.finish()
        writer.add_scalar("loss", 3, 30)
        writer.close()
        assert rows(run) == {0: {"own": 10}, 1: {"own": 20}, 10: {"loss": 1.0}, 20: {"loss": 2.0}}
        assert list(Path("runs/a").glob("events.*"))

    synced()


@apart
def test_auto_says_where_it_cannot_remember_the_run(caplog):
    Path("steplog-runs").write_text("a file is in the way")
    wandb.init(resume="auto")
    assert 'resume="auto" cannot go on with this run later' in caplog.text


@apart
def test_an_id_begins_a_run_of_its_own_beside_steplogs():
    with steplog.init(project="p") as owner:
        run = wandb.init(id="abc")
        assert run.steplog_run is not owner
        wandb.finish()
        assert owner.status.value == "RUNNING"


@apart
def test_the_project_is_uncategorized_where_nothing_names_one():
    assert wandb.init().project == "uncategorized"


@apart
def test_what_is_empty_says_nothing():
    run = wandb.init(project="", entity="", name="", id="", mode="", notes="", tags=[], group="", resume="", config={})
    assert (run.project, len(run.id), run.offline) == ("uncategorized", 8, True)


@apart
def test_a_project_without_letters_is_uncategorized(caplog):
    assert wandb.init(project="***").project == "uncategorized"
    assert "has no letter or digit" in caplog.text


@apart
def test_an_id_goes_on_with_resume():
    first = wandb.init(id="abc", config={"a": 1, "b": 1})
    first.log({"loss": 1})
    first.log({"loss": 0.5})
    first.finish()
    second = wandb.init(id="abc", resume="allow", config={"b": 2})
    assert (second.resumed, second.step, dict(second.config)) == (True, 2, {"a": 1, "b": 2})
    second.log({"loss": 0.25})
    assert {step: row["loss"] for step, row in rows(second).items()} == {0: 1, 1: 0.5, 2: 0.25}
    assert (second.summary["loss"], second.id) == (0.25, "abc")


@apart
def test_what_a_resumed_run_had_in_its_summary_is_read():
    first = wandb.init(id="abc")
    first.log({"loss": 1, "acc": 0.5})
    first.summary["best"] = 3
    first.finish()
    second = wandb.init(id="abc", resume="must")
    second.log({"loss": 2})
    assert (second.summary["acc"], second.summary["best"], second.summary["loss"]) == (0.5, 3, 2)


@apart
def test_a_new_run_of_resume_allow_begins_at_0():
    run = wandb.init(id="abc", resume="allow")
    assert (run.resumed, run.step, run.starting_step) == (False, 0, 0)
    wandb.finish()
    assert wandb.init(id="abc", resume="allow").resumed


@apart
def test_resume_must_needs_an_id():
    with pytest.raises(wandb.UsageError, match="needs the id"):
        wandb.init(resume="must")


@pytest.mark.parametrize("resume", [True, "auto"])
@apart
def test_auto_goes_on_with_the_last_run_of_the_folder_unless_that_ended_well(resume):
    first = wandb.init(project="p", resume=resume)
    wandb.log({"a": 1})
    first.finish(exit_code=1)
    second = wandb.init(project="p", resume=resume)
    assert (second.id, second.resumed, second.step) == (first.id, True, 1)
    assert wandb.init(project="other", resume=resume, reinit="create_new").id != first.id
    second.finish()
    assert wandb.init(project="p", resume=resume).id != first.id


@apart
def test_an_id_that_a_server_does_not_take_still_resumes():
    first = wandb.init(id="lr=0.1, seed 3")
    first.finish()
    assert first.id == "lr=0.1, seed 3"
    second = wandb.init(id="lr=0.1, seed 3", resume="allow")
    assert (second.resumed, second.steplog_run.uuid) == (True, first.steplog_run.uuid)


@apart
def test_what_is_not_kept_is_counted():
    wandb.init(fork_from="abc?_step=3", resume_from="abc?_step=3")
    assert list(unsupported.counts()) == [
        "wandb.init(resume_from=…)",
        "wandb.init(fork_from=…)",
    ]


@apart
def test_an_entity_is_left_out_while_no_server_is_asked(caplog):
    run = wandb.init(entity="some-lab")
    assert (run.entity, run.steplog_run.organization.slug) == ("", "")
    assert "STEPLOG_NAMESPACE" in caplog.text


@apart
def test_steplogs_namespace_takes_the_place_of_an_entity(monkeypatch, caplog):
    monkeypatch.setenv("STEPLOG_NAMESPACE", "me")
    assert (wandb.init(entity="some-lab").entity, "is left out" in caplog.text) == ("me", False)


@pytest.mark.slow
@apart
def test_fifty_runs_in_turn_are_fifty_runs():
    seen = set()
    for seed in range(50):
        run = wandb.init(project="sweep", config={"seed": seed})
        wandb.log({"seed": seed})
        assert (wandb.config.seed, run.step, rows(run)) == (seed, 1, {0: {"seed": seed}})
        seen.add(run.id)
        wandb.finish()
    assert len(seen) == 50


@apart
def test_a_process_that_forks_while_a_run_is_open_may_begin_and_finish_others():
    run = wandb.init()
    for _ in range(3):
        if (pid := os.fork()) == 0:
            with wandb.init() as own:
                own.log({"a": 1})
            os._exit(0 if own is not run else 1)
        assert os.waitpid(pid, 0)[1] == 0
    wandb.log({"b": 1})
    assert rows(run) == {0: {"b": 1}}


def test_init_takes_every_argument_of_wandb():
    known = set(inspect.signature(wandb.init).parameters)
    assert known >= {
        *("entity", "project", "dir", "id", "name", "notes", "tags", "config", "config_exclude_keys"),
        *("config_include_keys", "allow_val_change", "group", "job_type", "mode", "force", "reinit", "resume"),
        *("resume_from", "fork_from", "save_code", "tensorboard", "sync_tensorboard", "monitor_gym", "settings"),
    }
    assert list(inspect.signature(wandb.init).parameters)[:4] == ["entity", "project", "dir", "id"]


def test_every_name_of_the_module_is_there():
    frameworks = {"catboost", "gym", "keras", "lightgbm", "sb3", "sklearn", "tensorboard", "xgboost"}
    assert not [name for name in wandb.__all__ if name not in frameworks and not hasattr(wandb, name)]
    assert set(wandb.__all__) <= set(dir(wandb))


@apart
def test_attach_joins_a_run_by_its_id():
    run = wandb.init(id="to-join")
    run.log({"a": 1})
    joined = wandb.attach(run_id="to-join")
    joined.log({"a": 2})
    joined.finish()
    assert run.steplog_run.status.value == "RUNNING"
    with pytest.raises(wandb.UsageError, match="attach"):
        wandb.attach(run_id="no-such-run")
    with pytest.raises(wandb.UsageError, match="must be specified"):
        wandb.attach()


def test_importing_the_module_costs_what_steplog_costs_and_prints_nothing():
    import subprocess

    program = """
import sys
import steplog.compat.wandb as wandb
late = {"requests", "steplog.server", "steplog.reading", "numpy", "steplog.compat.wandb.beginning"} & set(sys.modules)
wandb.Error, wandb.Settings, wandb.run
assert not late, late
"""
    source = str(Path(steplog.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
