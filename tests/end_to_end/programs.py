"""Programs that log: real child processes with directories of their own, against a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

import pytest

from end_to_end.oracle import Oracle
from server.process import KEY, SOURCES, ServerProcess

DEADLINE_S = 60.0
TESTS = Path(__file__).parents[1]
_projects = count(1)
_started: list[subprocess.Popen[str]] = []
# A fork beside threads makes CPython warn; the design leaves the threads alone on purpose.
FORK_WARNING = "ignore:This process:DeprecationWarning"
WARNINGS = ["-W", "error", "-W", FORK_WARNING]
PRELUDE = """\
import os, signal, sys, threading, time

def begin(name=None, **given):
    if os.environ.get("WITHOUT_STEPLOG"):
        return None
    import steplog
    return steplog.init("team", os.environ["PROJECT"], name or os.environ["RUN_NAME"], **given)
"""


@dataclass(frozen=True)
class Done:
    """A program that has ended; ``seconds`` from its start to its end."""

    code: int
    out: str
    errors: str
    seconds: float


class Host:
    """A machine of a test: where its programs run, and the server that they are configured for."""

    def __init__(self, directory: Path, server: ServerProcess | None, url: str | None = None) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.project = f"p{next(_projects)}"
        self.oracle = Oracle(server.place, self.project) if server is not None else None
        self.environment = os.environ | {
            "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}",
            "STEPLOG_DIR": str(self.state),
            "STEPLOG_URL": url or (server.url if server is not None else ""),
            "STEPLOG_API_KEY": KEY,
            "STEPLOG_QUIET": "1",
            "PROJECT": self.project,
        }
        self.process = server.process if server is not None else None
        self._programs = 0

    def configure(self, monkeypatch: pytest.MonkeyPatch) -> Oracle:
        """Make this process one of its programs, and give what the server holds."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        return self.server

    @property
    def server(self) -> Oracle:
        """What the server holds."""
        assert self.oracle is not None
        return self.oracle

    def manifests(self) -> list[str]:
        """What is written down on disk of each run that is here."""
        return [found.read_text() for found in self.state.glob("*/manifest")]

    def write(self, source: str, prelude: str = PRELUDE) -> Path:
        """A program's file."""
        self._programs += 1
        path = self.directory / f"program{self._programs}.py"
        path.write_text(prelude + textwrap.dedent(source))
        return path

    def start(
        self,
        source: str | Path,
        *arguments: str,
        name: str = "run",
        under: Sequence[str] = (),
        errors: IO[bytes] | None = None,
        **variables: str,
    ) -> subprocess.Popen[str]:
        """Start a program; ``name`` is what ``begin`` calls its run, ``under`` a command that runs it.

        ``source`` is a program's text, its file, or "-m" and a module; ``errors`` is its standard error, None: a pipe.
        """
        module = isinstance(source, str) and source.startswith("-m")
        path = source if isinstance(source, Path) or module else self.write(source)
        program = subprocess.Popen(
            [*under, sys.executable, *([] if module else WARNINGS), str(path), *arguments],
            env=self.environment | {"RUN_NAME": name} | variables,
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if errors is None else errors,
            text=True,
        )
        _started.append(program)
        return program

    def run(self, source: str | Path, *arguments: str, name: str = "run", **variables: str) -> Done:
        """Run a program to its end."""
        began = time.monotonic()
        return ended(self.start(source, *arguments, name=name, **variables), began)

    @contextmanager
    def silence(self) -> Iterator[None]:
        """The server accepts connections and answers nothing, while this is entered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def deliver(self, run: str, status: str, points: int = 0) -> None:
        """Have a later process adopt what is left of a run, until it has this status and so many points."""
        with self.start("begin('adopts')\nsys.stdin.read()") as adopting:
            try:
                self.server.wait_for(run, status)
                self.server.wait_for_points(run, points)
            finally:
                adopting.communicate(timeout=DEADLINE_S)


def ended(program: subprocess.Popen[str], began: float | None = None, deadline_s: float = DEADLINE_S) -> Done:
    """Wait for the end of a program, which is killed at the deadline."""
    began = time.monotonic() if began is None else began
    try:
        out, errors = program.communicate(timeout=deadline_s)
        errors = errors or ""
    finally:
        if program.poll() is None:
            program.kill()
            program.communicate()
    return Done(program.returncode, out, errors, time.monotonic() - began)


@contextmanager
def no_programs_left() -> Iterator[None]:
    """Ends what is started in this block and still runs, as after a failure: it would be the next test's warning."""
    before = len(_started)
    try:
        yield
    finally:
        for program in _started[before:]:
            with suppress(BrokenPipeError), program:  # closes its pipes, and waits
                program.kill()
        del _started[before:]


def go_on(program: subprocess.Popen[str]) -> None:
    """Give a program the line that it waits for."""
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()


def line(program: subprocess.Popen[str]) -> str:
    """The next line that a program prints; a program that ends instead fails the test."""
    assert program.stdout is not None
    said = program.stdout.readline()
    if not said:
        raise AssertionError(f"the program has ended: {ended(program)}")
    return said.strip()
