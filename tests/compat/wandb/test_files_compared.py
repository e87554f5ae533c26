"""The same script with wandb itself and with this module, both offline: pixels, names of files, what raises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import steplog
from compat.wandb.test_compared import has_wandb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_wandb(), reason="needs wandb 0.31: pip install 'steplog[frameworks]'"),
]
PATHS = str(Path(steplog.__file__).parents[1]), str(Path(__file__).parents[2])
PRELUDE = """
import hashlib, io, json, os, pathlib
import numpy as np
from PIL import Image as PIL
from polling import wait_until
run = wandb.init(project="p", id="same")
OURS = "steplog" in wandb.__name__

def shown(data):
    picture = PIL.open(io.BytesIO(data))
    return [picture.mode, list(picture.size), hashlib.sha256(picture.tobytes()).hexdigest()]

def pictures():
    folder = run.dir
    wandb.finish()
    if OURS:
        opened = steplog.open(run.steplog_run)
        rows = [row["json"] for row in opened.history("image", form="long")]
        wait_until(lambda: len(opened.files(logged=True)) == len(rows))
        return [shown(opened.file(value).read()) for value in rows]
    return [shown(path.read_bytes()) for path in pathlib.Path(folder, "media", "images").rglob("*.*")]

def distinct(each):
    return sorted(json.loads(text) for text in {json.dumps(value) for value in each})

def said(*calls):
    found = []
    for call in calls:
        try:
            found.append([type(call()).__name__])
        except Exception as error:
            found.append(type(error).__name__)
    return found
