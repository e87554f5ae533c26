"""Sampling: system metrics each ``interval_s``, of all runs that this process writes and sends. One thread.

Its own, since each file that is read gives the GIL away, and beside a busy thread that takes 5 ms: maintenance would
come late with segments. It starts with maintenance's first round, a second after a run was opened, and is idle without
a run that wants samples.

A process that delivers a run of others, as ``steplog sync`` or the next ``init`` do, samples nothing: the agent of a
run samples once a host. On the owner's host the names are ``system/NAME``, on others ``system/HOST/NAME``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from steplog.delivery.lease import Lease
from steplog.delivery.loop import Loop
from steplog.delivery.outbox import Outbox
from steplog.delivery.samples import Samples
from steplog.journal.directories import new_id

__all__ = ["PREFIX", "Sampling"]

PREFIX = "system/"


class _Runs(Protocol):
    """The agent, as sampling knows it; ``lock`` guards ``leases`` and their state."""

    leases: dict[Outbox, Lease]
    random: random.Random

    @property
    def lock(self) -> AbstractContextManager[object]: ...
    def delivers(self, lease: Lease) -> bool: ...


class Sampling:
    """``read`` gives the metrics since it was last called, nothing the first time; ``host`` is this one's name."""

    def __init__(
        self,
        runs: _Runs,
        interval_s: float,
        read: Callable[[], dict[str, float]],
        host: str,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._loop = Loop()
        self._runs = runs
        self._interval_s = interval_s
        self._read = read
        self._host = host
        self._wall_ns = wall_ns

    def start(self, fault: Callable[[str, BaseException], None]) -> None:
        """Start the thread, once. Where none can be started, as at the interpreter's end, nothing is sampled."""
        if not self._loop.started and self._wanting():
            with suppress(RuntimeError):
                self._loop.start(self.round, "steplog-system", fault)

    def round(self) -> None:
        """Sample once."""
        self._loop.rest(self._interval_s)
        if not self._wanting():
            return
        found, now_ns = self._read(), self._wall_ns()
        if not found:
            return
        for lease in self._wanting():
            owner_is_here = bool(lease.manifest.owner)
            prefix = PREFIX if owner_is_here else f"{PREFIX}{self._host}/"
            with self._runs.lock:
                if lease.outbox.samples is None:
                    lease.outbox.samples = Samples(self._runs.random, _new_writer)
                lease.outbox.samples.add(now_ns, {prefix + name: value for name, value in found.items()})

    def _wanting(self) -> list[Lease]:
        with self._runs.lock:
            leases = [lease for lease in self._runs.leases.values() if lease.own is not None and not lease.own.closed]
            return [lease for lease in leases if self._runs.delivers(lease) and lease.outbox.takes_samples()]


def _new_writer() -> str:
    return f"system-{new_id()}"
