"""``--store`` and ``STEPLOG_STORE`` name a PostgreSQL database; its password is shown nowhere."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import postgresql
from polling import wait_until
from server.process import DEADLINE_S, SOURCES, ServerProcess
from steplog import instance
from steplog.cli import main
from steplog.server.store_place import shown_place

PASSWORD = "hunter2-of-the-tests"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql:///steplog", "postgresql:///steplog"),
        ("postgresql://ann@db.example/steplog", "postgresql://ann@db.example/steplog"),
        ("postgres://ann:secret@db.example:5433/steplog", "postgresql://ann@db.example:5433/steplog"),
        ("postgresql://ann:se@c/re?t#@h1:1,h2:2/steplog", "postgresql://ann@h1:1,h2:2/steplog"),
        ("postgresql://ann@/s?password=secret&host=/run", "postgresql://ann@/s?host=/run"),
        ("postgresql://h/s?sslpassword=secret&passfile=x", "postgresql://h/s"),
    ],
)
def test_a_store_is_shown_without_its_password(url, shown):
    assert shown_place(url) == shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--store", "mysql://h/db"),
            "a store is named by postgresql://USER@HOST/DATABASE. Type for a file: --db FILE",
        ),
        (("--store", "postgresql:///db", "--db", "file.db"), "--db or --store, not both."),
        (("--store", "postgresql://ann:secret@/db?sslmod=x"), "a parameter that PostgreSQL does not know"),
        (("--store", "postgresql://ann:secret@127.0.0.1:1/db"), "postgresql://ann@127.0.0.1:1/db cannot be used"),
    ],
)
def test_a_store_that_cannot_be_used_is_said_without_its_password(arguments, words):
    done = CliRunner().invoke(main, ["key", "list", *arguments])
    assert done.exit_code in (1, 2)
    assert words in done.stderr
    assert "secret" not in done.output


def test_a_file_that_is_named_counts_more_than_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_STORE", "postgresql://127.0.0.1:1/none")
    done = CliRunner().invoke(main, ["key", "list", "--db", str(tmp_path / "none.db")])
    assert f"there is no database {tmp_path / 'none.db'}" in done.stderr


def test_two_servers_share_a_database_and_neither_shows_its_password(tmp_path):
    url = postgresql.new_database().replace("postgres@", f"postgres:{PASSWORD}@")
    with ServerProcess(tmp_path / "a", store=url) as first, ServerProcess(tmp_path / "b", store=url) as second:
        run = first.new_run()
        assert second.ask("GET", run).json() == first.ask("GET", run).json()
        state = instance.read(first.state)
        assert state is not None
        assert state.database == url.replace(f":{PASSWORD}", "")
        assert state.database in first.said
        wait_until(lambda: len(processes(first.process.pid)) == 2)
        shown = [first.said, first.state.read_text(), *processes(first.process.pid)]
        for directory in (tmp_path / "a", tmp_path / "b"):
            doctor = CliRunner(env={"STEPLOG_DIR": str(directory)}).invoke(main, ["doctor"])
            shown.append(doctor.output)
        assert not any(PASSWORD in text for text in shown)
        for server in (first, second):
            assert server.end() == (0, "")


def processes(server: int) -> list[str]:
    """The command lines of a server and of what it has started."""
    threads = [path.read_text().split() for path in Path(f"/proc/{server}/task").glob("*/children")]
    pids = {str(server), *(pid for each in threads for pid in each)}
    return [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids]


def test_a_server_without_users_says_how_to_add_one_and_then_no_more(tmp_path):
    url = postgresql.new_database()
    add = f"steplog user add NAME --admin --store {url}"
    issue = f"steplog key issue --user NAME --store {url}"
    with run_by_its_users(tmp_path / "a", url) as said:
        assert f"  key       of its users. Type: {add}, then {issue}\n" in said
    assert CliRunner().invoke(main, ["user", "add", "ann", "--store", url]).exit_code == 0
    with run_by_its_users(tmp_path / "b", url) as said:
        assert f"  key       of its users. Type: {issue}\n" in said


def test_the_page_of_a_store_is_at_the_address_of_its_servers(tmp_path):
    url = postgresql.new_database()
    with run_by_its_users(tmp_path / "a", url):
        done = CliRunner().invoke(main, ["key", "page", "--store", url])
    assert done.stderr == "append this to the address by which browsers reach the servers:\n"
    assert done.stdout.startswith("/#token=")


@contextlib.contextmanager
def run_by_its_users(directory: Path, store: str) -> Iterator[str]:
    """A server without a key of its own; what it says at its start."""
    directory.mkdir()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(directory)}
    process = subprocess.Popen(
        [sys.executable, "-m", "steplog", "serve", "--port", "0", "--store", store],
        env=environment, cwd=directory, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = []
        while not lines or not lines[-1].startswith("  stop"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.wait(DEADLINE_S)
        yield "".join(lines)
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)
