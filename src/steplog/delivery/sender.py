"""The sender: which exchange is due next, over all runs of a process and all their servers. Pure.

A failure sets a due time at one of three levels: the *server* (its address and key: no answer, 5xx, 429, 401), the
*run* (403, 404, 3xx) or the *range* (what the server refuses in particular). While a server is down, one probe
speaks for all its runs. Those that somebody waits for come first, then the process's own, then adopted ones, each
in turn.

``next`` decides, the caller exchanges, ``answered`` learns. A change of state is said once.
"""

from __future__ import annotations

import logging
import random

from steplog.delivery.backoff import Backoff
from steplog.delivery.consignment import Consignment
from steplog.delivery.exchange import Answer, Transport
from steplog.delivery.order import Order
from steplog.delivery.verdicts import Judgement, Verdict, judge

__all__ = ["KEY_INTERVAL_S", "Due", "Sender", "Server"]

KEY_INTERVAL_S = 5.0
_SERVER_TROUBLE = frozenset((Verdict.AGAIN, Verdict.FAULT, Verdict.KEY_REFUSED))
_log = logging.getLogger("steplog")


class Server:
    """A server as the sender knows it: how to reach it, and how it is."""

    def __init__(self, transport: Transport, source: random.Random, now: float) -> None:
        self.transport = transport
        self.backoff = Backoff(source)
        self.trouble: str | None = None  # the last error, while there is one
        self.answered_at = now  # since then it may be silent
        self.probing = False  # it is down, and one exchange is under way to see whether it still is


class Due:
    """An order with what it belongs to."""

    __slots__ = ("consignment", "order", "server")

    def __init__(self, server: Server, consignment: Consignment, order: Order) -> None:
        self.server = server
        self.consignment = consignment
        self.order = order


class Sender:
    """All consignments of a process."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._servers: dict[Transport, Server] = {}
        self._own: dict[Consignment, Server] = {}
        self._adopted: dict[Consignment, Server] = {}
        self._turn = 0

    def add(self, now: float, consignment: Consignment, transport: Transport, adopted: bool = False) -> None:
        """Deliver this from now on; or, if it is known, over this transport from now on."""
        if transport not in self._servers:
            self._servers[transport] = Server(transport, self._source, now)
        (self._adopted if adopted else self._own)[consignment] = self._servers[transport]

    def remove(self, consignment: Consignment) -> None:
        """Forget it."""
        self._own.pop(consignment, None)
        self._adopted.pop(consignment, None)
        used = {*self._own.values(), *self._adopted.values()}
        self._servers = {transport: server for transport, server in self._servers.items() if server in used}

    def trouble(self, consignment: Consignment) -> str | None:
        """What keeps a consignment from being delivered, if anything does."""
        server = self._server_of(consignment)
        return consignment.trouble or (server.trouble if server is not None else None)

    def silent_s(self, consignment: Consignment, now: float) -> float:
        """For how long its server has not answered, in seconds."""
        server = self._server_of(consignment)
        return 0.0 if server is None else now - server.answered_at

    def _server_of(self, consignment: Consignment) -> Server | None:
        return self._own.get(consignment) or self._adopted.get(consignment)

    def uses_lanes(self) -> bool:
        """Whether more than one request at a time is of use."""
        return any(consignment.uses_lanes() for consignment in (*self._own, *self._adopted))

    def next(self, now: float, lane: int = 0) -> Due | float | None:
        """What is due on this lane now, or when something will be; None while nothing is known to be left."""
        soonest: float | None = None
        for consignment, server in self._in_order():
            found: Order | float | None
            if server.probing:
                found = None
            elif server.backoff.due > now:
                found = server.backoff.due
            else:
                found = consignment.next(now, lane)
            if isinstance(found, Order):
                self._turn += 1
                server.probing = server.backoff.attempt_number > 0
                return Due(server, consignment, found)
            if found is not None and (soonest is None or found < soonest):
                soonest = found
        return soonest

    def answered(self, now: float, due: Due, answer: Answer | str) -> None:
        """Learn from an answer, or from why there was none."""
        if isinstance(answer, str):
            judgement, body = Judgement(Verdict.AGAIN, answer), b""
        else:
            judgement, body = judge(answer, due.order.echoes), answer.body
            due.server.answered_at = now
        due.server.probing = False
        self._learn(now, due.server, judgement)
        due.consignment.answered(now, judgement)
        due.order.answered(now, judgement, body)

    def _learn(self, now: float, server: Server, judgement: Judgement) -> None:
        if judgement.verdict not in _SERVER_TROUBLE:
            server.backoff.passed()
            if server.trouble is not None and judgement.verdict is Verdict.ACCEPTED:
                _log.info("steplog: %s answers again.", server.transport.base_url)
                server.trouble = None
            return
        if judgement.verdict is Verdict.KEY_REFUSED and server.transport.refresh_key():
            server.backoff.passed()  # another key: try it at once
            return
        at_least = judgement.retry_after_s
        if judgement.verdict is Verdict.KEY_REFUSED:
            at_least = max(at_least or 0.0, KEY_INTERVAL_S)
        server.backoff.failed(now, at_least)
        if server.trouble is None:
            _log.warning(
                "steplog: %s: %s. Records are kept and will be sent; this is said once.",
                server.transport.base_url,
                judgement.words,
            )
        server.trouble = judgement.words

    def _in_order(self) -> list[tuple[Consignment, Server]]:
        own, adopted = _turned(self._own, self._turn), _turned(self._adopted, self._turn)
        return sorted((*own, *adopted), key=lambda item: not item[0].waits)


def _turned(consignments: dict[Consignment, Server], turn: int) -> list[tuple[Consignment, Server]]:
    items = list(consignments.items())
    start = turn % len(items) if items else 0
    return items[start:] + items[:start]
