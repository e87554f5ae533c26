"""Which files a path means, and what they are called."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from steplog.files import chosen as module
from steplog.files.chosen import chosen_for_artifact, chosen_to_save


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current directory, with some files."""
    place = tmp_path / "work"
    for name in ("a.pt", "b.pt", "c.txt", "ckpt/1.pt", "ckpt/deep/2.pt", "ckpt/.hidden"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("a.pt", ["a.pt"]),
        (Path("a.pt"), ["a.pt"]),
        ("./ckpt/../a.pt", ["a.pt"]),
        ("*.pt", ["a.pt", "b.pt"]),
        ("ckpt/*", ["ckpt/1.pt"]),
        ("**/*.pt", ["a.pt", "b.pt", "ckpt/1.pt", "ckpt/deep/2.pt"]),
        ("ckpt", ["ckpt/.hidden", "ckpt/1.pt", "ckpt/deep/2.pt"]),
        (["a.pt", "c.txt", "a.pt"], ["a.pt", "c.txt"]),
    ],
)
def test_what_is_saved_is_called_by_its_path_below_the_current_directory(here, given, names):
    assert sorted(chosen_to_save(given).files) == names


def test_names_begin_at_the_base_path(here):
    assert list(chosen_to_save(here / "ckpt/deep/2.pt", here / "ckpt").files) == ["deep/2.pt"]
    with pytest.raises(ValueError, match="not below base_path"):
        chosen_to_save(here / "a.pt", here / "ckpt")


def test_what_is_outside_the_current_directory_is_called_by_its_last_part(here, tmp_path):
    (tmp_path / "outside.pt").write_text("x")

    assert list(chosen_to_save(tmp_path / "outside.pt").files) == ["outside.pt"]
    assert list(chosen_to_save("../outside.pt").files) == ["outside.pt"]


def test_two_files_of_one_name_are_an_error(here, tmp_path):
    (tmp_path / "a.pt").write_text("x")

    with pytest.raises(ValueError, match="pass base_path"):
        chosen_to_save(["a.pt", tmp_path / "a.pt"])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(here):
    (here / "[ab].pt").write_text("x")

    assert list(chosen_to_save("[ab].pt").files) == ["[ab].pt"]


def test_what_matches_nothing_is_told_and_no_error(here):
    assert chosen_to_save(["*.onnx", "nothing"]).unmatched == ["*.onnx", "nothing"]


@pytest.mark.parametrize("given", [3, None, b"a.pt", [1]])
def test_what_is_no_path_is_a_type_error(here, given):
    with pytest.raises(TypeError):
        chosen_to_save(given)


@pytest.mark.parametrize("given", ["s3://bucket/a.pt", "a\0b"])
def test_what_no_path_can_be_is_a_value_error(here, given):
    with pytest.raises(ValueError, match=r"copy it here|NUL"):
        chosen_to_save(given)


