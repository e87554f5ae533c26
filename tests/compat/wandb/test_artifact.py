"""``wandb.Artifact``: what is added, logged, and read of what waits on this machine; what raises."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog.compat.wandb as wandb
from apart import apart
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.artifact_status import ArtifactFinalizedError, ArtifactNotLoggedError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.pt").write_bytes(b"1234")
    (folder / "deep" / "config.json").write_bytes(b"{}")
    return folder


def contents(artifact: Any) -> dict[str, bytes]:
    """What a run keeps of it."""
    return {file.path: file.read() for file in artifact._kept.files}


def test_an_artifact_has_what_is_added(model):
    artifact = wandb.Artifact("model-1", type="model", description="d", metadata={"acc": 0.5})
    assert artifact.add_file(str(model / "weights.pt"), name="w.pt").path == "w.pt"
    artifact.add_dir(str(model), name="all")
    artifact.add_reference("s3://bucket/data", name="data")
    artifact.add(wandb.Table(["a"]), "table")
    with artifact.new_file("note.txt", mode="w", encoding="utf-8") as file:
        file.write("text")
    with artifact.new_file("raw", mode="wb") as file:
        pickle.dump([1], file)
    assert list(artifact.entries) == [
        "w.pt",
        "all/deep/config.json",
        "all/weights.pt",
        "data",
        "table.table.json",
        "note.txt",
        "raw",
    ]
    assert artifact.size > 14
    artifact.remove("all")
    assert artifact.file_count == 5


@apart
def test_what_is_added_is_copied_then_and_may_go_or_change_before_it_is_logged(model):
    run = wandb.init(project="p")
    artifact = wandb.Artifact("m", "model")
    artifact.add_dir(str(model))
    (model / "weights.pt").write_bytes(b"another one")
    (model / "deep" / "config.json").unlink()
    run.log_artifact(artifact)
    assert contents(artifact) == {"weights.pt": b"1234", "deep/config.json": b"{}"}


@apart
def test_of_an_immutable_file_the_one_of_the_program_is_kept_when_it_is_logged(model):
    run = wandb.init(project="p")
    artifact = wandb.Artifact("m", "model")
    entry = artifact.add_file(str(model / "weights.pt"), policy="immutable")
    assert entry.local_path == str(model / "weights.pt")
    run.log_artifact(artifact)
    assert contents(artifact) == {"weights.pt": b"1234"}


@apart
def test_a_file_that_is_logged_by_its_path_may_be_written_to_afterwards(model):
    run = wandb.init(project="p")
    artifact = run.log_artifact(str(model / "weights.pt"), type="model")
    with (model / "weights.pt").open("r+b") as file:
        file.write(b"9999")
    assert contents(artifact) == {"weights.pt": b"1234"}
    assert (artifact.name, artifact.type) == (f"run-{run.id}-weights.pt", "model")


@apart
def test_a_logged_artifact_is_pending_until_a_server_has_it(model):
    run = wandb.init(project="p", entity="me")
    artifact = wandb.Artifact("m", "my model", metadata={"acc": 0.5})
    artifact.add_dir(str(model))
    with pytest.raises(ArtifactNotLoggedError, match="wait"):
        artifact.wait()
    assert run.log_artifact(artifact, aliases=["best"]).wait() is artifact
    assert (artifact.state, artifact.aliases, artifact.name) == ("PENDING", ["best", "latest"], "m")
    with pytest.raises(ArtifactNotLoggedError, match="Call wait"):
        _ = artifact.version
    assert isinstance(ArtifactNotLoggedError("a.b", artifact), AttributeError)
    for change in (
        lambda: artifact.add_file(str(model / "weights.pt")),
        lambda: artifact.add_dir(str(model)),
        lambda: artifact.add_reference("s3://a/b"),
        lambda: artifact.add(wandb.Table(["a"]), "t"),
        lambda: artifact.remove("weights.pt"),
    ):
        with pytest.raises(ArtifactFinalizedError):
            change()
    assert unsupported.counts() == {}


@apart
def test_a_used_artifact_of_this_run_is_read_before_a_server_has_it(model, tmp_path):
    run = wandb.init(project="p")
    run.log_artifact(str(model), name="m", type="model", aliases="best")
    used = run.use_artifact("m:best", type="model")
    assert list(used.manifest.entries) == ["deep/config.json", "weights.pt"]
    folder = Path(used.download(root=tmp_path / "there"))
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "weights.pt",
        "deep/config.json",
    }
    assert Path(used.get_entry("weights.pt").download(tmp_path / "one")).read_bytes() == b"1234"
    used.verify(str(folder))
    (folder / "weights.pt").write_bytes(b"other")
    with pytest.raises(ValueError, match="Digest mismatch"):
        used.verify(str(folder))
    (folder / "more").write_bytes(b"")
    with pytest.raises(ValueError, match="not a member"):
        used.verify(str(folder))
    used.checkout(str(folder))
    assert (not (folder / "more").exists(), (folder / "weights.pt").read_bytes()) == (True, b"1234")
    with pytest.raises(ValueError, match="does not match type"):
        run.use_artifact("m:best", type="dataset")
    with pytest.raises(KeyError):
        used.get_entry("nothing")


@apart
def test_tables_and_media_are_given_back(tmp_path):
    run = wandb.init(project="p")
    picture = numpy.arange(12, dtype=numpy.uint8).reshape(2, 2, 3)
    boxes = {"box_data": [{"position": {"minX": 0, "maxX": 1, "minY": 0, "maxY": 1}}], "class_labels": {1: "car"}}
    image = wandb.Image(picture, caption="c", boxes={"b": boxes}, masks={"m": {"mask_data": numpy.eye(2)}})
    artifact = wandb.Artifact("m", "model")
    artifact.add(wandb.Table(["n", "image"], [[1, image], [2, wandb.Image(picture)]]), "table")
    artifact["image"] = image
    artifact["page"] = wandb.Html("<b>")
    artifact["classes"] = wandb.Classes([{"id": 1, "name": "car"}])
    artifact["join"] = wandb.JoinedTable(wandb.Table(["a"], [[1]]), wandb.Table(["a"], [[2]]), "a")
    run.log_artifact(artifact)
    used = run.use_artifact("m")
    table = used.get("table")
    assert (table.columns, [row[0] for row in table.data]) == (["n", "image"], [1, 2])
    assert isinstance(table.data[0][1], wandb.Image)
    found = used["image"]
    assert (found._caption, found._boxes["b"]._class_labels, found._masks["m"]._class_labels[1]) == (
        "c",
        {1: "car"},
        "class_1",
    )
    assert used.get("page").html == "<b>"
    assert used.get("classes")._class_set == [{"id": 1, "name": "car"}]
    assert [table.data for _, table in used.get("join").tables()] == [[[1]], [[2]]]
    assert used.get("nothing") is None


@apart
def test_a_reference_is_kept_as_its_address_and_one_to_a_file_here_is_copied(tmp_path):
    run = wandb.init(project="p")
    (tmp_path / "there.txt").write_text("text")
    artifact = wandb.Artifact("m", "dataset")
    artifact.add_reference("s3://bucket/data")
    artifact.add_reference((tmp_path / "there.txt").as_uri(), name="local.txt")
    run.log_artifact(artifact)
    used = run.use_artifact("m")
    assert used.get_entry("data").ref_target() == "s3://bucket/data"
    with pytest.raises(wandb.CommError, match="does not fetch"):
        used.download(tmp_path / "strict")
    folder = Path(used.download(tmp_path / "lenient", allow_missing_references=True))
    assert (folder / "local.txt").read_text() == "text"
    assert json.loads(contents(artifact)[".steplog/references.json"])["data"] == "s3://bucket/data"


@apart
def test_an_artifact_without_files_is_kept_with_its_metadata():
    run = wandb.init(project="p")
    artifact = run.log_artifact(wandb.Artifact("m", "model", metadata={"acc": 0.5}))
    assert run.use_artifact("m").metadata == {"acc": 0.5}
    assert artifact.file_count == 0


@apart
def test_models_and_code_are_artifacts(model, tmp_path):
    run = wandb.init(project="p")
    run.log_model(str(model / "weights.pt"), name="net")
    assert Path(run.use_model("net:latest")).read_bytes() == b"1234"
    run.log_model(str(model), name="whole")
    assert sorted(path.name for path in Path(run.use_model("whole")).iterdir()) == ["deep", "weights.pt"]
    (tmp_path / "code" / "wandb").mkdir(parents=True)
    (tmp_path / "code" / "train.py").write_text("x = 1")
    (tmp_path / "code" / "data.bin").write_text("x")
    (tmp_path / "code" / "wandb" / "old.py").write_text("x")
    code = run.log_code(str(tmp_path / "code"))
    assert (contents(code), code.type) == ({"train.py": b"x = 1"}, "code")
    assert run.log_code(str(tmp_path / "code"), include_fn=lambda path: path.endswith(".no")) is None
    run.log_artifact(str(model), name="data", type="dataset")
    with pytest.raises(AssertionError, match="'model' artifacts"):
        run.use_model("data")


@apart
def test_links_watches_and_alerts_are_counted(model):
    run = wandb.init(project="p")
    artifact = wandb.Artifact("m", "model")
    artifact.add_dir(str(model))
    run.link_artifact(artifact, "registry/m")
    assert artifact.is_handed_over
    run.link_model(str(model), "registered", name="net")
    wandb.watch(object(), log="all", log_freq=10)
    wandb.unwatch()
    wandb.alert("title", "text", level=wandb.AlertLevel.WARN)
    assert unsupported.counts() == {"wandb.link_artifact()": 2, "wandb.watch()": 1, "wandb.alert()": 1}


READS = {
    "use_artifact": lambda run: run.use_artifact("nothing:latest", type="model"),
    "use_model": lambda run: run.use_model("nothing:latest"),
    "elsewhere": lambda run: run.use_artifact("other/project/nothing:v0"),
    "api": lambda run: wandb.Api().artifact("me/p/nothing:v0"),
}


@apart
def test_an_artifact_that_is_not_there_raises_comm_error():
    run = wandb.init()
    for call in READS.values():
        with pytest.raises(wandb.errors.CommError, match="nothing"):
            call(run)
    assert not wandb.Api().artifact_exists("me/p/nothing:v0")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wandb.Artifact("a b", "model"), "alphanumeric"),
        (lambda: wandb.Artifact("a", "job"), "reserved"),
        (lambda: wandb.Artifact("a", "t").add_file("missing"), "not a file"),
        (lambda: wandb.Artifact("a", "t").add_dir("missing"), "not a directory"),
        (lambda: wandb.Artifact("a", "t").add_reference("missing"), "URI"),
        (lambda: wandb.Artifact("a", "t").add_file(__file__, name="../out"), "stays inside"),
        (lambda: wandb.Artifact("a", "t").add_file(__file__, policy="other"), "Invalid policy"),
    ],
)
def test_a_wrong_name_or_path_raises_as_wandb_does(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_file_of_a_name_that_is_taken_by_another_one_raises(model):
    artifact = wandb.Artifact("a", "t")
    artifact.add_file(str(model / "weights.pt"), name="x")
    artifact.add_file(str(model / "weights.pt"), name="x")
    with pytest.raises(ValueError, match="same path twice"):
        artifact.add_file(str(model / "deep" / "config.json"), name="x")
    artifact.add_file(str(model / "deep" / "config.json"), name="x", overwrite=True)
    assert artifact.size == 2
    with pytest.raises(TypeError, match="expected one of"):
        artifact.add(object(), "y")


@apart
def test_a_disabled_run_keeps_and_counts_nothing(model):
    run = wandb.init(mode="disabled")
    assert run.save(str(model / "*")) == []
    artifact = wandb.Artifact("m", "model")
    artifact.add_dir(str(model))
    assert run.log_artifact(artifact).wait() is artifact
    run.watch(object())
    assert unsupported.counts() == {}


def test_without_a_run_the_calls_raise_wandbs_error():
    for name in ("save", "log_artifact", "use_artifact", "watch", "alert", "log_model"):
        with pytest.raises(wandb.Error, match=f"You must call wandb.init\\(\\) before wandb.{name}\\(\\)"):
            getattr(wandb, name)("x")
