"""A consignment: everything of one run that is still to be delivered, and in what order. Pure.

Before anything is sent of an adopted run, the server must say that the key belongs to the run's account. Then it is
asked for the run, unless its creation has just told what the server is (one that takes ranges, or a stock one). Then
come the records of every writer, and last, once nothing that was written before the end is left, the status.
A run that the server does not know any more is *gone*: nothing is sent, everything is kept.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from steplog.delivery import questions, wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.exchange import Request
from steplog.delivery.metrics import MetricStream
from steplog.delivery.order import Address, Aside, Order
from steplog.delivery.questions import Question
from steplog.delivery.ranges import RangeStream
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.journal import Journal

__all__ = ["Consignment", "Terms", "Wait"]

ACCOUNT_INTERVAL_S = 60.0
_log = logging.getLogger("steplog")


@dataclass(frozen=True, slots=True)
class Terms:
    """How to deliver: how long records may wait for company, and how many requests at once to a stock server."""

    batch_age_s: float = 0.5
    connections_max: int = 8


@dataclass(eq=False, slots=True)
class Wait:
    """Somebody who waits until what was written by now is delivered, and with ``status`` until that is set."""

    done: Callable[[], None]
    status: bool = False
    ends: dict[str, int] = field(default_factory=dict)


class Consignment:
    """One run's journals on their way to one address."""

    def __init__(
        self, address: Address, aside: Aside, terms: Terms, source: random.Random, account: str | None = None
    ) -> None:
        self.address = address
        self.terms = terms
        self.backoff = Backoff(source)
        self.takes_ranges = True
        self.gone = False
        self.question: Question | None = Question.RUN if account is None else Question.ACCOUNT
        self.status: str | None = None  # to be sent, after the records below ``ends``
        self.status_sent = False
        self.refused: Judgement | None = None  # of the status
        self.trouble: str | None = None  # what keeps this run from being delivered
        self.waits: list[Wait] = []
        self.journals: dict[str, Journal] = {}
        self._ends: dict[str, int] = {}
        self._ranges: dict[str, RangeStream] = {}
        self._metrics: dict[str, MetricStream] = {}
        self._misses = 0  # answers in a row that could not find the run, while questions could
        self._account = account
        self._aside = aside
        self._source = source
        self._turn = 0

    def knows(self, takes_ranges: bool) -> None:
        """The server has just made the run, and said whether it takes ranges."""
        self.question, self.takes_ranges = None, takes_ranges

    # -- what is to be delivered ----------------------------------------------------------------------------------

    def add(self, journal: Journal) -> None:
        """One more writer."""
        self.journals[journal.writer] = journal

    def remove(self, writer: str) -> None:
        """A writer whose journal is not needed any more."""
        for streams in (self.journals, self._ranges, self._metrics):
            streams.pop(writer, None)

    def end_with(self, status: str) -> None:
        """Send this status once everything that is written by now is delivered."""
        self.status, self.refused = status, None
        self._ends = self._written()

    def wait(self, wait: Wait) -> None:
        """Call ``wait.done`` once everything that is written by now is delivered."""
        wait.ends = self._written()
        self.waits.append(wait)

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside."""
        return sum(self._pending(journal) for journal in self.journals.values())

    def idle(self) -> bool:
        """Whether nothing is left: no record, and no status."""
        return (self.status is None or self.status_sent) and self.pending() == 0

    def settled(self, wait: Wait) -> bool:
        """Whether everything that was waited for is there."""
        return self._settled(wait.ends) and (not wait.status or self.status_sent)

    def release_waits(self) -> None:
        """Let go those who waited for what is done by now, or cannot be done."""
        for wait in list(self.waits):
            if self.settled(wait) or self.gone or (wait.status and self.refused is not None):
                self.waits.remove(wait)
                wait.done()

    def _written(self) -> dict[str, int]:
        return {writer: journal.written() for writer, journal in self.journals.items()}

    def _settled(self, ends: dict[str, int]) -> bool:
        return all(self._stream(writer).settled(end) for writer, end in ends.items() if writer in self.journals)

    def _pending(self, journal: Journal) -> int:
        return self._stream(journal.writer).pending()

    def _stream(self, writer: str) -> RangeStream | MetricStream:
        if writer in self._metrics or not self.takes_ranges or self.journals[writer].marks.stock:
            return self._metric_stream(writer)
        return self._range_stream(writer)

    def _range_stream(self, writer: str) -> RangeStream:
        if writer not in self._ranges:
            self._ranges[writer] = RangeStream(self.journals[writer], self._aside, self.terms.batch_age_s, self._source)
        return self._ranges[writer]

    def _metric_stream(self, writer: str) -> MetricStream:
        if writer not in self._metrics:
            self._metrics[writer] = MetricStream(
                self.journals[writer], self._aside, self.terms.connections_max, self._source
            )
        return self._metrics[writer]

    # -- what is due ----------------------------------------------------------------------------------------------

    def next(self, now: float, lane: int) -> Order | float | None:
        """The exchange that is due on this lane, or when one will be, or None: nothing is left to do for now.

        Lane 0 does everything; the others only help with single metrics.
        """
        if self.gone:
            return None
        if self.backoff.due > now:
            return self.backoff.due
        if self.question is not None:
            return self._ask(self.question) if lane == 0 and self._has_work() else None
        hurry = bool(self.waits) or self.status is not None
        soonest: float | None = None
        writers = list(self.journals)
        for turn in range(len(writers)):
            writer = writers[(self._turn + turn) % len(writers)]
            stream = self._stream(writer)
            if isinstance(stream, MetricStream):
                due = stream.due_at(now, lane)
                if due is not None and due <= now:
                    self._turn += turn + 1
                    return stream.order(self.address, lane)
            elif lane == 0:
                due = stream.due_at(now, hurry)
                if due is not None and due <= now:
                    self._turn += turn + 1
                    return stream.order(self.address)
            else:
                due = None
            if due is not None:
                soonest = due if soonest is None else min(soonest, due)
        if lane == 0 and self._status_due():
            return self._status()
        return soonest

    def uses_lanes(self) -> bool:
        """Whether more than one request at a time is of use."""
        return bool(self._metrics)

    def _has_work(self) -> bool:
        return bool(self.waits) or self.status is not None or self.pending() > 0

    def _status_due(self) -> bool:
        return self.status is not None and not self.status_sent and self.refused is None and self._settled(self._ends)

    def _ask(self, question: Question) -> Order:
        run = self.address.run
        echoes, answered = {
            Question.ACCOUNT: (lambda body: questions.username(body) is not None, self._account_told),
            Question.RUN: (lambda body: questions.takes_ranges(body, run) is not None, self._asked),
            Question.LIST: (lambda body: questions.lists(body, run) is not None, self._looked),
        }[question]
        return Order(questions.ask(question, self.address), echoes, answered)

    def _status(self) -> Order:
        body = msgspec.json.encode({"status": self.status})
        path = wire.run_path(self.address.namespace, self.address.project, self.address.run)
        request = Request("PATCH", path, body, {"Content-Type": "application/json"})
        return Order(
            request,
            lambda body: questions.status_of(body, self.address.run) == self.status,
            self._status_answered,
        )

    # -- answers --------------------------------------------------------------------------------------------------

    def answered(self, now: float, judgement: Judgement) -> None:
        """What any answer means for the run as a whole."""
        if judgement.verdict in (Verdict.FORBIDDEN, Verdict.REDIRECTED):
            if self.trouble is None:
                _log.warning("steplog: run %s: %s. Everything is kept.", self.address.run, judgement.words)
            self.trouble = judgement.words
            self.backoff.failed(now, judgement.retry_after_s)
        elif self.question is not None:
            return
        elif judgement.verdict is Verdict.MISSING:
            self.question = Question.RUN
            if self._misses:
                self.backoff.failed(now)
            self._misses += 1
        elif judgement.verdict is Verdict.ACCEPTED:
            self._misses, self.trouble = 0, None
            self.backoff.passed()

    def _account_told(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is not Verdict.ACCEPTED:
            return
        username = questions.username(body)
        if username == self._account:
            self.question = Question.RUN
        else:
            if self.trouble is None:
                _log.warning(
                    "steplog: run %s waits here for an API key of %r; the one that is used belongs to %r.",
                    self.address.run,
                    self._account,
                    username,
                )
            self.trouble = f"needs an API key of {self._account}"
            self.backoff.failed(now, ACCOUNT_INTERVAL_S)

    def _asked(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.knows(bool(questions.takes_ranges(body, self.address.run)))
        elif judgement.verdict in (Verdict.MISSING, Verdict.REFUSED):  # 404, 405: a stock server, or gone
            self.question = Question.LIST

    def _looked(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.knows(False)
            self._found(bool(questions.lists(body, self.address.run)))
        elif judgement.verdict is Verdict.MISSING:  # the project is not there either
            self._found(False)
        elif judgement.verdict is Verdict.REFUSED:
            self.backoff.failed(now)

    def _found(self, listed: bool) -> None:
        self.gone = not listed
        if self.gone:
            _log.error(
                "steplog: the server does not have the run %s any more. Nothing more is sent; %d records are kept.",
                self.address.run,
                self.pending(),
            )

    def _status_answered(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.status_sent = True
        elif judgement.verdict in (Verdict.REFUSED, Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.MARK):
            self.refused = judgement
            _log.error("steplog: the server refuses the status %s of the run: %s", self.status, judgement.words)
