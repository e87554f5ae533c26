"""A file is there when it is whole; nothing else is left of what went wrong, and it is said of the place itself."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from steplog.errors import ServerUnavailableError
from steplog.transfer.whole_file import scratch_of, whole_directory, whole_file


def raise_after(_: object, error: BaseException) -> None:
    raise error


def test_what_was_there_stays_until_the_end(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"before")
    with whole_file(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ServerUnavailableError("away"), MemoryError()])
def test_what_is_raised_meanwhile_leaves_what_was_there(tmp_path: Path, error: BaseException):
    path = tmp_path / "x"
    path.write_bytes(b"before")
    with pytest.raises(type(error)), whole_file(path) as file:
        raise_after(file.write(b"after"), error)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["x"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_bytes(b"before")
    (tmp_path / "link").symlink_to("data/x")
    with whole_file(tmp_path / "link") as file:
        file.write(b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "data" / "x").read_bytes() == b"after"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with whole_file(tmp_path / "pipe") as file:
        file.write(b"x" * 300_000)
    reader.join()
    assert found == [b"x" * 300_000]
    assert (tmp_path / "pipe").is_fifo()


def test_failures_name_the_place(tmp_path: Path):
    for path, reason in (
        (Path("/dev/full"), "No space left on device"),
        (tmp_path / "missing" / "x", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("/"), "Is a directory"),
        (tmp_path / "..", "Is a directory"),
    ):
        with pytest.raises(OSError, match=reason) as raised, whole_file(path) as file:
            file.write(b"x")
        assert raised.value.filename == str(path)
    assert os.listdir(tmp_path) == []
    assert Path("/dev/full").is_char_device()


def test_a_directory_takes_the_place_of_another_as_a_whole(tmp_path: Path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "before").write_bytes(b"")
    with pytest.raises(KeyboardInterrupt), whole_directory(path) as made:
        raise_after((made / "after").write_bytes(b""), KeyboardInterrupt())
    assert [each.name for each in path.iterdir()] == ["before"]
    with whole_directory(path) as made:
        (made / "after").write_bytes(b"")
        assert [each.name for each in path.iterdir()] == ["before"]
    assert [each.name for each in path.iterdir()] == ["after"]
    assert os.listdir(tmp_path) == ["run"]


def test_what_a_killed_process_left_of_a_directory_is_in_nobodys_way(tmp_path: Path):
    path, scratch = tmp_path / "run", scratch_of(tmp_path / "run")
    scratch.mkdir()
    (scratch / "half").write_bytes(b"")
    with whole_directory(path, scratch) as made:
        (made / "whole").write_bytes(b"")
    assert [each.name for each in path.iterdir()] == ["whole"]
    assert os.listdir(tmp_path) == ["run"]


def test_what_a_killed_process_has_left_is_removed_and_what_is_written_stays(tmp_path: Path):
    left, written, other = (tmp_path / f".a.csv.{mark}.new" for mark in ("1", "2", "x"))
    for each in (left, written, other):
        each.write_bytes(b"half")
    with open(written, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with whole_file(tmp_path / "a.csv") as file:
            file.write(b"whole")
            assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", written.name, other.name}


@pytest.mark.parametrize("path", ["a.csv", "b/a.csv"])
def test_what_is_written_cannot_be_taken_for_what_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str):
    """The second process begins while the first writes."""
    (tmp_path / "b").mkdir()
    with whole_file(tmp_path / path) as first:
        first.write(b"first")
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with whole_file(tmp_path / path) as second:
            second.write(b"second")
        assert (tmp_path / path).read_bytes() == b"second"
    assert (tmp_path / path).read_bytes() == b"first"
