"""What else programs import of wandb: ids, names, lines that are printed, login, modules by their older names."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import steplog
import steplog.compat.wandb as wandb

SOURCE = Path(steplog.__file__).parent.parent


def test_an_id_is_of_letters_and_digits():
    assert all(len(wandb.util.generate_id()) == 8 and wandb.util.generate_id().isalnum() for _ in range(20))
    assert len(wandb.util.generate_id(16)) == 16


def test_a_name_is_made_safe_for_an_artifact():
    assert wandb.Artifact(wandb.util.make_artifact_name_safe("a b/" + "x" * 200), "t").name.startswith("a_b_x")


def test_a_module_that_is_not_installed_is_none_or_raises_in_words():
    assert wandb.util.get_module("json").dumps([1]) == "[1]"
    assert wandb.util.get_module("not_installed_at_all") is None
    with pytest.raises(wandb.Error, match="install it"):
        wandb.util.get_module("not_installed_at_all", required="install it")


def test_login_is_true_and_reads_no_key(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "not-a-key")
    assert wandb.login() is True
    assert wandb.login(key="x" * 40, relogin=True, host="https://api.wandb.ai", anonymous="must") is True
    assert wandb.api.api_key


def test_lines_are_printed_as_steplogs_own(caplog):
    caplog.set_level("INFO", logger="steplog")
    wandb.termlog("first")
    wandb.termwarn("twice", repeat=False)
    wandb.termwarn("twice", repeat=False)
    assert caplog.messages == ["steplog: first", "steplog: twice"]


@pytest.mark.parametrize("call", [lambda: wandb.sweep({}), lambda: wandb.agent("id"), lambda: wandb.controller()])
def test_a_sweep_raises_and_names_what_to_use(call):
    with pytest.raises(wandb.errors.UsageError, match="Optuna"):
        call()


@pytest.mark.parametrize(
    "path",
    [
        "wandb_run.Run",
        "sdk.wandb_run.Run",
        "sdk.lib.RunDisabled",
        "sdk.lib.disabled.SummaryDisabled",
        "sdk.lib.config_util.ConfigError",
        "sdk.lib.runid.generate_id",
        "sdk.lib.telemetry.context",
        "sdk.lib.printer.new_printer",
        "sdk.wandb_config.Config",
        "sdk.wandb_settings.Settings",
        "sdk.wandb_summary.Summary",
        "sdk.wandb_init.init",
        "sdk.wandb_metric.Metric",
        "sdk.wandb_alerts.AlertLevel",
        "sdk.data_types.image.Image",
        "sdk.data_types.base_types.wb_value.WBValue",
        "sdk.data_types.helper_types.bounding_boxes_2d.BoundingBoxes2D",
        "sdk.data_types.table.Table",
        "sdk.artifacts.artifact.Artifact",
        "apis.public.Run",
        "apis.public.Runs",
        "data_types.Histogram",
        "errors.CommError",
        "tensorboard.patch",
        "sklearn.plot_roc",
        "integration.gym.monitor",
    ],
)
def test_a_module_is_imported_by_the_name_that_frameworks_use(path):
    module, _, name = path.rpartition(".")
    found = importlib.import_module(f"steplog.compat.wandb.{module}")
    assert getattr(found, name)


def test_no_module_of_the_package_takes_the_name_of_a_function_or_class():
    """Its import would put the module in the place of what wandb has there."""
    modules = {file.stem for file in Path(wandb.__file__).parent.iterdir()}
    taken = [name for name in wandb.__all__ if name in modules and not isinstance(getattr(wandb, name), ModuleType)]
    assert taken == []


def test_wandbs_callbacks_for_a_framework_that_is_not_installed_are_no_attributes(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    monkeypatch.setitem(sys.modules, "xgboost.callback", None)
    with pytest.raises(AttributeError, match=r"wandb\.xgboost needs xgboost"):
        wandb.xgboost  # noqa: B018
    assert not hasattr(wandb, "no_such_name")


def test_frameworks_imports_work_by_wandbs_own_name(tmp_path):
    program = """
import steplog.compat
steplog.compat.install("wandb", replace=True)
import importlib.metadata
import wandb
from wandb.sdk.lib import RunDisabled, telemetry
from wandb.sdk.lib.config_util import ConfigError
from wandb.sdk.data_types.base_types.wb_value import WBValue
from wandb.sdk.lib.runid import generate_id
from wandb.apis.public import Run, Runs
from wandb.plot import line_series
import wandb.sdk.wandb_run, wandb.data_types
assert isinstance(wandb.Html(''), WBValue)
assert wandb.sdk.wandb_run.Run is wandb.Run
assert wandb.data_types.Table is wandb.Table
assert (wandb.login(), importlib.metadata.version("wandb")[:4]) == (True, "0.31")
assert callable(wandb.log) and wandb.api.api_key
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_it_loads_nothing_that_reads_or_serves():
    program = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
import steplog.compat.wandb as wandb
wandb.Table; wandb.Image; wandb.plot; wandb.util; wandb.Settings
late = [name for name in sys.modules if name.startswith(("steplog.server", "steplog.reading", "steplog.client"))]
late += {{"numpy", "requests", "pandas"}} & set(sys.modules)
print(*late, end="")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
