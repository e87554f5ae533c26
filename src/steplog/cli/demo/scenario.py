"""The demo's scenario, processes and directories.

before     the server is up, the workers train
during     the server is down; half-way, a worker is killed
after      the server is back, on the same database and port
finish     the workers finish; one delivers the killed worker's run
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steplog import SteplogError
from steplog.cli.demo.output import Output
from steplog.cli.demo.verify import Counts, Database, Ledger, count, latency
from steplog.server.store_types import StoreError

__all__ = ["DemoError", "Scenario"]

_RATES = (0.5, 0.1, 0.02)
_KILLED = 1  # which worker
_STEPS_PER_S, _CALLS_PER_STEP_MAX = 660, 5.1
_SHARES = {"before": 0.34, "during": 0.28, "after": 0.38}  # of the time
_TICK_S, _START_S, _FINISH_S, _EXIT_S = 0.1, 30.0, 45.0, 10.0
_PREFIX = "steplog-demo-"
# On macOS, which has no shared memory of this kind, files do for the demo, too.
_SHARED = Path(tempfile.gettempdir() if sys.platform == "darwin" else "/dev/shm")  # noqa: S108 - mkdtemp is private
_SHARED_BYTES_MIN = 32 * 1024 * 1024  # ledgers and journals take half of it
# With the path of this process, so that it is the same steplog.
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from steplog.cli.demo.worker import main
main(*sys.argv[2:])
"""


class DemoError(SteplogError):
    """There is no room, or a process failed."""


