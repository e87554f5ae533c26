"""Calls from four threads, a signal handler and forked children, compared with the database of a server of its own.

``python -m free_threading.load --calls 10000000`` says what is lost, there twice, and wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from steplog.server.sql import reading, slices
from steplog.server.sqlite.connection import SqliteConnection

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "src"
KEY = "a-key-of-the-tests"
THREADS = 4
PER_CHILD = 200
PENDING_MAX = 300_000  # that memory and disk hold without a drop
INTERVAL_S = (0.0005, 0.005)  # between two signals
CHILD_S = 30.0  # then a child hangs


def value_of(name: str, number: int) -> Any:
    """Most are numbers; some take the slow way."""
    if number % 1000 == 999:
        return f"{name}: {number}"
    if number % 101 == 100:
        return bool(number % 2)
    return number if number % 7 == 6 else number / 8


def end_of(pid: int) -> int | None:
    """The wait status of a child; None, and it is killed, if it hangs: CPython itself may, in its hooks of a fork."""
    ended = os.pidfd_open(pid)
    try:
        found, _, _ = select.select([ended], [], [], CHILD_S)
    finally:
        os.close(ended)
    if not found:
        os.kill(pid, signal.SIGKILL)
    end = os.waitpid(pid, 0)[1]
    return end if found else None


class Program:
    """What logs; its main thread is one of the four, and the one that signals interrupt."""

    def __init__(self, calls: int, children: int) -> None:
        import steplog

        self.run = steplog.init("team", "free-threading", "load")
        self.each, self.children = calls // THREADS, children
        self.handled = 0
        self.pids: list[int] = []
        self.over, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def log(self, name: str, number: int) -> None:
        self.run.log(name, value_of(name, number), number)

    def handle(self, *_: object) -> None:
        self.log("signals", self.handled)
        self.handled += 1
        if not self.over.is_set():
            signal.setitimer(signal.ITIMER_REAL, random.uniform(*INTERVAL_S))

    def work(self, thread: int) -> None:
        for number in range(self.each):
            if number % 2000 == 0:
                self.go_on.wait()
            self.log(f"thread {thread}", number)
            if thread == 0 and number % max(1, self.each // self.children) == 0 and len(self.pids) < self.children:
                self.fork()

    def fork(self) -> None:
        pid = os.fork()
        if pid:
            self.pids.append(pid)
            return
        name = f"child {len(self.pids)}"
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        for number in range(PER_CHILD):
            self.log(name, number)
        os._exit(0)

    def watch(self) -> None:
        while not self.over.wait(0.05):
            (self.go_on.set if self.run.stats().pending < PENDING_MAX else self.go_on.clear)()

    def main(self) -> dict[str, Any]:
        threads = [threading.Thread(target=self.work, args=(thread,)) for thread in range(1, THREADS)]
        threads.append(watch := threading.Thread(target=self.watch))
        signal.signal(signal.SIGALRM, self.handle)
        for thread in threads:
            thread.start()
        self.handle()
        begun = time.monotonic()
        self.work(0)
        for thread in threads:
            if thread is not watch:
                thread.join()
        seconds = time.monotonic() - begun
        self.over.set()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        ends = [end_of(pid) for pid in self.pids]
        stats, report = self.run.stats(), self.run.finish(timeout=600)
        return {
            "signals": self.handled,
            "children": len(ends),
            "ends": sorted({end for end in ends if end is not None}),
            "hung": [child for child, end in enumerate(ends) if end is None],
            "seconds": seconds,
            "append": stats.append,
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
            "dropped": dict(report.dropped),
            "pending": report.pending,
            "faults": report.faults,
        }


@dataclass
class Found:
    """What the database has, against what was logged."""

    lost: int = 0
    twice: int = 0
    wrong: int = 0
    next: dict[str, int] = field(default_factory=dict)
    early: dict[str, set[int]] = field(default_factory=dict)  # of signals, whose handlers may interrupt each other

    def take(self, name: str, value: Any, step: int) -> None:
        value = msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        expected = value_of(name, step)
        self.wrong += value != expected or type(value) is not type(expected)
        at, early = self.next.get(name, 0), self.early.setdefault(name, set())
        if step < at or step in early:
            self.twice += 1
        elif step > at:
            early.add(step)
        else:
            at += 1
            while at in early:
                early.remove(at)
                at += 1
            self.next[name] = at

    def end(self, logged: dict[str, int]) -> None:
        for name, calls in logged.items():
            self.lost += calls - self.next.get(name, 0) - len(self.early.get(name, ()))


def compared(database: Path, logged: dict[str, int]) -> Found:
    found = Found()
    with closing(
        sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10, factory=SqliteConnection)
    ) as connection:
        ((run, points),) = connection.execute(
            "SELECT r.id, g.arrivals FROM runs r JOIN progress g ON g.run = r.id"
        ).fetchall()
        for part in slices.metrics(lambda: reading.snapshot_of(connection), run, 0, points):
            for point in part:
                if point.name in logged:  # else it is steplog's own
                    found.take(point.name, point.value, point.step)
    found.end(logged)
    return found


@contextmanager
def served(directory: Path) -> Any:
    """A server, on this interpreter; its URL."""
    state = {"STEPLOG_DIR": str(directory / "server"), "STEPLOG_MEMORY_DIR": str(directory / "server-memory")}
    given = os.environ | state | {"STEPLOG_SERVE_API_KEY": KEY, "PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-m", "steplog", "serve", "--port", "0", "--user", "team"]
    process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("steplog serve: "), line
        yield line.split()[-1]  # it says a few lines more, which the pipe holds
    finally:
        process.terminate()
        process.communicate()


def measured(directory: Path, calls: int, children: int) -> dict[str, Any]:
    """One load against a server, and what became of it."""
    with served(directory) as url:
        given = {name: value for name, value in os.environ.items() if not name.startswith(("STEPLOG_", "TELLURIO_"))}
        given |= {
            "STEPLOG_DIR": str(directory / "state"),
            "STEPLOG_URL": url,
            "STEPLOG_API_KEY": KEY,
            "STEPLOG_QUIET": "1",
            "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}",
        }
        command = [sys.executable, "-m", "free_threading.load", "--program", str(calls), str(children)]
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=3600, check=False)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
    logged = {f"thread {thread}": calls // THREADS for thread in range(THREADS)} | {"signals": told["signals"]}
    logged |= {f"child {child}": PER_CHILD for child in range(told["children"]) if child not in told["hung"]}
    found = compared(directory / "server" / "server.db", logged)
    return told | {
        "calls": sum(logged.values()),
        "lost": found.lost,
        "twice": found.twice,
        "wrong": found.wrong,
        "said": done.stderr,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--children", type=int, default=20)
    parser.add_argument("--program", type=int, nargs=2, metavar=("CALLS", "CHILDREN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program is not None:
        print(json.dumps(Program(*arguments.program).main()))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        found = measured(Path(directory), arguments.calls, arguments.children)
    print(json.dumps(found))
    return 0 if (found["lost"], found["twice"], found["wrong"]) == (0, 0, 0) else 1


if __name__ == "__main__":
    sys.exit(main())
