"""Modules that wandb has under several names: one module here, in ``sys.modules`` under each of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType

__all__ = ["give"]


def give(package: str, modules: Mapping[str, str]) -> dict[str, ModuleType]:
    """Let ``package.NAME`` be imported; ``modules`` are those of this package, by NAME."""
    found = {name: importlib.import_module(f"{__package__}.{module}") for name, module in modules.items()}
    sys.modules.update({f"{package}.{name}": module for name, module in found.items()})
    return {name: module for name, module in found.items() if "." not in name}
