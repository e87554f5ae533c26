"""Artifacts and files of wandb's calls on a server: versions, aliases, what ``wandb.Api`` lists and downloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import steplog.compat.wandb as wandb
from apart import apart
from end_to_end.programs import Host
from server.process import ServerProcess
from steplog.compat.wandb.artifact_status import ArtifactNotLoggedError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def path(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """Entity and project, on a server that this process knows."""
    host = Host(tmp_path, server)
    host.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_MODE", "online")
    return f"team/{host.project}"


def begun(path: str, **given: Any) -> Any:
    entity, project = path.split("/")
    return wandb.init(entity=entity, project=project, **given)


def model(run: Any, text: str, *aliases: str, name: str = "net", kind: str = "model") -> Any:
    artifact = wandb.Artifact(name, kind, metadata={"text": text})
    with artifact.new_file("weights.txt") as file:
        file.write(text)
    return run.log_artifact(artifact, aliases=list(aliases))


@apart
def test_versions_are_numbered_and_aliases_move(path):
    run = begun(path)
    first, second = model(run, "one", "best").wait(30), model(run, "two").wait(30)
    again = model(run, "two", "good").wait(30)
    assert [each.version for each in (first, second, again)] == ["v0", "v1", "v1"]
    assert (second.name, second.state, second.source_version) == ("net:v1", "COMMITTED", "v1")
    assert second.qualified_name == f"{path}/net:v1"
    for text, version in (("net", "v1"), ("net:best", "v0"), ("net:v0", "v0"), (f"{path}/net:good", "v1")):
        assert run.use_artifact(text).version == version
    model(run, "three", "best").wait(30)
    assert run.use_artifact("net:best").metadata == {"text": "three"}
    with pytest.raises(wandb.CommError, match="net"):
        run.use_artifact("net:v9")
    run.finish()
    assert wandb.Api().artifact(f"{path}/net:latest", type="model").version == "v2"


@apart
def test_the_api_lists_versions_collections_and_types(path):
    run = begun(path, id="maker")
    model(run, "one").wait(30)
    model(run, "two").wait(30)
    model(run, "data", name="rows", kind="my data").wait(30)
    run.finish()
    api = wandb.Api()
    assert [each.version for each in api.artifacts("model", f"{path}/net")] == ["v1", "v0"]
    assert [each.name for each in api.artifact_types(path)] == ["model", "my_data"]
    assert [each.name for each in api.artifact_collections(path, "my data")] == ["rows"]
    assert api.artifact_collection("model", f"{path}/net").aliases == ["latest"]
    assert api.artifact_collection_exists(f"{path}/net", "model")
    assert not api.artifact_collection_exists(f"{path}/net", "my data")
    assert [api.artifact_exists(f"{path}/{name}") for name in ("net:v1", "net:v2", "no")] == [True, False, False]
    assert {each.name for each in api.run(f"{path}/maker").logged_artifacts()} == {"net:v0", "net:v1", "rows:v0"}
    assert api.artifact(f"{path}/net:v0").logged_by().id == "maker"
    with pytest.raises(wandb.CommError, match="no artifact"):
        api.artifact_collection("model", f"{path}/rows")


@apart
def test_a_downloaded_version_has_the_folder_of_its_name_and_version(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = begun(path)
    model(run, "one").wait(30)
    used = run.use_artifact("net:latest")
    assert used.download() == "./artifacts/net:v0"
    assert Path("artifacts/net:v0/weights.txt").read_text() == "one"
    assert Path(used.file(root="alone")).read_text() == "one"
    draft = used.new_draft()
    with pytest.raises(ArtifactNotLoggedError):
        draft.wait()
    with draft.new_file("more.txt") as file:
        file.write("more")
    assert run.log_artifact(draft).wait(30).version == "v1"
    assert sorted(run.use_artifact("net").manifest.entries) == ["more.txt", "weights.txt"]
    run.finish()


@apart
def test_files_of_a_run_are_restored_listed_and_added_to(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = begun(path, id="files")
    Path("notes.txt").write_text("notes")
    run.save("notes.txt")
    run.finish()
    found = wandb.Api().run(f"{path}/files")
    assert [(file.name, file.size) for file in found.files()] == [("notes.txt", 5)]
    Path("late.txt").write_text("late")
    assert found.upload_file("late.txt").name == "late.txt"
    assert found.file("late.txt").download(root="there").read() == "late"
    with wandb.restore("notes.txt", run_path=f"{path}/files", root="restored") as file:
        assert file.read() == "notes"
    artifact = wandb.Artifact("report", "report")
    artifact.add_file("late.txt")
    assert found.log_artifact(artifact, aliases="final").version == "v0"
    assert wandb.Api().artifact(f"{path}/report:final").size == 4
