"""Files in ``steplog sync``, ``ls --here`` and ``clean``, as a user types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from steplog.cli import main
from steplog.delivery import wire


def typed(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=answer)


def leave_files(directory: Path, count: int = 2) -> None:
    """A run that waits on this machine, with files and a record."""
    os.environ["STEPLOG_DIR"] = str(directory / "state")
    run = steplog.init("me", "mnist", "waits", mode="offline")
    run.log("loss", 0.5)
    for number in range(count):
        (directory / f"{number}.bin").write_bytes(bytes([number]) * 100_000)
        run.save(directory / f"{number}.bin", base_path=directory)
    run.finish(timeout=2)


def serving(monkeypatch: pytest.MonkeyPatch, *, files: bool = True) -> FakeServer:
    server = FakeServer()
    if files:
        server.memory.features.append(wire.FILES_FEATURE)
    server.configure(monkeypatch)
    return server


@apart
def test_sync_delivers_files_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    leave_files(tmp_path)
    done = typed("sync")
    assert (done.exit_code, done.output) == (0, "waits: 1 record and 2 files delivered\n")
    assert len(server.memory.files.contents["me/mnist"]) == 2
    assert typed("sync").output == "nothing waits on this machine\n"


@apart
def test_sync_exits_with_1_while_files_are_left_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    leave_files(tmp_path)
    server.memory.files.bytes_max = 150_000
    done = typed("sync")
    words = '413 {"detail":"The project uses 100000 of 150000 bytes for files.","used":100000,"allowed":150000}'
    assert done.output == f"waits: 1 record and 1 file delivered, 1 file kept here: {words}\n"
    assert done.exit_code == 1
    (told,) = json.loads(typed("sync", "--json").output)
    assert (told["pending"], told["files"]) == (0, 1)
    server.memory.files.bytes_max = None
    assert typed("sync").exit_code == 0


@apart
def test_sync_says_where_the_files_of_a_server_without_them_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    serving(monkeypatch, files=False)
    leave_files(tmp_path)
    done = typed("sync")
    (kept,) = (tmp_path / "state" / "kept-files" / "mnist").iterdir()
    assert done.output == f"waits: 1 delivered; its server keeps no files: they are in {kept}\n"
    assert done.exit_code == 1
    assert sorted(path.name for path in kept.iterdir()) == ["0.bin", "1.bin"]
    assert typed("sync").output == "nothing waits on this machine\n"


@apart
def test_ls_and_clean_show_files_that_wait(tmp_path: Path):
    leave_files(tmp_path)
    shown = typed("ls", "--here").output
    assert "1 and 2 files" in shown
    (told,) = steplog.journals()
    assert (told.files, told.pending) == (2, 1)
    assert told.size_bytes > 200_000
    assert steplog.clean() == []
    removed = typed("clean", "waits", "--yes")
    assert "1 record and 2 files not delivered" in removed.output
    assert steplog.journals() == []


@apart
def test_a_run_whose_files_alone_are_left_is_not_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    leave_files(tmp_path)
    server.memory.files.bytes_max = 0
    assert typed("sync").exit_code == 1
    assert typed("clean").output == "0 runs removed\n"
    (told,) = steplog.journals()
    assert (told.files, told.pending) == (2, 0)
