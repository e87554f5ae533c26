"""A program that imports a framework, which imports wandb: with wandb itself and with this module, both offline."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import steplog
from steplog.formats.wandb.runs import runs

__all__ = ["at_steps_of", "frameworks", "left_by_ours", "left_by_wandb"]

SOURCE = str(Path(steplog.__file__).parents[1])
INSTALL = 'import steplog.compat\nsteplog.compat.install("wandb", replace=True)\n'
READER = """
import json, steplog
told = {}
for journal in steplog.journals():
    run, values = steplog.open(journal.id), {}
    for row in run.history(form="long"):
        values.setdefault(row["name"], []).append([row["step"], row["value"] if row["json"] is None else row["json"]])
    told[run.name] = {"values": values, "config": run.config, "project": run.project, "tags": sorted(run.tags)}
print(json.dumps(told))
"""
OURS_ALONE = ("steplog/", "system/", "compat/", "summary/")


def frameworks(*modules: str) -> list[pytest.MarkDecorator]:
    """Marks of tests that need these, and take seconds to import them."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    reason = f"needs {', '.join(missing)}: pip install 'steplog[frameworks]'"
    return [pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=reason)]


def left_by_ours(program: str, folder: Path) -> dict[str, Any]:
    """What runs it leaves, by their names."""
    _run(INSTALL + textwrap.dedent(program), folder)
    return {name: _plain(run) for name, run in json.loads(_run(READER, folder)).items()}


def left_by_wandb(program: str, folder: Path) -> dict[str, Any]:
    """The same of wandb itself; the test is skipped where it is not installed."""
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("needs wandb: pip install wandb")
    _run(textwrap.dedent(program), folder)
    told: dict[str, Any] = {}
    for run in runs(folder):
        values: dict[str, list[Any]] = {}
        for stream in run.streams:
            for batch in stream.read():
                for name, step, _, value in zip(*batch, strict=True):
                    values.setdefault(name, []).append([step, value])
        info = run.info
        told[str(info.name)] = _plain(
            {"values": values, "config": info.config, "project": info.project, "tags": sorted(info.tags or ())}
        )
    return told


def at_steps_of(metric: str, run: dict[str, Any]) -> dict[str, Any]:
    """A run of wandb's with each value at the step that ``metric`` has in its row, as steplog keeps it."""
    steps = dict(run["values"][metric])
    values = {
        name: [[steps.get(step, step), value] for step, value in points] for name, points in run["values"].items()
    }
    return {**run, "values": values}


def _run(program: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "HF_HUB_OFFLINE": "1", "PYTHONPATH": SOURCE}
    environment |= {"STEPLOG_DIR": str(folder / "state"), "STEPLOG_QUIET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _plain(run: dict[str, Any]) -> dict[str, Any]:
    """Comparable: without what steplog adds, NaN equal to NaN."""
    values = {
        name: [[step, "NaN" if isinstance(value, float) and math.isnan(value) else value] for step, value in points]
        for name, points in run["values"].items()
        if not name.startswith(OURS_ALONE)
    }
    return {**run, "values": values}
