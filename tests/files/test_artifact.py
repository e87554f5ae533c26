"""What the names of artifacts mean, and one that has yet to get its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from files.serving import Project, artifact_json
from steplog.blobs.entries import ArtifactEntry
from steplog.errors import RunFileNotFoundError
from steplog.files.artifact import Artifact, checked_alias, checked_name, name_for, parsed
from steplog.files.run_file import RunFile
from steplog.files.server_files import FoundArtifact

ENTRY = ArtifactEntry(id="0" * 32, name="cnn", type="model", aliases=("best",), count=1, size=1, metadata={"lr": 0.1})


class Later:
    """A version that arrives when ``wait`` is called."""

    def __init__(self, found: FoundArtifact | None) -> None:
        self.found = found
        self.timeouts: list[float | None] = []

    def files(self) -> list[RunFile]:
        return []

    def arrived(self, timeout_s: float | None) -> FoundArtifact | None:
        self.timeouts.append(timeout_s)
        return self.found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cnn", ("", "", "cnn", "")),
        ("cnn:v3", ("", "", "cnn", "v3")),
        ("cnn:best", ("", "", "cnn", "best")),
        ("demo/cnn:latest", ("", "demo", "cnn", "latest")),
        ("me/demo/cnn", ("me", "demo", "cnn", "")),
    ],
)
def test_a_text_means_project_name_and_version(text, parts):
    assert parsed(text) == parts


@pytest.mark.parametrize("text", ["", "a b", "cnn:", "cnn:v 1", "a:b:c", "x" * 129, "cnn:a/b", "ä"])
def test_a_text_that_names_no_artifact_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"artifact|version"):
        parsed(text)


def test_an_artifact_is_named_by_a_text():
    with pytest.raises(TypeError):
        parsed(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        checked_name(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("alias", ["v3", "v0", "v03", "a b", "", "a:b", ".."])
def test_an_alias_is_no_version(alias):
    with pytest.raises(ValueError, match="alias"):
        checked_alias(alias)
    assert checked_alias("v3.1") == "v3.1"


@pytest.mark.parametrize(
    ("path", "name"), [("ckpt/model.pt", "model.pt"), ("my model (1).pt", "my-model-1-.pt"), ("data/", "data")]
)
def test_an_artifact_without_a_name_is_called_as_its_file(path, name):
    assert name_for(path) == name


def test_one_that_was_logged_has_its_version_once_it_has_arrived():
    project = Project()
    project.has_artifact(artifact_json("cnn", 4), {"w.pt": b"w"})
    later = Later(None)
    artifact = Artifact(ENTRY, later)

    assert artifact.wait(2.5) is None
    assert (artifact.version, artifact.name, artifact.type) == (None, "cnn", "model")
    assert (artifact.aliases, artifact.metadata) == (("best", "latest"), {"lr": 0.1})
    later.found = project.files().artifact("cnn", "latest")

    assert artifact.wait() == "v4"
    assert artifact.wait() == "v4"
    assert later.timeouts == [2.5, None]
    assert artifact.file("w.pt").read() == b"w"


def test_one_that_is_on_its_way_cannot_be_downloaded_before_it_is_there(tmp_path):
    with pytest.raises(RunFileNotFoundError, match="on its way"):
        Artifact(ENTRY, Later(None)).download(tmp_path)


def test_one_of_a_disabled_run_has_no_version_and_no_files():
    artifact = Artifact(ENTRY)

    assert (artifact.wait(0), artifact.version, artifact.files) == (None, None, [])


def test_an_unknown_file_of_an_artifact_names_what_is_like_it():
    project = Project()
    project.has_artifact(artifact_json("cnn", 4), {"weights.pt": b"w"})
    artifact = Artifact(found=project.files().artifact("cnn", "latest"))

    with pytest.raises(RunFileNotFoundError, match=r"did you mean 'weights\.pt'"):
        artifact.file("weight.pt")
    with pytest.raises(RunFileNotFoundError, match=r"no file 'zz'; it has one file$"):
        artifact.file("zz")
    assert Path(artifact.files[0].path) == Path("weights.pt")