"""
SCRIPTS = {
    "images": """
        ramp = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
        given = [ramp, ramp[:, :, 0], ramp[:, :, :1], np.dstack([ramp, ramp[:, :, :1]]), ramp.astype(np.int64)]
        given += [ramp.astype(np.float32), PIL.fromarray(ramp), PIL.fromarray(ramp).convert("L")]
        for step, each in enumerate(given):
            wandb.log({"image": wandb.Image(each)}, step=step)
        wandb.log({"image": wandb.Image(ramp, mode="L")}, step=len(given))
        told = distinct(pictures())
    """,
    "tensors": """
        import torch
        ramp = torch.arange(60, dtype=torch.uint8).reshape(3, 4, 5)
        for step, each in enumerate([ramp, ramp[:1], ramp.float(), ramp[0].reshape(1, 4, 5)]):
            wandb.log({"image": wandb.Image(each)}, step=step)
        told = distinct(pictures())
    """,
    "figures": """
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
        figure, axes = pyplot.subplots(figsize=(2, 1), dpi=50)
        axes.plot([1, 2])
        images = [wandb.Image(figure), wandb.Image(pyplot)]
        pyplot.close("all")
        for step, each in enumerate(images):
            wandb.log({"image": each}, step=step)
        told = distinct(picture[1] for picture in pictures())
    """,
    "attributes": """
        ramp = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
        box = {"position": {"minX": 0, "maxX": 1, "minY": 0, "maxY": 1}, "class_id": 1}
        image = wandb.Image(ramp, caption="c", grouping=2, boxes={"b": {"box_data": [box]}})
        told = [image._caption, image._grouping, image._width, image._height, image.format, image.image.size]
        told += [image._classes._class_set, image.file_is_set(), wandb.Html("<b>", inject=False).html]
        turned = wandb.box3d(center=(0, 1, 2), size=(2, 4, 6), orientation=(0.1, 0.2, 0.3, 0.4), color=(1, 2, 3))
        told += [sorted(turned), [[round(float(each), 9) for each in corner] for corner in turned["corners"]]]
    """,
    "what raises": """
        zeros = np.zeros
        told = said(
            lambda: wandb.Image("missing.png"), lambda: wandb.Image(zeros((3, 4, 5, 6, 7))),
            lambda: wandb.Image(zeros((4, 4, 5))), lambda: wandb.Image(zeros((4, 4)), file_type="tiff"),
            lambda: wandb.Image(zeros((4, 4)), boxes=[1]), lambda: wandb.Image(zeros((4, 4)), masks=[1]),
            lambda: wandb.Image(zeros((4, 4)), boxes={"b": {"box_data": 1}}),
            lambda: wandb.Image(zeros((4, 4)), boxes={"b": {"box_data": [{"position": {}}]}}),
            lambda: wandb.Image(zeros((4, 4)), masks={"m": {}}),
            lambda: wandb.Image(zeros((4, 4)), masks={"m": {"mask_data": zeros(3)}}),
            lambda: wandb.Video("a.avi"), lambda: wandb.Video("missing.mp4"), lambda: wandb.Video(5),
            lambda: wandb.Video(io.BytesIO(b"x")), lambda: wandb.Video(io.BytesIO(b"x"), format="avi"),
            lambda: wandb.Audio([0.0]), lambda: wandb.Audio("missing.wav"), lambda: wandb.Html(5),
            lambda: wandb.Object3D(5), lambda: wandb.Object3D(zeros((4, 5))), lambda: wandb.Object3D("a.xyz"),
            lambda: wandb.Object3D(io.StringIO("x")), lambda: wandb.Molecule(5), lambda: wandb.Molecule("a.xyz"),
            lambda: wandb.Plotly(object()), lambda: wandb.Classes([{"id": 1}]),
            lambda: wandb.Artifact("a b", "t"), lambda: wandb.Artifact("a", "job"),
            lambda: wandb.Artifact("a", "t", metadata=5), lambda: wandb.Artifact("a", "t").add_file("missing"),
            lambda: wandb.Artifact("a", "t").add_dir("missing"), lambda: wandb.Artifact("a", "t").add_reference("x"),
            lambda: wandb.Artifact("a", "t").add(5, "x"), lambda: wandb.Artifact("a", "t").remove("x"),
            lambda: wandb.Artifact("a", "t").wait(), lambda: wandb.Artifact("a", "t").version,
            lambda: wandb.Artifact("a", "t").download(), lambda: wandb.Artifact("a", "t").get("x"),
            lambda: run.log_artifact(5), lambda: run.log_artifact("missing"), lambda: run.log_model("missing", "m"),
            lambda: run.save("../a"), lambda: run.save("*"), lambda: run.save("a", policy="b"),
            lambda: run.save("a", base_path="b"), lambda: run.save("missing"), lambda: run.save("s3://a/b"),
            lambda: run.link_model("missing", "a/b", "m"),
        )
    """,
    "saved files": """
        for name in ("a.txt", "deep/b.txt", "deep/er/c.txt"):
            pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(name).write_text(name)
        returned = [wandb.save("a.txt"), wandb.save("deep/*.txt"), run.save("deep/er/*", base_path="deep")]
        returned += [run.save(os.path.abspath("deep/er/c.txt"), policy="now")]
        told = [[os.path.relpath(path, run.dir) for path in each] for each in returned]
        files = pathlib.Path(run.dir)
        names = {path.relative_to(files).as_posix() for path in files.rglob("*.txt")} - {"requirements.txt"}
        told += [sorted(names)]
        if OURS:
            assert sorted(file.path for file in run.steplog_run.files()) == told[-1]
    """,
    "an artifact": """
        pathlib.Path("d/e").mkdir(parents=True)
        pathlib.Path("d/a.txt").write_text("a")
        pathlib.Path("d/e/b.txt").write_text("bb")
        artifact = wandb.Artifact("m", "model", description="d", metadata={"x": 1})
        artifact.add_file("d/a.txt")
        artifact.add_dir("d", name="all")
        artifact.add_reference("foo://bucket/data", name="data")
        with artifact.new_file("n.txt") as file:
            file.write("new")
        entry = artifact.add(wandb.Table(["a"], [[1]]), "table")
        told = [sorted(artifact.manifest.entries), entry.path, artifact.name, artifact.type, artifact.metadata]
        told += [artifact.description, artifact.state, artifact.is_draft(), artifact.id]
        artifact.remove("all")
        told += [sorted(artifact.manifest.entries), artifact.get_added_local_path_name("d/a.txt") is None]
        logged = run.log_artifact(artifact, aliases=["best"])
        told += [logged is artifact, *said(lambda: artifact.add_file("d/a.txt"), lambda: artifact.version)]
        path_one = run.log_artifact("d/a.txt")
        told += [path_one.name, path_one.type, run.log_artifact("d", name="folder", type="dataset").name]
    """,
}


def told(source: str, module: str, folder: Path) -> Any:
    program = f"import steplog\nimport {module} as wandb\n{PRELUDE}{textwrap.dedent(source)}\nprint(json.dumps(told))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "STEPLOG_MODE"))}
    environment |= {"WANDB_MODE": "offline", "WANDB_DIR": str(folder), "WANDB_SILENT": "true", "STEPLOG_QUIET": "1"}
    environment |= {"STEPLOG_DIR": str(folder / "state"), "PYTHONPATH": os.pathsep.join(PATHS)}
    (folder / module).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder / module,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_sees_the_same(name, tmp_path):
    assert told(SCRIPTS[name], "steplog.compat.wandb", tmp_path) == told(SCRIPTS[name], "wandb", tmp_path)
