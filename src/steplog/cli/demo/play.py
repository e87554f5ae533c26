"""The demo's play: a server goes away and comes back, a worker is killed, and everything is there at the end.

::

    before           the server is up, the workers train
    during           the server has got a SIGKILL; so does one worker, half-way
    after            the server is back, on the same database and port
    the end          the workers finish; the killed one's run is adopted by another one's agent
    counted          in the database, when the server has stopped

Whatever happens, ``Play`` ends the processes that it started and removes the directories that it made.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from steplog.cli.demo.counting import Database, Outcome, RunOutcome, count, latency
from steplog.cli.demo.ledger import Ledger
from steplog.cli.demo.processes import Child, ChildError, environment
from steplog.cli.demo.room import Room
from steplog.errors import ConfigurationError

__all__ = ["Play", "Seen"]

_LEARNING_RATES = (0.5, 0.1, 0.02)
_KILLED = 1  # which of them
_STEPS_PER_S = 660
_CALLS_PER_STEP = 5.1  # at most
_SHARES = (0.34, 0.28, 0.38)  # of the time: before, during, after
_TICK_S = 0.1
_START_S = 30.0
_FINISH_S = 45.0


@dataclass
class _Worker:
    name: str
    child: Child
    ledger: Ledger
    uuid: str = ""
    killed: bool = False
    stored: int = 0


@dataclass(frozen=True)
class Seen:
    """What there is to show at a moment."""

    up: bool
    logged: int
    stored: int
    losses: list[float | None] = field(default_factory=list)  # None: that worker is killed

    @property
    def waiting(self) -> int:
        """Calls that have returned and are not in the database."""
        return max(0, self.logged - self.stored)


class Play:
    """One performance, of so many ``seconds`` of training. Use it as a context; ``keep`` leaves its directory.

    ``say`` is told what happens, in a line; ``show`` how things are, ten times a second.
    """

    def __init__(self, seconds: float, keep: bool, say: Callable[[str], None], show: Callable[[Seen], None]) -> None:
        self._seconds = seconds
        self._keep = keep
        self._say, self._show = say, show
        self._begin = time.monotonic()
        self._workers: list[_Worker] = []
        self._server: Child | None = None
        self._port = 0
        self._up = False
        self._waited = 0  # at most, while the server was away
        self._reading: Database | None = None
        self._append = ""
        self.room = Room()
        self._variables = environment(
            STEPLOG_DIR=str(self.room.home / "state"),
            STEPLOG_MEMORY_DIR=str(self.room.memory / "journals"),
            STEPLOG_QUIET="1",
            NO_PROXY="127.0.0.1",
        ) | dict.fromkeys(("STEPLOG_API_KEY", "STEPLOG_SERVE_API_KEY"), secrets.token_urlsafe(24))

    def __enter__(self) -> Play:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in [worker.child for worker in self._workers] + [self._server]:
            if child is not None:
                child.kill()
        for worker in self._workers:
            worker.ledger.close()
        self._look_away()
        self.room.clear(self._keep)

    # -- the acts -------------------------------------------------------------------------------------------------

    def perform(self) -> Outcome:
        """All of it.

        Raises ChildError where a process does not do its part, ConfigurationError where there is no room.
        """
        before, during, after = (share * self._seconds for share in _SHARES)
        if not self.room.has_shared_memory:
            self._say(f"little shared memory here: the demo's journals are files in {self.room.home}")
        url = self._serve()
        self._hire()
        self._say(f"server up at {url}, {len(self._workers)} workers train and log to it")
        began = time.perf_counter_ns()
        self._watch(before)
        down = time.perf_counter_ns()
        if self._server is not None:
            self._server.kill()
        self._up = False
        self._say("server killed (SIGKILL)")
        self._watch(during / 2)
        self._kill()
        self._watch(during / 2)
        self._serve()
        up = time.perf_counter_ns()
        waited = self._waited
        returned = [worker.ledger.returned for worker in self._workers]
        self._say(f"server up again; {waited:,} calls waited for it")
        begin = time.monotonic()
        if self._watch(after, lambda: self._delivered(returned)):
            self._say("all that waited is in the database")
        self._watch(after - (time.monotonic() - begin))
        ended = time.perf_counter_ns()
        self._finish()
        return self._count({"before": (began, down), "during": (down, up), "after": (up, ended)}, waited)

    def _serve(self) -> str:
        given = {"port": self._port, "database": str(self.room.database)}
        self._server = Child("server", "server", given, self.room.home, self._variables)
        url: str = self._said([self._server], _START_S)[0]["url"]
        self._port = int(url.rpartition(":")[2])
        self._variables["STEPLOG_URL"] = url
        self._up = True
        return url

    def _hire(self) -> None:
        calls_max = int(_STEPS_PER_S * _CALLS_PER_STEP * (self._seconds + _START_S))
        for number, rate in enumerate(_LEARNING_RATES):
            name = f"lr-{rate}"
            ledger = self.room.memory / f"{name}.ledger"
            try:
                opened = Ledger(ledger, calls_max)
            except OSError as error:
                raise ConfigurationError(
                    f"no room for the demo in {self.room.memory}: {error.strerror}; set TMPDIR"
                ) from None
            given: dict[str, Any] = {"name": name, "ledger": str(ledger), "seed": number}
            given |= {"learning_rate": rate, "steps_per_s": _STEPS_PER_S}
            child = Child(f"worker {name}", "worker", given, self.room.home, self._variables)
            self._workers.append(_Worker(name, child, opened))
        told = self._said([worker.child for worker in self._workers], _START_S)
        for worker, said in zip(self._workers, told, strict=True):
            worker.uuid, self._append = said["run"], said["append"]

    def _kill(self) -> None:
        worker = self._workers[_KILLED]
        worker.killed = True
        worker.child.kill()
        waiting = worker.ledger.returned - self._stored(worker)
        self._say(f"worker {worker.name} killed (SIGKILL) with {waiting:,} calls of its own waiting")

    def _finish(self) -> None:
        for worker in self._workers:
            worker.ledger.stop()
        self._say("the workers finish")
        living = [worker.child for worker in self._workers if not worker.killed]
        for child, said in zip(living, self._said(living, _FINISH_S), strict=True):
            if said["pending"] or said["dropped"]:
                self._say(f"{child.name}: {said['pending']:,} not delivered in time, {said['dropped']} dropped")
        # The finished workers' agents go on with the run that one of them has adopted.
        self._watch(_FINISH_S, self._adopted)
        for child in living:
            child.release()
        for child in living:
            child.end()
        self._look_away()  # so that the server leaves one file
        if self._server is not None:
            self._server.end(signal.SIGTERM)

    def _count(self, phases: dict[str, tuple[int, int]], waited: int) -> Outcome:
        ledgers = [worker.ledger.calls() for worker in self._workers]
        database = Database(self.room.database)
        try:
            runs = []
            for worker, calls in zip(self._workers, ledgers, strict=True):
                run = database.run(worker.uuid)
                status = run.status if run is not None else "MISSING"
                runs.append(RunOutcome(worker.name, worker.killed, status, count(calls, database, worker.uuid)))
        finally:
            database.close()
        return Outcome(
            runs,
            {name: latency(ledgers, *bounds) for name, bounds in phases.items()},
            max(worker.ledger.timer for worker in self._workers),
            self._append,
            waited,
            time.monotonic() - self._begin,
        )

    # -- watching -------------------------------------------------------------------------------------------------

    def _watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Show what is, for so long, or until it is so; whether it was."""
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._show(self._look())
            time.sleep(min(left, _TICK_S))
        return True

    def _said(self, children: list[Child], timeout_s: float) -> list[dict[str, Any]]:
        """What each of them says next. Raises ChildError where one says nothing."""
        heard: dict[Child, dict[str, Any]] = {}

        def all_heard() -> bool:
            for child in children:
                if child not in heard and (said := child.said()) is not None:
                    heard[child] = said
            return len(heard) == len(children)

        if not self._watch(timeout_s, all_heard):
            silent = next(child for child in children if child not in heard)
            raise ChildError(f"the demo's {silent.name} has said nothing for {timeout_s:.0f} s")
        return [heard[child] for child in children]

    def _look(self) -> Seen:
        seen = Seen(
            self._up,
            sum(worker.ledger.returned for worker in self._workers),
            sum(self._stored(worker) for worker in self._workers),
            [None if worker.killed else worker.ledger.shown[1] for worker in self._workers],
        )
        if not self._up:
            self._waited = max(self._waited, seen.waiting)
        return seen

    def _stored(self, worker: _Worker) -> int:
        """How many of its records are in the database by now."""
        # The server may be writing, or just have been killed: then what was seen last has to do.
        with contextlib.suppress(sqlite3.Error):
            if self._reading is None:
                self._reading = Database(self.room.database)
            run = self._reading.run(worker.uuid)
            worker.stored = self._reading.points(run) if run is not None else 0
        return worker.stored

    def _look_away(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _delivered(self, numbers: list[int]) -> bool:
        """Whether each worker has at least so many records in the database."""
        return all(self._stored(worker) >= number for worker, number in zip(self._workers, numbers, strict=True))

    def _adopted(self) -> bool:
        """Whether the killed worker's run has all of its records, and its status."""
        worker = self._workers[_KILLED]
        if self._stored(worker) < worker.ledger.returned or self._reading is None:
            return False
        run = self._reading.run(worker.uuid)
        return run is not None and run.status != "RUNNING"
