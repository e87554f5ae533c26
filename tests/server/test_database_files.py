"""A file that is not a steplog database is refused by name and not changed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from steplog.errors import ConfigurationError
from steplog.server import catalog
from steplog.server.store import SqliteStore


def make_foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()


def make_newer(path: Path) -> None:
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.close()


def make_cut(path: Path) -> None:
    SqliteStore(path).close()
    os.truncate(path, 6000)


FILES = {
    "text": (lambda path: path.write_text("notes, not a database\n" * 99), "is not a database"),
    "short": (lambda path: path.write_bytes(b"SQLite format 3\0"), "is not a database"),
    "image": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(9999)), "is not a database"),
    "foreign": (make_foreign, "of another program"),
    "newer": (make_newer, "schema version 3"),
    "cut": (make_cut, "cannot be used"),
    "directory": (lambda path: path.mkdir(), "cannot be used"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path, kind):
    path = tmp_path / "a.db"
    make, words = FILES[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    files = set(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match=words) as caught:
        SqliteStore(path)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    beside = {".lock"} if kind != "cut" else {".lock", ".db-shm", ".db-wal"}  # cut short, but ours
    assert {file for file in tmp_path.iterdir() if not file.name.endswith(tuple(beside))} <= files


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "a.db"
    path.touch()
    SqliteStore(path).close()
    store = SqliteStore(path)
    assert len(store.instance) == 32
    store.close()


def test_a_database_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "a.db")
        store.write(catalog.put_namespace, "x").result()
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


def test_a_database_in_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        SqliteStore(tmp_path / "nowhere" / "a.db")
