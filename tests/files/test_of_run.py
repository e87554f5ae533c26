"""Files of a run that its server has, and those that wait here, are one list; a file may be sent while it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from files.serving import RUN, Project, artifact_json, file_json, sha256
from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.errors import RunFileNotFoundError, ServerUnavailableError
from steplog.files import server_files
from steplog.files.artifact import Artifact
from steplog.files.of_run import FilesOfRun, waiting_file
from steplog.files.run_file import RunFile
from steplog.files.server_files import FoundArtifact


class Waiting:
    """What waits on this machine."""

    def __init__(self, *files: tuple[str, bytes], number: int = 1) -> None:
        self.contents = {sha256(data): data for _, data in files}
        self._entries = [
            FileEntry(id=f"{at:032x}", sha256=sha256(data), size=len(data), path=path)
            for at, (path, data) in enumerate(files, number)
        ]

    def entries(self) -> list[FileEntry]:
        return self._entries

    def has(self, digest: str) -> bool:
        return digest in self.contents

    def read(self, digest: str, offset: int, size: int) -> bytes:
        if digest not in self.contents:
            raise FileNotFoundError(digest)
        return self.contents[digest][offset : offset + size]


def of_run(waiting: Waiting, project: Project | None = None) -> FilesOfRun:
    server = None if project is None else project.files()
    return FilesOfRun([waiting], server, "" if project is None else RUN, "first")  # type: ignore[list-item]


def test_what_waits_here_and_what_the_server_has_are_one_list():
    project = Project()
    project.has_file(file_json("a.pt", b"old", 1), b"old")
    project.has_file(file_json("b.pt", b"b", 2), b"b")
    found = of_run(Waiting(("a.pt", b"new"), ("c.pt", b"c"), number=3), project)

    assert [(file.path, file.waits, file.read()) for file in found.files()] == [
        ("a.pt", True, b"new"),
        ("b.pt", False, b"b"),
        ("c.pt", True, b"c"),
    ]
    assert [file.path for file in found.files("c")] == ["c.pt"]


def test_a_file_that_was_announced_and_waits_here_is_read_here():
    project = Project()
    project.has_file(file_json("a.pt", b"a", 1, present=False), b"a")
    project.contents.clear()

    (file,) = of_run(Waiting(("a.pt", b"a")), project).files()

    assert (file.present, file.read()) == (True, b"a")


def test_a_file_whose_content_was_sent_is_read_from_the_server():
    project, waiting = Project(), Waiting(("a.pt", b"a"))
    project.has_file(file_json("a.pt", b"a", 1), b"a")
    waiting.contents.clear()

    (file,) = of_run(waiting, project).files()

    assert (file.waits, file.read()) == (False, b"a")


def test_a_file_that_is_sent_while_it_is_read_goes_on_from_the_server(monkeypatch):
    monkeypatch.setattr("steplog.files.content._PIECE_BYTES", 4)
    data = b"0123456789"
    project, waiting = Project(), Waiting(("a.pt", data))
    project.answers[f"runs/{RUN}/files/"] = []
    (file,) = of_run(waiting, project).files()
    project.has_file(file_json("a.pt", data, 1), data)
    pieces = file._content.pieces()
    assert next(pieces) == b"0123"
    waiting.contents.clear()

    assert b"0123" + b"".join(pieces) == data
    assert file.read() == data


def test_a_file_that_was_sent_somewhere_unknown_says_to_ask_again():
    waiting = Waiting(("a.pt", b"a"))
    (file,) = of_run(waiting).files()
    waiting.contents.clear()

    with pytest.raises(RunFileNotFoundError, match="ask again"):
        file.read()


def test_the_file_of_a_value_that_is_not_written_yet_says_what_to_do():
    with pytest.raises(RunFileNotFoundError, match=r"flush\(\)"):
        of_run(Waiting()).file({"_type": "image", "file": "0" * 32})


def test_an_artifact_that_is_sent_while_it_is_downloaded_comes_whole(tmp_path: Path):
    project, waiting = Project(), Waiting(("a", b"a"), ("b", b"b"))
    project.has_artifact(artifact_json("cnn", 0), {"a": b"a", "b": b"b"})

    class Sent:
        """It has arrived by the second look."""

        looks = 0

        def files(self) -> list[RunFile]:
            found = [waiting_file(waiting, entry, tmp_path) for entry in waiting.entries()]  # type: ignore[arg-type]
            waiting.contents.pop(sha256(b"b"), None)
            return found

        def arrived(self, timeout_s: float | None) -> FoundArtifact | None:
            self.looks += 1
            return project.files().artifact("cnn", "latest") if self.looks > 1 else None

    entry = ArtifactEntry(id="0" * 32, name="cnn", type="model", count=2, size=2)

    Artifact(entry, Sent()).download(tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"a", "b": b"b"}


def test_a_server_that_lists_files_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(server_files, "_FILES_MAX", 25)
    monkeypatch.setattr(server_files, "_PAGE", 10)
    project = Project()
    for number in range(1, 50):
        project.has_file(file_json(f"{number}.pt", b"", number), b"")

    with pytest.raises(ServerUnavailableError, match="more than 25 files"):
        project.files().of_run(RUN, Path("files"))