class _Child:
    """A process (see ``worker``), in its own session: Ctrl-C reaches the demo alone."""

    def __init__(self, name: str, role: str, arguments: dict[str, Any], home: Path, environ: dict[str, str]) -> None:
        self.name, self._errors = name, home / f"{name}.err"
        paths = json.dumps([os.path.abspath(path) for path in sys.path])
        command = [sys.executable, "-c", _PROGRAM, paths, role, json.dumps(arguments)]
        with open(self._errors, "ab") as errors:
            self._process = subprocess.Popen(
                command, bufsize=0, stdin=-1, stdout=-1, stderr=errors, cwd=home, env=environ, start_new_session=True
            )

    def receive(self, timeout_s: float) -> Any:
        """Wait for a message. Raises DemoError."""
        out = self._process.stdout
        if out is not None and select.select([out], [], [], timeout_s)[0] and (line := out.readline()):
            return json.loads(line)
        errors = self._errors.read_text("utf-8", "replace").strip()
        raise DemoError(f"the demo's {self.name} failed: {errors.splitlines()[-1] if errors else 'no answer'}")

    def order(self) -> None:
        """Tell it to stop; the second time, to exit."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"\n")

    def end(self, number: int = 0) -> None:
        """Send a signal (0: none) and wait; SIGKILL after ``_EXIT_S``."""
        with self._process as process:  # closes the pipes
            process.send_signal(number)
            try:
                process.wait(_EXIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass
class _Worker:
    child: _Child
    ledger: Ledger
    uuid: str = ""
    status: str = ""
    stored: int = 0


class Scenario(contextlib.ExitStack):
    """One run of the demo. Its exit ends the processes and removes the directories."""

    def __init__(self, seconds: float, keep_database: bool, output: Output, shared: Path = _SHARED) -> None:
        super().__init__()
        self._seconds, self._output, self._begin, self._port = seconds, output, time.monotonic(), 0
        self._workers: list[_Worker] = []
        home = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.database, self._scratch = home / "server.db", home / "scratch"
        self._memory = _directory_in(shared) or self._scratch
        for directory in (self._memory, self._scratch if keep_database else home):
            self.callback(shutil.rmtree, directory, ignore_errors=True)
        self._scratch.mkdir()
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith(("STEPLOG_", "TELLURIO_"))}
        self._environ |= dict.fromkeys(("STEPLOG_API_KEY", "STEPLOG_SERVE_API_KEY"), secrets.token_urlsafe(24))
        self._environ |= {"STEPLOG_DIR": f"{self._scratch}/state", "STEPLOG_MEMORY_DIR": f"{self._memory}/journals"}
        self._environ |= {"STEPLOG_QUIET": "1", "NO_PROXY": "127.0.0.1"}

    def run(self) -> dict[str, Any]:
        """Return the document of ``--json``. Raises DemoError, OSError."""
        if self._memory == self._scratch:
            self._output.event(f"no room in shared memory: the journals are in {self._memory}")
        before, during, after = (share * self._seconds for share in _SHARES.values())
        self._start_server()
        self._database = self.enter_context(contextlib.closing(Database(self.database)))
        append = self._start_workers()
        marks = [time.perf_counter_ns()]
        self._watch(before)
        marks.append(time.perf_counter_ns())
        self._server.end(signal.SIGKILL)
        self._output.event("server killed (SIGKILL)")
        self._watch(during / 2, up=False)
        self._kill_worker()
        self._watch(during / 2, up=False)
        self._start_server()
        marks.append(time.perf_counter_ns())
        waited = sum(worker.ledger.returned - worker.stored for worker in self._workers)
        self._output.event(f"server up again; {waited:,} calls waited for it")
        self._watch(after)
        marks.append(time.perf_counter_ns())
        self._finish()
        return self._verify(marks) | {"append": append, "waited": waited}

    def _spawn(self, child: str, role: str, **arguments: object) -> _Child:
        spawned = _Child(child, role, arguments, self._scratch, self._environ)
        self.callback(spawned.end, signal.SIGKILL)
        return spawned

    def _start_server(self) -> None:
        self._server = self._spawn("server", "serve", port=self._port, database=str(self.database))
        self._environ["STEPLOG_URL"] = url = self._server.receive(_START_S)["url"]
        self._port = int(url.rpartition(":")[2])

    def _start_workers(self) -> str:
        calls_max = int(_STEPS_PER_S * _CALLS_PER_STEP_MAX * (self._seconds + _START_S))
        for rate in _RATES:
            name, path = f"lr-{rate}", self._memory / f"{rate}.ledger"
            ledger = Ledger(path, calls_max)
            child = self._spawn(name, "train", name=name, ledger=str(path), rate=rate, steps_per_s=_STEPS_PER_S)
            self._workers.append(_Worker(child, ledger))
        for worker in self._workers:
            message = worker.child.receive(_START_S)
            worker.uuid = message["run"]
        self._output.event(f"server up at {self._environ['STEPLOG_URL']}, {len(_RATES)} workers train and log to it")
        return str(message["append"])

    def _kill_worker(self) -> None:
        worker = self._workers[_KILLED]
        worker.child.end(signal.SIGKILL)
        waiting = worker.ledger.returned - worker.stored
        self._output.event(f"worker {worker.child.name} killed (SIGKILL) with {waiting:,} calls of its own waiting")

    def _finish(self) -> None:
        killed = self._workers[_KILLED]
        living = [worker.child for worker in self._workers if worker is not killed]
        for child in living:
            child.order()
        self._output.event("the workers finish")
        for child in living:
            child.receive(_FINISH_S)
        self._watch(_FINISH_S, until=lambda: killed.stored >= killed.ledger.returned and killed.status != "RUNNING")
        for child in living:
            child.order()
        for child in living:
            child.end()
        self._server.end(signal.SIGTERM)

    def _watch(self, seconds: float, up: bool = True, until: Callable[[], bool] = lambda: False) -> None:
        """Show progress for ``seconds``, or until a condition holds."""
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0:
            for worker in self._workers:
                with contextlib.suppress(StoreError):  # the server writes or was just killed: keep what was seen
                    worker.status, worker.stored = self._database.run(worker.uuid)
            stored = sum(worker.stored for worker in self._workers)
            self._output.progress(up, stored, sum(worker.ledger.returned for worker in self._workers) - stored)
            time.sleep(min(left, _TICK_S))

    def _verify(self, marks: list[int]) -> dict[str, Any]:
        calls, total, runs, settled = [worker.ledger.calls() for worker in self._workers], Counts(), [], True
        for worker, logged in zip(self._workers, calls, strict=True):
            status, _ = self._database.run(worker.uuid)
            killed = worker is self._workers[_KILLED]
            counts = count(logged, self._database.fingerprints(worker.uuid))
            runs.append({"name": worker.child.name, "killed": killed, "status": status, **asdict(counts)})
            settled &= status == ("CRASHED" if killed else "COMPLETED")
            total += counts
        latencies = [latency(calls, *bounds) for bounds in itertools.pairwise(marks)]
        return {
            "good": total.good and settled,
            "log": dict(zip(_SHARES, latencies, strict=True)),
            "runs": runs,
            "total": asdict(total),
            "timer": _timer_ns(),
            "seconds": round(time.monotonic() - self._begin, 1),
        }


def _timer_ns() -> int:
    clock = time.perf_counter_ns
    return sorted(-(clock() - clock()) for _ in range(2001))[1000]  # the median


def _directory_in(shared: Path) -> Path | None:
    with contextlib.suppress(OSError):
        if shutil.disk_usage(shared).free >= _SHARED_BYTES_MIN:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shared))
    return None
