"""MLflow's artifacts on steplog: files of runs, and images, texts and tables that are values, too."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog.compat.mlflow as mlflow
from apart import apart
from compat.offline import Offline

PIXELS = numpy.arange(4 * 5 * 3, dtype=numpy.uint8).reshape(4, 5, 3)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Offline(tmp_path, monkeypatch)


@pytest.fixture
def out(offline: Offline) -> Path:
    (offline.work / "out" / "deep").mkdir(parents=True)
    (offline.work / "out" / "a.txt").write_text("a")
    (offline.work / "out" / "deep" / "b.bin").write_bytes(b"\0b")
    return offline.work / "out"


def paths(run_id: str, path: str | None = None) -> list[tuple[str, bool, int | None]]:
    return [(each.path, each.is_dir, each.file_size) for each in mlflow.MlflowClient().list_artifacts(run_id, path)]


@apart
def test_files_and_folders_are_listed_as_mlflow_lists_them(out: Path):
    with mlflow.start_run() as run:
        mlflow.log_artifact("out/a.txt")
        mlflow.log_artifact("out/a.txt", "texts")
        mlflow.log_artifact("out", "whole")
        mlflow.log_artifacts("out", "flat")
        mlflow.log_stream(io.BytesIO(b"stream"), "more/s.bin")
        identity = run.info.run_id
        assert paths(identity) == [
            ("a.txt", False, 1),
            ("flat", True, None),
            ("more", True, None),
            ("texts", True, None),
            ("whole", True, None),
        ]
        assert paths(identity, "flat") == [("flat/a.txt", False, 1), ("flat/deep", True, None)]
        assert paths(identity, "whole/out/deep") == [("whole/out/deep/b.bin", False, 2)]
        listed = mlflow.artifacts.list_artifacts(run_id=identity, artifact_path="texts")
        assert [each.path for each in listed] == ["texts/a.txt"]


@apart
def test_files_are_downloaded_by_their_path_or_address(out: Path, tmp_path: Path):
    with mlflow.start_run() as run:
        mlflow.log_artifacts("out", "flat")
        client, identity = mlflow.MlflowClient(), run.info.run_id
        assert Path(client.download_artifacts(identity, "flat/a.txt", str(tmp_path / "x"))).read_text() == "a"
        folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{identity}/flat", dst_path=str(tmp_path / "y")))
        assert (folder / "deep" / "b.bin").read_bytes() == b"\0b"
        whole = Path(mlflow.artifacts.download_artifacts(run_id=identity))
        assert (whole / "flat" / "a.txt").read_text() == "a"
        assert Path(mlflow.artifacts.download_artifacts(mlflow.get_artifact_uri("flat/a.txt"))).read_text() == "a"
        with pytest.raises(mlflow.MlflowException, match="No such artifact"):
            client.download_artifacts(identity, "nothing")


@apart
def test_texts_and_dicts_are_files_and_values(offline: Offline):
    with mlflow.start_run(run_name="a") as run:
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_text("hello again", "notes/a.txt")
        mlflow.log_dict({"a": [1, 2]}, "config.json")
        mlflow.log_dict({"a": 1}, "config.yaml")
        place = f"runs:/{run.info.run_id}"
        assert mlflow.artifacts.load_text(f"{place}/notes/a.txt") == "hello again"
        assert mlflow.artifacts.load_dict(f"{place}/config.json") == {"a": [1, 2]}
        with pytest.raises(mlflow.MlflowException):
            mlflow.artifacts.load_dict(f"{place}/notes/a.txt")
    assert [value for _, value in offline.points("a", "notes/a.txt")] == ["hello", "hello again"]
    assert offline.points("a", "config.json") == [(0, {"a": [1, 2]})]


@apart
def test_a_table_is_a_value_a_call_and_a_file_of_all_rows(offline: Offline):
    with mlflow.start_run(run_name="a") as run:
        mlflow.log_table({"q": ["x", "y"], "image": [mlflow.Image(PIXELS)] * 2}, "eval.json")
        mlflow.log_table({"q": ["z"], "n": [1]}, "eval.json")
        found = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/eval.json")
    assert (found["columns"], [row[::2] for row in found["data"]]) == (
        ["q", "image", "n"],
        [["x", None], ["y", None], ["z", 1]],
    )
    first, second = (value for _, value in offline.points("a", "eval.json"))
    assert [row[1]["_type"] for row in first["data"]] == ["image", "image"]
    assert second["data"] == [["z", 1]]


@apart
def test_an_image_is_a_value_at_a_step_or_a_file_and_a_value(offline: Offline):
    picture = pytest.importorskip("PIL.Image", reason="compares with Pillow: pip install pillow")
    with mlflow.start_run(run_name="a") as run:
        mlflow.log_image(PIXELS, key="sample/one", step=3)
        mlflow.log_image(picture.fromarray(PIXELS), "kept.png")
        mlflow.log_image(PIXELS / 255, "kept.jpg")
        mlflow.log_image(mlflow.Image(PIXELS.tolist()), "listed.png")
        found = numpy.asarray(mlflow.artifacts.load_image(f"runs:/{run.info.run_id}/kept.png"))
        jpeg = mlflow.artifacts.load_image(f"runs:/{run.info.run_id}/kept.jpg")
    assert ((found == PIXELS).all(), jpeg.format, jpeg.size) == (True, "JPEG", (5, 4))
    ((step, value),) = offline.points("a", "sample/one")
    assert (step, value["_type"], value["width"]) == (3, "image", 5)
    assert [value["_type"] for _, value in offline.points("a", "kept.png")] == ["image"]


@apart
def test_a_figure_is_a_file_and_an_image(offline: Offline):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib: pip install matplotlib")
    pyplot.switch_backend("Agg")
    with mlflow.start_run(run_name="a") as run:
        mlflow.log_figure(pyplot.figure(), "plots/loss.svg")
        assert "<svg" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/plots/loss.svg")
    assert [value["_type"] for _, value in offline.points("a", "plots/loss.svg")] == ["image"]


@apart
def test_what_mlflow_refuses_raises(out: Path):
    wrong: dict[Any, type[Exception]] = {
        lambda: mlflow.log_artifact("missing.txt"): OSError,
        lambda: mlflow.log_artifacts("missing"): mlflow.MlflowException,
        lambda: mlflow.log_artifact("out/a.txt", "../out"): mlflow.MlflowException,
        lambda: mlflow.log_figure(object(), "a.png"): TypeError,
        lambda: mlflow.log_image(PIXELS): TypeError,
        lambda: mlflow.log_image(PIXELS, "a.png", key="k"): TypeError,
        lambda: mlflow.log_image("path.png", "a.png"): TypeError,
        lambda: mlflow.log_image(PIXELS, key="a:b"): ValueError,
        lambda: mlflow.log_image(PIXELS.astype(int) * 9, key="a"): ValueError,
        lambda: mlflow.log_image(PIXELS.astype(str), key="a"): TypeError,
        lambda: mlflow.log_image(numpy.zeros(3), key="a"): ValueError,
        lambda: mlflow.log_table([1], "a.json"): mlflow.MlflowException,
        lambda: mlflow.artifacts.list_artifacts(): mlflow.MlflowException,
        lambda: mlflow.artifacts.download_artifacts("s3://bucket/a"): mlflow.MlflowException,
    }
    with mlflow.start_run():
        for call, kind in wrong.items():
            with pytest.raises(kind):
                call()


@apart
def test_a_client_keeps_files_of_a_run_that_is_not_the_active_one(out: Path):
    client = mlflow.MlflowClient()
    run_id = client.create_run("Default").info.run_id
    client.log_artifact(run_id, "out/a.txt")
    client.log_artifacts(run_id, "out", "flat")
    client.log_image(run_id, PIXELS, key="image", step=1)
    client.set_terminated(run_id)
    client.log_text(run_id, json.dumps({"late": 1}), "late.json")
    assert [path for path, *_ in paths(run_id)] == ["a.txt", "flat", "late.json"]
