"""The same calls about files by MLflow or trackio itself and by steplog: lists, contents and what raises agree."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import steplog

pytestmark = pytest.mark.slow

PRELUDE = """
import io, json, pathlib
import numpy as np
told = []
pathlib.Path("out/deep").mkdir(parents=True)
pathlib.Path("out/a.txt").write_text("a")
pathlib.Path("out/deep/b.txt").write_text("bb")
pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)

def said(*calls):
    found = []
    for call in calls:
        try:
            call()
            found.append("nothing")
        except Exception as error:
            found.append(type(error).__name__)
    return found
"""
MLFLOW = """
OURS = "steplog" in mlflow.__name__
if not OURS:
    mlflow.set_tracking_uri(pathlib.Path("mlruns").absolute().as_uri())
with mlflow.start_run() as run:
    place, client = f"runs:/{run.info.run_id}", mlflow.MlflowClient()
    mlflow.log_artifact("out/a.txt")
    mlflow.log_artifact("out/a.txt", "texts")
    mlflow.log_artifact("out")
    mlflow.log_artifacts("out", "flat")
    mlflow.log_text("hello", "notes/n.txt")
    mlflow.log_dict({"a": [1, 2]}, "c.json")
    mlflow.log_image(pixels, "image.png")
    listed = lambda path: [(each.path, each.is_dir) for each in client.list_artifacts(run.info.run_id, path)]
    told += [listed(path) for path in (None, "texts", "flat", "out", "out/deep", "notes")]
    told += [mlflow.artifacts.load_text(f"{place}/notes/n.txt"), mlflow.artifacts.load_dict(f"{place}/c.json")]
    told.append(np.asarray(mlflow.artifacts.load_image(f"{place}/image.png")).tolist() == pixels.tolist())
    got = pathlib.Path(client.download_artifacts(run.info.run_id, "flat", str(pathlib.Path("got").absolute())
                       if pathlib.Path("got").mkdir() is None else ""))
    told.append(sorted(path.relative_to(got).as_posix() for path in got.rglob("*.txt")))
    told += said(
        lambda: mlflow.log_artifact("missing.txt"), lambda: mlflow.log_figure(object(), "a.png"),
        lambda: mlflow.log_image(pixels), lambda: mlflow.log_image(pixels, "a.png", key="k"),
        lambda: mlflow.log_image(object(), "a.png"), lambda: mlflow.log_image(pixels, key="a:b"),
        lambda: mlflow.log_image(np.zeros(3), key="a"), lambda: mlflow.log_image(pixels * 1.0, key="a"),
        lambda: mlflow.log_table([1], "a.json"), lambda: mlflow.artifacts.list_artifacts(),
        lambda: mlflow.artifacts.download_artifacts(), lambda: mlflow.log_text("x", "../a.txt"),
        lambda: mlflow.artifacts.load_dict(f"{place}/notes/n.txt"),
    )
"""
TRACKIO = """
trackio.init(project="p", name="a")
artifact = trackio.Artifact("net", "model", metadata={"x": 1})
artifact.add_dir("out")
artifact.add_file("out/a.txt", name="top/a.txt")
told += said(lambda: artifact.wait(), lambda: artifact.download(), lambda: artifact.qualified_name)
told.append(trackio.log_artifact(artifact, aliases=["best"]) is artifact)
told += said(lambda: trackio.log_artifact(artifact), lambda: artifact.add_file("out/a.txt"))
told.append(sorted(row["path"] for row in artifact.manifest))
used = trackio.use_artifact("net:best")
told += [used.name, used.type, used.metadata, sorted(used.aliases)]
got = pathlib.Path(used.download("got"))
told.append({path.relative_to(got).as_posix(): path.read_text() for path in sorted(got.rglob("*.txt"))})
told += said(
    lambda: trackio.Artifact("a b", "t"), lambda: trackio.Artifact("a", "t").add_file("missing"),
    lambda: trackio.Artifact("a", "t").add_dir("missing"), lambda: trackio.log_artifact(trackio.Artifact("a", "t")),
    lambda: trackio.use_artifact("nothing"), lambda: trackio.save("*.none"), lambda: trackio.Image("missing.png"),
    lambda: trackio.Image(pixels * 1.0), lambda: trackio.Image(pixels), lambda: trackio.Video("missing.mp4"),
    lambda: trackio.Audio(np.zeros(3)), lambda: trackio.Html(5), lambda: trackio.Video(np.zeros((2, 3, 4, 4))),
    lambda: trackio.save("out/*.txt"), lambda: trackio.log({"image": trackio.Image(pixels, caption="c")}),
)
trackio.finish()
"""


def told(module: str, source: str, folder: Path, *, ours: bool) -> Any:
    imported = f"import steplog.compat.{module} as {module}" if ours else f"import {module}"
    work = folder / ("ours" if ours else "theirs")
    work.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "TRACKIO_"))}
    environment |= {"STEPLOG_DIR": str(folder / "state"), "STEPLOG_MODE": "offline", "STEPLOG_QUIET": "1"}
    environment |= {"PYTHONPATH": str(Path(steplog.__file__).parents[1]), "HF_HUB_OFFLINE": "1"}
    environment |= {"TRACKIO_DIR": str(folder / "trackio"), "MLFLOW_ALLOW_FILE_STORE": "true"}
    program = f"{imported}\n{PRELUDE}{textwrap.dedent(source)}\nprint(json.dumps(told))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("module", "source"), [("mlflow", MLFLOW), ("trackio", TRACKIO)])
def test_the_same_files_are_there_and_the_same_calls_raise(module, source, tmp_path):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}: pip install 'steplog[frameworks]'")
    assert told(module, source, tmp_path, ours=True) == told(module, source, tmp_path, ours=False)
