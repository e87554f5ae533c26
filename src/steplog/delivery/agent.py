"""The agent: the threads that deliver, one agent a process for all its runs.

* The *sender* thread exchanges with servers, one exchange at a time. One tenacity loop drives it for its life: an
  attempt is the exchange that is due, the wait is until the next one is, and the sleep can be interrupted.
* *Lanes*, for a stock server alone: threads that help the sender with single metrics.
* The *keeper* thread does everything else that runs and writers need (``keeper``).

While nobody waits, sender and lanes together take no more of a processor than ``Terms.cpu_share_max``: after an
exchange a thread rests until its work is that share of the time. It matters with a stock server: a request a record.

While somebody waits for a run, an exchange with another server, for a run that nobody waits for, gives way: it is ended
after ``GIVE_WAY_S``, and tried again later. Else one server that hangs would keep the sender from all others.

``log()`` never comes here. What is shared between the threads and those who wait is the sender's state, under one
lock that is never held across I/O, with a server or with a disk. Whatever is raised in a thread is counted, said once;
it goes on.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer, Transport
from steplog.delivery.lease import Lease
from steplog.delivery.loop import Loop, wait_for
from steplog.delivery.maintenance import Maintenance
from steplog.delivery.outbox import DeliveryOptions, Outbox, Waiter
from steplog.delivery.sender import Due, Sender
from steplog.errors import ServerUnavailableError
from steplog.journal.open_writer import OpenWriter

__all__ = ["BUSY_DISK_S", "DISK_S", "GIVE_WAY_S", "Agent", "Progress"]

DISK_S = 0.25  # to wait for a disk that is well
BUSY_DISK_S = 2.0  # and for one that has much to write: what workers have begun to write is only seen after that
GIVE_WAY_S = 1.0
T = TypeVar("T")
_log = logging.getLogger("steplog")


class Progress(NamedTuple):
    """About so many records are left; what keeps them, if anything does; for how long the server has not answered."""

    left: int
    trouble: str | None
    silent_s: float


class _Flight(NamedTuple):
    """An exchange under way on a lane, since when on the monotonic clock."""

    lane: int
    due: Due
    since: float


class Agent:
    """Delivers the runs of a process; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        options: DeliveryOptions,
        exchange_timeout_s: float,
        spool_interval_s: float = 1.0,
        adopt: Callable[[set[str]], Iterable[tuple[Lease, Transport]]] = lambda held: (),
        memory_is_short: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        source: random.Random | None = None,
    ) -> None:
        self.random = source or random.Random()
        self.options = options
        self.faults = 0  # exceptions that no thread should have seen
        self._exchange_timeout_s = exchange_timeout_s
        self._clock = clock
        self._sender = Sender(self.random)
        self.lock = threading.RLock()
        self.leases: dict[Outbox, Lease] = {}
        self._loops: list[Loop] = []
        self._under_way: dict[int, _Flight] = {}  # by lane
        self._maintenance = Maintenance(self, spool_interval_s, adopt, memory_is_short, clock)
        self._lanes_max = options.connections_max
        deferred_log.forget()

    # -- runs -----------------------------------------------------------------------------------------------------

    def deliver(self, lease: Lease, transport: Transport, adopted: bool = False) -> None:
        """Deliver a run from now on; or one that is delivered already, over this transport from now on."""
        with self.lock:
            self._maintenance.take(lease)
            self._sender.add(self._clock(), lease.outbox, transport, adopted)
            self._start_lanes()
        if lease.own is not None:
            self.keep(lease.own)
        else:
            self._maintenance.start(self._fault)
        self.wake()

    def hold(self, lease: Lease) -> None:
        """Look after a run of this process that goes nowhere yet: to disk, and no further."""
        with self.lock:
            self._maintenance.take(lease)
        if lease.own is not None:
            self.keep(lease.own)

    def keep(self, writer: OpenWriter) -> None:
        """Look after a writer of this process, whoever delivers it. Raises RuntimeError where no thread can start."""
        self._maintenance.add(writer)
        self._maintenance.start(self._fault)

    def wait(
        self,
        lease: Lease,
        timeout_s: float,
        status: str | None = None,
        *,
        whole: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Wait until what is written by now is delivered, and with ``status`` until that is set; whether it is.

        ``whole``: until a status that was decided before is set, too. Ends after ``timeout_s`` whatever the server
        does, or when ``goes_on``, which is asked a few times a second, says no. Passes KeyboardInterrupt on.
        """

        def waits() -> bool:
            self._give_way(lease)
            return goes_on()

        told: SimpleQueue[None] = SimpleQueue()
        wait = Waiter(lambda: told.put(None))
        deadline = time.monotonic() + timeout_s
        try:
            self._maintenance.do(partial(lease.look, self.lock), min(timeout_s / 2, BUSY_DISK_S))
            with self.lock:
                if status is not None:
                    lease.decide(status)
                wait.status = status is not None or (whole and lease.outbox.status is not None)
                lease.outbox.wait(wait)
                lease.outbox.release_waits()
            self.wake()
            wait_for(told, deadline - time.monotonic(), waits)
        except Empty:
            return False
        finally:
            with self.lock, contextlib.suppress(ValueError):
                lease.outbox.waits.remove(wait)
        with self.lock:
            return lease.outbox.settled(wait)

    def _give_way(self, lease: Lease) -> None:
        with self.lock:
            now = time.monotonic()
            long = [flight.due for flight in self._under_way.values() if now - flight.since >= GIVE_WAY_S]
            held_up = [due for due in long if self._sender.gives_way(due, lease.outbox)]
        for due in held_up:
            due.server.transport.abort(due.order.request)

    def decide(self, lease: Lease, status: str) -> None:
        """Give a run its status, in the background."""
        with self.lock:
            lease.decide(status)
        self.wake()

    def dismiss(self, lease: Lease, timeout_s: float = DISK_S) -> bool:
        """Have a run removed, waiting no longer than so, if nothing is left and nobody can add to it; whether so."""
        with self.lock:
            done = lease.outbox in self.leases and lease.done()
            if done:
                self._sender.remove(lease.outbox)
                del self.leases[lease.outbox]
        if done:
            self._maintenance.do(lease.remove, timeout_s)
        return done

    def release(self, lease: Lease) -> None:
        """Leave a run to somebody else, as it is."""
        with self.lock:
            if self.leases.pop(lease.outbox, None) is not None:
                self._sender.remove(lease.outbox)
        lease.release()

    def look(self, lease: Lease, at: Callable[[Lease], T]) -> T:
        """What ``at`` sees of a run while nothing moves."""
        with self.lock:
            return at(lease)

    def trouble(self, lease: Lease) -> str | None:
        """What keeps the run from being delivered, if anything does."""
        with self.lock:
            return self._sender.trouble(lease.outbox)

    def progress(self, lease: Lease) -> Progress:
        """How it stands with a run, for those who wait for it."""
        with self.lock:
            run = lease.outbox
            return Progress(run.left(), self._sender.trouble(run), self._sender.silent_s(run, self._clock()))

    def wake(self) -> None:
        """Have the sender and its lanes look now. Safe in a signal handler."""
        self._sender.wake()
        for loop in self._loops:
            loop.wake()

    # -- threads --------------------------------------------------------------------------------------------------

    def _start_lanes(self) -> None:
        with self.lock:
            while len(self._loops) < max(1, min(self._sender.lanes(), self._lanes_max)):
                loop, lane = Loop(), len(self._loops)
                name = f"steplog-sender-{lane}" if lane else "steplog-sender"
                try:
                    loop.start(partial(self._send, loop, lane), name, self._fault)
                except RuntimeError:
                    if not lane:
                        raise
                    self._lanes_max = lane  # no more threads here: the first one serves the other lanes
                    return
                self._loops.append(loop)

    def _fault(self, thread: str, error: BaseException) -> None:
        self.faults += 1
        if self.faults == 1:
            with contextlib.suppress(Exception):  # a handler of the user's; there is nobody left to tell
                _log.error("steplog: a fault in its own thread %s; it goes on.", thread, exc_info=error)

    def attempt(self, work: Callable[[], object]) -> None:
        """One of several things to do: what goes wrong with it is not to keep the others from their turn."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - counted and said; the thread goes on
            self._fault(threading.current_thread().name, error)

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[None]:
        """The sender's state is ours; what is raised in the middle of a run is held against that run."""
        with self.lock:
            try:
                yield
            except BaseException:
                self._sender.stumbled(self._clock())
                raise

    def _send(self, loop: Loop, lane: int) -> None:
        """One attempt of a sender thread: the exchange that is due, if one is."""
        begun, worked = time.monotonic(), time.thread_time()
        with self._deciding():
            found = self._next(lane)
        if not isinstance(found, _Flight):
            loop.idle(None if found is None else found - self._clock())
            return
        try:  # from here on nothing comes before the answer: whatever is raised, the sender learns how it ended
            due, answer = found.due, self._exchange(found.due)
            with self._deciding():
                del self._under_way[found.lane]
                self._sender.answered(self._clock(), due, answer)
                loop.busy()
                due.outbox.release_waits()
                if due.outbox in self.leases:
                    self.leases[due.outbox].settle()
                hurry = any(lease.outbox.waits for lease in self.leases.values())
            if not hurry:
                whole_s = (time.thread_time() - worked) * len(self._loops) / self.options.cpu_share_max
                loop.rest(whole_s - (time.monotonic() - begun))
        finally:
            if self._under_way.get(found.lane) is found:
                del self._under_way[found.lane]

    def _next(self, lane: int) -> _Flight | float | None:
        """What is due on this lane; on the first one also for all that have no thread.

        A lane that the first thread serves may get one of its own meanwhile; still it has one request at a time.
        """
        alone = () if lane else range(len(self._loops), self._sender.lanes())
        soonest: float | None = None
        for one in (lane, *alone):
            due = None if one in self._under_way else self._sender.next(self._clock(), one)
            if isinstance(due, Due):
                self._under_way[one] = _Flight(one, due, time.monotonic())
                return self._under_way[one]
            soonest = min(soonest or due, due) if due is not None else soonest
        return soonest

    def _exchange(self, due: Due) -> Answer | str:
        try:
            self.attempt(self._start_lanes)  # what is due on other lanes does not wait for this answer
            return due.server.transport.exchange(due.order.request, self._exchange_timeout_s)
        except ServerUnavailableError as error:
            return str(error)
        except BaseException as error:  # noqa: BLE001 - the sender must learn of every exchange how it ended
            self._fault(threading.current_thread().name, error)
            return f"{type(error).__name__} on the way"
