"""Compare the calls of ``log()`` with the records in the server's database.

A worker notes its calls in a ledger, a mapped file that outlives the process, of 64-bit words: the number of calls that
returned, then for each its fingerprint, start and duration (ns).

1. The fingerprint is stored before the call, the rest after it. So a killed worker leaves at most one call *in flight*,
   which may be in the database or not, and is neither lost nor wrong.
2. No worker logs the same fingerprint twice; where the server assigns the step, the value is unique.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from steplog.records.by_name import is_logged
from steplog.server.open_store import open_store
from steplog.server.store_types import RunRow

__all__ = ["NAMESPACE", "PROJECT", "Calls", "Counts", "Database", "Ledger", "count", "fingerprint", "latency"]

NAMESPACE = "demo"
PROJECT = "classifier"
_STEPLESS = frozenset(("examples", "summary"))  # logged without a step


def fingerprint(name: str, step: int | None, value: Any) -> int:
    """A 64-bit hash of a record; never 0."""
    text = json.dumps((name, None if name in _STEPLESS else step, value), sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


class Calls(NamedTuple):
    """One worker's calls that returned."""

    fingerprints: Sequence[int]
    starts: Sequence[int]
    durations: Sequence[int]
    in_flight: int  # the fingerprint of a call that may have returned, or 0


class Ledger:
    """One worker's calls. ``calls_max`` creates the file. Raises OSError."""

    def __init__(self, path: Path, calls_max: int | None = None) -> None:
        if calls_max is not None:  # zeros, not a hole: a full disk raises here and does not kill the worker later
            path.write_bytes(bytes(8 * (1 + 3 * (calls_max + 1))))
        with open(path, "r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self.calls_max = (len(self._words) - 1) // 3 - 1

    def timed(self, log: Callable[[str, Any, int | None], object]) -> Callable[[str, Any, int | None], None]:
        """Wrap ``log``. For one thread."""
        words, clock, returned = self._words, time.perf_counter_ns, 0

        def timed_log(name: str, value: Any, step: int | None = None) -> None:
            nonlocal returned
            entry = 1 + 3 * returned
            words[entry] = fingerprint(name, step, value)
            start = clock()
            log(name, value, step)
            words[entry + 2] = clock() - start
            words[entry + 1] = start
            returned += 1
            words[0] = returned

        return timed_log

    @property
    def returned(self) -> int:
        """How many calls have returned."""
        return self._words[0]

    def calls(self) -> Calls:
        """Read the calls that returned."""
        *words, in_flight = self._words[1 : 2 + 3 * self.returned].tolist()
        return Calls(words[0::3], words[1::3], words[2::3], in_flight)


class Database:
    """The server's database, also while the server runs. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._store = open_store(path, beside=True)

    def run(self, uuid: str) -> tuple[str, int]:
        """A run's status and number of records; of no such run, MISSING and 0."""
        run = self._run(uuid)
        return ("MISSING", 0) if run is None else (run.status, self._store.point_count(run))

    def fingerprints(self, uuid: str) -> Iterable[int]:
        """Of a run's records, except what steplog adds: a run of 15 s has load and memory of its machine, too."""
        run = self._run(uuid)
        for metric in [] if run is None else self._store.metrics(run, 0, self._store.point_count(run)):
            if is_logged(metric.name):
                value = metric.value if isinstance(metric.value, (int, float)) else json.loads(bytes(metric.value))
                yield fingerprint(metric.name, metric.step, value)

    def close(self) -> None:
        """Close it."""
        self._store.close()

    def _run(self, uuid: str) -> RunRow | None:
        return self._store.run(NAMESPACE, PROJECT, uuid)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the calls."""

    calls: int = 0  # that returned
    delivered: int = 0  # of these, in the database
    lost: int = 0  # of these, not in the database
    twice: int = 0  # records that are there once too often
    wrong: int = 0  # records that nobody logged

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def good(self) -> bool:
        """Whether each call is stored once and nothing else is."""
        return not (self.lost or self.twice or self.wrong)


def count(calls: Calls, stored: Iterable[int]) -> Counts:
    """Match calls with stored fingerprints. A changed value is lost and wrong."""
    found = Counter(stored)
    twice = found.pop(calls.in_flight, 1) - 1
    copies = [found.pop(each, 0) for each in calls.fingerprints]
    lost = copies.count(0)
    delivered = len(copies) - lost
    return Counts(len(copies), delivered, lost, twice + sum(copies) - delivered, wrong=sum(found.values()))


def latency(workers: Iterable[Calls], begin_ns: int, end_ns: int) -> dict[str, int]:
    """Of the calls that began in ``[begin_ns, end_ns)``, in ns, timer included."""
    pairs = (pair for calls in workers for pair in zip(calls.starts, calls.durations, strict=True))
    took = sorted(duration for start, duration in pairs if begin_ns <= start < end_ns)
    number, took = len(took), took or [0]
    return {"calls": number, "p50": took[number // 2], "p99": took[number * 99 // 100], "max": took[-1]}
