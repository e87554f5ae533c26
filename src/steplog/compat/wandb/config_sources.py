"""What a config is given as: a mapping, an object with attributes, flags, or a file; and plain values of it.

A file is JSON, or YAML where PyYAML is installed: keys and values, or as wandb writes them, each value in a mapping
with the key ``value``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any

from steplog.compat.notices import say_once
from steplog.compat.wandb.errors import ConfigError, UsageError
from steplog.compat.wandb.open_runs import Uninitialized

__all__ = ["DEFAULTS_FILE", "config_of_file", "parse_config"]

DEFAULTS_FILE = "config-defaults.yaml"


def parse_config(
    params: Any, exclude: Collection[str] | None = None, include: Collection[str] | None = None
) -> dict[str, Any]:
    """A config as a dict with texts as keys. Raises ConfigError for a file, TypeError for what is none."""
    if exclude and include:
        raise UsageError("Expected at most only one of exclude or include")
    found = {str(key): value for key, value in _mapping(params).items()}
    if include:
        return {key: value for key, value in found.items() if key in include}
    return {key: value for key, value in found.items() if key not in (exclude or ())}


def _mapping(params: Any) -> Mapping[Any, Any]:
    if params is None or isinstance(params, Uninitialized):
        return {}
    if isinstance(params, (str, os.PathLike)):
        return config_of_file(os.fspath(params))
    if isinstance(params, Mapping):
        return params
    if hasattr(type(params), "keys") and hasattr(type(params), "__getitem__"):  # such as a config of this module
        return dict(params)
    flags = getattr(params, "FLAGS", params) if getattr(params, "__name__", "") == "absl.flags" else params
    if hasattr(flags, "flag_values_dict"):  # absl's public name for it
        return dict(flags.flag_values_dict())
    if isinstance(params, type) or not hasattr(params, "__dict__"):
        raise TypeError("config must be a dict or have a __dict__ attribute.")
    return dict(vars(params))


def config_of_file(path: str) -> dict[str, Any]:
    """The config in a file. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise ConfigError(f"config file {path} doesn't exist") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"Couldn't read config file: {path}: {error}") from None
    found = _parsed(path, text)
    if found is None:
        say_once(f"the config file {path} is empty")
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"the config file {path} has no mapping of names to values")
    if found.pop("wandb_version", None) not in (None, 1):
        raise ConfigError("Unknown config version")
    return {
        str(key): value["value"] if isinstance(value, dict) and "value" in value and value.keys() <= _WRAPPER else value
        for key, value in found.items()
    }


_WRAPPER = {"value", "desc"}


def _parsed(path: str, text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        pass
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        advice = f"pip install pyyaml, or pass a dict; {sys.executable} has no module yaml"
        raise ConfigError(f"the config file {path} is YAML: {advice}") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"Invalid YAML in {path}: {error}") from None
