"""``wandb.Settings`` and the environment: what they say, and which word counts."""

from __future__ import annotations

import pickle

import pytest

import steplog.compat.wandb as wandb
from apart import apart
from steplog.compat.field_limits import fitting_tags, fitting_text, key_of
from steplog.compat.wandb.environment import from_environment


def test_settings_have_wandbs_defaults_and_keep_what_they_do_not_know():
    settings = wandb.Settings(project="p", start_method="thread", _disable_stats=True, my_own=5, tags=["a", "b"])
    assert (settings.project, settings.mode, settings.start_method) == ("p", "online", "thread")
    assert (settings.x_disable_stats, settings.my_own, settings.run_tags) == (True, 5, ("a", "b"))
    assert not hasattr(settings, "nothing_like_it")
    settings.run_name = "n"
    assert settings.given() == {
        "project": "p",
        "start_method": "thread",
        "x_disable_stats": True,
        "my_own": 5,
        "run_tags": ("a", "b"),
        "run_name": "n",
    }


def test_settings_are_copied_compared_and_pickled():
    settings = wandb.Settings(project="p", api_key="secret-key")
    other = settings.model_copy(update={"project": "q"}, deep=True)
    assert (settings.project, other.project) == ("p", "q")
    assert pickle.loads(pickle.dumps(settings)) == settings != other
    assert "secret-key" not in repr(settings)


def test_the_environment_is_read_by_wandbs_names():
    environ = {
        "WANDB_PROJECT": "p",
        "WANDB_ENTITY": "team",
        "WANDB_NAME": "n",
        "WANDB_MODE": "dryrun",
        "WANDB_RUN_ID": "abc",
        "WANDB_RESUME": "allow",
        "WANDB_RUN_GROUP": "g",
        "WANDB_TAGS": "a, b,",
        "WANDB_NOTES": "text",
        "WANDB_JOB_TYPE": "train",
        "WANDB_DIR": "files",
        "WANDB_API_KEY": "not read",
        "WANDB_BASE_URL": "not read",
    }
    assert from_environment(environ) == {
        "project": "p",
        "entity": "team",
        "run_name": "n",
        "mode": "dryrun",
        "run_id": "abc",
        "resume": "allow",
        "run_group": "g",
        "run_tags": ("a", "b"),
        "run_notes": "text",
        "run_job_type": "train",
        "root_dir": "files",
    }


def test_steplogs_variables_come_before_wandbs():
    ours = {"STEPLOG_PROJECT": "ours", "STEPLOG_NAMESPACE": "me", "STEPLOG_NAME": "our", "STEPLOG_MODE": "online"}
    theirs = {"WANDB_PROJECT": "p", "WANDB_ENTITY": "e", "WANDB_NAME": "n", "WANDB_MODE": "offline"}
    assert from_environment({**ours, **theirs, "WANDB_DISABLED": "true", "WANDB_NOTES": "x"}) == {"run_notes": "x"}


@pytest.mark.parametrize(("text", "found"), [("true", "disabled"), ("1", "disabled"), ("false", None), ("", None)])
def test_wandb_disabled_is_a_mode(text, found):
    assert from_environment({"WANDB_DISABLED": text}).get("mode") == found


@pytest.mark.parametrize(("text", "found"), [("true", True), ("False", False), ("auto", "auto"), ("must", "must")])
def test_a_word_for_true_is_true(text, found):
    assert from_environment({"WANDB_RESUME": text}) == {"resume": found}


@apart
def test_an_argument_comes_before_settings_and_these_before_the_environment(monkeypatch):
    for name in ("PROJECT", "NAME", "RUN_GROUP", "JOB_TYPE"):
        monkeypatch.setenv(f"WANDB_{name}", "environment")
    settings = wandb.Settings(run_name="settings", run_group="settings", job_type=None)
    run = wandb.init(name="argument", settings=settings)
    assert (run.name, run.group, run.job_type, run.project) == ("argument", "settings", "environment", "environment")


@apart
def test_settings_may_be_a_dict():
    run = wandb.init(settings={"run_id": "abc", "project": "p", "run_tags": ["x"], "mode": "offline"})
    assert (run.id, run.project, run.tags) == ("abc", "p", ("x",))


@apart
def test_setup_is_below_init_and_above_the_environment(monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "environment")
    session = wandb.setup(wandb.Settings(project="session", run_group="session"))
    run = wandb.init(group="mine")
    assert (run.project, run.group, session.settings.project) == ("session", "mine", "session")
    session.teardown()
    assert wandb.run is None


@apart
def test_a_project_file_is_below_wandbs_variables(monkeypatch, tmp_path):
    (tmp_path / "cwd" / "steplog.toml").write_text('project = "file"\n')
    assert wandb.init().project == "file"
    wandb.finish()
    monkeypatch.setenv("WANDB_PROJECT", "variable")
    assert wandb.init().project == "variable"


@pytest.mark.parametrize("given", [{"mode": "on"}, {"resume": "perhaps"}])
@apart
def test_a_word_that_is_none_raises_wandbs_error(given):
    with pytest.raises(wandb.UsageError, match="not '"):
        wandb.init(**given)


@apart
def test_fields_that_are_too_long_are_cut():
    assert fitting_text("name", "n" * 300) == "n" * 256
    assert fitting_text("notes", "n" * 300) == "n" * 300
    assert (fitting_text("name", " "), fitting_text("group", None), fitting_text("name", 5)) == (None, None, "5")
    assert fitting_tags(["a", "a", 5, "", "t" * 200]) == ["a", "5", "t" * 128]
    assert fitting_tags("one") == ["one"]
    assert len(fitting_tags(map(str, range(100)))) == 64


def test_an_id_that_a_server_does_not_take_becomes_one_of_its_own():
    assert key_of("abc-1.x_Y") == "abc-1.x_Y"
    assert key_of("lr=0.1, seed 3") == "lr-0.1-seed-3-" + key_of("lr=0.1, seed 3")[-8:]
    assert key_of("lr=0.1") != key_of("lr 0.1")
    assert len(key_of("x" * 500)) <= 128
