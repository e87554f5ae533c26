"""The agent: the threads that deliver, one agent a process for all its runs.

* *sender*: exchanges with servers, one request at a time;
* *lanes*, for a stock server alone: more threads like it, for single metrics;
* *maintenance*: all else that runs and writers need (``maintenance``);
* *files* and *upload*, from the first one on: have media and saved files be written to disk (``file_intake``), and
  send them (``upload_lane``);
* *system*: system metrics, where they are wanted (``sampling``).

While nobody waits, sender and lanes take at most ``DeliveryOptions.cpu_share_max`` of a processor: a thread rests after
an exchange. While somebody waits for a run, a request to another server that nobody waits for is aborted after
``GIVE_WAY_S``, or one server that hangs would keep the sender from all others.

Nothing here is called from ``log()``. One lock guards the state, and is never held across I/O. What is raised in a
thread is counted and logged once; the thread goes on.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from queue import Empty, SimpleQueue

import msgspec

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.creation import Made
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer, Transport, exchanged
from steplog.delivery.file_intake import FileIntake
from steplog.delivery.lease import Lease
from steplog.delivery.loop import Loop, wait_for
from steplog.delivery.maintenance import Maintenance
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.outbox import Outbox
from steplog.delivery.sampling import Sampling
from steplog.delivery.sender import InFlight, Sender, StoreFirst
from steplog.delivery.upload_lane import UploadLane
from steplog.delivery.waiter import Waiter
from steplog.journal.open_writer import OpenWriter
from steplog.reentrant_lock import ReentrantLock

__all__ = ["BUSY_DISK_S", "DISK_S", "GIVE_WAY_S", "WAITING_S", "Agent", "Progress"]

DISK_S = 0.25  # to wait for a disk that is well
BUSY_DISK_S = 2.0  # and for one that has much to write: what workers have begun to write is only seen after that
GIVE_WAY_S = 1.0
WAITING_S = 1.0  # of an exchange, before it is said what is waited for
_STATUS_S = 2.0  # that are left for the status, where files take longer than somebody waits
_WHOLE_S = 10.0  # from here on without a decimal
_log = logging.getLogger("steplog")


class Progress(msgspec.Struct, frozen=True):
    """Roughly how many records are left, what keeps them, and for how many seconds the server has not answered.

    ``files`` and ``file_bytes``: how many files are left, and the bytes that are known of them.
    """

    left: int
    trouble: str | None
    silent_s: float
    server: str = ""
    files: int = 0
    file_bytes: int = 0

    def why(self, silent_s: float = WAITING_S) -> str | None:
        """What keeps the records, be it a server that has not answered for ``silent_s``; None while nothing does."""
        if self.trouble is not None or not self.silent_s or self.silent_s < silent_s:
            return self.trouble
        digits = 0 if self.silent_s >= _WHOLE_S else 1
        return f"waiting for an answer of {self.server} for {self.silent_s:.{digits}f} s"


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
        self.lock = ReentrantLock()
        self.leases: dict[Outbox, Lease] = {}
        self._loops: list[Loop] = []
        self._under_way: dict[int, InFlight] = {}  # by lane
        self.maintenance = Maintenance(self, spool_interval_s, adopt, memory_is_short, clock)
        self.sampling: Sampling | None = None
        self._lanes_max = options.connections_max
        self.files = FileIntake(
            self.attempt, options.cpu_share_max, lambda: any(run.waiters for run in list(self.leases))
        )
        self.uploads = UploadLane(self, exchange_timeout_s, options.cpu_share_max, clock, self.random)
        self.files.on_files = self.uploads.wake
        deferred_log.forget()

    def deliver(self, lease: Lease, transport: Transport | None, adopted: bool = False) -> None:
        """Deliver a run over this transport from now on; None: write it to disk, and send it nowhere yet."""
        with self.lock:
            self.maintenance.take(lease)
            if transport is not None:
                lanes = lease.outbox.name_lanes
                lanes.count = min(lanes.count, getattr(transport, "lanes_max", lanes.count))
                self._sender.add(self._clock(), lease.outbox, transport, adopted)
                self._start_lanes()
        if lease.own is not None:
            self.maintenance.add(lease.own)
        self.maintenance.start(self._fault)
        self.wake()

    def keep(self, writer: OpenWriter) -> None:
        """Maintain a writer of this process. Raises RuntimeError where no thread can start."""
        self.maintenance.add(writer)
        self.maintenance.start(self._fault)

    def take_in(self, files: WaitingFiles) -> None:
        """Have what was taken of files become files on disk. Called in ``log``; safe in a signal handler."""
        self.files.add(files)
        if self.files.wanted:
            self.maintenance.wake()

    def start_files(self) -> None:
        """Start the threads, once there is something to do."""
        if self.files.wanted:
            self.files.start(self._fault)
        self.uploads.start(self._fault)

    def transport(self, lease: Lease) -> Transport | None:
        """The way to a run's server; None while it is not sent anywhere. Under the lock."""
        return self._sender.transport(lease.outbox)

    def other_key(self, transport: Transport) -> bool:
        """Look for another key for a server; whether there is one. Under the lock."""
        return self._sender.other_key(self._clock(), transport)

    def secure(self, files: WaitingFiles, timeout_s: float) -> bool:
        """Wait until the end of this process loses none of these files; whether so."""
        return self.files.secure(files, timeout_s, self._fault)

    def wait(
        self,
        lease: Lease,
        timeout_s: float,
        status: str | None = None,
        *,
        whole: bool = False,
        afresh: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Wait until what is written by now, and its files, are delivered, and with ``status`` until that is set.

        Whether all that is so. Shortly before the end of ``timeout_s`` the status goes without the files.
        ``whole``: also until a status that was decided before is set. ``afresh``: one attempt is made at once, whatever
        was decided before (back-off, ``Retry-After``, that the run is gone). Ends after ``timeout_s``, or when
        ``goes_on``, asked a few times a second, says no. Lets KeyboardInterrupt through.
        """

        def waits() -> bool:
            self._give_way(lease)
            return goes_on()

        told: SimpleQueue[None] = SimpleQueue()
        waiter = Waiter(lambda: told.put(None))
        deadline, files_s = time.monotonic() + timeout_s, timeout_s - min(_STATUS_S, timeout_s / 4)
        try:
            self.maintenance.do(partial(lease.look, self.lock), min(timeout_s / 2, BUSY_DISK_S))
            with self.lock:
                sent = lease.outbox.status if lease.outbox.status_sent else None  # while the disk was waited for
                if status is not None and status != sent:
                    lease.decide(status, ended=time.time_ns())
                waiter.status = status is not None or (whole and lease.outbox.status is not None)
                waiter.afresh, waiter.files_until = afresh, self._clock() + files_s
                if afresh:
                    self.uploads.try_again(lease)
                lease.outbox.wait(waiter)
                lease.outbox.release_waiters()
            self.wake()
            self.uploads.wake()
            wait_for(told, deadline - time.monotonic(), waits)
        except Empty:
            return False
        finally:
            with self.lock, contextlib.suppress(ValueError):
                lease.outbox.waiters.remove(waiter)
        with self.lock:
            return lease.outbox.settled(waiter)

    def _give_way(self, lease: Lease) -> None:
        with self.lock:
            begun_by = self._clock() - GIVE_WAY_S
            long = [flight for flight in self._under_way.values() if flight.sent_at <= begun_by]
            held_up = [flight for flight in long if self._sender.gives_way(flight, lease.outbox)]
        for flight in held_up:
            flight.server.transport.abort(flight.request)
        self.uploads.give_way(lease, begun_by)

    def sample(self, interval_s: float, read: Callable[[], dict[str, float]], host: str) -> None:
        """Send system metrics, too, from the next round of maintenance on; see ``Sampling``."""
        self.sampling = Sampling(self, interval_s, read, host)

    def start_sampling(self) -> None:
        """Called each second."""
        if self.sampling is not None:
            self.sampling.start(self._fault)

    def delivers(self, lease: Lease) -> bool:
        """Whether a run is sent anywhere. Under the lock."""
        return self._sender.delivers(lease.outbox)

    def made(self, lease: Lease, made: Made, namespace: str, takes_ranges: bool) -> None:
        """The server has made a run, as ``init`` asked it to."""
        with self.lock:
            lease.outbox.made(made, namespace, takes_ranges)
            lease.settle()

    def change(self, lease: Lease, **fields: object) -> None:
        """Store other values in a run's manifest."""
        with self.lock:
            lease.store(lease.manifest.but(**fields))

    def decide(self, lease: Lease, status: str) -> None:
        """Set a run's status, in the background."""
        with self.lock:
            lease.decide(status, ended=time.time_ns())
        self.wake()

    def dismiss(self, lease: Lease, timeout_s: float = DISK_S) -> bool:
        """Remove a run, within ``timeout_s``, if nothing is left and nobody can add to it; whether it is removed."""
        with self.lock:
            keeps_files = lease.outbox in self.leases and lease.keeps_files()
            has_files = lease.outbox in self.leases and not lease.outbox.uploads.is_empty()
        if has_files and not keeps_files:
            self.maintenance.do(partial(self.uploads.tidy, lease), timeout_s)
        if keeps_files:
            self.maintenance.do(partial(lease.keep_files, self.lock), timeout_s)
        with self.lock:
            done = lease.outbox in self.leases and lease.done()
            if done:
                self._sender.remove(lease.outbox)
                del self.leases[lease.outbox]
        if done:
            self.maintenance.do(lease.remove_delivered, timeout_s)
        return done

    def pause(self, lease: Lease) -> None:
        """Send nothing more of a run, until ``deliver``."""
        with self.lock:
            self._sender.remove(lease.outbox)

    def remove(self, lease: Lease, timeout_s: float = DISK_S) -> None:
        """Remove a run that its server has deleted, within ``timeout_s``; while another process writes, leave it."""
        with self.lock:
            self._sender.remove(lease.outbox)
            self.leases.pop(lease.outbox, None)
            shared = lease.has_living_writer()
        self.maintenance.do(lease.release if shared else lease.remove, timeout_s)

    def store(self, lease: Lease, timeout_s: float) -> None:
        """Write to disk what is written of a run by now, also by other processes, within twice ``timeout_s``."""
        self.maintenance.do(partial(lease.look, self.lock), timeout_s)
        self.maintenance.do(partial(lease.spool, self.lock, True), timeout_s)

    def release(self, lease: Lease, timeout_s: float = DISK_S) -> None:
        """Leave a run to another process, as it is; within ``timeout_s``, once what is written of it by now is done.

        Until then its locks are held, or two processes would write to one spool.
        """
        with self.lock:
            if self.leases.pop(lease.outbox, None) is not None:
                self._sender.remove(lease.outbox)
        self.maintenance.do(lease.release, timeout_s)

    def lose(self, lease: Lease) -> None:
        """Another process has taken a run over, whose locks the program had closed."""
        deferred_log.warning(
            "steplog: the program has closed the locks of run %s, and another process delivers it now.",
            lease.manifest.name or lease.paths.local_id,
        )
        self.release(lease)
        lease.on_lost()

    def progress(self, lease: Lease) -> Progress:
        """How a run's delivery stands."""
        with self.lock:
            run = lease.outbox
            silent_s, server = self._sender.silent_s(run, self._clock()), self._sender.server(run)
            trouble = self._sender.trouble(run) or self.uploads.trouble(lease)
            uploads = run.uploads
            return Progress(run.left(), trouble, silent_s, server, uploads.files_left(), uploads.bytes_left())

    def wake(self) -> None:
        """Have the sender and its lanes look now. Safe in a signal handler."""
        self._sender.wake()
        for loop in self._loops:
            loop.wake()

    def _start_lanes(self) -> None:
        with self.lock:
            wanted = max(1, min(self._sender.lanes(), self._lanes_max))
            self._loops += [Loop() for _ in range(len(self._loops), wanted)]
            for lane, loop in enumerate(self._loops):  # those as well that Ctrl-C kept from being started
                name = f"steplog-sender-{lane}" if lane else "steplog-sender"
                try:
                    loop.start(partial(self._send, loop, lane), name, self._fault)
                except RuntimeError:
                    del self._loops[lane:]
                    if not lane:
                        raise
                    self._lanes_max = lane  # no more threads here: the first one serves the other lanes
                    return

    def _fault(self, thread: str, error: BaseException) -> None:
        with self.lock:
            self.faults += 1
            is_first = self.faults == 1
        if is_first:
            with contextlib.suppress(Exception):  # a handler of the user's; there is nobody left to tell
                _log.error("steplog: a fault in its own thread %s; it goes on.", thread, exc_info=error)

    def attempt(self, work: Callable[[], object]) -> None:
        """Do one of several things; a failure does not keep the others from their turn."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - counted and said; the thread goes on
            self._fault(threading.current_thread().name, error)

    def _send(self, loop: Loop, lane: int) -> None:
        """One turn of a sender thread."""
        begun, worked = time.monotonic(), time.thread_time()
        found = self._next(lane)
        if not isinstance(found, InFlight):
            loop.idle(None if found is None else found - self._clock())
            return
        try:  # from here on nothing comes before the answer: whatever is raised, the sender learns how it ended
            somebody_waits = self._answered(found, self._exchange(found))
            whole_s = (time.thread_time() - worked) * len(self._loops) / self.options.cpu_share_max
            loop.rest(0.0 if somebody_waits else whole_s - (time.monotonic() - begun))
        finally:
            with self.lock:
                if self._under_way.get(found.lane) is found:
                    del self._under_way[found.lane]

    def _next(self, lane: int) -> InFlight | float | None:
        """What is due on this lane; on lane 0 also on all lanes without a thread."""
        soonest: float | None = None
        with self.lock:
            try:
                alone = () if lane else range(len(self._loops), self._sender.lanes())
                for one in (lane, *alone):
                    if one in self._under_way:
                        continue
                    while isinstance(found := self._sender.next(self._clock(), one), StoreFirst):
                        self.leases[found.outbox].settle()
                    if isinstance(found, InFlight):
                        self._under_way[one] = found
                        if self._sender.lanes() > len(self._loops):  # what is due there does not wait for this answer
                            self.attempt(self._start_lanes)
                        return found
                    if found is not None and (soonest is None or found < soonest):
                        soonest = found
            except BaseException:
                self._sender.stumbled(self._clock())
                raise
        return soonest

    def _exchange(self, flight: InFlight) -> Answer | str:
        fault = partial(self._fault, threading.current_thread().name)
        return exchanged(flight.server.transport, flight.request, self._exchange_timeout_s, fault)

    def _answered(self, flight: InFlight, answer: Answer | str) -> bool:
        """Take in an answer and act on it; whether somebody waits."""
        outbox = flight.outbox
        with self.lock:
            del self._under_way[flight.lane]
            try:
                actions = self._sender.answered(self._clock(), flight, answer)
                lease = self.leases.get(outbox)
                if lease is not None:
                    for action in actions:
                        lease.act(action)
                outbox.release_waiters()
            except BaseException:
                self._sender.stumbled(self._clock())
                raise
            return any(other.waiters for other in self.leases)
