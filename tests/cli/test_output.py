"""What the commands print: whole and plain for programs, and readable on a terminal of any width."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from cli.conftest import named_run
from cli.terminal import environment, on_terminal
from server.process import DEADLINE_S, KEY, ServerProcess

NAMES = (
    "first",
    "a run with a long name, as sweeps make them: lr=0.001 batch=4096 seed=17",
    "学習の実行番号一",
    "lr/1e-3",
)
STYLES = re.compile(r"\x1b\[[\d;]*m")
PROGRAM = [sys.executable, "-m", "steplog"]
MANY = 700


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A project of runs of odd names."""
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        for name in NAMES:
            path = named_run(server, "mnist", name)
            server.ask("POST", f"{path}metrics/", json={"name": "steplog/config", "value": {"model": "x" * 300}})
            server.ask("POST", f"{path}metrics/", json={"name": "accuracy/validation/top5", "value": 0.5})
        yield server


@pytest.fixture(scope="module")
def many(runs: ServerProcess) -> None:
    """Of runs, and of metrics of one run."""
    path = named_run(runs, "sweep", "reader")
    for number in range(MANY):
        runs.ask("POST", f"{path[: path.index('runs/')]}runs/", json={"name": f"trial {number} {'x' * 100}"})
        runs.ask("POST", f"{path}metrics/", json={"name": f"metric {number}", "value": "x"})


@pytest.fixture
def variables(runs: ServerProcess, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, STEPLOG_URL=runs.url, STEPLOG_API_KEY=KEY)


def printed(arguments: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run([*PROGRAM, *arguments], env=variables, capture_output=True, check=False, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}])
def test_for_a_program_a_run_is_one_whole_line_without_escape_codes(variables, forced):
    head, *lines = printed(["ls"], variables | forced).splitlines()
    assert [line.split("   ")[0] for line in lines] == list(NAMES)
    assert "\x1b" not in head + "".join(lines)
    assert len({cell_len(line[: line.index("mnist")]) for line in lines}) == 1
    assert "x" * 300 in printed(["show", "first"], variables | forced)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_on_a_terminal_a_run_is_one_line_that_fits(variables, columns):
    shown = on_terminal(["ls"], variables, columns=columns)
    assert shown.code == 0, shown
    head, *lines = STYLES.sub("", shown.text).splitlines()
    assert head.split()[0] == "run"
    assert len(lines) == len(NAMES), shown
    for name, line in zip(NAMES, lines, strict=True):
        assert cell_len(line) <= columns
        assert line.startswith(name[:5])
        assert "RUNNING" in line
        assert re.search(r"\b[0-9a-f]{8}$", line), line  # by which it can be named


def test_a_run_of_a_long_id_is_one_line_on_a_terminal_too(variables, runs):
    path = named_run(runs, "imported", "placeholder")[: -len("x" * 37)]
    headers = {"Idempotency-Key": f'"id:mlflow-{"0" * 32}"', "Steplog-Resume": "allow"}
    made = runs.ask("POST", path, json={"name": "long"}, headers=headers)
    assert made.json()["id"] == f"mlflow-{'0' * 32}"
    lines = STYLES.sub("", on_terminal(["ls", "/imported"], variables).text).splitlines()
    assert lines[-1].split()[0] == "long", lines
    assert lines[-1].endswith(made.json()["uuid"][:8])
    narrow = STYLES.sub("", on_terminal(["ls", "/imported"], variables, columns=60).text).splitlines()
    assert narrow[0].split() == ["run", "project", "status", "id"], narrow
    assert made.json()["id"] in printed(["ls", "/imported"], variables)


@pytest.mark.parametrize("columns", [40, 60])
def test_show_fits_a_narrow_terminal(variables, columns):
    shown = on_terminal(["show", "lr/1e-3"], variables, columns=columns)
    lines = STYLES.sub("", shown.text).splitlines()
    assert not [line for line in lines if cell_len(line) > columns]
    (metric,) = [line for line in lines if line.startswith("accuracy")]
    assert metric.split()[0].startswith("accuracy/validat")
    assert "0.5" in metric.split()


def test_colours_are_for_terminals_and_not_where_no_color_is_set(variables):
    assert "\x1b[" in on_terminal(["ls"], variables).text
    assert "\x1b" not in on_terminal(["ls"], variables | {"NO_COLOR": "1"}).text
    assert "\x1b" not in on_terminal(["ls"], variables | {"TERM": "dumb"}).text


@pytest.mark.slow
@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_locale_that_lacks_the_characters_is_no_error(variables, locale):
    for arguments in (["ls"], ["show", NAMES[2]]):
        done = subprocess.run(
            [*PROGRAM, *arguments], env=variables | locale, capture_output=True, check=False, timeout=DEADLINE_S
        )
        assert (done.returncode, done.stderr) == (0, b""), done
        assert b"mnist" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["ls -n 5000", "ls -n 5000 --json", "show reader", "show reader --json"])
def test_a_reader_that_has_enough_is_no_error(many, variables, arguments):
    """``ls | head``: more than fits into a pipe, of which one line is read."""
    command = f"{sys.executable} -m steplog {arguments} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], env=variables, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_pipe_that_is_closed_at_once_is_no_error(variables):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "ls"], env=variables, stdout=write, stderr=subprocess.PIPE, check=False, timeout=DEADLINE_S
    )
    os.close(write)
    assert done.stderr == b""


ALONE = """
import sys
from steplog.cli import main

main(sys.argv[1:], standalone_mode=False)
print(*sorted({"requests", "urllib3", "slugify", "starlette", "sqlite3"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("ls",), ("ls", "/mnist"), ("show", "mnist/first"), ("tag", "first", "good")])
def test_a_command_needs_neither_requests_nor_what_a_server_needs(server, tmp_path, arguments):
    """To import ``requests`` takes a fifth of ``steplog ls``."""
    settings = {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY, "STEPLOG_DIR": str(tmp_path)}
    command = [sys.executable, "-c", ALONE, *arguments]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "\n")
    assert "first" in done.stdout
