"""A consignment: everything of one run that is still to be delivered, and in what order. Pure.

First the run is made, if it was begun without the server (``creation``), then what is to be asked (``inquiry``), then
the records of every writer, and last, once nothing that was written before the end is left, the status. Of a run that
the server does not know any more nothing is sent, and everything is kept.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from steplog.delivery import questions, wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.creation import Creation, Made
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.lanes import Lanes
from steplog.delivery.metrics import MetricStream
from steplog.delivery.order import Aside, Order, RunAddress
from steplog.delivery.probe import CapabilityProbe
from steplog.delivery.questions import Question
from steplog.delivery.ranges import RangeStream
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.journal import Journal

__all__ = ["STATUS_INTERVAL_S", "DeliveryOptions", "Outbox", "Waiter"]

_REFUSALS = (Verdict.REFUSED, Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.MARK)
STATUS_INTERVAL_S = 60.0  # between two tries of a status that the server refuses and nobody waits for


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How to deliver: how long records may wait for company, and how many requests at once go to a stock server."""

    batch_age_s: float = 0.9
    connections_max: int = 8
    cpu_share_max: float = 1.0  # of a processor, for all of it, while nobody waits


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits until what was written by now is delivered, and with ``status`` until that is set."""

    done: Callable[[], None]
    status: bool = False
    ends: dict[str, int] = field(default_factory=dict)


class Outbox:
    """One run's journals on their way to one address; ``account``: whose key it takes, None for a run made here.

    ``creation`` makes the run, if it is not on the server yet; the address is whole once that is done.
    """

    def __init__(
        self,
        address: RunAddress,
        aside: Aside,
        options: DeliveryOptions,
        source: random.Random,
        account: str | None = None,
        creation: Creation | None = None,
    ) -> None:
        self.address = address
        self.options = options
        self.backoff = Backoff(source)
        self.creation = creation
        self.name = ""  # as the server gave it to a run that was made here
        self.held_back = False  # what is decided is not written down: nothing that a later process must know of goes
        self.probe = CapabilityProbe(address, account, self.backoff)
        self.status: str | None = None  # to be sent, after the records below ``ends``
        self.status_sent = False
        self.refused: Judgement | None = None  # of the status, for those who wait for it
        self.waits: list[Waiter] = []
        self.journals: dict[str, Journal] = {}
        self._ends: dict[str, int] = {}
        self._status_at = 0.0
        self._trouble: str | None = None
        self._ranges: dict[str, RangeStream] = {}
        self._metrics: dict[str, MetricStream] = {}
        self.name_lanes = Lanes(options.connections_max)
        self._aside = aside
        self._source = source
        self._turn = 0

    @property
    def gone(self) -> bool:
        """Whether the server does not have the run any more."""
        return self.probe.gone

    @property
    def trouble(self) -> str | None:
        """What keeps this run from being delivered, if anything does."""
        streams: list[RangeStream | MetricStream] = [*self._ranges.values(), *self._metrics.values()]
        return self._trouble or self.probe.trouble or next((s.trouble for s in streams if s.trouble), None)

    def knows(self, takes_ranges: bool) -> None:
        """The server has just made the run, and said whether it takes ranges."""
        self.probe.knows(takes_ranges)

    def made(self, made: Made, namespace: str, takes_ranges: bool | None) -> None:
        """The server has made the run; ``takes_ranges`` is what it said of itself, None: it is to be asked."""
        self.creation = None
        self.address = replace(self.address, namespace=namespace, run=made.uuid)
        self.probe.address = self.address
        self.name = made.name
        if takes_ranges is None:
            self.probe.question = Question.RUN
        else:
            self.knows(takes_ranges)

    # -- what is to be delivered ----------------------------------------------------------------------------------

    def add(self, journal: Journal) -> None:
        """One more writer."""
        self.journals[journal.writer] = journal

    def end_with(self, status: str) -> None:
        """Send this status once everything that is written by now is delivered."""
        self.status, self.refused, self._status_at = status, None, 0.0
        self._ends = self._written()

    def wait(self, wait: Waiter) -> None:
        """Call ``wait.done`` once everything that is written by now is delivered."""
        wait.ends = self._written()
        if wait not in self.waits:
            self.waits.append(wait)

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside; the cost grows with their number."""
        return sum(self._stream(writer).pending() for writer in self.journals)

    def left(self) -> int:
        """How many positions are written and not delivered: about as many records, at hardly any cost."""
        return sum(max(0, journal.written() - journal.cursor.delivered) for journal in self.journals.values())

    def idle(self) -> bool:
        """Whether nothing is left: no record, and no status."""
        return not self._owes_status() and all(self._stream(writer).empty() for writer in self.journals)

    def settled(self, wait: Waiter) -> bool:
        """Whether everything that was waited for is there."""
        return self._settled(wait.ends) and (not wait.status or self.status_sent)

    def release_waits(self) -> None:
        """Let go those who waited for what is done by now, or cannot be done."""
        for wait in list(self.waits):
            if self.settled(wait) or self.gone or (wait.status and self.refused is not None):
                self.waits.remove(wait)
                wait.done()

    def give_up(self, writer: str, end: int) -> bool:
        """Give up a journal's records below ``end``, unless one is being set aside; whether so. Raises OSError."""
        stream = self._stream(writer)
        if not stream.leaving:
            stream.give_up(end)
        return not stream.leaving

    def _written(self) -> dict[str, int]:
        return {writer: journal.written() for writer, journal in self.journals.items()}

    def _settled(self, ends: dict[str, int]) -> bool:
        return all(self._stream(writer).settled(end) for writer, end in ends.items() if writer in self.journals)

    def _owes_status(self) -> bool:
        return self.status is not None and not self.status_sent

    def _stream(self, writer: str) -> RangeStream | MetricStream:
        journal = self.journals[writer]
        if (leaving := self._ranges.get(writer)) is not None and leaving.leaving:
            return leaving  # the server may have turned stock: no other is to send what is being set aside
        if journal.cursor.stock or not self.probe.takes_ranges:
            if writer not in self._metrics:
                self._metrics[writer] = MetricStream(journal, self._aside, self.name_lanes, self._source)
            return self._metrics[writer]
        self._metrics.pop(writer, None)  # nothing was sent that way
        if writer not in self._ranges:
            self._ranges[writer] = RangeStream(journal, self._aside, self.options.batch_age_s, self._source)
        return self._ranges[writer]

    # -- what is due ----------------------------------------------------------------------------------------------

    def next(self, now: float, lane: int) -> Order | float | None:
        """The exchange that is due on this lane, or when one will be, or None: nothing is left to do for now.

        Not to be called before ``backoff`` is over. Lane 0 does everything; the others only help with single metrics.
        """
        if self.creation is not None or self.probe.question is not None:
            rests = self.creation is None and not self.waits and self.idle()
            return None if lane or rests else self._ask()
        hurry = bool(self.waits) or self._owes_status()
        soonest: float | None = None
        dead, living = self._by_life()
        for turn, writer in enumerate((*dead, *living)):
            stream = self._stream(writer)
            if isinstance(stream, MetricStream):
                due = stream.due_at(now, lane)
            else:
                due = stream.due_at(now, hurry or writer in dead) if lane == 0 else None
            if due is None:
                continue
            if due <= now:
                self._turn += max(0, turn - len(dead)) + 1
                return stream.order(self.address, lane)
            soonest = due if soonest is None else min(soonest, due)
        if lane == 0 and self._owes_status() and not (self.held_back or self.refused) and self._settled(self._ends):
            return self._status() if self._status_at <= now else min(self._status_at, soonest or self._status_at)
        return soonest

    def _by_life(self) -> tuple[list[str], list[str]]:
        """The dead writers, whose records come before what a later one has logged, and the others in their turn."""
        writers = list(self.journals)
        turn = self._turn % max(1, len(writers))
        dead = [writer for writer in writers if len(writers) > 1 and not self.journals[writer].alive]
        return dead, [writer for writer in writers[turn:] + writers[:turn] if writer not in dead]

    def look_again(self) -> None:
        """There may be more than was to be expected."""
        for stream in self._ranges.values():
            stream.look_again()

    def lanes(self) -> int:
        """How many requests at a time are of use to a stock server; 0: it is none."""
        return max(1, self.name_lanes.used) if self._metrics else 0

    def _ask(self) -> Order | None:
        if self.creation is None or self.probe.question is Question.ACCOUNT:
            return self.probe.order(self.probe.question or Question.RUN)
        order = self.creation.order()
        if self.held_back:
            return None
        return replace(order, answered=lambda now, judgement, body: self._created(now, order, judgement, body))

    def _created(self, now: float, order: Order, judgement: Judgement, body: bytes) -> None:
        order.answered(now, judgement, body)
        creation = self.creation
        if creation is not None and creation.made is not None:
            self.made(creation.made, creation.namespace, True if creation.made.batch else None)
        elif creation is not None and creation.refused is not None:
            if self._trouble is None:
                deferred_log.warning("steplog: the run %s cannot be made: %s", creation.name, creation.refused.words)
            self._trouble = creation.refused.words
        if judgement.verdict is Verdict.ACCEPTED:
            self.backoff.passed()
        elif judgement.verdict in (*_REFUSALS, Verdict.MISSING):
            self.backoff.failed(now, judgement.retry_after_s)

    def _status(self) -> Order:
        status, run = self.status, self.address.run
        path = wire.run_path(self.address.namespace, self.address.project, run)
        request = Request("PATCH", path, msgspec.json.encode({"status": status}), {"Content-Type": "application/json"})
        return Order(
            request,
            lambda body: questions.status_of(body, run) == status,
            lambda now, judgement, body: self._status_answered(now, judgement, status),
        )

    def answered(self, now: float, judgement: Judgement, sent_at: float) -> None:
        """What any answer, to what was sent at ``sent_at``, means for the run as a whole."""
        if judgement.verdict in (Verdict.FORBIDDEN, Verdict.REDIRECTED):
            self._say(judgement)
            self.backoff.failed(now, judgement.retry_after_s, sent_at)
        elif self.creation is not None:
            return  # it knows by itself what to make of an answer
        elif judgement.verdict is Verdict.MISSING:
            self.probe.missing(now)
        elif judgement.verdict is Verdict.ACCEPTED:
            self._trouble = None
            if self.probe.question is None:
                self.probe.found()
                self.backoff.passed()

    def failed_alone(self, now: float, judgement: Judgement, sent_at: float) -> None:
        """There was no good answer to this run, while its server is well: more than once, and it is the run's."""
        self.backoff.failed(now, sent_at=sent_at)
        if self.backoff.attempt_number > 1:
            self._say(judgement)

    def _say(self, judgement: Judgement) -> None:
        if self._trouble is None:
            deferred_log.warning("steplog: run %s: %s. Everything is kept.", self.address.run, judgement.words)
        self._trouble = judgement.words

    def _status_answered(self, now: float, judgement: Judgement, status: str | None) -> None:
        if status != self.status:
            return  # another one was decided meanwhile
        if judgement.verdict is Verdict.ACCEPTED:
            self.status_sent = True
        elif judgement.verdict in _REFUSALS:
            if self._status_at == 0.0:
                deferred_log.error("steplog: the server refuses the status %s of the run: %s", status, judgement.words)
            self._status_at = now + STATUS_INTERVAL_S
            if any(wait.status for wait in self.waits):
                self.refused = judgement
