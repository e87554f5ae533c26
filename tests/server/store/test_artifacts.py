"""Artifacts: a version once all of it is announced, the same one for the same content, and aliases that move."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from server.store.test_files import bring, entry, sha_of
from server.stores import new_project, new_run
from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.server.file_types import AnnouncedFiles, ArtifactVersionError
from steplog.server.store import Store
from steplog.server.store_types import MissingError, ProjectRow, RunRow


def made(contents: dict[str, str], name: str = "mnist-cnn", **fields: Any) -> tuple[ArtifactEntry, list[FileEntry]]:
    """An artifact of files with these contents, by path."""
    own = uuid.uuid4().hex
    files = [entry(content, path, artifact=own) for path, content in contents.items()]
    lines = sorted(f"{file.sha256} {file.path}\n" for file in files)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    size = sum(file.size for file in files)
    given = {"type": "model", "digest": digest, "count": len(files), "size": size, **fields}
    return ArtifactEntry(id=own, name=name, **given), files


def announce(store: Store, run: RunRow, artifact: ArtifactEntry, files: list[FileEntry]) -> AnnouncedFiles:
    return store.announce_files(run, files, [artifact]).result()


def log(store: Store, run: RunRow, contents: dict[str, str], **fields: Any) -> int:
    """Its version."""
    artifact, files = made(contents, **fields)
    return announce(store, run, artifact, files).versions[artifact.id]


def project_of(store: Store, run: RunRow) -> ProjectRow:
    found = store.project("team", run.project_slug)
    assert found is not None
    return found


def reap(store: Store) -> None:
    while store.reap().result():
        pass


def test_an_artifact_has_a_version_once_it_and_all_its_files_are_announced(store):
    run = new_run(store)
    artifact, files = made({"a.pt": "a", "b/c.pt": "b", "d.pt": "a"})
    assert store.announce_files(run, files[:1], ()).result() == AnnouncedFiles([sha_of("a")], {})
    assert announce(store, run, artifact, []) == AnnouncedFiles([], {})
    assert store.announce_files(run, files[:2], ()).result() == AnnouncedFiles([sha_of("a"), sha_of("b")], {})
    assert store.artifacts(project_of(store, run)) == []
    assert store.announce_files(run, files[2:], ()).result().versions == {artifact.id: 0}
    assert announce(store, run, artifact, files).versions == {artifact.id: 0}
    assert store.files(run) == []


def test_a_version_says_what_was_logged_and_how_much_of_it_is_there(store):
    run = new_run(store)
    metadata = {"accuracy": 0.5, "\0": [None]}
    artifact, files = made({"a.pt": "a", "b/c.pt": "bb", "d.pt": "a"}, description="d", metadata=metadata)
    bring(store, run, "bb")
    announce(store, run, artifact, files)
    project = project_of(store, run)
    found = store.artifact(project, "mnist-cnn", "v0")
    assert (found.uuid, found.name, found.type, found.version) == (artifact.id, "mnist-cnn", "model", 0)
    assert (found.digest, found.count, found.size, found.present) == (artifact.digest, 3, 4, 1)
    assert (found.aliases, found.description, found.metadata) == (("latest",), "d", metadata)
    assert (found.run, found.run_name) == (run.uuid, run.name)
    assert [(row.path, row.sha256, row.present) for row in store.artifact_files(project, found)] == [
        ("a.pt", sha_of("a"), False),
        ("b/c.pt", sha_of("bb"), True),
        ("d.pt", sha_of("a"), False),
    ]
    bring(store, run, "a")
    bring(store, run, "a")
    assert store.artifact(project, "mnist-cnn", "latest").present == 3
    assert store.artifact_file(project, found, "d.pt").present
    assert store.artifact_file(project, found, "d") is None


def test_the_files_of_a_version_come_in_pages(store):
    run = new_run(store)
    artifact, files = made({f"{number:04}": str(number) for number in range(1200)})
    for at in range(0, 1200, 500):
        announce(store, run, artifact, files[at : at + 500])
    project = project_of(store, run)
    found = store.artifact(project, "mnist-cnn", "v0")
    paths: list[str] = []
    while page := store.artifact_files(project, found, after=paths[-1] if paths else "", limit=500):
        paths += [row.path for row in page]
    assert paths == sorted(file.path for file in files)


def test_versions_count_up_and_the_same_content_is_the_latest_version(store):
    run, other = new_run(store), new_run(store)
    assert [log(store, run, {"a": content}) for content in "xxyyx"] == [0, 0, 1, 1, 2]
    assert log(store, other, {"a": "x"}) == 2
    assert log(store, other, {"a": "x"}, name="other") == 0
    assert log(store, new_run(store, new_project(store, "other")), {"a": "x"}) == 0
    project = project_of(store, run)
    assert [(row.name, row.version) for row in store.artifacts(project)] == [
        ("other", 0),
        *[("mnist-cnn", version) for version in (2, 1, 0)],
    ]
    assert [row.aliases for row in store.artifacts(project, "mnist-cnn")] == [("latest",), (), ()]


def test_an_entry_leads_to_the_version_that_it_became(store):
    run, other = new_run(store), new_run(store)
    first, files = made({"a": "x"})
    announce(store, run, first, files)
    second, again = made({"a": "x"})
    announce(store, other, second, again)
    project = project_of(store, run)
    for each in (first, second):
        assert [row.uuid for row in store.artifacts(project, entry=each.id)] == [first.id]
    assert store.artifacts(project, entry="0" * 32) == []
    assert [row.uuid for row in store.artifacts(project, run=other)] == [first.id]
    reap(store)  # the files of the second
    assert announce(store, other, second, again).versions == {second.id: 0}
    assert [row.path for row in store.artifact_files(project, store.artifact(project, "mnist-cnn", "v0"))] == ["a"]


def test_artifacts_are_listed_by_name_type_and_run_in_pages(store):
    run, other = new_run(store), new_run(store)
    for number in range(3):
        log(store, run, {"a": str(number)})
    log(store, other, {"a": "x"}, name="data", type="dataset")
    project = project_of(store, run)

    def listed(**wanted: Any) -> list[tuple[str, int]]:
        return [(row.name, row.version) for row in store.artifacts(project, **wanted)]

    assert listed(name="data") == listed(kind="dataset") == listed(run=other) == [("data", 0)]
    assert listed(name="data", kind="model") == []
    assert listed(limit=2) == [("data", 0), ("mnist-cnn", 2)]
    last = store.artifacts(project, limit=2)[-1]
    assert listed(limit=2, before=last.uuid) == [("mnist-cnn", 1), ("mnist-cnn", 0)]


def test_an_alias_means_the_version_that_was_logged_with_it_last(store):
    run = new_run(store)
    log(store, run, {"a": "x"}, aliases=("best", "v7", "latest"))
    log(store, run, {"a": "y"}, aliases=("staging",))
    project = project_of(store, run)
    assert store.artifact(project, "mnist-cnn", "best").version == 0
    log(store, run, {"a": "y"}, aliases=("best",))
    assert [row.aliases for row in store.artifacts(project)] == [("latest", "best", "staging"), ()]
    assert store.artifact(project, "mnist-cnn", "best").version == 1
    for unknown in ("v7", "v2", "v01", "worst", "", "0"):
        with pytest.raises(ArtifactVersionError):
            store.artifact(project, "mnist-cnn", unknown)
    for version in ("latest", "v0"):
        with pytest.raises(ArtifactVersionError):
            store.artifact(project, "other", version)


def test_a_run_s_uses_are_known_once_each(store):
    run, other = new_run(store), new_run(store)
    for content in "xy":
        log(store, run, {"a": content})
    project = project_of(store, run)
    for version in ("v1", "v0", "v1"):
        store.use_artifact(other, store.artifact(project, "mnist-cnn", version)).result()
    assert [row.version for row in store.used_artifacts(other)] == [0, 1]
    assert store.used_artifacts(run) == []
    store.discard_run(project, other.uuid).result()
    with pytest.raises(MissingError):
        store.use_artifact(other, store.artifact(project, "mnist-cnn", "v0")).result()


def test_a_version_stays_when_its_run_is_gone(store):
    run, other = new_run(store), new_run(store)
    log(store, run, {"a": "x"}, aliases=("best",))
    unfinished, files = made({"b": "y", "c": "z"})
    announce(store, run, unfinished, files[:1])
    project = project_of(store, run)
    store.use_artifact(other, store.artifact(project, "mnist-cnn", "best")).result()
    for each in (run, other):
        store.discard_run(project, each.uuid, now=True).result()
    reap(store)
    found = store.artifact(project, "mnist-cnn", "best")
    assert (found.version, found.run, found.run_name) == (0, "", "")
    assert [row.path for row in store.artifact_files(project, found)] == ["a"]
    again = new_run(store)
    assert log(store, again, {"a": "z"}) == 1
    assert announce(store, again, unfinished, files[1:]).versions == {}  # what came of it is gone
    assert announce(store, again, unfinished, files).versions == {unfinished.id: 2}


def test_a_deleted_project_takes_its_artifacts_and_contents_along(store):
    run = new_run(store)
    log(store, run, {"a": "x"}, aliases=("best",))
    bring(store, run, "x")
    project = project_of(store, run)
    store.delete_project(project).result()
    reap(store)
    again = new_project(store)
    assert store.artifacts(again) == []
    assert (store.content_bytes(again), store.figures()["contents"]) == (0, 0)
    removed: list[str] = []
    later = datetime.now(timezone.utc) + timedelta(hours=2)
    assert store.collect_contents(removed.append, later)
    assert removed == [sha_of("x")]


def test_clients_that_log_one_name_at_once_get_a_version_each(store):
    run = new_run(store)
    logged = [made({"a": str(number)}) for number in range(20)]
    written: list[Future[AnnouncedFiles]] = [store.announce_files(run, files, [entry]) for entry, files in logged]
    versions = [future.result().versions[entry.id] for future, (entry, _) in zip(written, logged, strict=True)]
    assert sorted(versions) == list(range(20))
