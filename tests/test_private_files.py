"""What is opened is ours, below directories of ours, through no link: anything else is refused, and nothing hangs."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import held_descriptors
from steplog import private_files
from steplog.errors import ConfigurationError, FormatError, NotPrivateError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.files import Files

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
SOMEBODY = 65534


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    """A pipe that is waited for ends the test."""

    def over(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    """A writer's directory, below a root and a run."""
    path = tmp_path / "root" / f"{'a' * 32}.{'0' * 16}" / ("b" * 32)
    private_files.make_private(path)
    return path


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def a_link(path: Path) -> None:
    (path.parent.parent / "target").write_text("{}")
    path.symlink_to(path.parent.parent / "target")


def a_directory(path: Path) -> None:
    path.mkdir(mode=0o700)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(path.parent)  # a path has 108 bytes at most
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def somebodys_file(path: Path) -> None:
    path.write_text("{}")
    os.chown(path, SOMEBODY, SOMEBODY)


PLANTED = [a_pipe, a_link, a_directory, a_socket, pytest.param(somebodys_file, marks=needs_root)]
OPENINGS: dict[str, Callable[[Path], object]] = {
    "read": private_files.read_private,
    "append": lambda path: os.close(Files().open(path)),
    "sync": Files().sync_file,
    "lock": FileLock.open,
    "create": lambda path: os.close(private_files.open_private(path, os.O_WRONLY | os.O_CREAT)),
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_in_place_of_a_file_is_refused_and_not_waited_for(writer, planted, opening):
    planted(writer / "file")
    with pytest.raises(OSError, match=r"file"):
        opening(writer / "file")
    assert held_descriptors.below(writer) == []
    if planted is a_link:
        assert (writer.parent / "target").read_text() == "{}"


@pytest.mark.parametrize("planted", [a_pipe, a_link, pytest.param(somebodys_file, marks=needs_root)])
def test_a_planted_manifest_is_no_manifest_and_the_reason_is_said(writer, planted):
    """A pipe in its place made every later run and command of the user wait for ever."""
    planted(writer.parent / "manifest")
    with pytest.raises(FormatError, match=r"manifest (is|belongs)"):
        manifests.load(writer.parent)


def linked(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"), target_is_directory=True)


def somebodys(path: Path) -> None:
    os.chown(path, SOMEBODY, SOMEBODY)


def open_to_others(path: Path) -> None:
    path.chmod(0o777)


def a_file_instead(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.write_text("mine")


@pytest.mark.parametrize("level", [0, 1, 2], ids=["writer", "run", "root"])
@pytest.mark.parametrize("hostile", [linked, open_to_others, a_file_instead, pytest.param(somebodys, marks=needs_root)])
def test_nothing_is_read_or_written_below_a_directory_that_is_not_ours_alone(writer, hostile, level):
    """Not only the root was to be looked at: a run may have been put into it while it was open to others."""
    private_files.write_private(writer / "file", b"ours")
    place = (writer, *writer.parents)[level]
    hostile(place)
    actions: list[Callable[[], object]] = [
        lambda: private_files.read_private(writer / "file"),
        lambda: private_files.names_in(writer),
        lambda: private_files.unlink_private(writer / "file"),
        lambda: private_files.write_private(writer / "file", b"theirs"),
        lambda: private_files.rename_private(writer / "file", "other"),
        lambda: private_files.make_private(writer),
        lambda: FileLock.take(writer / "alive"),
    ]
    for action in actions:
        with pytest.raises((OSError, ConfigurationError)) as raised:
            action()
        assert re.search(f"{re.escape(str(place))}(?![/\\w])", str(raised.value))  # that directory, and none below it
    private_files.remove_tree(writer)
    found = [path for path in writer.parents[2].rglob("*") if path.is_file() and path.name != "root"]
    assert [path.read_bytes() for path in found if path.name == "file"] in ([b"ours"], [])
    assert not {"other", "alive"} & {path.name for path in found}


def test_a_root_below_a_link_is_the_users_own_choice(writer, tmp_path):
    private_files.write_private(writer / "file", b"ours")
    (tmp_path / "link").symlink_to(tmp_path)
    assert private_files.read_private(tmp_path / "link" / writer.relative_to(tmp_path) / "file") == b"ours"


def test_no_directory_stays_open_and_none_that_is_missing_is_made(writer):
    private_files.write_private(writer / "file", b"ours", sync=True)
    assert private_files.names_in(writer) == ["file"]
    assert private_files.read_private(writer / "file", 1, 2) == b"ur"
    private_files.rename_private(writer / "file", "other")
    private_files.unlink_private(writer / "other")
    private_files.unlink_private(writer / "other")
    assert held_descriptors.below(writer) == []
    private_files.remove_tree(writer.parent)
    for action in (private_files.names_in, lambda path: private_files.write_private(path / "file", b"")):
        with pytest.raises(FileNotFoundError) as raised:
            action(writer)
        assert str(writer.parent) in str(raised.value)
    assert not writer.parent.exists()


@needs_root
def test_a_file_of_the_uid_that_the_program_began_with_stays_its_own(writer):
    """A daemon gives up its rights and keeps its directories open to itself by a capability, or takes them back."""
    private_files.write_private(writer / "file", b"ours")
    os.setegid(SOMEBODY), os.seteuid(SOMEBODY)
    try:
        found = [private_files._is_ours(uid) for uid in (0, SOMEBODY, SOMEBODY - 1)]
    finally:
        os.seteuid(0), os.setegid(0)
    assert found == [True, True, False]
    assert not private_files._is_ours(SOMEBODY)


def test_what_is_refused_is_an_error_of_the_system_and_one_of_the_configuration(writer):
    writer.chmod(0o707)
    with pytest.raises(NotPrivateError) as raised:
        private_files.names_in(writer)
    assert isinstance(raised.value, (ConfigurationError, PermissionError))
    assert str(raised.value) == f"{writer}: others may write in it; `chmod 700` it, and steplog will use it"
