"""What became of the calls: ledgers on one side, the server's database on the other.

``count`` compares them record by record. A record of the ledger that the database lacks is *lost*; one that it holds
more than once is *twice*, by so many; one that no ledger knows is *wrong*. A changed value is therefore lost and
wrong. The call that was under way when a worker was killed may be there or not (see ``ledger``).
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steplog.cli.demo.child import NAMESPACE, PROJECT
from steplog.cli.demo.ledger import Calls, fingerprint
from steplog.server import catalog, reading
from steplog.server.store import Run

__all__ = ["Counted", "Database", "Latency", "Outcome", "RunOutcome", "count", "latency"]

_END = 1 << 62  # beyond every record, whatever the database says of their number


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the calls of one run, or of several."""

    calls: int = 0
    delivered: int = 0
    lost: int = 0
    twice: int = 0
    wrong: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def good(self) -> bool:
        """Whether the database holds what was logged, all of it, once."""
        return not (self.lost or self.twice or self.wrong)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took, in ns, the timer included."""

    calls: int
    p50: int
    p99: int
    max: int


@dataclass(frozen=True)
class RunOutcome:
    """How one run ended."""

    name: str
    killed: bool
    status: str
    counted: Counted


@dataclass(frozen=True)
class Outcome:
    """What the table shows. Times are in ns."""

    runs: list[RunOutcome]
    latencies: dict[str, Latency]  # before, during, after
    timer_ns: int
    append: str
    waited: int  # calls that waited when the server came back
    seconds: float

    @property
    def total(self) -> Counted:
        """All runs together."""
        return sum((run.counted for run in self.runs), Counted())

    @property
    def settled(self) -> bool:
        """Whether each run has the status that it should have."""
        return all(run.status == ("CRASHED" if run.killed else "COMPLETED") for run in self.runs)


class Database:
    """The server's database, read beside the server or after it; nothing is ever written. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)

    def run(self, uuid: str) -> Run | None:
        """The run of the demo with this uuid."""
        return catalog.run(self._connection, NAMESPACE, PROJECT, uuid)

    def points(self, run: Run) -> int:
        """How many records of a run there are."""
        return reading.count(self._connection, run.id)

    def fingerprints(self, run: Run) -> Iterable[int]:
        """Every record of a run, but what steplog itself has put there."""
        for metric in reading.metrics(self._connection, run.id, 0, _END):
            if not metric.name.startswith("steplog/"):
                yield fingerprint(metric.name, metric.step, _plain(metric.value))

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float)) else json.loads(bytes(value))


def count(calls: Calls, database: Database, uuid: str) -> Counted:
    """What became of the calls of the run with this uuid."""
    run = database.run(uuid)
    found = Counter(database.fingerprints(run)) if run is not None else Counter()
    extra = found.pop(calls.under_way, 1) - 1
    delivered = sum(1 for each in calls.fingerprints if each in found)
    twice = extra + sum(found[each] - 1 for each in calls.fingerprints if each in found)
    wrong = sum(found.values()) - delivered - (twice - extra)
    number = len(calls.fingerprints)
    return Counted(number, delivered, number - delivered, twice, wrong)


def latency(ledgers: Sequence[Calls], begin_ns: int, end_ns: int) -> Latency:
    """How long the calls took that began in ``[begin_ns, end_ns)``."""
    took: array[int] = array("Q")
    for calls in ledgers:
        chosen = (took for start, took in zip(calls.starts, calls.took, strict=True) if begin_ns <= start < end_ns)
        took.extend(chosen)
    ordered = sorted(took)
    number = len(ordered)
    if not number:
        return Latency(0, 0, 0, 0)
    return Latency(number, ordered[number // 2], ordered[min(number - 1, number * 99 // 100)], ordered[-1])
