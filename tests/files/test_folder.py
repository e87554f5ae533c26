"""What a server says is put below the directory that the user named, whole, or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from files.serving import sha256
from steplog.errors import FormatError
from steplog.files.content import WrongContentError
from steplog.files.folder import Folder

DATA = os.urandom(3 * 1024 * 1024)


class Held:
    """A content in memory.

    Attributes:
        wrong: what is sent in the place of ``data``.
        breaks: after how many bytes an OSError is raised.
        firsts: from where on it was asked for.
    """

    def __init__(self, data: bytes = DATA, *, wrong: bytes | None = None, breaks: int | None = None) -> None:
        self.sha256 = sha256(data)
        self.size: int | None = len(data)
        self.sent = data if wrong is None else wrong
        self.breaks = breaks
        self.firsts: list[int] = []

    def pieces(self, first: int = 0) -> Iterator[bytes]:
        self.firsts.append(first)
        for at in range(first, len(self.sent), 100_000):
            if self.breaks is not None and at >= self.breaks:
                raise ConnectionError("cut")
            yield self.sent[at : at + 100_000]

    def ask(self) -> None:
        pass


def names_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_file_is_put_below_the_root_under_its_path(tmp_path):
    came: list[int] = []

    path = Folder(tmp_path / "new").put("a/b/c.bin", Held(), replace=False, arrived=came.append)

    assert path == tmp_path / "new/a/b/c.bin"
    assert path.read_bytes() == DATA
    assert sum(came) == len(DATA)
    assert names_in(tmp_path / "new") == ["a", "a/b", "a/b/c.bin"]


def test_an_empty_file_is_put_without_asking_for_its_content(tmp_path):
    content = Held(b"")

    assert Folder(tmp_path).put("empty", content, replace=False).read_bytes() == b""
    assert content.firsts == []


def test_a_download_goes_on_where_it_broke_off(tmp_path):
    with pytest.raises(ConnectionError):
        Folder(tmp_path).put("a.bin", Held(breaks=2_000_000), replace=False)
    assert not (tmp_path / "a.bin").exists()

    content = Held()
    path = Folder(tmp_path).put("a.bin", content, replace=False)

    assert path.read_bytes() == DATA
    assert content.firsts == [2_000_000]
    assert names_in(tmp_path) == ["a.bin"]


def test_a_part_that_begins_wrong_is_fetched_again_from_its_beginning(tmp_path):
    """As after a power cut."""
    part = tmp_path / f".steplog-{sha256(DATA)[:32]}.part"
    part.write_bytes(b"\0" * 1_000_000)

    content = Held()
    path = Folder(tmp_path).put("a.bin", content, replace=False)

    assert path.read_bytes() == DATA
    assert content.firsts == [1_000_000, 0]


@pytest.mark.parametrize("wrong", [DATA[:-1] + b"?", DATA[:-1], b""])
def test_a_wrong_content_never_gets_the_name_of_the_file(tmp_path, wrong):
    with pytest.raises(WrongContentError):
        Folder(tmp_path).put("a.bin", Held(wrong=wrong), replace=True)

    assert names_in(tmp_path) == []


def test_a_file_with_the_right_content_is_not_fetched_again(tmp_path):
    (tmp_path / "a.bin").write_bytes(DATA)
    content, came = Held(), list[int]()

    Folder(tmp_path).put("a.bin", content, replace=False, arrived=came.append)

    assert content.firsts == []
    assert came == [len(DATA)]


def test_another_file_of_the_name_is_replaced_only_where_that_is_said(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"mine")

    with pytest.raises(FileExistsError, match="replace=True"):
        Folder(tmp_path).put("a.bin", Held(), replace=False)
    assert (tmp_path / "a.bin").read_bytes() == b"mine"

    Folder(tmp_path).put("a.bin", Held(), replace=True)
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    "path", ["../a", "/etc/passwd", "a/../../b", "", ".", "..", "a//b", "a/./b", "a\0b", "a\nb", "a/", "x" * 1025]
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path, path):
    root = tmp_path / "root"

    with pytest.raises(FormatError):
        Folder(root).put(path, Held(), replace=True)

    assert names_in(tmp_path) == []


def test_a_directory_that_is_a_link_is_not_followed(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / "a").symlink_to(elsewhere)

    with pytest.raises(NotADirectoryError, match="not followed"):
        Folder(root).put("a/b.bin", Held(), replace=True)

    assert names_in(elsewhere) == []


def test_a_file_that_is_a_link_is_replaced_and_not_what_it_leads_to(tmp_path):
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.bin").symlink_to(target)

    with pytest.raises(FileExistsError):
        Folder(root).put("a.bin", Held(), replace=False)
    Folder(root).put("a.bin", Held(), replace=True)

    assert target.read_bytes() == b"precious"
    assert not (root / "a.bin").is_symlink()


@pytest.mark.parametrize("plant", ["link", "hard link", "pipe"])
def test_a_planted_part_is_not_written_to(tmp_path, plant):
    target, part = tmp_path / "precious", tmp_path / f"root/.steplog-{sha256(DATA)[:32]}.part"
    target.write_bytes(b"precious")
    part.parent.mkdir()
    if plant == "link":
        part.symlink_to(target)
    elif plant == "hard link":
        os.link(target, part)
    else:
        os.mkfifo(part)

    assert Folder(tmp_path / "root").put("a.bin", Held(), replace=False).read_bytes() == DATA
    assert target.read_bytes() == b"precious"


def test_the_root_itself_may_be_below_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    Folder(tmp_path / "link/root").put("a.bin", Held(), replace=False)

    assert (tmp_path / "real/root/a.bin").read_bytes() == DATA


def test_a_directory_in_the_place_of_a_file_is_an_error(tmp_path):
    (tmp_path / "a.bin").mkdir()

    with pytest.raises(IsADirectoryError, match="another root"):
        Folder(tmp_path).put("a.bin", Held(), replace=True)


def test_a_second_download_of_the_same_content_has_a_part_of_its_own(tmp_path):
    part = tmp_path / f".steplog-{sha256(DATA)[:32]}.part"
    part.write_bytes(DATA[:500_000])
    with part.open("rb") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        Folder(tmp_path).put("a.bin", Held(), replace=False)

        assert part.read_bytes() == DATA[:500_000]
        with pytest.raises(ConnectionError):
            Folder(tmp_path).put("b.bin", Held(breaks=100_000), replace=False)
    assert names_in(tmp_path) == [part.name, "a.bin"]
