"""Files that no server keeps, moved to where a person finds them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from delivery.waiting import FakeFiles
from steplog.delivery.kept_files import keep_files, kept_directory


class Here(FakeFiles):
    """With contents on disk."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def path(self, sha256: str) -> Path:
        path = self.directory / sha256
        path.write_bytes(self.contents[sha256])
        return path


def found(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("links", [True, False])
def test_files_are_moved_under_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool):
    files = Here(tmp_path)
    files.add(b"old", "a/b.bin")
    files.add(b"new", "a/b.bin")
    logged = files.add(b"logged")
    artifact = files.add_artifact(weights=b"w")

    def refuses(*arguments: object, **more: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if not links:
        monkeypatch.setattr(os, "link", refuses)
    kept = tmp_path / "kept"
    assert keep_files(files, kept) == 4  # type: ignore[arg-type]
    assert found(kept) == {
        "a/b.bin": b"new",
        f"media/{logged.id}": b"logged",
        f"artifacts/model-{artifact.id[:8]}/weights": b"w",
    }
    assert (files.ids(), files.contents) == (set(), {})


def test_a_content_that_is_not_whole_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = Here(tmp_path)
    entry = files.add(b"whole", "a.bin")
    monkeypatch.setattr(os, "link", lambda *arguments, **more: (_ for _ in ()).throw(OSError(errno.EXDEV, "")))
    files.contents[entry.sha256] = b"who"
    with pytest.raises(OSError, match="has 3 bytes, not 5"):
        keep_files(files, tmp_path / "kept")  # type: ignore[arg-type]
    assert files.ids() == {entry.id}


def test_a_path_that_leads_out_is_refused(tmp_path: Path):
    files = Here(tmp_path)
    files.add(b"x", "../out.bin")
    with pytest.raises(ValueError, match="stays inside"):
        keep_files(files, tmp_path / "kept")  # type: ignore[arg-type]
    assert not (tmp_path / "out.bin").exists()


def test_a_directory_is_named_so_that_two_runs_of_one_name_have_their_own(tmp_path: Path):
    first = kept_directory(tmp_path, "demo", "../brave", "aaaaaaaa1")
    assert first.parent == tmp_path / "kept-files" / "demo"
    assert first != kept_directory(tmp_path, "demo", "../brave", "bbbbbbbb1")
    assert kept_directory(tmp_path, "demo", "", "aaaa1").name == "aaaa1"
