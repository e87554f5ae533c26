"""What frameworks call hyperparameters, as values of a config: plain dicts, and names of classes and functions.

::

    Namespace, DictConfig, any mapping    a dict, all the way down; keys are strings
    ListConfig                            a list
    ${a.b}, ???                           of OmegaConf: resolved; as they are written, where they cannot be
    a class, a function                   module.name
    anything else                         as it is; also what is circular, too deep, or raises when it is looked at
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["config_values"]

_DEPTH_MAX = 32  # of dicts in dicts; steplog keeps no deeper ones


def config_values(given: Mapping[Any, Any] | argparse.Namespace | None) -> dict[str, Any]:
    """Raises TypeError for what has no names."""
    value = _value({} if given is None else given, ())
    if not isinstance(value, dict):
        raise TypeError(f"hyperparameters are a mapping or a Namespace, not {type(given).__name__}")
    return value


def _value_below(value: Any, above: tuple[int, ...]) -> Any:
    if id(value) in above or len(above) > _DEPTH_MAX:
        return value
    try:
        return _value(value, above)
    except Exception:  # noqa: BLE001 - the user's code; the other values are set all the same
        return value


def _value(value: Any, above: tuple[int, ...]) -> Any:
    above = (*above, id(value))
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and omegaconf.OmegaConf.is_config(value):
        try:
            value = omegaconf.OmegaConf.to_container(value, resolve=True)
        except omegaconf.errors.OmegaConfBaseException:  # of an interpolation that names nothing
            value = omegaconf.OmegaConf.to_container(value, resolve=False)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(key): _value_below(item, above) for key, item in value.items()}
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    return value
