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

from steplog.delivery.consignment import Consignment, Terms, Wait
from steplog.delivery.custody import Custody
from steplog.delivery.exchange import Answer, Transport
from steplog.delivery.keeper import Keeper
from steplog.delivery.news import news
from steplog.delivery.pulse import Pulse, wait_for
from steplog.delivery.sender import Due, Sender
from steplog.errors import ServerUnavailableError
from steplog.journal.opening import OpenWriter

__all__ = ["BUSY_DISK_S", "DISK_S", "GIVE_WAY_S", "Agent", "Prospect"]

DISK_S = 0.25  # to wait for a disk that is well
BUSY_DISK_S = 2.0  # and for one that has much to write: what workers have begun to write is only seen after that
GIVE_WAY_S = 1.0
T = TypeVar("T")
_log = logging.getLogger("steplog")


class Prospect(NamedTuple):
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
        terms: Terms,
        exchange_timeout_s: float,
        spool_interval_s: float = 1.0,
        adopt: Callable[[set[str]], Iterable[tuple[Custody, Transport]]] = lambda held: (),
        memory_is_short: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        source: random.Random | None = None,
    ) -> None:
        self.random = source or random.Random()
        self.terms = terms
        self.faults = 0  # exceptions that no thread should have seen
        self._exchange_timeout_s = exchange_timeout_s
        self._clock = clock
        self._sender = Sender(self.random)
        self.lock = threading.RLock()
        self.custodies: dict[Consignment, Custody] = {}
        self._pulses: list[Pulse] = []
        self._under_way: dict[int, _Flight] = {}  # by lane
        self._keeper = Keeper(self, spool_interval_s, adopt, memory_is_short, clock)
        self._lanes_max = terms.connections_max
        news.forget()

    # -- runs -----------------------------------------------------------------------------------------------------

    def deliver(self, custody: Custody, transport: Transport, adopted: bool = False) -> None:
        """Deliver a run from now on; or one that is delivered already, over this transport from now on."""
        with self.lock:
            self._keeper.take(custody)
            self._sender.add(self._clock(), custody.consignment, transport, adopted)
            self._start_lanes()
        if custody.own is not None:
            self.keep(custody.own)
        else:
            self._keeper.start(self._fault)
        self.wake()

    def hold(self, custody: Custody) -> None:
        """Look after a run of this process that goes nowhere yet: to disk, and no further."""
        with self.lock:
            self._keeper.take(custody)
        if custody.own is not None:
            self.keep(custody.own)

    def keep(self, writer: OpenWriter) -> None:
        """Look after a writer of this process, whoever delivers it. Raises RuntimeError where no thread can start."""
        self._keeper.add(writer)
        self._keeper.start(self._fault)

    def wait(
        self,
        custody: Custody,
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
            self._give_way(custody)
            return goes_on()

        told: SimpleQueue[None] = SimpleQueue()
        wait = Wait(lambda: told.put(None))
        deadline = time.monotonic() + timeout_s
        try:
            self._keeper.do(partial(custody.look, self.lock), min(timeout_s / 2, BUSY_DISK_S))
            with self.lock:
                if status is not None:
                    custody.decide(status)
                wait.status = status is not None or (whole and custody.consignment.status is not None)
                custody.consignment.wait(wait)
                custody.consignment.release_waits()
            self.wake()
            wait_for(told, deadline - time.monotonic(), waits)
        except Empty:
            return False
        finally:
            with self.lock, contextlib.suppress(ValueError):
                custody.consignment.waits.remove(wait)
        with self.lock:
            return custody.consignment.settled(wait)

    def _give_way(self, custody: Custody) -> None:
        with self.lock:
            now = time.monotonic()
            long = [flight.due for flight in self._under_way.values() if now - flight.since >= GIVE_WAY_S]
            held_up = [due for due in long if self._sender.gives_way(due, custody.consignment)]
        for due in held_up:
            due.server.transport.abort(due.order.request)

    def decide(self, custody: Custody, status: str) -> None:
        """Give a run its status, in the background."""
        with self.lock:
            custody.decide(status)
        self.wake()

    def dismiss(self, custody: Custody, timeout_s: float = DISK_S) -> bool:
        """Have a run removed, waiting no longer than so, if nothing is left and nobody can add to it; whether so."""
        with self.lock:
            done = custody.consignment in self.custodies and custody.done()
            if done:
                self._sender.remove(custody.consignment)
                del self.custodies[custody.consignment]
        if done:
            self._keeper.do(custody.remove, timeout_s)
        return done

    def release(self, custody: Custody) -> None:
        """Leave a run to somebody else, as it is."""
        with self.lock:
            if self.custodies.pop(custody.consignment, None) is not None:
                self._sender.remove(custody.consignment)
        custody.release()

    def look(self, custody: Custody, at: Callable[[Custody], T]) -> T:
        """What ``at`` sees of a run while nothing moves."""
        with self.lock:
            return at(custody)

    def trouble(self, custody: Custody) -> str | None:
        """What keeps the run from being delivered, if anything does."""
        with self.lock:
            return self._sender.trouble(custody.consignment)

    def prospect(self, custody: Custody) -> Prospect:
        """How it stands with a run, for those who wait for it."""
        with self.lock:
            run = custody.consignment
            return Prospect(run.left(), self._sender.trouble(run), self._sender.silent_s(run, self._clock()))

    def wake(self) -> None:
        """Have the sender and its lanes look now. Safe in a signal handler."""
        self._sender.wake()
        for pulse in self._pulses:
            pulse.wake()

    # -- threads --------------------------------------------------------------------------------------------------

    def _start_lanes(self) -> None:
        with self.lock:
            while len(self._pulses) < max(1, min(self._sender.lanes(), self._lanes_max)):
                pulse, lane = Pulse(), len(self._pulses)
                name = f"steplog-sender-{lane}" if lane else "steplog-sender"
                try:
                    pulse.start(partial(self._send, pulse, lane), name, self._fault)
                except RuntimeError:
                    if not lane:
                        raise
                    self._lanes_max = lane  # no more threads here: the first one serves the other lanes
                    return
                self._pulses.append(pulse)

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

    def _send(self, pulse: Pulse, lane: int) -> None:
        """One attempt of a sender thread: the exchange that is due, if one is."""
        begun, worked = time.monotonic(), time.thread_time()
        with self._deciding():
            found = self._next(lane)
        if not isinstance(found, _Flight):
            pulse.idle(None if found is None else found - self._clock())
            return
        try:  # from here on nothing comes before the answer: whatever is raised, the sender learns how it ended
            due, answer = found.due, self._exchange(found.due)
            with self._deciding():
                del self._under_way[found.lane]
                self._sender.answered(self._clock(), due, answer)
                pulse.busy()
                due.consignment.release_waits()
                if due.consignment in self.custodies:
                    self.custodies[due.consignment].settle()
                hurry = any(custody.consignment.waits for custody in self.custodies.values())
            if not hurry:
                whole_s = (time.thread_time() - worked) * len(self._pulses) / self.terms.cpu_share_max
                pulse.rest(whole_s - (time.monotonic() - begun))
        finally:
            if self._under_way.get(found.lane) is found:
                del self._under_way[found.lane]

    def _next(self, lane: int) -> _Flight | float | None:
        """What is due on this lane; on the first one also for all that have no thread.

        A lane that the first thread serves may get one of its own meanwhile; still it has one request at a time.
        """
        alone = () if lane else range(len(self._pulses), self._sender.lanes())
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
