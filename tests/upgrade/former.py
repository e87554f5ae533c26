"""steplog 0.1.0, taken from the history of this repository, beside the version of this tree.

``Side`` is what one of the two runs with: its sources, and a state directory, with memory in it, that both may have.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from server.process import DEADLINE_S, SOURCES

__all__ = ["COMMIT", "Side", "end_programs", "read_line", "unpack"]

COMMIT = "d4690396df275b8aa8d5ccee436229ede52a4de0"
ROOT = Path(__file__).parents[2]
_BUILD = """
from setuptools import Extension, setup

append = Extension("steplog.journal._append", ["src/steplog/journal/_append.c"], optional=True)
setup(name="steplog", package_dir={"": "src"}, packages=["steplog", "steplog.journal"], ext_modules=[append])
"""
_started: list[subprocess.Popen[str]] = []


def end_programs() -> None:
    """Kill those that a test has left."""
    while _started:
        program = _started.pop()
        if program.poll() is None:
            program.kill()
        for stream in (program.stdin, program.stdout, program.stderr):
            if stream is not None:
                stream.close()
        program.wait()


def unpack(directory: Path) -> Path:
    """The sources of 0.1.0, with the compiled append if there is a compiler; skips where the history is not there."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", COMMIT, "src"], capture_output=True, check=False, timeout=DEADLINE_S
    )
    if archive.returncode != 0:
        pytest.skip("the history of this repository, which has 0.1.0, is not here")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as members:
        members.extractall(directory, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (directory / "build.py").write_text(_BUILD)
    build = [sys.executable, "build.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=directory, capture_output=True, check=False, timeout=DEADLINE_S)
    return directory / "src"


@dataclass(frozen=True)
class Side:
    """One version on one machine. Without a ``url`` its programs find the server that runs here."""

    sources: Path
    state: Path
    url: str = ""
    key: str = ""

    @property
    def memory(self) -> Path:
        """Where its server has it, too."""
        return self.state / "memory"

    def of(self, sources: Path = SOURCES) -> Side:
        """The other version, on the same machine."""
        return replace(self, sources=sources)

    @property
    def environment(self) -> dict[str, str]:
        """What a program of it has."""
        return os.environ | {
            "PYTHONPATH": str(self.sources),
            "STEPLOG_DIR": str(self.state),
            "STEPLOG_MEMORY_DIR": str(self.memory),
            "STEPLOG_URL": self.url,
            "STEPLOG_API_KEY": self.key,
        }

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start ``python`` with these arguments."""
        pipe = subprocess.PIPE
        program = subprocess.Popen(
            [sys.executable, *command],
            env=self.environment | variables,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            cwd=self.state.parent,
        )
        _started.append(program)
        return program

    def program(self, source: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a program."""
        return self.start("-c", textwrap.dedent(source), *arguments, **variables)

    def steplog(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Type a command."""
        command = [sys.executable, "-m", "steplog", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=3 * DEADLINE_S, cwd=self.state.parent
        )


def read_line(program: subprocess.Popen[str]) -> str:
    """Its next line; AssertionError with what it said, if it ends without one."""
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line, program.communicate(timeout=DEADLINE_S)[1]
    return line.rstrip("\n")
