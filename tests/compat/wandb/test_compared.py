"""The same script with wandb itself and with this module, both offline: names, steps, values, config and fields agree.

What wandb wrote is read as ``steplog import`` reads it.
"""

from __future__ import annotations

import importlib.metadata
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

ASIDE = ("steplog/", "system/", "compat/", "summary/")
READER = """
import json, sys
import steplog
from steplog.reading.points import Selection
run = steplog.open(sys.argv[1])
values = {}
for row in run.history(form="long"):
    values.setdefault(row["name"], {})[row["step"]] = row["value"] if row["json"] is None else row["json"]
fields = {name: getattr(run, name) for name in ("name", "group", "job_type", "notes", "project")}
print(json.dumps({"values": values, "config": run.config, "tags": run.tags, "status": run.status.value, **fields}))
"""


def has_wandb() -> bool:
    try:
        return importlib.metadata.version("wandb") == "0.31.0"
    except importlib.metadata.PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_wandb(), reason="needs wandb 0.31: pip install 'steplog[frameworks]'"),
]
BEGIN = 'run = wandb.init(project="p", id="same", name="n")\n'
SCRIPTS = {
    "rows": """
        for i in range(20):
            wandb.log({"loss": 1 / (i + 1), "acc": i / 20, "count": i, "flag": i % 2 == 0})
    """,
    "commit": """
        wandb.log({"a": 1}, commit=False)
        wandb.log({"a": 2, "b": 3})
        run.log({"c": 4}, commit=True)
        wandb.log({"d": 5}, commit=False)
    """,
    "steps": """
        wandb.log({"a": 1}, step=3)
        wandb.log({"b": 2}, step=3)
        wandb.log({"c": 3})
        wandb.log({"c": 4})
        wandb.log({"d": 5}, step=10, commit=True)
        wandb.log({"e": 6})
        wandb.log({"f": 7}, step=20)
    """,
    "nested": """
        wandb.log({"a": {"b": 1, "c": {"d": 2.5}}, "e": [1, 2, [3]], "f.g": 1})
        wandb.log({"a": {"b": 2}})
    """,
    "values": """
        wandb.log({"s": "text", "big": 2**40, "neg": -1, "small": 1e-300, "unicode/ü": "é"})
        wandb.log({"nan": float("nan"), "inf": float("inf"), "minus": -float("inf")})
    """,
    "numpy": """
        import numpy as np
        wandb.log({"f32": np.float32(0.1), "f64": np.float64(0.1), "i": np.int64(7), "b": np.bool_(True)})
        wandb.log({"one": np.array([0.5]), "zero": np.array(0.5), "few": np.arange(4), "grid": np.zeros((2, 2))})
        wandb.log({"many": np.arange(64.0)})
    """,
    "tensors": """
        import torch
        wandb.log({"loss": torch.tensor(0.5), "one": torch.tensor([2.0]), "few": torch.arange(3)})
        wandb.log({"grad": torch.tensor(0.25, requires_grad=True), "half": torch.tensor(0.5, dtype=torch.bfloat16)})
        wandb.log({"many": torch.linspace(0, 1, 100)})
    """,
    "a long run": """
        for i in range(2000):
            wandb.log({"train/loss": 1 / (i + 1)}, step=i * 3)
            if i % 100 == 0:
                wandb.log({"val/loss": i / 2000}, step=i * 3)
    """,
    "config": """
        import argparse, pathlib
        wandb.config.update(argparse.Namespace(lr=0.1, layers=[64, 32], name=None))
        wandb.config.batch = 32
        wandb.config["nested"] = {"a": {"b": 1}, "t": (1, 2)}
        wandb.config.setdefaults({"lr": 5, "extra": True})
        wandb.config.update({"lr": 0.2}, allow_val_change=True)
        wandb.config.path = pathlib.Path("data/x")
        wandb.log({"a": 1})
    """,
    "a config that changes": """
        wandb.config.lr = 0.1
        try:
            wandb.config.lr = 0.2
            wandb.log({"changed": 1})
        except wandb.Error:
            wandb.log({"refused": wandb.config.lr})
    """,
    "what a script reads": """
        wandb.log({"loss": 0.5, "d": {"x": 1}})
        wandb.log({"loss": 0.25})
        wandb.summary["best"] = 3
        read = [run.summary["loss"], wandb.summary["d"]["x"], wandb.summary.get("no"), run.step, wandb.config.get("no")]
        read += [run.id, run.name, run.project, wandb.run is run, run.resumed, run.offline, run.disabled, run.sweep_id]
        read += ["best" in wandb.summary.keys(), run.group, run.job_type, run.starting_step]
        wandb.log({"read": [repr(each) for each in read]})
    """,
    "what is refused": """
        said = []
        for call in (
            lambda: wandb.log(5), lambda: wandb.log("a"), lambda: wandb.log([1]), lambda: wandb.define_metric(""),
            lambda: wandb.define_metric("a*b"), lambda: wandb.define_metric("a", summary="x"),
            lambda: wandb.config.nothing, lambda: wandb.config["nothing"], lambda: run.nothing, lambda: wandb.nothing,
            lambda: wandb.config.update(5),
        ):
            try:
                call()
                said.append("nothing")
            except Exception as error:
                said.append(type(error).__name__)
        wandb.log({"said": said})
    """,
    "fields": """
        run.tags += ("b",)
        run.notes = "text"
        wandb.log({"a": 1})
        wandb.finish(exit_code=1)
    """,
    "a summary of extremes": """
        wandb.define_metric("loss", summary="min")
        wandb.define_metric("acc", summary="max,mean")
        for loss, acc in ((3, 1), (1, 3), (2, 2)):
            wandb.log({"loss": loss, "acc": acc})
        wandb.log({"read": [wandb.summary["loss"]["min"], wandb.summary["acc"]["max"], wandb.summary["acc"]["mean"]]})
    """,
    "runs in turn": """
        wandb.log({"a": 1})
        wandb.finish()
        for lr in (1, 2):
            with wandb.init(project="other", id=f"turn{lr}", name=f"n{lr}", config={"lr": lr}) as run:
                run.log({"a": lr})
    """,
}


