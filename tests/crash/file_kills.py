"""Programs that log and save files are killed at random, and so are the server and whoever delivers what they left.

The oracle: each file whose call had returned is at the server, once, with the bytes that its hash says; or the client
has counted it as dropped or lost. A kill *counts* when a call had returned whose file was not at the server yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from benchmarks import scratch
from polling import wait_until
from server.process import KEY, SOURCES, ServerProcess, lasting_port

VICTIM = Path(__file__).with_name("file_victim.py")
TESTS = Path(__file__).parents[1]
DEADLINE_S = 120.0
SYNC = """
import faulthandler, sys
import steplog
faulthandler.dump_traceback_later(60)
done = list(steplog.sync(progress=lambda one: print(one, file=sys.stderr)))
print(done, file=sys.stderr)
sys.exit(1 if [one for one in done if one.pending or one.files] else 0)
"""


@dataclass
class FileKills:
    """Episodes until there are ``kills`` that count."""

    kills: int
    seed: int
    victims: int = 3
    life_s: float = 1.5
    counted: int = 0
    others: int = 0
    servers: int = 0  # times that the server was killed
    calls: int = 0
    in_flight: int = 0
    bytes: int = 0
    dropped: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    amiss: list[str] = field(default_factory=list)

    def run(self, directory: Path, say: bool = False) -> None:
        """Have them all."""
        source, number = random.Random(self.seed), 0
        with _Server(directory) as server:
            while self.counted < self.kills and len(self.amiss) <= 20:
                number += 1
                _Episode(self, server, random.Random(source.random()), f"files{number}").run()
                if say:
                    print(f"{self.counted} kills, {len(self.amiss)} amiss", file=sys.stderr, flush=True)

    def summary(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "kills": self.counted,
            "kills_not_counted": self.others,
            "servers_killed": self.servers,
            "calls": self.calls,
            "bytes": self.bytes,
            "excluded": self.in_flight,
            "dropped": self.dropped,
            "lost": self.lost,
            "twice": self.twice,
            "wrong": self.wrong,
            "other": len(self.amiss) - self.lost - self.twice - self.wrong,
        }


class _Server:
    """A server on a port that stays, which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._arguments = directory, "--user", "team", "--port", str(lasting_port())
        self._lock = threading.Lock()
        self.process = ServerProcess(*self._arguments)
        self.url = self.process.url

    def kill(self) -> None:
        """Kill it, and start another one."""
        with self._lock:
            self.process.process.kill()
            self.process.process.communicate()
            self.process.start()

    def get(self, path: str) -> requests.Response:
        """Ask it, also while it is started again."""
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                return self.process.ask("GET", path)
            except requests.ConnectionError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.1)

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.__exit__(None, None, None)


