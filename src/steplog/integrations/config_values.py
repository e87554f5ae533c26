"""What frameworks call hyperparameters, as values of a config: plain dicts, and names of classes and functions.

::

    Namespace, DictConfig, any mapping    a dict, all the way down; keys are strings
    ListConfig                            a list
    ${a.b}, ???                           of OmegaConf: resolved; as they are written, where they cannot be
    a class, a function                   module.name
    anything else                         as it is
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["config_values"]


def config_values(given: Mapping[Any, Any] | argparse.Namespace | None) -> dict[str, Any]:
    """Raises TypeError for what has no names."""
    value = _value({} if given is None else given)
    if not isinstance(value, dict):
        raise TypeError(f"hyperparameters are a mapping or a Namespace, not {type(given).__name__}")
    return value


def _value(value: Any) -> Any:
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and omegaconf.OmegaConf.is_config(value):
        try:
            value = omegaconf.OmegaConf.to_container(value, resolve=True)
        except omegaconf.errors.OmegaConfBaseException:  # of an interpolation that names nothing
            value = omegaconf.OmegaConf.to_container(value, resolve=False)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items()}
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    return value