def test_a_pipe_a_socket_and_a_device_are_refused_before_anything_is_opened(here):
    os.mkfifo(here / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for path in ("pipe", "socket", "/dev/zero"):
            with pytest.raises(ValueError, match="no regular file"):
                chosen_to_save(path)


def test_below_a_directory_what_is_no_regular_file_is_left_out(here, tmp_path):
    (tmp_path / "secret").write_text("x")
    os.mkfifo(here / "ckpt/pipe")
    (here / "ckpt/out").symlink_to(tmp_path / "secret")
    (here / "ckpt/in").symlink_to(here / "ckpt/1.pt")
    (here / "ckpt/again").symlink_to(here / "ckpt/deep")
    (here / "ckpt/broken").symlink_to("nowhere")

    found = chosen_to_save("ckpt")

    assert sorted(found.files) == ["ckpt/.hidden", "ckpt/1.pt", "ckpt/deep/2.pt", "ckpt/in"]
    assert {Path(path).name for path in found.left_out} == {"pipe", "out", "again", "broken"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every directory")
def test_a_directory_that_cannot_be_read_is_left_out(here):
    (here / "ckpt/deep").chmod(0)
    try:
        assert list(chosen_to_save("ckpt").left_out) == ["ckpt/deep"]
    finally:
        (here / "ckpt/deep").chmod(0o700)


def test_more_files_than_there_may_be_are_refused_with_what_to_do(here, monkeypatch):
    monkeypatch.setattr(module, "FILES_MAX", 2)

    with pytest.raises(ValueError, match="archive"):
        chosen_to_save("ckpt")
    assert len(chosen_to_save("*.pt").files) == 2


@pytest.mark.parametrize("name", [b"a\nb", b"\xff.pt"])
def test_a_name_that_no_server_takes_is_refused(here, name):
    (here / os.fsdecode(name)).write_text("x")

    with pytest.raises(ValueError, match="cannot be kept"):
        chosen_to_save(os.fsdecode(name))


def test_files_of_an_artifact_are_called_from_its_directory_on(here):
    assert sorted(chosen_for_artifact("ckpt").files) == [".hidden", "1.pt", "deep/2.pt"]
    assert list(chosen_for_artifact("ckpt/deep/2.pt").files) == ["2.pt"]


def test_of_a_directory_what_no_server_can_name_is_left_out_and_the_others_kept(here):
    (here / "ckpt" / "two\nlines").write_text("x")
    with open(os.fsencode(here / "ckpt") + b"/\xff", "wb"):
        pass

    found = chosen_to_save("ckpt")

    assert sorted(found.files) == ["ckpt/.hidden", "ckpt/1.pt", "ckpt/deep/2.pt"]
    assert list(found.left_out.values()) == ["no server takes its name"] * 2


def test_a_mapping_names_the_files_of_an_artifact(here):
    found = chosen_for_artifact({"weights.pt": "a.pt", "more": "ckpt", "": "ckpt/deep"})

    assert sorted(found.files) == ["2.pt", "more/.hidden", "more/1.pt", "more/deep/2.pt", "weights.pt"]


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", ""])
def test_a_mapping_cannot_name_what_is_outside_the_artifact(here, name):
    with pytest.raises(ValueError, match="cannot be kept"):
        chosen_for_artifact({name: "a.pt"})


def test_an_artifact_of_a_missing_file_is_an_error(here):
    with pytest.raises(FileNotFoundError):
        chosen_for_artifact("nothing.pt")


def test_a_pattern_of_directories_alone_and_an_empty_directory_match_nothing(here):
    for number in (500, 1000):
        (here / "out" / f"checkpoint-{number}").mkdir(parents=True)
    (here / "out" / "checkpoint-500" / "w.pt").write_bytes(b"w")
    assert chosen_to_save(["out/*", "out/checkpoint-1000"]).unmatched == ["out/*", "out/checkpoint-1000"]
    below = chosen_to_save(["out/**", "out/checkpoint-500"])
    assert (list(below.files), below.unmatched) == (["out/checkpoint-500/w.pt"], [])


def test_a_pattern_does_not_go_round_through_links(here):
    (here / "ckpt/back").symlink_to(here)

    assert sorted(chosen_to_save("**/*.pt").files) == ["a.pt", "b.pt", "ckpt/1.pt", "ckpt/deep/2.pt"]
    assert sorted(chosen_to_save("ckpt/**").files) == ["ckpt/1.pt", "ckpt/deep/2.pt"]
    assert sorted(chosen_to_save(str(here / "*/**/2.*")).files) == ["ckpt/deep/2.pt"]


def test_a_broken_link_that_a_pattern_matches_is_left_out(here):
    (here / "d.pt").symlink_to("nowhere")
    (here / "e.pt").symlink_to("e.pt")

    found = chosen_to_save("*.pt")

    assert sorted(found.files) == ["a.pt", "b.pt"]
    assert sorted(found.left_out) == ["d.pt", "e.pt"]


def test_only_a_file_that_was_not_named_itself_may_be_gone_when_it_is_copied(here):
    found = chosen_to_save(["a.pt", "*.pt", "ckpt"])

    found.leave_out("b.pt", FileNotFoundError(2, "No such file or directory"))
    found.leave_out("ckpt/1.pt", ValueError("not a regular file"))

    assert sorted(found.files) == ["a.pt", "ckpt/.hidden", "ckpt/deep/2.pt"]
    assert found.left_out == {"b.pt": "No such file or directory", "ckpt/1.pt": "no regular file any more"}
    with pytest.raises(FileNotFoundError):
        found.leave_out("a.pt", FileNotFoundError(2, "No such file or directory"))
