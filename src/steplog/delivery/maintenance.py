"""Maintenance: all that a process owes its runs and writers besides sending. One thread.

* at once: stores manifests and quarantined records; makes the next segment of a writer that has used one up;
* each second, or each spool interval if that is shorter: finds holes and new writers, adopts runs of the dead, removes
  runs that are done;
* each spool interval, or four times a second where memory is short: writes to disk what stays undelivered;
* while other processes write to a run, 20 times a second: looks whether one of them waits (``doorbell``).

It is the one thread that waits for the disk. Whoever wants something of the disk has it done here (``do``) and waits
for that within a deadline. A disk that stalls holds up what is on it, of all runs; what is in memory is delivered, and
``log`` makes its segments itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.doorbell import HEARD_INTERVAL_S
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.loop import Loop, wait_for
from steplog.delivery.outbox import Outbox
from steplog.journal.open_writer import OpenWriter

__all__ = ["HOLES_INTERVAL_S", "KEEP_INTERVAL_S", "PRESSED_INTERVAL_S", "Maintenance"]

KEEP_INTERVAL_S = 1.0
HOLES_INTERVAL_S = 0.25  # between two looks at slots that may be holes
PRESSED_INTERVAL_S = 0.25  # between two writes to disk for want of memory


class _Runs(Protocol):
    """The agent, as maintenance knows it; ``lock`` guards ``leases`` and their state."""

    leases: dict[Outbox, Lease]

    @property
    def lock(self) -> AbstractContextManager[object]: ...
    def deliver(self, lease: Lease, transport: Transport, adopted: bool = False) -> None: ...
    def dismiss(self, lease: Lease) -> bool: ...
    def lose(self, lease: Lease) -> None: ...
    def wake(self) -> None: ...
    def start_sampling(self) -> None: ...
    def start_files(self) -> None: ...
    def take_in(self, files: WaitingFiles) -> None: ...
    def attempt(self, work: Callable[[], object]) -> None: ...


class Maintenance:
    """Of the runs of an agent; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        runs: _Runs,
        spool_interval_s: float,
        adopt: Callable[[set[str]], Iterable[tuple[Lease, Transport]]],
        memory_is_short: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._loop = Loop()
        self._runs = runs
        self._spool_interval_s = spool_interval_s
        self._adopt = adopt
        self._memory_is_short = memory_is_short
        self._clock = clock
        self._writers: list[OpenWriter] = []
        self._keep_at = self._spool_at = self._pressed_at = 0.0
        self._used_up: deque[OpenWriter] = deque()  # those that have gone on to another segment
        self._wanted: SimpleQueue[tuple[Callable[[], object], SimpleQueue[None]]] = SimpleQueue()
        self._behind = False  # somebody has waited in vain
        self._thread: int | None = None

    def take(self, lease: Lease) -> None:
        """Maintain one more run. Under the agent's lock."""
        self._runs.leases[lease.outbox] = lease
        self._loop.wake()

    def wake(self) -> None:
        """Run now. Safe in a signal handler."""
        self._loop.wake()

    def start(self, fault: Callable[[str, BaseException], None]) -> None:
        """Start the thread, once. Raises RuntimeError where none can be started."""
        self._loop.start(self._round, "steplog-maintenance", fault)

    def add(self, writer: OpenWriter) -> None:
        """Maintain one more writer of this process."""
        with self._runs.lock:
            if writer not in self._writers:
                self._writers.append(writer)
                writer.call_on_successor(partial(self._hurry, writer))

    def _hurry(self, writer: OpenWriter) -> None:
        """A writer needs its next segment soon. Called in ``log``."""
        self._used_up.append(writer)
        self._loop.wake()

    def do(self, work: Callable[[], object], timeout_s: float, *, patient: bool = False) -> None:
        """Have the thread do this, and wait for it within ``timeout_s``.

        Not at all while the thread is behind, unless ``patient``.
        Without a thread it is done here. Safe in a signal handler.
        """
        if not self._loop.started or threading.get_ident() == self._thread:
            self._runs.attempt(work)
            return
        done: SimpleQueue[None] = SimpleQueue()
        self._wanted.put((work, done))
        self._loop.wake()
        try:
            wait_for(done, 0.0 if self._behind and not patient else timeout_s)
        except Empty:
            self._behind = True

    def _do_wanted(self) -> None:
        self._behind = False
        with suppress(Empty):
            while True:
                work, done = self._wanted.get_nowait()
                self._runs.attempt(work)
                done.put(None)

    def _round(self) -> None:
        self._thread = threading.get_ident()
        self._do_wanted()
        self._runs.attempt(self._runs.start_files)
        leases = list(self._runs.leases.values())
        for lease in leases:
            if not lease.holds():
                self._runs.attempt(partial(self._runs.lose, lease))
                continue
            if lease.doorbell.rung():
                self._runs.attempt(partial(self._answer_ring, lease))
            self._runs.attempt(partial(self._write, lease))
        if used_up := {self._used_up.popleft() for _ in range(len(self._used_up))}:
            self._runs.wake()  # that may be more than a range holds
        now = self._clock()
        if now >= self._keep_at:
            self._keep_at = now + min(KEEP_INTERVAL_S, self._spool_interval_s)
            self._keep(self._writers, now)
            self._look_after()
        elif hasty := [writer for writer in self._writers if writer in used_up or writer.has_holes()]:
            self._keep(hasty, now)
        if now >= self._spool_at:
            self._spool(now, self._memory_is_short())
        self._loop.rest(self._rest_s(now))

    def _keep(self, writers: Iterable[OpenWriter], now: float) -> None:
        for writer in list(writers):
            self._runs.attempt(writer.maintain)
        if self._memory_is_short():
            self._spool_at = min(self._spool_at, max(now, self._pressed_at))

    def _spool(self, now: float, pressed: bool) -> None:
        self._pressed_at = now + PRESSED_INTERVAL_S
        self._spool_at = self._pressed_at if pressed else now + self._spool_interval_s
        for lease in list(self._runs.leases.values()):
            self._runs.attempt(partial(lease.spool, self._runs.lock, pressed))

    def _rest_s(self, now: float) -> float:
        """Seconds until something is due."""
        rest_s = min(self._keep_at, self._spool_at) - now
        if any(writer.has_holes() for writer in list(self._writers)):
            rest_s = min(rest_s, HOLES_INTERVAL_S)
        if any(lease.shared for lease in list(self._runs.leases.values())):
            rest_s = min(rest_s, HEARD_INTERVAL_S)
        return rest_s

    def _write(self, lease: Lease) -> None:
        if lease.write(self._runs.lock, self._clock):
            self._runs.wake()

    def _answer_ring(self, lease: Lease) -> None:
        lease.look(self._runs.lock)
        with self._runs.lock:
            lease.ring_answered()
        self._runs.wake()

    def _look_after(self) -> None:
        with self._runs.lock:
            writers = [writer for writer in self._writers if not writer.is_over]
            self._writers = writers
            leases = list(self._runs.leases.values())
            delivered = {lease.own for lease in leases}
        for writer in writers:
            if writer not in delivered:
                self._runs.attempt(writer.keep_alive)
                self._runs.attempt(writer.follow)
                self._runs.attempt(writer.take_over)
        for lease in leases:
            self._runs.attempt(partial(self._look_at_run, lease))
        if leases:
            self._runs.attempt(self._adopt_others)
            self._runs.attempt(self._runs.start_sampling)

    def _look_at_run(self, lease: Lease) -> None:
        if lease.look(self._runs.lock):
            self._runs.wake()
        with self._runs.lock:
            lease.settle()
            lease.outbox.release_waiters()
        if lease.files.has_work():
            self._runs.take_in(lease.files)
        self._runs.dismiss(lease)

    def _adopt_others(self) -> None:
        with self._runs.lock:
            held = {lease.paths.local_id for lease in self._runs.leases.values()}
        for lease, transport in self._adopt(held):
            self._runs.deliver(lease, transport, adopted=True)