def ran(source: str, module: str, folder: Path) -> None:
    program = f"import {module} as wandb\n{BEGIN}{textwrap.dedent(source)}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "STEPLOG_MODE"))}
    environment |= {"WANDB_MODE": "offline", "WANDB_DIR": str(folder), "WANDB_SILENT": "true"}
    environment |= {"STEPLOG_DIR": str(folder / "state"), "PYTHONPATH": str(Path(steplog.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def theirs(folder: Path, run_id: str) -> dict[str, Any]:
    (run,) = (run for run in runs(folder) if run.info.id == f"wandb-{run_id}")
    values: dict[str, dict[str, Any]] = {}
    for stream in run.streams:
        for batch in stream.read():
            for name, step, _, value in zip(*batch, strict=True):
                values.setdefault(name, {})[str(step)] = value
    info = run.info
    fields = {name: getattr(info, name) for name in ("name", "group", "job_type", "notes", "project", "status")}
    return {"values": values, "config": info.config, "tags": sorted(info.tags or ()), **fields}


def ours(folder: Path, run_id: str) -> dict[str, Any]:
    environment = {**os.environ, "STEPLOG_DIR": str(folder / "state"), "STEPLOG_QUIET": "1"}
    environment["PYTHONPATH"] = str(Path(steplog.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", READER, run_id], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return {**told, "tags": sorted(told["tags"])}


def plain(told: dict[str, Any]) -> dict[str, Any]:
    """Comparable: without what each logger adds, NaN equal to NaN, no field as None."""
    values = {
        name: {
            step: "NaN" if isinstance(value, float) and math.isnan(value) else value for step, value in found.items()
        }
        for name, found in told["values"].items()
        if not name.startswith(ASIDE)
    }
    fields = {name: value or None for name, value in told.items() if name not in ("values", "config")}
    return {"values": values, "config": told["config"], **fields}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_leaves_the_same_run(name, tmp_path):
    for module in ("wandb", "steplog.compat.wandb"):
        ran(SCRIPTS[name], module, tmp_path)
    ids = ["same", "turn1", "turn2"] if name == "runs in turn" else ["same"]
    for run_id in ids:
        assert plain(ours(tmp_path, run_id)) == plain(theirs(tmp_path, run_id))
