"""A run's config as its user holds it: what a change logs, what is handed out, and attribute access."""

from __future__ import annotations

import argparse
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from steplog.config import Config, FrozenDict, FrozenList, as_config, log_config
from steplog.journal.values import Values

BEFORE = {"model": {"layers": [1, {"units": 2}]}, "keys": 3}


class Logged(list[tuple[str, Any]]):
    """What was logged."""

    def config(self, before: Callable[[], dict[str, Any]] = dict, bytes_max: int = 1 << 20, **more: Any) -> Config:
        values = Values(bytes_max, **more)
        return Config(lambda name, value: log_config(lambda *record: self.append(record), values, name, value), before)


@pytest.fixture
def logged() -> Logged:
    return Logged()


@pytest.fixture
def config(logged: Logged) -> Config:
    return logged.config(lambda: copy.deepcopy(BEFORE))


def test_a_change_logs_the_keys_that_it_changes_alone(logged: Logged, config: Config):
    config["lr"] = 0.1
    config.batch = 32
    config.update({"a": 1}, b=2)
    del config["lr"]
    config.pop("keys")
    config.clear()
    assert logged == [
        ("steplog/config", {"lr": 0.1}),
        ("steplog/config", {"batch": 32}),
        ("steplog/config", {"a": 1, "b": 2}),
        ("steplog/config/removed", ["lr"]),
        ("steplog/config/removed", ["keys"]),
        ("steplog/config/removed", ["model", "batch", "a", "b"]),
    ]
    assert not config
    config.update({})
    config.clear()
    assert len(logged) == 6


def test_what_there_was_before_is_looked_for_once_and_never_for_a_change(logged: Logged):
    looked: list[int] = []
    config = logged.config(lambda: looked.append(1) or {"a": 1, "b": 2})  # type: ignore[func-returns-value]
    config["b"] = 3
    config.update(c=4)
    assert not looked
    assert dict(config) == {"a": 1, "b": 3, "c": 4}
    assert (config.a, len(config), looked) == (1, 3, [1])


def test_null_is_a_value_and_a_removed_key_is_missing(config: Config):
    config["none"] = None
    assert "none" in config
    assert config.none is None
    del config["model"]
    assert "model" not in config
    with pytest.raises(KeyError, match="model"):
        config["model"]
    with pytest.raises(KeyError, match="model"):
        del config["model"]


def test_an_attribute_is_read_and_written_as_the_key(config: Config):
    config.lr = 0.1
    assert config["lr"] == config.lr == 0.1
    del config.lr
    assert not hasattr(config, "lr")
    with pytest.raises(AttributeError, match="the config has no 'lr'"):
        _ = config.lr
    with pytest.raises(AttributeError, match="'lr'"):
        del config.lr
    assert {"model", "keys", "update"} <= set(dir(config))


def test_the_name_of_a_mappings_method_is_that_method_and_is_set_as_an_item(config: Config):
    assert callable(config.keys)
    assert config["keys"] == 3
    for name in ("keys", "items", "update", "_log"):
        with pytest.raises(AttributeError, match=rf'run\.config\["{name}"\] = …'):
            setattr(config, name, 1)
    with pytest.raises(AttributeError, match="__wrapped__"):
        _ = config.__wrapped__
    config["items"] = 1
    assert config["items"] == 1
    assert callable(config.items)


