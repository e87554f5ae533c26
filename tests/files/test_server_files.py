"""Files and artifacts as a server lists them, whatever it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from files.serving import RUN, Project, artifact_json, file_json, sha256
from steplog.delivery.exchange import Answer
from steplog.errors import (
    ArtifactNotFoundError,
    FormatError,
    InvalidAPIKeyError,
    ProjectNotFoundError,
    RunFileNotFoundError,
    RunNotFoundError,
    ServerUnavailableError,
    SteplogError,
)
from steplog.files import server_files
from steplog.files.artifact import Artifact
from steplog.files.content import WrongContentError
from steplog.files.of_run import FilesOfRun


@pytest.fixture
def project() -> Project:
    return Project()


def files_of(project: Project, prefix: str = "", *, logged: bool = False) -> list[str]:
    found = project.files().of_run(RUN, Path("files"), prefix, logged=logged)
    assert found is not None
    return [file.path for file in found]


def test_the_files_of_a_run_are_listed_by_path_the_latest_of_each(project):
    for number, (path, data) in enumerate([("a.pt", b"old"), ("b/c.pt", b"c"), ("a.pt", b"new"), ("", b"png")], 1):
        project.has_file(file_json(path, data, number), data)

    assert sorted(files_of(project)) == ["a.pt", "b/c.pt"]
    assert files_of(project, "b/") == ["b/c.pt"]
    found = project.files().of_run(RUN, Path("files")) or []
    assert next(file.read() for file in found if file.path == "a.pt") == b"new"


def test_files_of_values_are_listed_where_that_is_asked_for(project):
    project.has_file(file_json("", b"png", 7, suffix=".png"), b"png")

    assert files_of(project) == []
    assert files_of(project, logged=True) == [f"{7:032x}.png"]


def test_many_files_come_in_pages_each_once(project, monkeypatch):
    monkeypatch.setattr(server_files, "_PAGE", 10)
    for number in range(1, 26):
        project.has_file(file_json(f"{number}.pt", b"", number), b"")

    assert len(files_of(project)) == 25
    assert [query.get("after") for _, _, query, _ in project.asked] == [None, f"{10:032x}", f"{20:032x}"]


def test_a_page_that_repeats_itself_ends_the_list(project, monkeypatch):
    """A server that knows no ``after`` would be asked for ever."""
    monkeypatch.setattr(server_files, "_PAGE", 10)
    project.answers[f"runs/{RUN}/files/"] = {}
    page = [file_json(f"{number}.pt", b"", number) for number in range(1, 11)]
    project.exchange = _always(project, page)  # type: ignore[method-assign]

    assert len(files_of(project)) == 10


def _always(project: Project, page: object):
    return lambda request, timeout_s: Answer(200, json.dumps(page).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "../../.ssh/authorized_keys"},
        {"path": "/etc/passwd"},
        {"path": "a\0b"},
        {"path": "a/\x1b[2J"},
        {"suffix": "/../../x"},
        {"id": "../../x"},
        {"id": ""},
        {"sha256": "../x"},
        {"sha256": ""},
        {"size": -1},
        {"size": 2**70},
        {"time": -1},
        {"time": 2**63},
        {"path": 3},
    ],
)
def test_what_cannot_be_a_file_is_no_answer(project, fields):
    project.answers[f"runs/{RUN}/files/"] = [file_json("a.pt", b"a") | fields]

    with pytest.raises(ServerUnavailableError, match="not the answer of a run server"):
        files_of(project, logged=True)


def test_a_server_that_keeps_no_files_is_told_from_a_run_that_is_gone(project):
    project.answers[f"runs/{RUN}/"] = {"features": ["batch"]}
    assert project.files().of_run(RUN, Path("files")) is None

    del project.answers[f"runs/{RUN}/"]
    with pytest.raises(RunNotFoundError):
        project.files().of_run(RUN, Path("files"))


def test_a_wrong_key_and_a_server_that_fails_are_errors(project):
    project.statuses[f"runs/{RUN}/files/"] = 401
    with pytest.raises(InvalidAPIKeyError):
        files_of(project)
    project.statuses[f"runs/{RUN}/files/"] = 503
    with pytest.raises(ServerUnavailableError, match="503"):
        files_of(project)


def test_what_is_read_has_the_hash_that_the_server_listed(project):
    project.has_file(file_json("a.pt", b"right"), b"wrong")
    project.headers = {"etag": ""}
    (file,) = project.files().of_run(RUN, Path("files")) or []

    with pytest.raises(WrongContentError):
        file.read()


def test_a_content_with_another_tag_than_its_file_is_refused(project):
    project.has_file(file_json("a.pt", b"right"), b"other")
    (file,) = project.files().of_run(RUN, Path("files")) or []

    with pytest.raises(WrongContentError, match="another content"):
        file.read()


def test_a_content_that_has_not_arrived_says_who_sends_it(project, tmp_path):
    project.has_file(file_json("a.pt", b"a", present=False), b"a")
    project.contents.clear()
    (file,) = project.files().of_run(RUN, Path("files")) or []

    assert not file.present
    with pytest.raises(RunFileNotFoundError, match="steplog sync"):
        file.download(tmp_path)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_with_a_range_or_without(project, tmp_path, ranges):
    data = b"x" * 1000 + b"y" * 1000
    project.has_file(file_json("a.pt", data), data)
    project.ranges = ranges
    (tmp_path / f".steplog-{sha256(data)[:32]}.part").write_bytes(data[:1500])
    (file,) = project.files().of_run(RUN, Path("files")) or []

    assert file.download(tmp_path).read_bytes() == data
    headers = project.asked[-1][3]
    assert headers["Range"] == "bytes=1500-"
    assert headers["If-Range"] == f'"{sha256(data)}"'


def test_a_file_of_a_value_is_found_by_the_value(project, tmp_path):
    project.has_file(file_json("", b"\x89PNG", 5, suffix=".png"), b"\x89PNG")
    of_run = FilesOfRun((), project.files(), RUN, "first")
    value = {"_type": "image", "file": f"{5:032x}", "type": "image/png", "width": 1}

    file = of_run.file(value)

    assert (file.read(), file.size, file.sha256) == (b"\x89PNG", 4, sha256(b"\x89PNG"))
    assert file.download(tmp_path).name == f"{5:032x}.png"
    assert of_run.file(f"{5:032x}").read() == b"\x89PNG"


def test_a_file_that_says_neither_hash_nor_size_cannot_be_checked(project):
    project.has_file(file_json("", b"png", 5), b"png")
    project.headers = {"etag": '"weak"'}

    with pytest.raises(ServerUnavailableError, match="size and hash"):
        FilesOfRun((), project.files(), RUN, "first").file(f"{5:032x}").read()


@pytest.mark.parametrize("value", [{"_type": "histogram"}, {"file": "../x"}, {"file": 3}, {}])
def test_a_value_without_a_file_is_told_so(project, value):
    with pytest.raises(RunFileNotFoundError, match="without a file"):
        FilesOfRun((), project.files(), RUN, "first").file(value)


def test_a_path_that_is_not_there_names_what_is_like_it(project):
    project.has_file(file_json("weights.pt", b"w"), b"w")
    of_run = FilesOfRun((), project.files(), RUN, "first")

    assert of_run.file("weights.pt").read() == b"w"
    with pytest.raises(RunFileNotFoundError, match=r"did you mean 'weights\.pt'"):
        of_run.file("weigths.pt")


def test_that_a_server_keeps_no_files_is_told(project):
    project.answers[f"runs/{RUN}/"] = {}
    told: list[str] = []

    assert FilesOfRun((), project.files(), RUN, "first", told.append).files() == []
    assert "keeps no files" in told[0]


def test_an_artifact_is_found_by_version_and_alias(project, tmp_path):
    project.has_artifact(artifact_json("cnn", 0, aliases=[]), {"w.pt": b"0"})
    project.has_artifact(artifact_json("cnn", 1, aliases=["latest", "best"], metadata={"acc": 0.9}), {"w.pt": b"1"})

    for version, data in (("v0", b"0"), ("latest", b"1"), ("best", b"1")):
        found = Artifact(found=project.files().artifact("cnn", version))
        assert found.file("w.pt").read() == data
    assert (found.version, found.aliases, found.metadata, found.run) == ("v1", ("latest", "best"), {"acc": 0.9}, RUN)
    assert (found.download(tmp_path / "here") / "w.pt").read_bytes() == b"1"


def test_a_download_of_an_artifact_skips_what_is_there(project, tmp_path):
    project.has_artifact(artifact_json("cnn", 0), {"a.pt": b"a" * 1000, "b/c.pt": b"c"})
    artifact = Artifact(found=project.files().artifact("cnn", "latest"))
    artifact.download(tmp_path)
    (tmp_path / "b/c.pt").write_bytes(b"changed")
    (tmp_path / "mine.txt").write_bytes(b"mine")
    before = len(project.asked)

    artifact.download(tmp_path)

    assert [path for _, path, _, _ in project.asked[before:]] == ["artifacts/cnn/v0/files/b/c.pt"]
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {
        "a.pt": b"a" * 1000,
        "c.pt": b"c",
        "mine.txt": b"mine",
    }


def test_an_artifact_is_downloaded_to_a_directory_of_its_version(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project.has_artifact(artifact_json("cnn", 3), {"a.pt": b"a"})

    assert Artifact(found=project.files().artifact("cnn", "v3")).download() == Path("artifacts/cnn-v3")
    assert (tmp_path / "artifacts/cnn-v3/a.pt").read_bytes() == b"a"


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", ""])
def test_a_server_cannot_write_outside_the_directory_of_an_artifact(project, path):
    project.has_artifact(artifact_json("cnn", 0), {path: b"a"})

    with pytest.raises((ServerUnavailableError, FormatError)):
        Artifact(found=project.files().artifact("cnn", "latest")).download()


def test_an_unknown_artifact_names_what_there_is(project):
    project.has_artifact(artifact_json("mnist-cnn", 2, aliases=["latest", "best"]), {"a": b""})

    with pytest.raises(ArtifactNotFoundError, match=r"has no v7; it has v2 \(latest, best\)"):
        project.files().artifact("mnist-cnn", "v7")
    with pytest.raises(ArtifactNotFoundError, match="did you mean 'mnist-cnn'"):
        project.files().artifact("mnist-cnm", "latest")


def test_a_server_without_artifacts_is_told_from_one_without_the_project(project):
    with pytest.raises(SteplogError, match="keeps no files and no artifacts"):
        project.files().artifact("cnn", "latest")
    del project.answers[""]
    with pytest.raises(ProjectNotFoundError):
        project.files().artifact("cnn", "latest")


def test_an_answer_for_another_artifact_is_none(project):
    project.has_artifact(artifact_json("cnn", 0), {"a": b""})
    project.answers["artifacts/cnn/latest/"]["name"] = "../../cnn"

    with pytest.raises(ServerUnavailableError):
        project.files().artifact("cnn", "latest")


def test_versions_are_listed_with_their_files_when_those_are_wanted(project):
    project.has_artifact(artifact_json("cnn", 0, aliases=[]), {"a": b"0"})
    project.has_artifact(artifact_json("data", 0, type="dataset"), {"b": b"1"})
    server = project.files()

    found = [Artifact(found=server.found(facts)) for facts in server.artifacts()]

    assert [(each.name, each.version, each.type) for each in found] == [
        ("data", "v0", "dataset"),
        ("cnn", "v0", "model"),
    ]
    assert len(project.asked) == 1
    assert found[0].file("b").read() == b"1"


def test_versions_are_listed_page_by_page(project, monkeypatch):
    monkeypatch.setattr(server_files, "_PAGE", 3)
    for version in range(7):
        project.has_artifact(artifact_json("cnn", version, aliases=[], uuid=f"u{version}"), {})

    assert [each.version for each in project.files().artifacts()] == [6, 5, 4, 3, 2, 1, 0]
    assert [query.get("after") for _, _, query, _ in project.asked] == [None, "u4", "u1"]


def test_a_use_is_noted_with_name_and_version(project):
    project.files().note_use(RUN, "cnn", 3)

    assert project.posted == [{"files": [], "artifacts": [], "used": ["cnn:v3"]}]
