"""A directory that is not the user's alone: each command says so in a line, and init() goes on in what is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import steplog
from apart import apart
from steplog.cli import main

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
COMMANDS = [
    ("ls",),
    ("ls", "--here", "--json"),
    ("sync",),
    ("sync", "run"),
    ("clean",),
    ("clean", "run"),
    ("clean", "--yes", "run"),
    ("show", "run"),
    ("rm", "run", "--yes"),
    ("restore", "run"),
    ("mv", "run", "other"),
    ("tag", "run", "good"),
    ("import", "runs"),
    ("login",),
]


def open_to_others(path: Path) -> str:
    path.mkdir()
    path.chmod(0o777)
    return "others may write in it"


def linked(path: Path) -> str:
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.with_name("elsewhere"))
    return "is not a directory of its own"


def a_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "is not a directory of its own"


def somebodys(path: Path) -> str:
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    return "belongs to another user"


HOSTILE = [open_to_others, linked, a_pipe, pytest.param(somebodys, marks=needs_root)]


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("variable", ["STEPLOG_DIR", "STEPLOG_MEMORY_DIR"])
@pytest.mark.parametrize("hostile", HOSTILE)
@apart
def test_each_command_says_in_one_line_that_a_directory_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: Callable[[Path], str], variable: str
):
    """They said "nothing waits on this machine", or raised PermissionError."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPLOG_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("STEPLOG_API_KEY", "k")
    monkeypatch.setenv(variable, str(tmp_path / "place"))
    words = hostile(tmp_path / "place")
    for command in COMMANDS:
        done = CliRunner().invoke(main, command, input="key\n")
        assert (done.exit_code, done.stdout) == (1, ""), command
        assert done.stderr.startswith(f"steplog: {variable}: {tmp_path / 'place'}"), command
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    if variable == "STEPLOG_DIR":  # where the database would be
        done = CliRunner().invoke(main, ["serve", "--port", "0"])
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert words in done.stderr
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert words in done.stdout.replace("\n", " ")
    assert done.stderr == ""
    assert not (tmp_path / "elsewhere").exists() or not os.listdir(tmp_path / "elsewhere")


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["STEPLOG_DIR", "STEPLOG_MEMORY_DIR"])
@pytest.mark.parametrize("hostile", HOSTILE)
@apart
def test_init_goes_on_in_what_is_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    hostile: Callable[[Path], str],
    variable: str,
):
    state = tmp_path / "state"
    monkeypatch.setenv("STEPLOG_DIR", str(state))
    monkeypatch.setenv(variable, str(tmp_path / "place"))
    words = hostile(tmp_path / "place")
    run = steplog.init(project="mnist", name="goes on", mode="offline")
    run.log("loss", 1.0)
    report = run.finish(timeout=2)
    assert (report.pending, report.faults) == (1, 0)
    said = "goes without a disk" if variable == "STEPLOG_DIR" else "goes without shared memory"
    assert any(said in record.message and words in record.message for record in caplog.records)
    left = state if variable == "STEPLOG_MEMORY_DIR" else Path(os.environ["STEPLOG_MEMORY_DIR"])
    assert list(left.glob("*/manifest"))


@pytest.mark.parametrize("call", [steplog.journals, lambda: list(steplog.sync()), steplog.clean])
@apart
def test_in_python_it_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]
):
    open_to_others(tmp_path / "state")
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    with pytest.raises(steplog.ConfigurationError, match=r"STEPLOG_DIR: .*others may write in it"):
        call()
