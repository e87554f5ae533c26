"""Fresh processes, servers and directories to measure in.

``Stage.child`` runs a function of this package in a fresh interpreter and returns its result. The environment tells a
child of its server.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import steplog
from benchmarks import scratch
from steplog.server.sql.reading import RunReader, snapshot_of
from steplog.server.sqlite.connection import SqliteConnection

__all__ = ["Server", "Stage", "end_process"]

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"
KEY = "a-key-of-the-benchmarks-0123456789"
SERVER_START_S = 30.0
PACKED_TIMEOUT_S = 120.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def end_process(process: subprocess.Popen[Any]) -> None:
    """Terminate a process; kill one that does not end by itself."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@dataclass
class Server:
    """The embedded server in its own process."""

    process: subprocess.Popen[str]
    url: str
    database: Path

    def cpu_s(self) -> float:
        """CPU seconds used, without its packer."""
        return _cpu_s(self.process.pid)

    def children(self) -> list[int]:
        """The processes that it has started and that live."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [pid for pid in pids if _stat(pid)[1:2] == [str(self.process.pid)]]

    def packer_cpu_s(self) -> float:
        """CPU seconds used by its packer."""
        return sum(map(_cpu_s, self.children()))

    def resident_bytes(self) -> int:
        """Memory that it has."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def points(self, name: str | None = None) -> int:
        """Records committed, of all metrics or of one."""
        uri = f"{self.database.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, factory=SqliteConnection)) as database:
            if name is None:
                return int(database.execute("SELECT coalesce(sum(arrivals), 0) FROM progress").fetchone()[0])
            with snapshot_of(database):
                runs = [RunReader(database, run, (name,)) for (run,) in database.execute("SELECT id FROM runs")]
                found = [series for run in runs if (series := run.series(name)) is not None]
                return sum(series.totals.count for series in found)

    def number(self, statement: str) -> int:
        """What a statement on the database gives."""
        with contextlib.closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as database:
            return int(database.execute(statement).fetchone()[0])

    def wait_until_packed(self) -> None:
        """Return when nothing is left in the log, or nobody packs it."""
        deadline = time.monotonic() + PACKED_TIMEOUT_S
        while self.children() and self.number("SELECT count(*) FROM progress WHERE packed < arrivals"):
            if time.monotonic() > deadline:
                raise RuntimeError("the packer has not packed all in time")
            time.sleep(0.2)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Accept connections and never answer."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


class Stage:
    """A context manager; ``quick``: less of everything; ``peers``: where they are installed."""

    def __init__(self, quick: bool, peers: Path) -> None:
        self.quick = quick
        self.peers = peers
        scratch.sweep()
        self.directory = scratch.make("bench")
        self.memory = scratch.make("bench", scratch.SHARED)
        self._names = iter(range(1_000_000))

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scratch.remove(self.directory)
        scratch.remove(self.memory)

    def pick(self, full: int, quick: int) -> int:
        """Choose a number of rounds, calls or records."""
        return quick if self.quick else full

    def new_directory(self) -> Path:
        """An empty directory on disk."""
        path = self.directory / f"{next(self._names)}"
        path.mkdir(mode=0o700)
        return path

    def environment(self, server: Server | None = None, **settings: object) -> dict[str, str]:
        """For a child: only what it needs and ``settings`` of steplog."""
        dropped = ("STEPLOG_", "TELLURIO_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        kept["PYTHONPYCACHEPREFIX"] = str(self.directory / "compiled")  # as where steplog has been used before
        memory = self.memory / f"{next(self._names)}"
        chosen = {"dir": self.new_directory(), "memory_dir": memory, "quiet": 1, "api_key": KEY}
        if server is not None:
            chosen["url"] = server.url
        chosen |= settings
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        paths = [str(ROOT), *([str(SOURCES)] if _from_sources() else []), *map(os.path.abspath, given)]
        return (
            kept
            | {"PYTHONPATH": os.pathsep.join(paths)}
            | {f"STEPLOG_{name.upper()}": str(value) for name, value in chosen.items()}
        )

    @contextlib.contextmanager
    def server(
        self, *arguments: str, on_disk: bool = True, fill: Callable[[Path], object] | None = None
    ) -> Iterator[Server]:
        """``steplog serve`` on a free port and a new database; not ``on_disk``: commits do not wait for a disk.

        ``fill`` is called with the path of the database, before the server makes or opens it.
        """
        directory = self.new_directory() if on_disk else Path(tempfile.mkdtemp(dir=self.memory))
        database = directory / "server.db"
        if fill is not None:
            fill(database)
        with self.serving("--db", str(database), *arguments) as (process, url):
            yield Server(process, url, database)

    @contextlib.contextmanager
    def serving(self, *arguments: str, **settings: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """``steplog serve`` on a free port, and its address."""
        command = [sys.executable, "-m", "steplog", "serve", "--port", "0"]
        command += ["--allow-host", "127.0.0.1", *arguments]  # with any port: a proxy's too
        environment = self.environment(serve_api_key=KEY, **settings)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, cwd=environment["STEPLOG_DIR"]
        )
        try:
            yield process, _address(process)
        finally:
            process.send_signal(signal.SIGCONT)
            end_process(process)

    def child(
        self,
        function: Callable[..., Any],
        environment: Mapping[str, str],
        *,
        python: str = sys.executable,
        before: Sequence[str] = (),
        timeout_s: float = 1800,
        **arguments: Any,
    ) -> Any:
        """Return what ``function`` returns in a fresh process; ``before`` precedes the command (strace)."""
        answer = self.directory / f"{next(self._names)}.json"
        target = f"{function.__module__}:{function.__name__}"
        command = [*before, python, "-m", "benchmarks.child", target, json.dumps(arguments), str(answer)]
        done = subprocess.run(
            command, env=environment, cwd=self.directory, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode or not answer.exists():
            raise RuntimeError(f"{target} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return json.loads(answer.read_text("utf-8"))


def _from_sources() -> bool:
    """Whether the steplog that is measured is the one beside these benchmarks, and not one that is installed."""
    return SOURCES in Path(steplog.__file__).parents


def _cpu_s(pid: int) -> float:
    user, system = _stat(pid)[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.1)[0]:
            line = process.stdout.readline()
            if line.startswith("steplog serve: "):
                return line.split()[-1]
            if not line:
                break
    process.kill()
    raise RuntimeError("the embedded server did not start")