class _Episode:
    """A machine of its own, with some victims."""

    def __init__(self, series: FileKills, server: _Server, source: random.Random, project: str) -> None:
        self._series, self._server, self._source, self._project = series, server, source, project
        self._directory = scratch.make("files")
        self._memory = scratch.make("files", scratch.SHARED)
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(("STEPLOG_", "TELLURIO_"))} | {
            "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}",
            "STEPLOG_DIR": str(self._directory / "state"),
            "STEPLOG_MEMORY_DIR": str(self._memory / "root"),
            "STEPLOG_URL": server.url,
            "STEPLOG_API_KEY": KEY,
            "PROJECT": project,
        }

    def run(self) -> None:
        """Kill, deliver, compare."""
        try:
            self._log_and_kill()
            for _ in range(self._source.choice((0, 1, 2))):
                self._deliver_and_kill()
            self._deliver()
            self._compare()
        finally:
            scratch.remove(self._directory)
            scratch.remove(self._memory)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._directory / "errors").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, *arguments], env=self._environment, stdout=subprocess.DEVNULL, stderr=errors
            )

    def _ledgers(self) -> list[Path]:
        return [self._directory / f"run{number}.ledger" for number in range(self._series.victims)]

    def _log_and_kill(self) -> None:
        processes = []
        for ledger in self._ledgers():
            seed = str(self._source.randrange(2**32))
            processes.append(self._start(str(VICTIM), str(ledger), ledger.stem, seed))
        wait_until(lambda: all(ledger.exists() and ledger.read_text() for ledger in self._ledgers()), DEADLINE_S)
        moments = sorted((self._source.uniform(0.05, self._series.life_s), process) for process in processes)
        kills_server = self._source.random() < 0.4
        begun = time.monotonic()
        if kills_server:
            time.sleep(self._source.uniform(0.0, self._series.life_s / 2))
            self._server.kill()
            self._series.servers += 1
        for moment, process in moments:
            time.sleep(max(0.0, begun + moment - time.monotonic()))
            self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            self._amiss(f"a process ended by itself with {process.returncode}: {self._said()}")
        process.send_signal(signal.SIGKILL)
        process.wait()
        returned, there = self._returned(), set()
        for run in self._runs():
            rows = self._files(run) + self._files_of_artifacts(run)
            there |= {row["sha256"] for row in rows if row["present"]}
        if set(returned) - there:
            self._series.counted += 1
        else:
            self._series.others += 1

    def _deliver_and_kill(self) -> None:
        process = self._start("-c", SYNC)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._source.uniform(0.3, 2.0))
        if self._source.random() < 0.3:
            self._server.kill()
            self._series.servers += 1
        if process.poll() is None:
            self._kill(process)

    def _deliver(self) -> None:
        end = time.monotonic() + DEADLINE_S
        process = self._start("-c", SYNC)
        while process.poll() is None or process.returncode:
            if time.monotonic() > end:
                process.kill()
                process.wait()
                left = [str(path) for root in (self._directory, self._memory) for path in root.rglob("*")]
                self._amiss(f"not delivered in time: {self._said()} {left}")
                return
            if process.poll() is not None:
                process = self._start("-c", SYNC)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)

    def _returned(self) -> Counter[str]:
        found = Counter[str]()
        for ledger in self._ledgers():
            found.update(line.split()[1] for line in _lines(ledger) if line.startswith("done "))
        return found

    def _begun(self) -> set[str]:
        return {line.split()[1] for ledger in self._ledgers() for line in _lines(ledger) if line.startswith("begun ")}

    def _runs(self) -> list[dict[str, Any]]:
        answer = self._server.get(f"/team/projects/{self._project}/runs/")
        found: list[dict[str, Any]] = answer.json() if answer.status_code == 200 else []
        return found

    def _files(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        path = f"/team/projects/{self._project}/runs/{run['uuid']}/files/"
        found: list[dict[str, Any]] = []
        while True:
            after = f"&after={found[-1]['id']}" if found else ""
            page = self._server.get(f"{path}?limit=1000{after}").json()
            found += page
            if len(page) < 1000:
                return found

    def _files_of_artifacts(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        project = f"/team/projects/{self._project}/artifacts/"
        found: list[dict[str, Any]] = []
        for row in self._server.get(f"{project}?run={run['uuid']}").json():
            found += self._server.get(f"{project}{row['name']}/v{row['version']}/").json()["files"]
        return found

    def _compare(self) -> None:
        series, returned, begun = self._series, self._returned(), self._begun()
        series.calls += sum(returned.values())
        series.in_flight += len(begun) - len(returned)
        rows: list[dict[str, Any]] = []
        counted = 0
        for run in self._runs():
            rows += self._files(run) + self._files_of_artifacts(run)
            report = run.get("report") or {}
            counted += report.get("dropped", {}).get("files full", 0) + (report.get("files_lost") or 0)
            if run.get("files_pending"):
                self._amiss(f"{run['name']}: {run['files_pending']} files are said to be pending")
        times = Counter(row["sha256"] for row in rows)
        for sha256 in {row["sha256"] for row in rows if row["present"]}:
            answer = self._server.get(f"/team/projects/{self._project}/blobs/{sha256}")
            series.bytes += len(answer.content)
            if sha256 not in begun or hashlib.sha256(answer.content).hexdigest() != sha256:
                series.wrong += 1
                self._amiss(f"a content is not what was logged: {sha256}")
        present = {row["sha256"] for row in rows if row["present"]}
        missing = [sha256 for sha256 in returned if sha256 not in present]
        series.dropped += min(counted, len(missing))
        for sha256 in missing[counted:]:
            series.lost += 1
            self._amiss(f"a file is missing: {sha256}")
        for sha256, count in times.items():
            if count > 1:
                series.twice += 1
                self._amiss(f"a file is there {count} times: {sha256}")

    def _amiss(self, words: str) -> None:
        self._series.amiss.append(f"{self._project}, seed {self._series.seed}: {words}")

    def _said(self) -> str:
        return (self._directory / "errors").read_text("utf-8", "replace")[-8000:]


def _lines(ledger: Path) -> list[str]:
    """The whole lines; the last one may be cut off by the kill."""
    return ledger.read_text().split("\n")[:-1] if ledger.exists() else []