MUTATIONS: list[Callable[[Any], Any]] = [
    lambda model: model.update(a=1),
    lambda model: model.__setitem__("a", 1),
    lambda model: model.__delitem__("layers"),
    lambda model: model.setdefault("a", 1),
    lambda model: model.pop("layers"),
    lambda model: model.popitem(),
    lambda model: model.clear(),
    lambda model: model.__ior__({"a": 1}),
    lambda model: model["layers"].append(1),
    lambda model: model["layers"].extend([1]),
    lambda model: model["layers"].insert(0, 1),
    lambda model: model["layers"].__setitem__(0, 1),
    lambda model: model["layers"].__delitem__(0),
    lambda model: model["layers"].__iadd__([1]),
    lambda model: model["layers"].__imul__(2),
    lambda model: model["layers"].pop(),
    lambda model: model["layers"].remove(1),
    lambda model: model["layers"].clear(),
    lambda model: model["layers"].sort(),
    lambda model: model["layers"].reverse(),
    lambda model: model["layers"][1].update(a=1),
]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_what_is_in_a_config_refuses_to_change_and_says_what_to_assign(config: Config, mutate: Callable[[Any], Any]):
    config["own"] = {"layers": [1, {"units": 2}]}
    for key in ("model", "own"):
        with pytest.raises(TypeError, match=rf'assign it: run\.config\["{key}"\] = …'):
            mutate(config[key])
        assert config[key] == BEFORE["model"]


def test_every_mutator_of_dict_and_list_is_refused():
    changing = {"__delitem__", "__iadd__", "__imul__", "__ior__", "__setitem__", "append", "clear", "extend", "insert"}
    changing |= {"pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"}
    for frozen, plain in ((FrozenDict, dict), (FrozenList, list)):
        assert {name for name in changing if hasattr(plain, name)} <= vars(frozen).keys()


def test_json_pickle_copies_and_the_like_take_what_is_handed_out_as_plain(config: Config):
    model = config.model
    assert isinstance(model, dict)
    assert isinstance(model["layers"], list)
    assert json.loads(json.dumps(model)) == msgspec.json.decode(msgspec.json.encode(model)) == BEFORE["model"]
    assert dict(**model) == BEFORE["model"]
    for copied in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.copy()):
        assert (type(copied), type(copied["layers"]), type(copied["layers"][1])) == (dict, list, dict)
        copied["layers"].append(3)
    for copied in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config)), config.copy()):
        assert type(copied) is dict
        assert type(copied["model"]) is dict
        assert copied == BEFORE
    assert dict(**config) == dict(config) == BEFORE


def test_yaml_writes_what_is_handed_out_as_plain(config: Config):
    yaml = pytest.importorskip("yaml")
    for dump in (yaml.safe_dump, yaml.dump):
        assert yaml.safe_load(dump(config.model)) == BEFORE["model"]
        assert yaml.safe_load(dump(dict(config))) == BEFORE


def test_values_are_kept_as_json_has_them(logged: Logged, config: Config):
    config["by_int"] = {1: {2: (3, 4)}, None: float("nan")}
    kept = {"1": {"2": [3, 4]}, "null": "NaN"}
    assert config["by_int"] == kept
    assert logged == [("steplog/config", {"by_int": kept})]
    config.update({7: 1})
    assert config["7"] == 1
    config["set"] = {3, 1}
    assert config["set"] == [1, 3]


def test_a_value_that_cannot_be_logged_changes_nothing(logged: Logged):
    config = logged.config(strict=True)
    with pytest.raises(TypeError):
        config["what"] = object()
    assert (dict(config), logged) == ({}, [])


def test_a_config_too_large_for_one_record_goes_key_by_key_and_a_value_is_cut(
    logged: Logged, caplog: pytest.LogCaptureFixture
):
    config = logged.config(bytes_max=200)
    config.update({"a": "x" * 120, "b": "y" * 120, "c": ["z"] * 200})
    assert [list(value) for _, value in logged] == [["a"], ["b"], ["c"]]
    assert config["a"] == "x" * 120
    assert config["c"].startswith("['z', 'z', ")
    assert all(len(json.dumps(value)) <= 200 for _, value in logged)
    assert ["a value of type list is logged as its repr" in record.getMessage() for record in caplog.records] == [True]


def test_a_config_is_a_mapping_or_an_object_with_attributes():
    assert as_config(argparse.Namespace(lr=0.1)) == as_config({"lr": 0.1}) == {"lr": 0.1}
    for wrong in (1, "text", int):
        with pytest.raises(TypeError, match="a config is a mapping"):
            as_config(wrong)
