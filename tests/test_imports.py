"""Every module can be imported by each Python that is supported; an adapter needs its framework, and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import warnings

import pytest

import steplog

MODULES = [module.name for module in pkgutil.walk_packages(steplog.__path__, "steplog.")]
ADAPTERS = ("steplog.integrations.", "steplog.compat.wandb.integration.")
FRAMEWORKS = {
    "accelerate",
    "hydra",
    "ignite",
    "inspect_ai",
    "keras",
    "lightgbm",
    "lightning",
    "opentelemetry",
    "optuna",
    "pytorch_lightning",
    "ray",
    "sklearn",
    "stable_baselines3",
    "torch",
    "transformers",
    "xgboost",
}


def test_every_module_is_imported():
    names = [name for name in MODULES if not name.endswith("__main__") and not name.startswith(ADAPTERS)]
    assert names
    for name in names:
        importlib.import_module(name)


FOR_A_RUN = """
import dataclasses, sys
import steplog.client, steplog.lifecycle.init, steplog.network.failures, steplog.network.pool, steplog.project

modules = [module for name, module in list(sys.modules.items()) if name.startswith("steplog.")]
classes = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
print(*sorted(each.__name__ for each in classes if dataclasses.is_dataclass(each)))
"""


def test_of_what_a_run_imports_only_what_users_are_given_are_dataclasses():
    """A frozen dataclass takes as long to make as thirty Structs of msgspec; ``init`` would make fifty."""
    found = subprocess.run([sys.executable, "-c", FOR_A_RUN], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["Account", "Project", "Report", "Settings", "Stats"]


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(ADAPTERS)])
def test_an_adapter_is_imported_where_its_framework_is(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of frameworks about each other
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in FRAMEWORKS:
                raise
            pytest.skip(f"needs {error.name}: pip install 'steplog[frameworks]'")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters is new in Python 3.14")
def test_a_subinterpreter_is_refused_in_words():
    program = """
from concurrent import interpreters

apart = interpreters.create()
try:
    apart.exec("import steplog; steplog.init")
except interpreters.ExecutionFailed as error:
    print(error.excinfo.type.__name__, error.excinfo.msg)
apart.close()
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == (
        "ImportError no run is logged in a subinterpreter, and nothing was; hand the values to the main "
        "interpreter by concurrent.interpreters.create_queue(), and log them there\n"
    )
