"""Artifacts over HTTP: versions, aliases, their files, and who uses them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from server.file_server import FileServer, new_id, serving, sha256_of
from steplog.server.blobs.folder import FolderContents


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    directory = tmp_path_factory.mktemp("server")
    with serving(directory, FolderContents(directory / "blobs")) as server:
        yield server


@pytest.fixture
def run(files: FileServer) -> str:
    """A run in a project of its own."""
    return files.new_run(new_id())


def artifacts(run: str) -> str:
    return f"{run.partition('runs/')[0]}artifacts/"


def announced(contents: dict[str, bytes], name: str = "mnist-cnn", **fields: Any) -> dict[str, Any]:
    """What announces an artifact of these files."""
    artifact, hashes = new_id(), {path: sha256_of(content) for path, content in contents.items()}
    lines = sorted(f"{sha256} {path}\n" for path, sha256 in hashes.items())
    told = {
        "id": artifact,
        "name": name,
        "type": "model",
        "digest": hashlib.sha256("".join(lines).encode()).hexdigest(),
        "count": len(contents),
        "size": sum(map(len, contents.values())),
    }
    entries = [
        {"id": new_id(), "sha256": sha256, "size": len(contents[path]), "path": path, "artifact": artifact}
        for path, sha256 in hashes.items()
    ]
    return {"files": entries, "artifacts": [told | fields]}


def logged(files: FileServer, run: str, contents: dict[str, bytes], **fields: Any) -> int:
    """The version of an artifact that is there whole."""
    told = announced(contents, **fields)
    answer = files.announce(run, **told)
    for content in contents.values():
        files.send(run, content)
    return int(answer["versions"][told["artifacts"][0]["id"]])


def test_an_artifact_is_announced_in_parts_and_read_by_version_and_alias(files, run):
    contents = {"model.bin": b"weights", "sub/a b é.txt": b"text"}
    told = announced(contents, aliases=["best"], metadata={"accuracy": 0.99}, description="d", time=5)
    assert files.announce(run, files=told["files"][:1])["versions"] == {}
    answer = files.announce(run, files=told["files"][1:], artifacts=told["artifacts"])
    assert list(answer["versions"].values()) == [0]
    for name in ("v0", "best", "latest"):
        found = files.ask("GET", f"{artifacts(run)}mnist-cnn/{name}/").json()
        assert (found["version"], found["present"], found["metadata"]) == (0, 0, {"accuracy": 0.99})
        assert sorted(found["aliases"]) == ["best", "latest"]
        assert [each["path"] for each in found["files"]] == ["model.bin", "sub/a b é.txt"]
    assert files.ask("GET", f"{artifacts(run)}mnist-cnn/v0/files/model.bin").status_code == 404, "it has not come yet"
    for content in contents.values():
        files.send(run, content)
    for path, content in contents.items():
        got = files.ask("GET", f"{artifacts(run)}mnist-cnn/v0/files/{path}")
        assert (got.status_code, got.content) == (200, content)
        assert got.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        moves = files.ask("GET", f"{artifacts(run)}mnist-cnn/best/files/{path}")
        assert moves.headers["Cache-Control"] == "private, no-cache"
    assert files.ask("GET", f"{artifacts(run)}mnist-cnn/latest/").json()["present"] == 2
    assert files.announce(run, **told) == {"missing": [], "versions": answer["versions"]}, "again"


def test_the_same_files_are_the_same_version_and_others_the_next(files, run):
    assert [logged(files, run, {"a": content}) for content in (b"1", b"1", b"2", b"1")] == [0, 0, 1, 2]
    listed = files.ask("GET", artifacts(run)).json()
    assert [(each["version"], "latest" in each["aliases"]) for each in listed] == [(2, True), (1, False), (0, False)]


def test_versions_are_listed_by_name_type_run_and_entry(files, run):
    other = files.ask("POST", f"{run.partition('runs/')[0]}runs/", json={}).json()["uuid"]
    logged(files, run, {"a": b"1"}, name="one")
    logged(files, f"{run.partition('runs/')[0]}runs/{other}/", {"a": b"2"}, name="two", type="dataset")
    told = announced({"a": b"3"}, name="one")
    files.announce(run, **told)

    def listed(query: str) -> list[str]:
        found = files.ask("GET", f"{artifacts(run)}?{query}")
        assert found.status_code == 200, found.text
        return [f"{each['name']}:v{each['version']}" for each in found.json()]

    assert listed("name=one") == ["one:v1", "one:v0"]
    assert listed("type=dataset") == ["two:v0"]
    assert listed(f"run={other}") == ["two:v0"]
    assert listed(f"id={told['artifacts'][0]['id']}") == ["one:v1"]
    assert listed(f"id={new_id()}") == listed(f"used_by={other}") == []
    page = files.ask("GET", f"{artifacts(run)}?limit=2")
    assert len(page.json()) == 2
    rest = files.ask("GET", f"{artifacts(run)}{page.links['next']['url']}")
    assert (len(rest.json()), rest.links) == (1, {})
    for query in ("run=x", f"used_by={new_id()}", "limit=0", f"name={'a' * 129}"):
        assert files.ask("GET", f"{artifacts(run)}?{query}").status_code == 400, query


def test_what_a_run_uses_is_noted_once_and_what_is_not_there_told(files, run):
    logged(files, run, {"a": b"1"}, aliases=["best"])
    used = ["mnist-cnn:v0", "mnist-cnn:best", "mnist-cnn:v7", "none:latest"]
    for _ in range(2):
        assert files.announce(run, used=used)["unknown"] == ["mnist-cnn:v7", "none:latest"]
    uuid = run.rstrip("/").rpartition("/")[2]
    (found,) = files.ask("GET", f"{artifacts(run)}?used_by={uuid}").json()
    assert (found["name"], found["version"], found["run"]) == ("mnist-cnn", 0, uuid)


@pytest.mark.parametrize("path", ["none/v0/", "mnist-cnn/v9/", "mnist-cnn/none/", "mnist-cnn/v0/files/b", "%00/v0/"])
def test_what_is_not_there_is_not_found(files, run, path):
    logged(files, run, {"a": b"1"})
    assert files.ask("GET", f"{artifacts(run)}{path}").status_code == 404


def test_a_version_of_many_files_is_listed_whole(files, run):
    contents = {f"{number:05}.txt": b"same" for number in range(6001)}
    told = announced(contents)
    for at in range(0, 6001, 900):
        files.announce(run, files=told["files"][at : at + 900])
    assert files.announce(run, artifacts=told["artifacts"])["versions"]
    found = files.ask("GET", f"{artifacts(run)}mnist-cnn/v0/").json()
    assert [each["path"] for each in found["files"]] == sorted(contents)
    assert not any(each["present"] for each in found["files"])
    files.send(run, b"same")
    again = files.ask("GET", f"{artifacts(run)}mnist-cnn/v0/").json()
    assert again["present"] == 6001
    assert all(each["present"] for each in again["files"])
