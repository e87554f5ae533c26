"""The real server in a process of its own.

With ``STEPLOG_TEST_STORE=postgresql``, one that names no database is started on a new one of PostgreSQL.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import requests

import postgresql
from steplog.delivery.wire import API, CONTENT_TYPE_RANGE
from steplog.journal.range import Range, encode
from steplog.server.store_place import Place

KEY = "a-key-of-the-tests"
DEADLINE_S = 30.0
_ON_POSTGRESQL = os.environ.get("STEPLOG_TEST_STORE") == "postgresql"  # now: tests have none of these variables
SOURCES = Path(__file__).parents[2] / "src"
BATCH_HEADERS = {"Content-Encoding": "deflate", "Content-Type": CONTENT_TYPE_RANGE}


def lasting_port() -> int:
    """A free port that stays free while its server is down: below the ephemeral ports."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@functools.cache
def _database_of(directory: Path) -> str:
    """The database of the servers of this directory."""
    return postgresql.new_store()


def first_line(process: subprocess.Popen[str]) -> str:
    """The line with its address that a server prints once it is ready; without one it is killed."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
    line = process.stdout.readline() if ready else ""
    if not line.startswith("steplog serve: "):
        process.kill()
        raise AssertionError(f"no server: {line!r} {process.communicate()}")
    return line


class ServerProcess:
    """``steplog serve`` on a free port; a context manager."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        key: str | None = KEY,
        under: tuple[str, ...] = (),
        store: str | None = None,
        sources: Path = SOURCES,
    ) -> None:
        """``under``: the beginning of a command that becomes the server; ``store``: the URL of its database.

        ``sources``: of the version that is started, here and by the next ``start``.
        """
        self.directory = directory
        self.sources = sources
        self._under = under
        self.state = directory / "server.json"
        self._arguments = arguments
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("STEPLOG_", "TELLURIO_"))
        } | {
            "STEPLOG_DIR": str(directory),
            "STEPLOG_MEMORY_DIR": str(directory / "memory"),
        }
        if store is None and _ON_POSTGRESQL and "--db" not in arguments:
            store = _database_of(directory)
        self._store = store
        if store is not None:
            self._environment["STEPLOG_STORE"] = store
            if "--blobs" not in arguments:
                self._arguments = (*arguments, "--blobs", str(directory / "blobs"))
        if key is not None:
            self._environment["STEPLOG_SERVE_API_KEY"] = key
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Api-Key {key}"
        self.start()

    @property
    def place(self) -> Place:
        """Where its store is."""
        return self.database if self._store is None else self._store

    @property
    def database(self) -> Path:
        """Its file; skips the test where it has none."""
        if self._store is not None:
            pytest.skip("a test of the file")
        return self.directory / "server.db"

    def start(self) -> None:
        """Start it and wait for its address."""
        self.process = subprocess.Popen(
            [*self._under, sys.executable, "-m", "steplog", "serve", "--port", "0", *self._arguments],
            env=self._environment | {"PYTHONPATH": str(self.sources)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = first_line(self.process)
        self.url = line.split()[-1]
        self.said = line
        while line.split()[:1] != ["stop"]:
            line = self.process.stdout.readline()
            self.said += line

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; returns the exit code and stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """A request with the key; ``path`` is below the API."""
        return self.session.request(method, f"{self.url}{API}{path}", timeout=DEADLINE_S, **arguments)

    def new_run(self, namespace: str = "team", project: str = "mnist") -> str:
        """The path of a new run."""
        if self.ask("GET", f"/{namespace}/projects/{project}/").status_code == 404:
            made = self.ask("POST", f"/{namespace}/projects/", json={"display_name": project, "visibility": "TEAM"})
            assert made.status_code == 201, made.text
        run = self.ask("POST", f"/{namespace}/projects/{project}/runs/", json={})
        assert run.status_code == 201, run.text
        return f"/{namespace}/projects/{project}/runs/{run.json()['uuid']}/"

    def send(self, run: str, batch: Range, **headers: str) -> requests.Response:
        """Deliver a range; ``Steplog_Generation`` is the header of that name."""
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"{run}metrics/batch/", data=encode(batch), headers=BATCH_HEADERS | added)
