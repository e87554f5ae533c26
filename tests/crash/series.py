"""A series of episodes: steered so that each cell gets its share, added up, printed, and written down."""

from __future__ import annotations

import json
import platform
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.machine import kernel, processor

from crash.calls import Verdict, totals
from crash.episode import Episode, Kill, Outcome
from crash.network import STATES
from server.process import ServerProcess
from steplog.journal import range as ranges
from steplog.journal import segment

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.jsonl")
PHASES = ["append", "rotation", "spool", "evict", "ack", "recovery"]
SHARE_MIN = 1 / 20


@dataclass
class Series:
    """Kills until there are ``kills`` that count; episode ``n`` draws from ``seed`` and ``n``."""

    kills: int
    seed: int
    jobs: int = 2
    life_s: float = 1.2
    keep: Path | None = None
    machine: Callable[[Path], dict[str, str]] | None = None  # see Episode
    done: list[Kill] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    episodes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, directory: Path, say: bool = False) -> None:
        """Have them all, over one server in ``directory``."""
        places = {} if self.machine is None else self.machine(directory / "home")
        under = ("env", *(f"{name}={value}" for name, value in places.items())) if places else ()
        with (
            ServerProcess(directory, "--user", "team", "--allow-host", "127.0.0.1", under=under) as server,
            ThreadPoolExecutor(self.jobs) as pool,
        ):
            for work in [pool.submit(self._work, server, say) for _ in range(self.jobs)]:
                work.result()

    def _work(self, server: ServerProcess, say: bool) -> None:
        while (plan := self._next()) is not None:
            number, state, phases = plan
            source = random.Random(f"{self.seed}/{number}")
            episode = Episode(server, source, self.life_s, self.keep, machine=self.machine)
            self._add(number, episode.run(state, phases))
            if say:
                print(f"{len(self.counted)} kills, {len(self.wrong)} wrong", file=sys.stderr, flush=True)

    def _next(self) -> tuple[int, str, list[str | None]] | None:
        with self._lock:
            if len(self.counted) >= self.kills or len(self.wrong) > 20:
                return None
            number, self.episodes = self.episodes, self.episodes + 1
            state = STATES[number % len(STATES)]
            # To the phases that have had the fewest, and what is left to chance beside them.
            counts = Counter(kill.phase for kill in self.counted)
            there = [phase for phase in PHASES[:-1] if state != "down" or phase != "ack"]
            return number, state, [*sorted(there, key=lambda phase: counts[phase])[:2], None]

    def _add(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            self.done += outcome.kills
            self.verdicts += outcome.verdicts
            self.wrong += [f"seed {self.seed}, episode {number}: {text}" for text in outcome.wrong]

    @property
    def counted(self) -> list[Kill]:
        """The kills that count."""
        return [kill for kill in self.done if kill.counts]

    # -- what it came to --------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """The numbers."""
        counted = self.counted
        return {
            "kills": len(counted),
            "kills_not_counted": len(self.done) - len(counted),
            "steered": sum(kill.steered for kill in counted),
            "runs": len(self.verdicts),
            "calls": sum(verdict.returned for verdict in self.verdicts),
            "in_flight": sum(verdict.in_flight for verdict in self.verdicts),
            "excluded": sum(verdict.excluded for verdict in self.verdicts),
            **totals(self.verdicts),
            "other": len(self.wrong) - sum(not verdict.good for verdict in self.verdicts),
            "by_state": dict(Counter(kill.state for kill in counted)),
            "by_phase": dict(Counter(kill.phase for kill in counted)),
        }

    def table(self) -> str:
        """Kills by server state and by what was interrupted."""
        cells = Counter((kill.state, kill.phase) for kill in self.counted)
        lines = ["interrupted   " + "".join(f"{state:>10}" for state in [*STATES, "all"])]
        for phase in [*PHASES, "between"]:
            row = [cells[state, phase] for state in STATES]
            lines.append(f"{phase:14}" + "".join(f"{count:10}" for count in [*row, sum(row)]))
        return "\n".join(lines)

    def thin(self) -> list[str]:
        """States and phases with less than their share of the kills."""
        counted = self.counted
        found = Counter(kill.state for kill in counted) + Counter(kill.phase for kill in counted)
        return [cell for cell in [*STATES, *PHASES] if found[cell] < len(counted) * SHARE_MIN]


def circumstances(directory: Path) -> dict[str, Any]:
    """What a figure is worth nothing without."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=False).stdout
    from steplog.journal.compiled import _built

    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit + ("+" if changed.strip() else ""),
        "format": {"segment": segment.VERSION, "range": ranges.VERSION},
        "append": ["pure", "c"] if _built else ["pure"],
        "machine": processor(),
        "kernel": kernel(platform.release()),
        "file_system": _file_system(directory),
        "python": platform.python_version(),
    }


def write_down(kind: str, seed: int, summary: dict[str, Any], directory: Path, seconds: float) -> None:
    """Append a line to the results that are kept."""
    line = {"kind": kind, **circumstances(directory), "seed": seed, "seconds": round(seconds), **summary}
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _file_system(directory: Path) -> str:
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, at, kind, *_ = line.split()
        if str(directory).startswith(at) and len(at) >= len(best[0]):
            best = (at, kind)
    return best[1]
