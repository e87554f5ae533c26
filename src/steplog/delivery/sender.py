"""The sender: which request is due next, over all runs of a process and all their servers. Pure.

A failure delays one of three: the *server* (its address and key: no answer, 5xx, 429, 401), the *run* (403, 404, 3xx)
or the *range* (what is refused in particular). While a server is down, one *trial* at a time speaks for all its runs,
as in a half-open circuit breaker. Runs that somebody waits for come first, then the process's own, then adopted ones;
of these the one that has waited longest.

One failure proves little: a run that alone fails or is asked to wait (``Retry-After``) waits alone. Once a second run
has failed too, it is the server.

``next`` decides, the caller exchanges, ``answered`` learns and says what to do; ``stumbled`` if either raised. Trouble
with a server is logged once, at its second failure in a row.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer, Request, Transport
from steplog.delivery.outbox import Outbox
from steplog.delivery.tickets import Action, Send, Store, Ticket
from steplog.delivery.verdicts import Judgement, Verdict, judge

if TYPE_CHECKING:
    import random

__all__ = ["InFlight", "Sender", "ServerState", "StoreFirst"]

_KEY_INTERVAL_S = 5.0
_QUIET_MIN_S, _QUIET_MAX_S = 0.02, 0.5  # between two looks at a run that has nothing to send
_READ_AGAIN_S = 0.05
_KEYS_AT_ONCE_MAX = 2  # other keys that are tried at once, one after the other
_SERVER_TROUBLE = frozenset((Verdict.AGAIN, Verdict.FAULT, Verdict.KEY_REFUSED))


class ServerState:
    """A server, how to reach it, and how it is."""

    def __init__(self, transport: Transport, source: random.Random) -> None:
        self.transport = transport
        self.backoff = Backoff(source)
        self.trouble: str | None = None  # the last error, while there is one
        self.told = False  # of the trouble, in the log
        self.asked_at: float | None = None  # the first request since it last answered
        self.failed: Outbox | None = None  # the one that failed last, since it was last well
        self.trial: InFlight | None = None  # it is down, and this is under way to see whether it still is
        self.rekeyed_at = 0.0
        self.keys_tried = 0


class InFlight(msgspec.Struct, frozen=True):
    """A request under way; ``sent_at`` is on the monotonic clock, in seconds."""

    server: ServerState
    outbox: Outbox
    lane: int
    request: Request
    ticket: Ticket
    sent_at: float


class StoreFirst(msgspec.Struct, frozen=True):
    """Store this run's manifest, then ask again."""

    outbox: Outbox


class _Entry:
    """A run among the others; ``turn`` is that of its last request.

    ``quiet``: by lane, until when it is not looked at, and for how many seconds.
    """

    def __init__(self, outbox: Outbox, server: ServerState, adopted: bool) -> None:
        self.outbox = outbox
        self.server = server
        self.adopted = adopted
        self.turn = 0
        self.quiet: dict[int, tuple[float, float]] = {}

    def rest(self, now: float, lane: int, most_s: float) -> float:
        """Look again later, each time later still; when."""
        seconds = min(self.quiet.get(lane, (0.0, _QUIET_MIN_S))[1] * 2, most_s)
        self.quiet[lane] = now + seconds, seconds
        return now + seconds

    def rank(self) -> tuple[bool, bool, int]:
        return not self.outbox.waiters, self.adopted, self.turn


