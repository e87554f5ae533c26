"""The agent: the threads that deliver, one agent a process for all its runs.

* The *sender* thread exchanges with servers, one exchange at a time. One tenacity loop drives it for its life: an
  attempt is the exchange that is due, the wait is until the next one is, and the sleep can be interrupted.
* *Lanes*, for a stock server alone: threads that help the sender with single metrics.
* The *keeper* thread prepares segments, closes holes, takes to disk what stays undelivered, finds new writers, and
  adopts
  the runs of the dead.

``log()`` never comes here. What is shared between the threads and those who wait is the sender's state, under one
lock that is never held across I/O with a server. Whatever is raised in a thread is counted, said once, and the
thread goes on.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_never

from steplog.delivery.consignment import Consignment, Terms, Wait
from steplog.delivery.custody import Custody
from steplog.delivery.exchange import Answer, Transport
from steplog.delivery.sender import Due, Sender
from steplog.errors import ServerUnavailableError
from steplog.journal.opening import OpenWriter

__all__ = ["Agent"]

POLL_MIN_S = 0.02
POLL_MAX_S = 0.5
LOOK_INTERVAL_S = 1.0
T = TypeVar("T")
_log = logging.getLogger("steplog")


class _Pulse:
    """When a thread runs next: at a due time, or sooner when it is woken; slower while nothing happens."""

    def __init__(self) -> None:
        self._wakes: SimpleQueue[None] = SimpleQueue()  # its put is safe in a signal handler
        self.wait_s = 0.0
        self._poll_s = POLL_MIN_S

    def busy(self) -> None:
        """Something was done: come back at once."""
        self.wait_s, self._poll_s = 0.0, POLL_MIN_S

    def idle(self, until_s: float | None, poll_max_s: float = POLL_MAX_S) -> None:
        """Nothing was done; something is due in ``until_s``."""
        self._poll_s = min(self._poll_s * 1.5, poll_max_s)
        self.wait_s = self._poll_s if until_s is None else min(max(until_s, 0.0), self._poll_s)

    def wake(self) -> None:
        """Have the thread run now."""
        self._wakes.put(None)

    def sleep(self, seconds: float) -> None:
        """What the thread sleeps with."""
        try:
            self._wakes.get(timeout=seconds) if seconds > 0 else self._wakes.get_nowait()
            while True:
                self._wakes.get_nowait()
        except Empty:
            return


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
        self._spool_interval_s = spool_interval_s
        self._adopt = adopt
        self._memory_is_short = memory_is_short
        self._clock = clock
        self._sender = Sender(self.random)
        self._lock = threading.RLock()
        self._custodies: dict[Consignment, Custody] = {}
        self._writers: list[OpenWriter] = []
        self._pulses: list[_Pulse] = []
        self._keeper = _Pulse()
        self._keeping = False
        self._look_at = 0.0
        self._spool_at = 0.0
        self._stopped = False

    # -- runs -----------------------------------------------------------------------------------------------------

    def deliver(self, custody: Custody, transport: Transport, adopted: bool = False) -> None:
        """Deliver a run from now on; or one that is delivered already, over this transport from now on."""
        with self._lock:
            self._custodies[custody.consignment] = custody
            self._sender.add(self._clock(), custody.consignment, transport, adopted)
            start = not self._pulses
            if start:
                self._add_lane()
        if custody.own is not None:
            self.keep(custody.own)
        elif start:
            self._start_keeper()
        self.wake()

    def keep(self, writer: OpenWriter) -> None:
        """Look after a writer of this process, whoever delivers it.

        Raises RuntimeError where no thread can be started.
        """
        with self._lock:
            if writer not in self._writers:
                self._writers.append(writer)
        self._start_keeper()

    def wait(self, custody: Custody, timeout_s: float, status: str | None = None) -> bool:
        """Wait until what is written by now is delivered, and with ``status`` until that is set; whether it is.

        Ends after ``timeout_s`` whatever the server does. Passes KeyboardInterrupt on.
        """
        told: SimpleQueue[None] = SimpleQueue()
        wait = Wait(lambda: told.put(None), status is not None)
        with self._lock:
            custody.look()
            if status is not None:
                custody.decide(status)
            custody.consignment.wait(wait)
            custody.consignment.release_waits()
        self.wake()
        try:
            told.get(timeout=max(timeout_s, 0.001))
        except Empty:
            return False
        finally:
            with self._lock:
                if wait in custody.consignment.waits:
                    custody.consignment.waits.remove(wait)
        with self._lock:
            return custody.consignment.settled(wait)

    def decide(self, custody: Custody, status: str) -> None:
        """Give a run its status, in the background."""
        with self._lock:
            custody.decide(status)
        self.wake()

    def dismiss(self, custody: Custody) -> bool:
        """Remove a run of which nothing is left, and which nobody can add to; whether it is one."""
        with self._lock:
            done = custody.consignment in self._custodies and custody.done()
            if done:
                self._sender.remove(custody.consignment)
                del self._custodies[custody.consignment]
        if done:
            custody.remove()
        return done

    def look(self, custody: Custody, at: Callable[[Custody], T]) -> T:
        """What ``at`` sees of a run while nothing moves."""
        with self._lock:
            custody.look()
            return at(custody)

    def trouble(self, custody: Custody) -> str | None:
        """What keeps the run from being delivered, if anything does."""
        with self._lock:
            return self._sender.trouble(custody.consignment)

    def silent_s(self, custody: Custody) -> float:
        """For how long its server has not answered."""
        with self._lock:
            return self._sender.silent_s(custody.consignment, self._clock())

    def wake(self) -> None:
        """Have the sender and its lanes look now. Safe in a signal handler."""
        for pulse in self._pulses:
            pulse.wake()

    # -- threads --------------------------------------------------------------------------------------------------

    def _start(self, pulse: _Pulse, work: Callable[[], None], name: str) -> None:
        def attempt() -> bool:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a thread of ours that ends would stop delivery silently
                self._fault(name, error)
                pulse.idle(None)
            return not self._stopped

        def wait(_: RetryCallState) -> float:
            return pulse.wait_s

        loop = Retrying(sleep=pulse.sleep, wait=wait, stop=stop_never, retry=retry_if_result(bool))
        threading.Thread(target=loop, args=(attempt,), name=name, daemon=True).start()

    def _start_keeper(self) -> None:
        with self._lock:
            start, self._keeping = not self._keeping, True
        if start:
            self._start(self._keeper, self._keep, "steplog-keeper")

    def _add_lane(self) -> None:
        pulse, lane = _Pulse(), len(self._pulses)
        self._pulses.append(pulse)
        self._start(pulse, lambda: self._send(pulse, lane), f"steplog-sender-{lane}" if lane else "steplog-sender")

    def _fault(self, thread: str, error: Exception) -> None:
        self.faults += 1
        if self.faults == 1:
            _log.error("steplog: a fault in its own thread %s; it goes on.", thread, exc_info=error)

    def _send(self, pulse: _Pulse, lane: int) -> None:
        """One attempt of a sender thread: the exchange that is due, if one is."""
        with self._lock:
            due = self._sender.next(self._clock(), lane)
        if not isinstance(due, Due):
            pulse.idle(None if due is None else due - self._clock())
            return
        answer = self._exchange(due)
        with self._lock:
            self._sender.answered(self._clock(), due, answer)
            due.consignment.release_waits()
            custody = self._custodies.get(due.consignment)
            if custody is not None:
                custody.settle()
            lanes = self.terms.connections_max if self._sender.uses_lanes() else 1
        while len(self._pulses) < lanes:
            self._add_lane()
        pulse.busy()

    def _exchange(self, due: Due) -> Answer | str:
        try:
            return due.server.transport.exchange(due.order.request, self._exchange_timeout_s)
        except ServerUnavailableError as error:
            return str(error)

    def _keep(self) -> None:
        """One round of the keeper."""
        for writer in list(self._writers):
            writer.keep()
        now = self._clock()
        short = self._memory_is_short()
        if short or now >= self._spool_at:
            self._spool_at = now + self._spool_interval_s
            for custody in list(self._custodies.values()):
                custody.spool(self._lock, short)
        if now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL_S
            self._look_after()
        self._keeper.idle(None, LOOK_INTERVAL_S / 4)

    def _look_after(self) -> None:
        with self._lock:
            self._writers = [writer for writer in self._writers if not writer.gone]
            custodies = list(self._custodies.values())
            delivered = {custody.own for custody in custodies}
        for writer in self._writers:
            writer.writer.pool.measure()
            if writer not in delivered:
                writer.follow()
        for custody in custodies:
            with self._lock:
                custody.look()
                custody.settle()
                custody.consignment.release_waits()
            self.dismiss(custody)
        if not custodies:
            return
        with self._lock:
            held = {custody.place.local_id for custody in self._custodies.values()}
        for custody, transport in self._adopt(held):
            self.deliver(custody, transport, adopted=True)
