"""A database or a key that somebody may have planted is refused in words: not opened, not waited for, not replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.process import SOURCES
from steplog.server.sqlite.store import SqliteStore
from users import needs_users, open_to_all, other_user, while_user

__all__ = ["other_user"]

KEY = "a-key-that-somebody-knows\n"


def serve(database: Path) -> subprocess.CompletedProcess[str]:
    """``steplog serve``, which is to end by itself."""
    command = [sys.executable, "-m", "steplog", "serve", "--port", "0", "--db", str(database)]
    environment = os.environ | {"STEPLOG_DIR": str(database.parent.parent / "state"), "PYTHONPATH": str(SOURCES)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("steplog: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database may be, in a directory of its own."""
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "data" / "server.db"


def a_pipe(path: Path) -> str:
    os.mkfifo(path, 0o600)
    return "is not a file"


def a_link(path: Path) -> str:
    target = path.parent.parent / path.name
    if path.suffix == ".key":
        target.write_text(KEY)
        target.chmod(0o600)
    else:
        SqliteStore(target).close()
    path.symlink_to(target)
    return "is a link, which steplog does not follow"


def a_directory(path: Path) -> str:
    path.mkdir()
    return "is not a file"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock", ".key"])
@pytest.mark.parametrize("plant", [a_pipe, a_link, a_directory])
def test_what_is_no_file_beside_or_in_place_of_a_database_is_refused(
    database, plant: Callable[[Path], str], suffix: str
):
    """A link was followed to a database of somebody else's choice, and a pipe was waited for."""
    if suffix:
        SqliteStore(database).close()
    path = database.with_name(database.name + suffix)
    path.unlink(missing_ok=True)
    words = plant(path)
    before = path.lstat()
    refused(serve(database), str(path), words)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


@needs_users
@pytest.mark.parametrize("suffix", ["", "-wal", ".lock", ".key"])
def test_another_users_file_is_refused(database, other_user: int, suffix: str):
    if suffix:
        SqliteStore(database).close()
    path = database.with_name(database.name + suffix)
    path.unlink(missing_ok=True)
    with open_to_all(database.parent):
        while_user(other_user, lambda: path.write_text(KEY))
    refused(serve(database), str(path), "belongs to another user")
    assert path.read_text() == KEY


def open_to_others(directory: Path) -> str:
    directory.chmod(0o777)
    return "others may write in it"


def a_shared_one(directory: Path) -> str:
    directory.chmod(0o1777)  # as /tmp
    return "others may write in it"


def a_linked_one(directory: Path) -> str:
    directory.rename(directory.with_name("moved"))
    directory.symlink_to(directory.with_name("moved"))
    return "Not a directory"


@pytest.mark.parametrize("make", [open_to_others, a_shared_one, a_linked_one])
def test_a_database_is_not_made_where_others_could_have_a_hand_in_it(database, make: Callable[[Path], str]):
    words = make(database.parent)
    refused(serve(database), f"{database} cannot be used", words)
    assert not list(database.parent.iterdir())


@needs_users
def test_a_database_is_not_made_in_another_users_directory(database, other_user: int):
    os.chown(database.parent, other_user, other_user)
    refused(serve(database), f"{database} cannot be used", "belongs to another user")
    assert not list(database.parent.iterdir())
