"""A Mac, by the shim: a home of its own, and programs that run there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from server.process import SOURCES, first_line

__all__ = ["FIRST_BOOT", "SHIM", "Mac", "places"]

DEADLINE_S = 60.0
SHIM = Path(__file__).with_name("shim")
TESTS = Path(__file__).parents[1]
FIRST_BOOT = "8F4E0000-0000-4000-8000-000000000001"
WARNINGS = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]  # of a fork beside threads


def places(home: Path) -> dict[str, str]:
    """What tells a program that it is on a Mac, whose user's home this is; its TMPDIR has a name as long as there."""
    temporary = home.parent / "private" / "var" / "folders" / "zz" / "zyxvpxvq6csfxvn_n0000000000000" / "T"
    for directory in (home / "Library" / "Application Support", home / "Library" / "Caches", temporary):
        directory.mkdir(parents=True, exist_ok=True)
    return {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join(map(str, (SHIM, SOURCES, TESTS))),
        "MAC_BOOT": FIRST_BOOT,
    }


class Mac:
    """A machine and its one user."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "Users" / "ada.lovelace"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPLOG_", "TELLURIO_"))}
        self.environment = kept | places(self.home) | {"MAC_LOG": str(directory / "syncs")}
        self.state = self.home / "Library" / "Application Support" / "steplog"
        self.caches = self.home / "Library" / "Caches"
        self.syncs_path = directory / "syncs"

    def memory(self) -> list[Path]:
        """The directories that stand for shared memory."""
        return sorted((self.caches / "steplog").glob("memory-*"))

    def syncs(self) -> Counter[str]:
        """How often each way to sync was taken so far."""
        return Counter(self.syncs_path.read_text().splitlines()) if self.syncs_path.exists() else Counter()

    def run(self, *command: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments; ``code`` is what it ends with."""
        done = subprocess.run(
            [sys.executable, *WARNINGS, *command],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=self.environment | variables,
            check=False,
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def steplog(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """What a command prints."""
        return self.run("-m", "steplog", *arguments, code=code, **variables).stdout

    @contextmanager
    def serving(self, *arguments: str, **variables: str) -> Iterator[Serving]:
        """``steplog serve`` on a free port."""
        server = Serving(["-m", "steplog", "serve", "--port", "0", *arguments], self.environment | variables)
        try:
            yield server
        finally:
            server.end()


class Serving:
    """A server that runs."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.url = first_line(self.process).split()[-1]

    def end(self) -> None:
        """Stop it; it is to end well, and to have said nothing amiss."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        assert (self.process.returncode, errors) == (0, "")
