"""``wandb.config``: what it is given, how it is read, and what of it the run keeps."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import pickle
import types
from pathlib import Path

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from steplog.compat.wandb.config_sources import parse_config
from steplog.compat.wandb.run_config import Config


def kept() -> dict[str, object]:
    """The config as the run has it."""
    assert wandb.run is not None
    return steplog.open(wandb.run.steplog_run).config


@apart
def test_a_config_is_read_by_key_and_by_attribute():
    run = wandb.init(config={"lr": 0.1, "model": {"depth": 3}, "name with space": 1})
    assert (wandb.config.lr, wandb.config["lr"], run.config.get("lr"), wandb.config.get("no", 5)) == (0.1, 0.1, 0.1, 5)
    assert wandb.config["model"]["depth"] == 3
    assert ("lr" in wandb.config, "no" in wandb.config) == (True, False)
    assert dict(run.config) == run.config.as_dict() == {"lr": 0.1, "model": {"depth": 3}, "name with space": 1}
    assert list(wandb.config.keys()) == ["lr", "model", "name with space"]
    assert kept() == dict(wandb.config)
    with pytest.raises(AttributeError, match="nothing"):
        _ = wandb.config.nothing
    with pytest.raises(KeyError):
        _ = wandb.config["nothing"]


@apart
def test_a_value_is_set_by_key_by_attribute_and_by_update():
    wandb.init()
    wandb.config.a = 1
    wandb.config["b"] = 2
    wandb.config.update({"c": 3})
    wandb.config.setdefaults({"a": 9, "d": 4})
    assert kept() == {"a": 1, "b": 2, "c": 3, "d": 4}


@apart
def test_a_value_that_changes_raises_unless_it_may():
    wandb.init(config={"lr": 0.1, "path": Path("x"), "steps": (1, 2)})
    wandb.config.update({"lr": 0.1, "path": Path("x"), "steps": (1, 2)})
    with pytest.raises(wandb.errors.ConfigError, match=r'change value of key "lr" from 0\.1 to 0\.2'):
        wandb.config.lr = 0.2
    with pytest.raises(wandb.Error, match="allow_val_change=True"):
        wandb.config.update({"new": 1, "lr": 0.2})
    assert kept() == {"lr": 0.1, "path": "x", "steps": [1, 2]}
    wandb.config.update({"lr": 0.2}, allow_val_change=True)
    assert (kept()["lr"], wandb.config.lr) == (0.2, 0.2)


@dataclasses.dataclass
class Limits:
    norm: float = math.inf


@apart
def test_a_config_is_read_as_it_was_given_where_json_has_no_such_number():
    given = {"inf": math.inf, "list": [-math.inf, "NaN"], "limits": Limits(), "nested": {"a": {"b": math.inf}}}
    wandb.init(config=given)
    plain = {**given, "limits": {"norm": math.inf}}
    assert dict(wandb.config) == plain
    wandb.config.update(given)  # nothing has changed
    wandb.config.nan = math.nan
    assert math.isnan(wandb.config.nan)
    assert kept()["inf"] == "Infinity"


@apart
def test_a_config_too_large_to_be_kept_whole_is_read_as_it_was_given():
    given = {"text": "x" * 2_000_000, "list": list(range(500_000))}
    wandb.init(config=given)
    wandb.config.update(given)  # nothing has changed
    assert dict(wandb.config) == given


@apart
def test_a_run_may_allow_changes_from_the_start():
    wandb.init(config={"lr": 0.1}, allow_val_change=True)
    wandb.config.lr = 0.2
    assert kept() == {"lr": 0.2}


@dataclasses.dataclass
class Model:
    """A config as a class."""

    depth: int = 3
    sizes: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize(
    "given",
    [
        {"depth": 3, "sizes": (1, 2)},
        argparse.Namespace(depth=3, sizes=[1, 2]),
        types.SimpleNamespace(depth=3, sizes=[1, 2]),
        Model(),
        types.MappingProxyType({"depth": 3, "sizes": [1, 2]}),
    ],
    ids=lambda given: type(given).__name__,
)
@apart
def test_a_config_is_a_mapping_or_has_attributes(given):
    wandb.init(config=given)
    assert dict(wandb.config) == kept() == {"depth": 3, "sizes": [1, 2]}


@apart
def test_keys_that_are_no_text_become_text():
    wandb.init(config={1: "one", "sizes": {0: 10, 1: 20}})
    assert kept() == {"1": "one", "sizes": {"0": 10, "1": 20}}


@pytest.mark.parametrize("given", [5, [1], Model])
@apart
def test_what_is_no_config_raises_before_a_run_begins(given):
    with pytest.raises(TypeError, match="config must be a dict"):
        wandb.init(config=given)
    assert wandb.run is None


class Keyed:
    """As ml_collections.ConfigDict: keys and items, but no mapping by its type."""

    def __init__(self) -> None:
        self._fields = {"lr": 0.5}

    def keys(self) -> list[str]:
        return list(self._fields)

    def __getitem__(self, key: str) -> float:
        return self._fields[key]


@apart
def test_what_has_keys_and_items_is_read_by_them():
    assert parse_config(Keyed()) == {"lr": 0.5}
    assert parse_config(wandb.config) == {}
    wandb.init(config={"lr": 0.5})
    assert parse_config(wandb.config) == {"lr": 0.5}


def test_flags_are_read_by_the_public_name_that_absl_has_for_it():
    class Flags:
        def flag_values_dict(self) -> dict[str, int]:
            return {"lr": 1}

    module = types.ModuleType("absl.flags")
    module.__dict__["FLAGS"] = Flags()
    assert parse_config(Flags()) == parse_config(module) == {"lr": 1}


def test_keys_are_chosen_by_name():
    assert parse_config({"a": 1, "b": 2}, include=["a"]) == {"a": 1}
    assert parse_config({"a": 1, "b": 2}, exclude=("a",)) == {"b": 2}
    with pytest.raises(wandb.UsageError, match="only one"):
        parse_config({"a": 1}, exclude=["a"], include=["a"])


@apart
def test_init_leaves_keys_out():
    wandb.init(config={"a": 1, "secret": 2}, config_exclude_keys=["secret"])
    assert kept() == {"a": 1}


def test_a_file_is_json_or_yaml_with_values_or_with_values_in_mappings(tmp_path):
    pytest.importorskip("yaml", reason="needs yaml: pip install pyyaml")
    (tmp_path / "a.json").write_text(json.dumps({"lr": 0.1, "model": {"depth": 3}}))
    (tmp_path / "b.yaml").write_text("wandb_version: 1\nlr:\n  desc: rate\n  value: 0.1\nmodel:\n  value: {depth: 3}\n")
    (tmp_path / "c.yaml").write_text("lr: 0.1\nmodel:\n  depth: 3\n")
    for name in ("a.json", "b.yaml", "c.yaml"):
        assert parse_config(str(tmp_path / name)) == {"lr": 0.1, "model": {"depth": 3}}, name


@apart
def test_a_file_of_defaults_in_the_folder_comes_below_what_init_is_given():
    Path("config-defaults.yaml").write_text(json.dumps({"lr": {"value": 0.1}, "seed": {"value": 1}}))
    wandb.init(config={"lr": 0.5})
    assert kept() == {"lr": 0.5, "seed": 1}


def test_a_file_that_is_none_raises_wandbs_error(tmp_path):
    with pytest.raises(wandb.errors.ConfigError, match="doesn't exist"):
        parse_config(str(tmp_path / "no.yaml"))
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(wandb.errors.ConfigError, match="no mapping"):
        parse_config(str(tmp_path / "list.json"))


@apart
def test_what_is_changed_in_place_is_logged_at_the_next_change_and_at_the_end(caplog):
    run = wandb.init(config={"sizes": [1], "model": {"depth": 3}})
    wandb.config.sizes.append(2)
    assert kept()["sizes"] == [1]
    wandb.config.other = 1
    assert kept()["sizes"] == [1, 2]
    wandb.config["model"]["depth"] = 4
    run.finish()
    assert steplog.open(run.steplog_run).config == {"sizes": [1, 2], "model": {"depth": 4}, "other": 1}
    assert "changed in place" in caplog.text


@apart
def test_values_given_are_not_shared_with_the_caller():
    sizes = [1]
    wandb.init(config={"sizes": sizes})
    sizes.append(2)
    assert wandb.config.sizes == [1]


@apart
def test_locked_values_stay_as_they_are(caplog):
    wandb.init()
    wandb.config.update_locked({"lr": 0.5}, "sweep")
    wandb.config.update({"lr": 0.1, "seed": 1})
    assert (kept(), "lr is locked" in caplog.text) == ({"lr": 0.5, "seed": 1}, True)
    wandb.config.update({"opt": {"lr": 1, "beta": {"a": 1}}})
    wandb.config.merge_locked({"opt": {"beta": {"b": 2}}}, "sweep", _allow_val_change=True)
    assert kept()["opt"] == {"lr": 1, "beta": {"a": 1, "b": 2}}


@apart
def test_a_config_before_init_raises_wandbs_error():
    with pytest.raises(wandb.Error, match=r"You must call wandb\.init\(\) before wandb\.config\.lr"):
        _ = wandb.config.lr
    with pytest.raises(wandb.Error, match=r"before wandb\.config\['lr'\]"):
        wandb.config["lr"] = 1
    with pytest.raises(wandb.Error, match=r"before wandb\.config\.lr"):
        wandb.config.lr = 1
    assert not hasattr(wandb.config, "_private")


@apart
def test_a_config_after_the_end_is_changed_here_alone():
    run = wandb.init(config={"a": 1})
    run.finish()
    run.config.b = 2
    assert (run.config.b, steplog.open(run.steplog_run).config) == (2, {"a": 1})


def test_a_copy_and_a_pickle_have_the_values():
    config = Config(items={"a": [1]})
    assert copy.deepcopy(config) is config
    assert dict(pickle.loads(pickle.dumps(config))) == {"a": [1]}


def test_omegaconf_is_a_mapping_whose_references_are_resolved():
    omegaconf = pytest.importorskip("omegaconf", reason="needs omegaconf: pip install 'steplog[frameworks]'")

    @apart
    def resolved() -> None:
        wandb.init(config=omegaconf.OmegaConf.create({"lr": 0.1, "opt": {"lr": "${lr}", "betas": [0.9, 0.99]}}))
        assert kept() == {"lr": 0.1, "opt": {"lr": 0.1, "betas": [0.9, 0.99]}}

    resolved()
