"""A PostgreSQL of the benchmarks' own, as it comes: its settings are initdb's, so commits wait for the disk.

``STEPLOG_POSTGRESQL`` names the directory of its programs; without it the newest in /usr/lib/postgresql. The database
and servers of steplog share the machine's processors, so a figure per CPU second says more than one per second.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import scratch
from benchmarks.clients import cpu_s
from benchmarks.stage import Server, Stage

__all__ = ["Cluster", "StoreServer", "cluster", "store_server"]

START_TIMEOUT_S = 60


@dataclass
class Cluster:
    """A PostgreSQL that runs."""

    programs: Path
    directory: Path
    port: int
    user: str | None  # whose it is, where this process is root, which PostgreSQL refuses
    _names = count()

    def run(self, program: str, *arguments: str) -> str:
        """What one of PostgreSQL's programs says. Raises RuntimeError."""
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            user=self.user,
            cwd=self.directory,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    @property
    def pid(self) -> int:
        """Of the process whose children all others are."""
        return int((self.directory / "data" / "postmaster.pid").read_text().split()[0])

    def cpu_s(self) -> float:
        """CPU seconds used."""
        return cpu_s(self.pid)

    def new_store(self) -> str:
        """The URL of a new, empty database."""
        name = f"bench{next(self._names)}"
        address = ("--host", "127.0.0.1", "--port", str(self.port), "--username", "steplog")
        self.run("createdb", *address, name)
        return f"postgresql://steplog@127.0.0.1:{self.port}/{name}"

    def log_bytes(self) -> int:
        """What the write-ahead log takes on the disk."""
        return sum(path.stat().st_size for path in (self.directory / "data" / "pg_wal").iterdir() if path.is_file())


@contextlib.contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """A PostgreSQL on a free port; ``settings`` are lines of its configuration. Raises FileNotFoundError."""
    root = os.geteuid() == 0
    above = scratch.make("pg")
    above.chmod(0o711)  # a short path that its user can reach: the name of a socket has at most 107 bytes
    directory = above / "pg"
    directory.mkdir(0o700)
    made = Cluster(_programs(), directory, _free_port(), "postgres" if root else None)
    if root:
        os.chown(directory, pwd.getpwnam("postgres").pw_uid, -1)
    data = str(directory / "data")
    try:
        made.run("initdb", "--pgdata", data, "--username", "steplog", "--auth", "trust", "--encoding", "UTF8")
        with (directory / "data" / "postgresql.conf").open("a") as file:
            lines = f"listen_addresses = '127.0.0.1'\nport = {made.port}\nunix_socket_directories = '{directory}'"
            file.write("\n".join([lines, *settings, ""]))
        log = str(directory / "log")
        made.run("pg_ctl", "start", "--pgdata", data, "--log", log, "--wait", "--timeout", str(START_TIMEOUT_S))
        try:
            yield made
        finally:
            made.run("pg_ctl", "stop", "--pgdata", data, "--mode", "fast", "--wait")
    finally:
        scratch.remove(above)


@dataclass
class StoreServer(Server):
    """A server over a store that others may share."""

    store: str = ""

    def points(self, name: str | None = None) -> int:
        """Records committed, by any server of the store."""
        if name is not None:
            raise NotImplementedError
        return self.number("SELECT coalesce(sum(arrivals), 0)::bigint FROM progress")

    def number(self, statement: str) -> int:
        """What a statement on the database gives."""
        return int(self.rows(statement)[0][0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement on the database."""
        import psycopg

        with psycopg.connect(self.store, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []


@contextlib.contextmanager
def store_server(stage: Stage, store: str, *arguments: str) -> Iterator[StoreServer]:
    """``steplog serve`` on a free port over this store."""
    with stage.serving(*arguments, store=store) as (process, url):
        yield StoreServer(process, url, Path(), store)


def _programs() -> Path:
    named = os.environ.get("STEPLOG_POSTGRESQL")
    found = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts)
    for path in reversed(found):
        if (path / "initdb").exists():
            return path
    raise FileNotFoundError("PostgreSQL's programs are not here: name their directory in STEPLOG_POSTGRESQL")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
