"""Each job of Hydra is a run with the composed config, which ends as the job does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hydra", reason="needs Hydra: pip install 'steplog[frameworks]'")

APP = """
import json, sys
import hydra
import steplog
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

seen = []
store = ConfigStore.instance()
callback = {"_target_": "steplog.integrations.hydra.SteplogCallback", **json.loads(sys.argv.pop(1))}
store.store("app", {
    "lr": 0.1, "twice": "${lr}", "layers": [1, 2], "opt": {"name": "adam"}, "data": "${oc.env:NO_SUCH_VARIABLE,small}",
    "broken": False, "hydra": {"callbacks": {"steplog": callback}, "output_subdir": None},
})

@hydra.main(version_base=None, config_path=None, config_name="app")
def train(cfg):
    run = steplog.get_active_run()
    seen.append(run.uuid)
    steplog.log("loss", cfg.lr, step=1)
    if cfg.broken:
        raise RuntimeError("no data")

def tell():
    for uuid in seen:
        try:
            run = steplog.open(uuid)
        except steplog.SteplogError:
            print(json.dumps("none"))
            continue
        points = [row["value"] for row in run.history("loss", form="long")]
        config = dict(run.config)
        config.get("hydra", {}).pop("output_dir", None)
        told = {"name": run.name, "group": run.group, "project": run.project, "status": run.status.value,
                "config": config, "loss": points}
        print(json.dumps(told))

try:
    train()
finally:
    tell()
"""


def jobs(directory: Path, *overrides: str, callback: dict[str, object] | None = None, **variables: str) -> list[Any]:
    """What is kept of the runs of the jobs of one call."""
    file = directory / "app.py"
    file.write_text(APP)
    kept = {"STEPLOG_MODE": "offline", "STEPLOG_DIR": str(directory / "state"), "STEPLOG_QUIET": "1"}
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "STEPLOG_PROVENANCE": "0"}
    command = [sys.executable, "-W", "error::UserWarning", str(file), json.dumps(callback or {}), *overrides]
    environment = os.environ | kept | paths | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=directory)
    assert done.returncode == ("broken=true" in overrides), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line[0] in '{"']


def test_a_job_is_a_run_with_its_resolved_config_named_by_its_overrides(tmp_path):
    (job,) = jobs(tmp_path, "lr=0.3")
    assert job["config"] == {
        "lr": 0.3,
        "twice": 0.3,
        "layers": [1, 2],
        "opt": {"name": "adam"},
        "data": "small",
        "broken": False,
        "hydra": {"overrides": ["lr=0.3"]},
    }
    assert (job["project"], job["name"], job["group"]) == ("app", "lr=0.3", None)
    assert (job["status"], job["loss"]) == ("COMPLETED", [0.3])


@pytest.mark.slow
def test_the_jobs_of_a_multirun_are_runs_of_one_group(tmp_path):
    one, two = jobs(tmp_path, "-m", "lr=0.1,0.2", callback={"project": "mnist"})
    assert (one["project"], one["name"], two["name"]) == ("mnist", "lr=0.1", "lr=0.2")
    assert one["group"] == two["group"]
    assert one["group"].startswith("multirun/")
    assert (one["status"], two["status"], two["loss"]) == ("COMPLETED", "COMPLETED", [0.2])


@pytest.mark.slow
def test_a_job_that_raises_ends_its_run_crashed(tmp_path):
    (job,) = jobs(tmp_path, "broken=true")
    assert (job["status"], job["loss"]) == ("CRASHED", [0.1])


@pytest.mark.slow
def test_a_config_that_cannot_be_resolved_is_kept_as_it_is_written(tmp_path):
    (job,) = jobs(tmp_path, "+path=${oc.env:NO_SUCH_VARIABLE}")
    assert job["config"]["path"] == "${oc.env:NO_SUCH_VARIABLE}"
    assert job["config"]["twice"] == "${lr}"


@pytest.mark.slow
def test_names_of_steplogs_variables_come_before_those_of_hydra(tmp_path):
    (job,) = jobs(tmp_path, "lr=0.3", STEPLOG_PROJECT="mine", STEPLOG_NAME="first")
    assert (job["project"], job["name"]) == ("mine", "first")


@pytest.mark.slow
def test_a_rank_that_is_not_the_first_logs_nowhere(tmp_path):
    assert jobs(tmp_path, LOCAL_RANK="1") == ["none"]
