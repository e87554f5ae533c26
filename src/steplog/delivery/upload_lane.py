"""The upload lane: the thread that sends the files of all runs of an agent, so that no record waits for a file.

It starts with the first file. One request at a time: runs that somebody waits for come first, then the process's own,
then adopted ones; of these the one that has waited longest. What is to be sent of a run, ``uploads`` decides; here is
what a failure means for its server, and all I/O. While nobody waits, it takes at most ``cpu_share_max`` of a processor.

A request that nobody waits for gives way to a run of another server that somebody waits for, as the sender's do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import msgspec

from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer, Request, Transport, exchanged
from steplog.delivery.lease import Lease
from steplog.delivery.loop import Loop
from steplog.delivery.outbox import Outbox
from steplog.delivery.upload_queue import PartSize
from steplog.delivery.upload_wire import Announce, Ask, Put
from steplog.delivery.uploads import Drop, Forget, Rehash, SetAside
from steplog.delivery.verdicts import Judgement, Verdict

__all__ = ["UploadLane"]

_LOOK_S = 0.25  # between two looks at what is on disk, unless woken
_DISK_S = 1.0  # until the disk is tried again
_KEY_INTERVAL_S = 5.0
_SERVER_TROUBLE = frozenset((Verdict.AGAIN, Verdict.FAULT, Verdict.KEY_REFUSED))


class _Runs(Protocol):
    """The agent, as the lane knows it; ``lock`` guards ``leases`` and their state."""

    leases: dict[Outbox, Lease]

    @property
    def lock(self) -> AbstractContextManager[object]: ...
    def transport(self, lease: Lease) -> Transport | None: ...
    def other_key(self, transport: Transport) -> bool: ...
    def wake(self) -> None: ...
    def attempt(self, work: Callable[[], object]) -> None: ...


class _Server:
    """A server, as it is with files."""

    def __init__(self, source: random.Random) -> None:
        self.backoff = Backoff(source)
        self.part = PartSize()
        self.trouble: str | None = None
        self.told = False  # of the trouble, in the log
        self.refuses_contents = False  # as of the last one


class _Sent(msgspec.Struct, frozen=True):
    """A request that is due, or under way; ``sent_at`` is on the monotonic clock, in seconds."""

    lease: Lease
    transport: Transport
    server: _Server
    work: Announce | Ask | Put
    sent_at: float


class _Here(msgspec.Struct, frozen=True):
    """Work on this machine."""

    lease: Lease
    work: Drop | Forget | Rehash | SetAside


class UploadLane:
    """Of an agent; ``clock`` is monotonic, in seconds."""

    def __init__(
        self, runs: _Runs, timeout_s: float, cpu_share_max: float, clock: Callable[[], float], source: random.Random
    ) -> None:
        self._runs = runs
        self._timeout_s = timeout_s
        self._cpu_share_max = cpu_share_max
        self._clock = clock
        self._source = source
        self._loop = Loop()
        self._servers: dict[Transport, _Server] = {}
        self._turns: dict[Outbox, int] = {}
        self._turn = 0
        self._disk_at: dict[Outbox, float] = {}  # whose disk is not to be used before
        self._under_way: tuple[_Sent, Request] | None = None
        self._look_at = 0.0
        self._woken = False
        self._fault: Callable[[str, BaseException], None] = lambda thread, error: None

    # Called by others.

    def start(self, fault: Callable[[str, BaseException], None]) -> None:
        """Start the thread, once there is a file that can be sent. Raises RuntimeError where none can be started."""
        with self._runs.lock:
            wanted = not self._loop.started and any(not outbox.uploads.is_empty() for outbox in self._runs.leases)
            if wanted:
                self._fault = fault
                self._loop.start(self._round, "steplog-upload", fault)

    def wake(self) -> None:
        """Look now. Safe in a signal handler."""
        self._woken = True
        if self._loop.started:
            self._loop.wake()

    def try_again(self, lease: Lease) -> None:
        """Somebody asks afresh: take back what was decided on when to try again. Under the lock."""
        lease.outbox.uploads.try_again()
        transport = self._runs.transport(lease)
        if transport is not None and transport in self._servers:
            self._servers[transport].backoff.try_again()

    def trouble(self, lease: Lease) -> str | None:
        """What keeps a run's files; None while nothing does. Under the lock."""
        if not lease.outbox.uploads.left:
            return None
        transport = self._runs.transport(lease)
        server = None if transport is None else self._servers.get(transport)
        if transport is not None and lease.outbox.takes_files() is False and not lease.outbox.uploads.is_behind():
            return f"{transport.base_url} keeps no files"
        of_server = None if server is None else server.trouble
        return lease.files.trouble or lease.outbox.uploads.trouble or of_server

    def give_way(self, lease: Lease, begun_by: float) -> None:
        """Abort what was sent before ``begun_by``, and keeps a run that somebody waits for from another server."""
        with self._runs.lock:
            sent, request = self._under_way or (None, None)
            if sent is None or request is None or sent.sent_at > begun_by or sent.lease.outbox.waiters:
                return
            held_up = bool(lease.outbox.uploads.left) and self._runs.transport(lease) is not sent.transport
        if held_up:
            sent.transport.abort(request)

    def tidy(self, lease: Lease) -> None:
        """Remove here what the server has, where nothing else is left of a run."""
        while True:
            with self._runs.lock:
                uploads = lease.outbox.uploads
                work = None if uploads.left else self._local(lease, idle=True)
            if not isinstance(work, (Drop, Forget)):
                return
            self._do(_Here(lease, work))

    def _is_disk_down(self, lease: Lease) -> bool:
        return self._disk_at.get(lease.outbox, 0.0) > self._clock()

    def _local(self, lease: Lease, *, idle: bool) -> Drop | Forget | Rehash | SetAside | None:
        uploads, outbox = lease.outbox.uploads, lease.outbox
        uploads.decided, uploads.status_sent = outbox.status is not None, outbox.status_sent
        return None if self._is_disk_down(lease) else uploads.local(idle=idle)

    # The thread.

    def _round(self) -> None:
        begun, worked = time.monotonic(), time.thread_time()
        self._look()
        with self._runs.lock:
            found = self._next(self._clock())
        if isinstance(found, _Here):
            self._do(found)
        elif isinstance(found, _Sent):
            self._send(found)
        else:
            now = self._clock()
            self._loop.idle(min(found if found is not None else now + _LOOK_S, now + _LOOK_S) - now)
            return
        with self._runs.lock:
            waited_for = any(outbox.waiters for outbox in self._runs.leases)
        whole_s = (time.thread_time() - worked) / self._cpu_share_max
        self._loop.rest(0.0 if waited_for else whole_s - (time.monotonic() - begun))

    def _look(self) -> None:
        """See what there is, as often as that is of use."""
        now = self._clock()
        with self._runs.lock:
            if not self._woken and now < self._look_at:
                return
            woken, self._woken, self._look_at = self._woken, False, now + _LOOK_S
            leases = [
                lease
                for outbox, lease in self._runs.leases.items()
                if woken or outbox.uploads.is_behind() or not outbox.uploads.is_empty()
            ]
            used = {self._runs.transport(lease) for lease in self._runs.leases.values()}
            self._servers = {transport: server for transport, server in self._servers.items() if transport in used}
            self._turns = {outbox: turn for outbox, turn in self._turns.items() if outbox in self._runs.leases}
            self._disk_at = {outbox: due for outbox, due in self._disk_at.items() if outbox in self._runs.leases}
        for lease in leases:
            lease.look_at_files(self._runs.lock)
            with self._runs.lock:
                lease.outbox.release_waiters()

    def _rank(self, lease: Lease) -> tuple[bool, bool, int]:
        return not lease.outbox.waiters, lease.own is None, self._turns.get(lease.outbox, 0)

    def _next(self, now: float) -> _Here | _Sent | float | None:
        """What is to be done, or when something is due. Under the lock."""
        soonest: float | None = None
        for lease in sorted(self._runs.leases.values(), key=self._rank):
            outbox = lease.outbox
            if outbox.uploads.is_empty():
                continue
            found = self._of_run(now, lease)
            if isinstance(found, (_Here, _Sent)):
                self._turn += 1
                self._turns[outbox] = self._turn
                return found
            if found is not None and (soonest is None or found < soonest):
                soonest = found
        return soonest

    def _of_run(self, now: float, lease: Lease) -> _Here | _Sent | float | None:
        uploads, outbox = lease.outbox.uploads, lease.outbox
        if (work := self._local(lease, idle=False)) is not None:
            return _Here(lease, work)
        transport = self._runs.transport(lease)
        due: float | None = None
        if transport is not None and outbox.takes_files() and not outbox.gone:
            server = self._servers.setdefault(transport, _Server(self._source))
            uploads.part = server.part
            found = uploads.next(now) if server.backoff.due <= now else server.backoff.due
            if isinstance(found, (Announce, Ask, Put)):
                return _Sent(lease, transport, server, found, now)
            due = found
        work = self._local(lease, idle=True)
        return due if work is None else _Here(lease, work)

    def _do(self, here: _Here) -> None:
        files, uploads, work = here.lease.files, here.lease.outbox.uploads, here.work
        try:
            match work:
                case Drop():
                    files.delivered(work.sha256)
                    with self._runs.lock:
                        uploads.did(work)
                case Forget():
                    files.forget(work.ids)
                    with self._runs.lock:
                        uploads.forgot(work.ids)
                        here.lease.outbox.release_waiters()
                case Rehash():
                    self._rehash(here.lease, work)
                case SetAside():
                    self._set_aside(here.lease, work)
        except OSError as error:
            with self._runs.lock:
                self._disk_at[here.lease.outbox] = self._clock() + _DISK_S
                uploads.trouble = str(error)

    def _rehash(self, lease: Lease, work: Rehash) -> None:
        try:
            right: bool | None = lease.files.rehash(work.sha256)
        except FileNotFoundError:
            right = False
        except OSError:
            right = None
        with self._runs.lock:
            lease.outbox.uploads.rehashed(self._clock(), work, right)

    def _set_aside(self, lease: Lease, work: SetAside) -> None:
        uploads = lease.outbox.uploads
        with self._runs.lock:
            ids = uploads.files_of(work.sha256)
        try:
            aside = lease.files.set_aside(work.sha256)
            deferred_log.error("steplog: run %s: a file is damaged, and kept as %s; it is lost.", uploads.name(), aside)
        except FileNotFoundError:
            lease.files.forget(ids)
            deferred_log.error("steplog: run %s: a file is not on this machine any more; it is lost.", uploads.name())
        with self._runs.lock:
            uploads.did(work)
            uploads.forgot(ids)
            lease.outbox.release_waiters()

    def _send(self, sent: _Sent) -> None:
        lease, work = sent.lease, sent.work
        uploads, address = lease.outbox.uploads, lease.outbox.address
        if isinstance(work, Put):
            try:
                data = lease.files.read(work.sha256, work.first, work.end - work.first)
            except OSError:
                data = b""
            if len(data) < work.end - work.first:
                gone = bool(data) or not lease.files.has(work.sha256)
                with self._runs.lock:
                    uploads.unreadable(self._clock(), work, gone)
                return
            request = work.request(address, data)
        else:
            request = work.request(address)
        with self._runs.lock:
            self._under_way = sent, request
        try:
            answer = exchanged(sent.transport, request, self._timeout_s, partial(self._fault, "steplog-upload"))
        finally:
            self._under_way = None
        with self._runs.lock:
            self._answered(sent, answer)

    def _answered(self, sent: _Sent, answer: Answer | str) -> None:
        now, server, outbox = self._clock(), sent.server, sent.lease.outbox
        judgement = outbox.uploads.answered(now, sent.work, answer, now - sent.sent_at)
        if judgement.verdict in _SERVER_TROUBLE:
            self._troubled(now, sent, judgement)
        elif isinstance(sent.work, Put) or not (server.refuses_contents and outbox.uploads.left):
            # What takes announcements may not take contents.
            server.backoff.passed()
            server.trouble, server.told, server.refuses_contents = None, False, False
        if judgement.verdict is Verdict.MISSING:
            outbox.probe.missing(now, judgement.words)
        outbox.release_waiters()
        if not outbox.uploads.left or judgement.verdict is Verdict.MISSING:
            self._runs.wake()  # the status may have waited for that

    def _troubled(self, now: float, sent: _Sent, judgement: Judgement) -> None:
        server, at_least_s = sent.server, judgement.retry_after_s
        if judgement.verdict is Verdict.KEY_REFUSED:
            if self._runs.other_key(sent.transport):
                return
            at_least_s = max(at_least_s or 0.0, _KEY_INTERVAL_S)
        server.backoff.failed(now, at_least_s)
        server.trouble = judgement.words
        server.refuses_contents |= isinstance(sent.work, Put)
        if not server.told and server.backoff.attempt_number > 1:
            server.told = True
            where = sent.transport.base_url
            words = judgement.words if judgement.words.startswith(where) else f"{where}: {judgement.words}"
            deferred_log.warning("steplog: %s. Files are kept and will be sent; this is said once.", words)