class Sender:
    """All runs of a process; a quiet one is looked at every ``quiet_max_s``, or when woken."""

    def __init__(self, source: random.Random, quiet_max_s: float = _QUIET_MAX_S) -> None:
        self._source = source
        self._quiet_max_s = quiet_max_s
        self._servers: dict[Transport, ServerState] = {}
        self._entries: dict[Outbox, _Entry] = {}
        self._turn = 0
        self._load: Counter[int] = Counter()  # names by lane, of all runs
        self._at: Outbox | None = None  # the one that is being looked at
        self._woken = False

    def add(self, now: float, outbox: Outbox, transport: Transport, adopted: bool = False) -> None:
        """Deliver a run from now on, or use this transport for it from now on."""
        if transport not in self._servers:
            self._servers[transport] = ServerState(transport, self._source)
        self._entries[outbox] = _Entry(outbox, self._servers[transport], adopted)
        outbox.name_lanes.share(self._load)
        self._drop_servers()

    def remove(self, outbox: Outbox) -> None:
        """Forget a run."""
        if self._entries.pop(outbox, None) is not None:
            outbox.name_lanes.share(Counter())
        self._drop_servers()

    def _drop_servers(self) -> None:
        used = {entry.server for entry in self._entries.values()}
        self._servers = {transport: server for transport, server in self._servers.items() if server in used}

    def delivers(self, outbox: Outbox) -> bool:
        """Whether this run is sent anywhere."""
        return outbox in self._entries

    def transport(self, outbox: Outbox) -> Transport | None:
        """The way to a run's server; None while it is not sent anywhere."""
        entry = self._entries.get(outbox)
        return None if entry is None else entry.server.transport

    def trouble(self, outbox: Outbox) -> str | None:
        """What keeps a run from being delivered; None while nothing does."""
        entry = self._entries.get(outbox)
        return outbox.trouble or (entry.server.trouble if entry is not None else None)

    def silent_s(self, outbox: Outbox, now: float) -> float:
        """Seconds since its server was first asked without an answer."""
        entry = self._entries.get(outbox)
        return 0.0 if entry is None or entry.server.asked_at is None else now - entry.server.asked_at

    def server(self, outbox: Outbox) -> str:
        """The address of a run's server; "" while it has none."""
        entry = self._entries.get(outbox)
        return "" if entry is None else entry.server.transport.base_url

    def gives_way(self, flight: InFlight, outbox: Outbox) -> bool:
        """Whether this request, which nobody waits for, keeps a run that somebody waits for from another server."""
        entry = self._entries.get(outbox)
        return entry is not None and entry.server is not flight.server and not flight.outbox.waiters

    def wake(self) -> None:
        """Look at all runs at the next call. Safe in a signal handler."""
        self._woken = True

    def lanes(self) -> int:
        """How many requests at a time stock servers can use; 0: there is no stock server."""
        return max(map(Outbox.lanes, self._entries), default=0)

    def next(self, now: float, lane: int = 0) -> InFlight | StoreFirst | float | None:
        """What is due on this lane, or when to ask again; None: there are no runs."""
        if self._woken:
            self._woken = False
            for entry in self._entries.values():
                entry.quiet.clear()
                entry.outbox.look_again()
        soonest: float | None = None
        for entry in sorted(self._entries.values(), key=_Entry.rank):
            server, outbox = entry.server, entry.outbox
            found: Send | Store | float | None
            if server.trial is not None:
                found = None
            elif not outbox.afresh and (due := max(server.backoff.due, outbox.backoff.due)) > now:
                found = due
            elif not outbox.waiters and lane in entry.quiet and entry.quiet[lane][0] > now:
                found = entry.quiet[lane][0]
            else:
                self._at = outbox
                try:
                    found = outbox.next(now, lane)
                except BlockingIOError:  # another process has taken it from memory: it is on disk, or comes back
                    found = now + _READ_AGAIN_S
                self._at = None
                if found is None:
                    found = entry.rest(now, lane, self._quiet_max_s)
            if isinstance(found, Send):
                return self._send(now, entry, lane, found)
            if isinstance(found, Store):
                return StoreFirst(outbox)
            if found is not None and (soonest is None or found < soonest):
                soonest = found
        return soonest

    def _send(self, now: float, entry: _Entry, lane: int, send: Send) -> InFlight:
        self._turn += 1
        entry.turn = self._turn
        entry.quiet.clear()
        server = entry.server
        flight = InFlight(server, entry.outbox, lane, send.request, send.ticket, now)
        if server.backoff.attempt_number > 0:
            server.trial = flight
        if server.asked_at is None:
            server.asked_at = now
        return flight

    def answered(self, now: float, flight: InFlight, answer: Answer | str) -> list[Action]:
        """Learn from an answer, or from why there was none; what to do about the run."""
        server, outbox, ticket = flight.server, flight.outbox, flight.ticket
        self._at = outbox
        if server.trial is flight:  # first of all: whatever is raised below, another trial may follow
            server.trial = None
        if isinstance(answer, str):
            judgement, body = Judgement(Verdict.AGAIN, answer), b""
        else:
            judgement, body = judge(answer, ticket.confirms), answer.body
            server.asked_at = None
        verdict = judgement.verdict
        if verdict not in _SERVER_TROUBLE or (verdict is Verdict.FAULT and ticket.suspect):
            self._server_well(server)
        else:
            alone = verdict is not Verdict.KEY_REFUSED and server.failed in (None, outbox)
            if alone and server.backoff.attempt_number == 0:
                outbox.failed_alone(now, judgement, flight.sent_at)
            if alone:
                outbox.backoff.rest(now, judgement.retry_after_s)
            self._server_troubled(now, flight, judgement, None if alone else judgement.retry_after_s)
        actions = outbox.answered(now, ticket, judgement, body, flight.sent_at)
        self._at = None
        return actions

    def stumbled(self, now: float) -> None:
        """An exception came out of a run: it waits, and the others go on."""
        outbox, self._at = self._at, None
        if outbox is not None:
            outbox.backoff.failed(now)

    def _server_well(self, server: ServerState) -> None:
        server.backoff.passed()
        server.failed = None
        server.keys_tried = 0
        server.trouble = None
        if server.told:
            server.told = False
            deferred_log.info("steplog: %s answers again.", server.transport.base_url)

    def _server_troubled(self, now: float, flight: InFlight, judgement: Judgement, at_least: float | None) -> None:
        server, flight.server.failed = flight.server, flight.outbox
        if judgement.verdict is Verdict.KEY_REFUSED:
            if flight.sent_at < server.rekeyed_at or self._other_key(now, server):
                server.backoff.try_again()  # with another key
                return
            at_least = max(at_least or 0.0, _KEY_INTERVAL_S)
        server.backoff.failed(now, at_least, flight.sent_at)
        server.trouble = judgement.words
        if not server.told and (server.backoff.attempt_number > 1 or judgement.verdict is Verdict.KEY_REFUSED):
            server.told = True
            where = server.transport.base_url
            words = judgement.words if judgement.words.startswith(where) else f"{where}: {judgement.words}"
            deferred_log.warning("steplog: %s. Records are kept and will be sent; this is said once.", words)

    def _other_key(self, now: float, server: ServerState) -> bool:
        if server.keys_tried >= _KEYS_AT_ONCE_MAX:
            server.keys_tried = 0
            return False
        if not server.transport.refresh_key():
            return False
        server.keys_tried += 1
        self._rekeyed(now, server)
        return True

    def other_key(self, now: float, transport: Transport) -> bool:
        """The lane of files was refused: look for another key; whether there is one."""
        server = self._servers.get(transport)
        if server is None or not transport.refresh_key():
            return False
        self._rekeyed(now, server)
        server.backoff.try_again()
        return True

    def _rekeyed(self, now: float, server: ServerState) -> None:
        server.rekeyed_at = now
        for entry in self._entries.values():
            if entry.server is server:
                entry.outbox.probe.rekeyed()
