"""What is exported of files that a source has: contents by their hash, and those that cannot be had counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from steplog import RunFileNotFoundError, ServerUnavailableError
from steplog.files.artifact import Artifact
from steplog.files.run_file import FileFacts, RunFile
from steplog.transfer.file_export import FileExport


class FakeContent:
    """A content whose server sends ``sent`` in place of it, and what is raised before the end."""

    def __init__(self, data: bytes, sent: bytes | None = None, error: Exception | None = None) -> None:
        self.sha256, self.size = hashlib.sha256(data).hexdigest(), len(data)
        self.sent = data if sent is None else sent
        self.error = error
        self.asked: list[int] = []

    def pieces(self, first: int = 0) -> Iterator[bytes]:
        self.asked.append(first)
        half = (first + len(self.sent)) // 2
        yield self.sent[first:half]
        if self.error is not None:
            raise self.error
        yield self.sent[half:]

    def ask(self) -> None:
        pass


class FakeFiles:
    """The files of a run, as ``FileSource`` has them."""

    kept_nowhere = ""

    def __init__(self, *files: RunFile) -> None:
        self._files = list(files)

    def files(self, prefix: str = "", *, logged: bool = False) -> list[RunFile]:
        return self._files

    def artifacts(self) -> list[Artifact]:
        return []

    def unwritten(self) -> int:
        return 2


def file_of(path: str, content: FakeContent, *, present: bool = True) -> RunFile:
    return RunFile(FileFacts(path, "0" * 32, present=present), content, Path())


def export_to(root: Path) -> FileExport:
    return FileExport(root, lambda name, size: None, lambda size: None)


def test_one_content_of_several_files_is_fetched_once(tmp_path: Path):
    first, second = FakeContent(b"same"), FakeContent(b"same")
    export = export_to(tmp_path)
    rows = export.of_run("x", "x", FakeFiles(file_of("a.txt", first), file_of("b.bin", second)))
    assert len({row.content for row in rows}) == 1
    assert (first.asked, second.asked) == ([0], [])
    assert (export.done.files, export.done.bytes) == (2, 4)


def test_a_content_keeps_its_name_in_the_next_export(tmp_path: Path):
    (one,) = export_to(tmp_path).of_run("x", "x", FakeFiles(file_of("a.txt", FakeContent(b"same"))))
    content = FakeContent(b"same")
    (two,) = export_to(tmp_path).of_run("y", "y", FakeFiles(file_of("b.bin", content)))
    assert one.content == two.content
    assert content.asked == []


def test_a_content_that_is_damaged_at_the_server_is_named_and_the_next_one_there(tmp_path: Path):
    export = export_to(tmp_path)
    files = FakeFiles(file_of("bad", FakeContent(b"good", sent=b"evil")), file_of("fine", FakeContent(b"fine")))
    bad, fine = export.of_run("x", "run", files)
    assert (bad.content, bool(fine.content)) == ("", True)
    (words,) = export.done.damaged
    assert words.startswith("run: bad: ")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(fine.content).name]


def test_what_has_not_arrived_or_is_not_written_yet_is_counted(tmp_path: Path):
    export = export_to(tmp_path)
    gone = FakeContent(b"gone", error=RunFileNotFoundError("gone"))
    rows = export.of_run(
        "x", "x", FakeFiles(file_of("late", FakeContent(b"late"), present=False), file_of("gone", gone))
    )
    assert [row.content for row in rows] == ["", ""]
    assert export.done.missing == 2 + 2


def test_an_export_goes_on_in_the_middle_of_a_content(tmp_path: Path):
    content = FakeContent(b"12345678", error=ServerUnavailableError("away"))
    with pytest.raises(ServerUnavailableError):
        export_to(tmp_path).of_run("x", "x", FakeFiles(file_of("a", content)))
    content.error = None
    (row,) = export_to(tmp_path).of_run("x", "x", FakeFiles(file_of("a", content)))
    assert content.asked == [0, 4]
    assert (tmp_path / row.content).read_bytes() == b"12345678"
