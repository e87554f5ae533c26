"""``scripts/free-threaded``: which tests it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "free-threaded"


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A machine with a Python without the GIL, and the script's environment for it: they are this Python."""
    environment = tmp_path / "cache" / "steplog-cpython" / "free-threaded-3.13t"
    for name in ("python3.15t", "python3.14t", "python3.13t"):
        program(tmp_path / "bin" / name, "echo 3.13t")
    program(environment / "bin" / "pip", "exit 0")
    program(environment / "bin" / "python", f'unset PYTHON_GIL; exec "{sys.executable}" "$@" --collect-only -q')
    (environment / "made").touch()
    return os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def told(variables: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([SCRIPT, *arguments], env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FORKS = "tests/free_threading/test_fork.py"
SLOW = "tests/free_threading/test_append.py::test_ten_million_calls"


@pytest.mark.parametrize(
    ("arguments", "files", "has_slow"),
    [
        ([], "tests/free_threading/", False),
        (["-x"], "tests/free_threading/", False),
        (["-m", "slow"], "tests/free_threading/", True),
        (["-x", "tests/free_threading"], "tests/free_threading/", True),
        ([FORKS, "-x"], FORKS, False),
    ],
)
def test_an_option_without_a_path_is_for_the_tests_of_free_threading(variables, arguments, files, has_slow):
    """It ran the whole tree."""
    found = [line for line in told(variables, *arguments).splitlines() if "::" in line]
    assert found
    assert all(line.startswith(files) for line in found)
    assert any(line.startswith(SLOW) for line in found) is has_slow


def test_its_help_says_so(variables):
    assert "where none is a path,\ntests/free_threading but for the slow ones" in told(variables, "--help")
