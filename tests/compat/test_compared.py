"""The same script by MLflow or trackio itself and by steplog's module: the runs are equal, once theirs is imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from end_to_end.programs import Host

pytestmark = pytest.mark.slow

MLFLOW = """
import math
mlflow.set_experiment(PROJECT)
with mlflow.start_run(run_name="parent", tags={"team": "vision", "bare": ""}, description="a note"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"layers": 3, "opt": "sgd", "flag": True, "none": None, "text": "1e-3"})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"acc": step, "nan": math.nan, "inf": -math.inf}, step=step * 10)
    mlflow.log_metric("loss", 7, step=2)
    mlflow.set_tags({"phase": "train", "equals": "a=b"})
    mlflow.delete_tag("phase")
    with mlflow.start_run(run_name="child", nested=True):
        mlflow.log_metric("score", 0.5, step=1)
try:
    with mlflow.start_run(run_name="fails"):
        mlflow.log_metric("x", 1.5, step=3)
        raise RuntimeError
except RuntimeError:
    pass
mlflow.start_run(run_name="killed")
mlflow.end_run("KILLED")
client = mlflow.MlflowClient()
experiment = mlflow.get_experiment_by_name(PROJECT)
client.set_terminated(client.create_run(experiment.experiment_id, run_name="made").info.run_id)
"""
TRACKIO = """
import math
trackio.init(project=PROJECT, name="first", group="g", config={"lr": 0.1, "net": {"depth": 3}, "pair": (1, 2)})
for step in range(5):
    trackio.log({"loss": 1 / (step + 1), "acc": step})
trackio.log({"loss": 0.5, "step": 3, "nan": math.nan, "inf": math.inf}, step=10)
trackio.log({"loss": 0.25, "text": "hello", "flag": True, "none": None, "dict": {"a": 1, "b": [1, 2]}})
trackio.log({"loss": 9.0}, step=2)
trackio.log({"table": trackio.Table(columns=["a"], data=[[1], ["x"]]), "markdown": trackio.Markdown("# hi")})
trackio.log({"histogram": trackio.Histogram([1, 2, 3], num_bins=3)})
trackio.log_system({"fan": 0.5})
trackio.init(project=PROJECT, name="second")
trackio.log({"loss": 3.5})
trackio.init(project=PROJECT, name="second", resume="allow")
trackio.log({"loss": 4.5})
trackio.finish()
"""
READ = """
import json, sys, steplog
found = {}
for row in steplog.runs(sys.argv[1], columns=["name"]):
    run = steplog.open(row["uuid"])
    points = [(p["name"], p["step"], str(p["value"]), str(p["json"])) for p in run.history(form="long")]
    own = ("steplog/", "compat/", "system/")  # both record load and memory, each at its own times
    fields = [run.config, sorted(run.tags), run.group, run.notes, run.status.value]
    found[row["name"]] = [sorted(each for each in points if not each[0].startswith(own)), fields]
print(json.dumps(found))
"""


def real_python(module: str) -> str:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}: pip install {module}")
    return sys.executable


def both(host: Host, tmp_path: Path, module: str, script: str, uses: str, store: Path) -> tuple[Any, Any]:
    """What is read of the runs of the script by steplog's module, and of the imported ones of the real one."""
    real = tmp_path / "real.py"
    real.write_text(f"import {module}\n{uses}\nPROJECT = 'theirs'\n{script}")
    environment = host.environment | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [real_python(module), str(real)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours = host.run(f"import steplog.compat.{module} as {module}\nPROJECT = {host.project!r}\n{script}", TRACKIO_DIR="")
    assert ours.code == 0, ours.errors
    theirs = f"{host.project}-theirs"
    command = [sys.executable, "-m", "steplog", "import", "--project", theirs, str(store)]
    subprocess.run(command, env=host.environment, check=True, capture_output=True, cwd=tmp_path)
    read = [host.run(READ, project) for project in (host.project, theirs)]
    assert [(done.code, done.errors) for done in read] == [(0, "")] * 2
    return read[0].out, read[1].out


def test_mlflow_itself_gives_the_same_runs(host, tmp_path):
    uses = f"mlflow.set_tracking_uri('sqlite:///{tmp_path}/mlflow.db')"
    ours, theirs = both(host, tmp_path, "mlflow", MLFLOW, uses, tmp_path / "mlflow.db")
    assert ours == theirs


def test_trackio_itself_gives_the_same_runs(host, tmp_path):
    ours, theirs = both(host, tmp_path, "trackio", TRACKIO, "", tmp_path / "trackio" / "theirs.db")
    assert ours == theirs
