"""Artifacts, saved files and messages: taken and counted; what would read one raises ``CommError``."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import steplog.compat.wandb as wandb
from apart import apart
from steplog.compat.unsupported import unsupported


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.pt").write_bytes(b"1234")
    (folder / "deep" / "config.json").write_bytes(b"{}")
    return folder


def test_an_artifact_names_what_is_added(model):
    artifact = wandb.Artifact("model-1", type="model", description="d", metadata={"acc": 0.5})
    assert artifact.add_file(str(model / "weights.pt"), name="w.pt", policy="immutable").path == "w.pt"
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
    assert artifact.get_entry("w.pt").local_path == str(model / "weights.pt")
    assert artifact.size > 14
    artifact.remove("all")
    assert artifact.file_count == 5


@apart
def test_a_logged_artifact_is_returned_and_counted(model):
    run = wandb.init(project="p", entity="me")
    artifact = wandb.Artifact("m", "model")
    assert run.log_artifact(artifact, aliases=["best"]).wait() is artifact
    assert (artifact.state, artifact.version, artifact.aliases) == ("COMMITTED", "v0", ["best", "latest"])
    assert wandb.log_artifact(str(model / "weights.pt"), type="model").name == f"run-{run.id}-weights.pt"
    assert wandb.save(str(model / "*")) == sorted(map(str, model.glob("*")))
    assert run.save() is True
    wandb.log_model(str(model), name="whole")
    wandb.use_artifact(artifact)
    wandb.watch(object(), log="all", log_freq=10)
    wandb.unwatch()
    wandb.alert("title", "text", level=wandb.AlertLevel.WARN)
    run.link_artifact(artifact, "registry/m")
    run.log_code(".")
    assert unsupported.counts() == {
        "wandb.log_artifact()": 2,
        "wandb.save()": 1,
        "wandb.log_model()": 1,
        "wandb.use_artifact()": 1,
        "wandb.watch()": 1,
        "wandb.alert()": 1,
        "wandb.link_artifact()": 1,
        "wandb.log_code()": 1,
    }


READS: dict[str, Callable[[Any], Any]] = {
    "use_artifact": lambda run: run.use_artifact("m:latest", type="model"),
    "use_model": lambda run: run.use_model("m:latest"),
    "restore": lambda run: wandb.restore("model.h5", run_path="me/p/1"),
    "download": lambda run: wandb.Artifact("m", "model").download(root="."),
    "api": lambda run: wandb.Api().artifact("me/p/m:v0"),
}


@apart
def test_a_call_that_reads_what_is_not_here_says_what_to_do():
    run = wandb.init()
    for call in READS.values():
        with pytest.raises(wandb.errors.CommError, match="load it from the path"):
            call(run)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wandb.Artifact("a b", "model"), "alphanumeric"),
        (lambda: wandb.Artifact("a", "job"), "reserved"),
        (lambda: wandb.Artifact("a", "t").add_file("missing"), "not a file"),
        (lambda: wandb.Artifact("a", "t").add_dir("missing"), "not a directory"),
        (lambda: wandb.Artifact("a", "t").add_reference("missing"), "URI"),
    ],
)
def test_a_wrong_name_or_path_raises_as_wandb_does(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@apart
def test_a_disabled_run_counts_nothing(model):
    run = wandb.init(mode="disabled")
    run.save(str(model / "*"))
    run.log_artifact(wandb.Artifact("m", "model"))
    run.watch(object())
    assert unsupported.counts() == {}


def test_without_a_run_the_calls_raise_wandbs_error():
    for name in ("save", "log_artifact", "use_artifact", "watch", "alert", "log_model"):
        with pytest.raises(wandb.Error, match=f"You must call wandb.init\\(\\) before wandb.{name}\\(\\)"):
            getattr(wandb, name)("x")
