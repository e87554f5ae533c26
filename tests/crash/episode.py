"""One episode: victims log and are killed, recoveries are killed, the last one is not; then the server is asked.

The victims of an episode run side by side on one machine (one spool, one shared memory), so that whoever lives longer
adopts what the first one leaves, and is killed over it. A kill *counts* when a call had returned and a record of the
episode was not on the server yet.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import scratch
from crash.calls import Verdict, compare
from crash.ledger import Ledger
from crash.network import STATES, Network
from polling import wait_until
from server.process import KEY, SOURCES, ServerProcess

DEADLINE_S = 60.0
ENDED = ("CRASHED", "COMPLETED")
TESTS = Path(__file__).parents[1]
VICTIM = Path(__file__).with_name("victim.py")
PHASE_ORDER = ["rotation", "evict", "ack", "spool", "append"]  # the rarest first: what a kill is counted as
OPCODES = {"append": 150, "rotation": 1500, "spool": 400, "evict": 120, "ack": 900, "recovery": 4000}
ENTRIES = {"append": 600, "rotation": 6, "spool": 6, "evict": 12, "ack": 6, "recovery": 4}
FORKS = 0.3  # of the victims that are not steered
_numbers = count(1)


@dataclass(frozen=True)
class Kill:
    """One kill: how the server was, what was interrupted, whether it counts, whether it was steered there."""

    state: str
    phase: str
    counts: bool
    steered: bool


@dataclass
class Outcome:
    """What an episode came to."""

    append: str = ""
    kills: list[Kill] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Victim:
    """A process that is to be killed, its ledger, and its run."""

    process: subprocess.Popen[str]
    ledger: Ledger
    name: str
    steered: bool
    ready: bool = False

    def read(self) -> bool:
        """Whether it gets as far as having its run."""
        self.ready = self.line() == "ready"
        return self.ready

    def line(self) -> str:
        """What it prints next; nothing when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Give it the line that it waits for."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ends in time. It is not reaped yet: while it is there, its group is nobody else's."""
        try:
            wait_until(lambda: self.exit_status() is not None, timeout_s)
        except AssertionError:
            return False
        return True

    def exit_status(self) -> int | None:
        """What it ended with, the number of a signal negative; None while it lives."""
        if self.process.returncode is not None:
            return self.process.returncode
        found = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return -found.si_status if found.si_code in (os.CLD_KILLED, os.CLD_DUMPED) else found.si_status

    def kill(self) -> None:
        """End the process, though not its children."""
        if self.exit_status() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.wait(DEADLINE_S)

    def end(self) -> None:
        """End the process and its children, and reap it."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


class Episode:
    """A machine of its own, for as long as the episode takes. What is wrong in the end is copied to ``keep``."""

    def __init__(
        self,
        server: ServerProcess,
        source: random.Random,
        life_s: float = 1.2,
        keep: Path | None = None,
        plant: str | None = None,
        forks: float = FORKS,
        machine: Callable[[Path], dict[str, str]] | None = None,
    ) -> None:
        """``machine``: what its programs have in their environment that tells them which system they are on."""
        self.server = server
        self.source = source
        self.outcome = Outcome()
        self.project = f"crash{next(_numbers)}"
        self._life_s = life_s
        self._keep = keep
        self._plant = plant
        self._forks = forks
        self._machine = machine
        self._directory = scratch.make("crash")
        self._memory = scratch.make("crash", scratch.SHARED)
        self._started: list[Victim] = []
        self._uuids: dict[str, str] = {}

    def run(self, state: str, phases: list[str | None]) -> Outcome:
        """``phases`` are those to steer to, a victim each; None: a random moment."""
        with self._networked() as network:
            self._log_and_kill(network, state, phases)
            for _ in range(self.source.choice((0, 0, 1, 2))):
                self._recover_and_kill(network)
            self._recover(network)
            self._compare()
        return self.outcome

    def _clean(self) -> None:
        for victim in self._started:
            victim.end()
        if self.outcome.wrong and self._keep is not None:
            for directory in (self._directory, self._memory):
                shutil.copytree(directory, self._keep / self.project / directory.parent.name)
        scratch.remove(self._directory)
        scratch.remove(self._memory)

    @contextlib.contextmanager
    def _networked(self) -> Iterator[Network]:
        try:
            with Network(int(self.server.url.rpartition(":")[2]), self.source) as network:
                yield network
        finally:
            self._clean()

    # -- processes --------------------------------------------------------------------------------------------------

    def _environment(self, network: Network) -> dict[str, str]:
        places = {
            "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}",
            "STEPLOG_DIR": str(self._directory / "state"),
            "STEPLOG_MEMORY_DIR": str(self._memory / "root"),
        }
        if self._machine is not None:
            places = self._machine(self._directory / "home")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("STEPLOG_", "TELLURIO_"))}
        return (
            kept
            | places
            | {
                "STEPLOG_MEMORY_BYTES_MAX": str(4 * 1024 * 1024),
                "STEPLOG_SPOOL_INTERVAL_S": "0.15",
                "STEPLOG_BATCH_AGE_S": "0.1",
                "STEPLOG_URL": network.url,
                "STEPLOG_API_KEY": KEY,
                "STEPLOG_PURE": self.source.choice("01"),
                "PROJECT": self.project,
            }
        )

    def _start(self, network: Network, kind: str, name: str, phase: str | None) -> Victim:
        path = self._directory / f"{name}.ledger"
        ledger = Ledger(path)
        steering: list[str] = []
        if phase is not None:
            entries, opcodes = self.source.randint(1, ENTRIES[phase]), self.source.randint(1, OPCODES[phase])
            steering = [phase, str(entries), str(opcodes)]
        environment = self._environment(network)
        if kind == "log" and phase is None and self.source.random() < self._forks:
            environment["FORK"] = "1"
        if self._plant is not None:
            environment["PLANT"] = self._plant
        with open(self._directory / f"{name}.errors", "w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(VICTIM), kind, str(path), name, *steering],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        victim = Victim(process, ledger, name, phase is not None)
        self._started.append(victim)
        return victim

    def _log_and_kill(self, network: Network, state: str, phases: list[str | None]) -> None:
        victims = [self._start(network, "log", f"run{index}", phase) for index, phase in enumerate(phases)]
        for victim in victims:
            if not victim.read():
                raise AssertionError(f"a victim does not start: {self._said(victim)}")
        network.state = state
        began = time.monotonic()
        for victim in victims:
            victim.go_on()
        moments = [self.source.uniform(0.05, self._life_s) * (4 if phase else 1) for phase in phases]
        for moment, victim in sorted(zip(moments, victims, strict=True), key=lambda pair: pair[0]):
            victim.wait(began + moment - time.monotonic())
            victim.kill()
            self._count(victim, state)
            if self.source.random() < 0.5:
                victim.end()  # else a child outlives it for a while
        for victim in victims:
            victim.end()

    def _recover_and_kill(self, network: Network) -> None:
        network.state = "up"
        steered = self.source.random() < 0.5
        victim = self._start(network, "recover", f"recovery{len(self._started)}", "recovery" if steered else None)
        if not victim.read() and not steered:
            raise AssertionError(f"a recovery does not start: {self._said(victim)}")
        state = network.state = self.source.choice(STATES)
        victim.wait(self.source.uniform(0.0, 0.5) if not steered else 3.0)
        victim.kill()
        self._count(victim, state, recovers=True)

    def _recover(self, network: Network) -> None:
        """Have everything delivered."""
        network.state = "up"
        owned = {victim.name for victim in self._started if victim.ready}
        victim = self._start(network, "recover", "last", None)

        def recovered() -> bool:
            assert victim.exit_status() is None, "it has ended"
            return all(run["status"] in ENDED for run in self._runs() if run["name"] in owned)

        try:
            wait_until(recovered, DEADLINE_S)
        except AssertionError:
            self.outcome.wrong.append(f"not recovered in time: {self._runs()} {self._said(victim)}")
        victim.end()

    # -- looking ----------------------------------------------------------------------------------------------------

    def _runs(self) -> list[dict[str, Any]]:
        answer = self.server.ask("GET", f"/team/projects/{self.project}/runs/")
        found: list[dict[str, Any]] = answer.json()
        return found

    def _count(self, victim: Victim, state: str, recovers: bool = False) -> None:
        if victim.exit_status() != -signal.SIGKILL:
            self.outcome.wrong.append(f"{victim.name} ended by itself: {self._said(victim)}")
        inside = victim.ledger.phases()
        phase = next((phase for phase in PHASE_ORDER if phase in inside), "between")
        if recovers or "recovery" in inside:
            phase = "recovery"
        returned = sum(sum(other.ledger.calls()) for other in self._started)
        runs = [run for run in self._runs() if run["name"].startswith("run")]
        stored = sum(len(self._metrics(run["uuid"])) for run in runs) if returned else 0
        unsure = sum(len(found) for other in self._started for found in other.ledger.unsures())
        self.outcome.kills.append(Kill(state, phase, returned > 0 and stored < returned - unsure, victim.steered))

    def _metrics(self, uuid: str) -> list[Any]:
        answer = self.server.ask("GET", f"/team/projects/{self.project}/runs/{uuid}/metrics/")
        found: list[Any] = answer.json()
        return found

    def _compare(self) -> None:
        names = {victim.name: victim for victim in self._started}
        for run in self._runs():
            victim = names[run["name"]]
            stored = [(row["name"], row["value"], row["step"]) for row in self._metrics(run["uuid"])]
            verdict = compare(stored, victim.ledger.calls(), victim.ledger.unsures())
            self.outcome.verdicts.append(verdict)
            told = run["report"] or {"dropped": {}, "abandoned": 0, "lost": 0}
            missing = verdict.returned - (verdict.stored - verdict.in_flight)
            counted = sum(told["dropped"].values()) + told["abandoned"] + (told["lost"] or 0)
            if told["lost"] is not None and missing > counted:
                self.outcome.wrong.append(f"{run['name']}: {missing} calls are missing, and its report says {told}")
            if not verdict.good:
                self.outcome.wrong.append(f"{run['name']}: {verdict}")

    def _said(self, victim: Victim) -> str:
        return (self._directory / f"{victim.name}.errors").read_text()[-2000:]
