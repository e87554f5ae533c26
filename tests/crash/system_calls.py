"""Kills at each system call of a small run: strace kills the process when one of its threads comes to the n-th call.

The run has everything in it: new names, large values, several segments, a spool while the server is down, delivery of
the spool, its removal, the end. Calls that wait or that the interpreter makes by itself (futex, sleeps, brk) are left
out.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from crash.calls import totals
from crash.episode import DEADLINE_S, Episode, Outcome, Victim
from crash.network import Network
from polling import wait_until
from server.process import ServerProcess

CALLS = [
    *("write", "writev", "pwrite64", "read", "pread64", "openat", "close", "mmap", "munmap", "ftruncate", "fallocate"),
    *(
        "fdatasync",
        "fsync",
        "rename",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
        "mkdir",
        "flock",
        "newfstatat",
        "fstat",
    ),
    *("lseek", "statfs", "getdents64", "chmod", "fchmod", "fcntl", "ioctl", "socket", "connect", "sendto", "recvfrom"),
    *("setsockopt", "getsockopt", "poll", "access", "readlink"),
]
ATTACH_S = 10.0
BATCH = 5  # runs on one machine: what the dead leave in memory is small beside what there may be


def why_not() -> str | None:
    """Why strace cannot be used here, if it cannot."""
    try:
        done = subprocess.run(
            ["strace", "-f", "-e", "inject=getppid:signal=USR1:when=9", "true"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "there is no strace here"
    return None if done.returncode == 0 else f"strace does not work here: {done.stderr.strip()[:100]}"


class SmallRuns(Episode):
    """Small runs of one machine, each killed at one call, all of them recovered in the end."""

    def count(self) -> list[tuple[str, int]]:
        """Every (call, number) that such a run comes to."""
        with self._networked() as network:
            trace = self._directory / "trace"
            self._one(network, "counted", ["-o", str(trace)])
            counts: Counter[tuple[str, str]] = Counter()
            for line in trace.read_text().splitlines():
                if match := re.match(r"(\d+) +(\w+)\(", line):
                    counts[match[1], match[2]] += 1
            most: dict[str, int] = {}
            for (_, call), number in counts.items():
                most[call] = max(most.get(call, 0), number)
            self._recover(network)
            self._compare()
        return [(call, number) for call in sorted(most) for number in range(1, most[call] + 1)]

    def kill_at(self, roots: list[tuple[str, int]]) -> int:
        """A run for each of these; how many were killed. A run that does not come so far ends as it does."""
        killed = 0
        with self._networked() as network:
            for index, (call, number) in enumerate(roots):
                victim = self._one(network, f"run{index}", ["-e", f"inject={call}:signal=KILL:when={number}"])
                killed += victim.exit_status() == -signal.SIGKILL
                victim.end()
                if self.source.random() < 0.1:
                    self._recover_and_kill(network)
            self._recover(network)
            self._compare()
        return killed

    def _one(self, network: Network, name: str, options: list[str]) -> Victim:
        network.state = "up"
        victim = self._start(network, "small", name, None)
        if not victim.read():
            raise AssertionError(f"it does not start: {self._said(victim)}")
        with self._traced(victim, options):
            network.state = "down"
            victim.go_on()
            if victim.line() == "spooled":
                network.state = "up"
                victim.go_on()
                victim.line()
            if not victim.wait(DEADLINE_S):
                self.outcome.wrong.append(f"{name} {options} hangs: {self._said(victim)}")
                victim.kill()
        return victim

    @contextlib.contextmanager
    def _traced(self, victim: Victim, options: list[str]) -> Iterator[None]:
        said = self._directory / f"{victim.name}.strace"
        with open(said, "w") as errors:
            tracer = subprocess.Popen(
                ["strace", "-f", "-qqq", "-e", f"trace={','.join(CALLS)}", *options, "-p", str(victim.process.pid)],
                stderr=errors if "-o" not in options else subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
        try:
            self._wait_until_traced(victim.process.pid)
            yield
        finally:
            if tracer.poll() is None:
                tracer.terminate()
            tracer.wait()
            if "-o" not in options:
                said.unlink()

    @staticmethod
    def _wait_until_traced(pid: int) -> None:
        def traced() -> bool:
            try:
                threads = [Path(f"/proc/{pid}/task/{thread}/status") for thread in os.listdir(f"/proc/{pid}/task")]
                told = [status.read_text() for status in threads]
            except FileNotFoundError:  # a thread that has ended; or all of them, killed already
                return False
            return all("TracerPid:\t0\n" not in text or "State:\tZ" in text for text in told)

        wait_until(traced, ATTACH_S, lambda: "strace does not attach")


def sample(roots: list[tuple[str, int]], count: int, source: random.Random) -> list[tuple[str, int]]:
    """Some of them, of as many calls as possible."""
    calls = source.sample(sorted({call for call, _ in roots}), k=min(count, len({call for call, _ in roots})))
    return [source.choice([paths for paths in roots if paths[0] == call]) for call in calls]


def kill_at_all(
    server: ServerProcess, seed: int, jobs: int = 2, say: bool = False, keep: Path | None = None
) -> dict[str, Any]:
    """A kill at each call of a small run; the numbers."""
    roots = SmallRuns(server, random.Random(seed)).count()
    batches = [roots[start : start + BATCH] for start in range(0, len(roots), BATCH)]
    done: list[tuple[int, Outcome]] = []

    def work(number: int) -> None:
        runs = SmallRuns(server, random.Random(f"{seed}/{number}"), keep=keep)
        done.append((runs.kill_at(batches[number]), runs.outcome))
        if say:
            print(f"{sum(killed for killed, _ in done)} of {len(roots)}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, range(len(batches))))
    verdicts = [verdict for _, outcome in done for verdict in outcome.verdicts]
    amiss = [text for _, outcome in done for text in outcome.wrong]
    return {
        "calls_of_the_run": len(roots),
        "by_call": dict(Counter(call for call, _ in roots)),
        "kills": sum(killed for killed, _ in done),
        "calls": sum(verdict.returned for verdict in verdicts),
        "excluded": sum(verdict.excluded for verdict in verdicts),
        **totals(verdicts),
        "other": len(amiss) - sum(not verdict.good for verdict in verdicts),
        "amiss": amiss,
    }
