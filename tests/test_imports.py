"""Every module can be imported by each Python that is supported."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import steplog

MODULES = [module.name for module in pkgutil.walk_packages(steplog.__path__, "steplog.")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_a_module_is_imported(name):
    importlib.import_module(name)
