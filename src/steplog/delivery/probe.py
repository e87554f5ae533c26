"""The capability probe: is the run on the server, whose key is it, and does the server take ranges? Pure.

Of an adopted run nothing is sent until the server says that the key belongs to the run's account. Then the server is
asked for the run, and again after a 404 on any of the run's routes::

    RUN ── 200 ──▶ known, with what it takes
     │ 404, 405
     ▼
    LIST ── 200, the run is in it ──▶ RUN once more: 404 or 405 again means a stock server
     │  └── 200, it is not ──▶ gone
     │ 404 with ``detail``
     ▼
    PROJECT ── 404 with ``detail`` ──▶ gone

1. Turning to stock is for ever, so one answer of a proxy does not decide it.
2. A 404 whose body is not JSON with ``detail`` is not the run server's: a proxy in front of it, or a framework that has
   no such route, answers in HTML. It says nothing of the run, and is retried with back-off, as an outage.
3. A run that is gone is asked for after ``GONE_MIN_S``, then at doubled intervals, up to ``GONE_INTERVAL_S``.
"""

from __future__ import annotations

from enum import Enum

from steplog.delivery import wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.tickets import RunAddress, Send, Ticket
from steplog.delivery.verdicts import REFUSALS, Judgement, Verdict, is_proxys_404

__all__ = ["ACCOUNT_INTERVAL_S", "GONE_INTERVAL_S", "GONE_MIN_S", "TOO_LONG", "CapabilityProbe", "Probe", "Question"]

ACCOUNT_INTERVAL_S = 60.0
GONE_MIN_S = 2.0
GONE_INTERVAL_S = 600.0
_NO_ROUTE = 405
TOO_LONG = f"the server's list of runs is longer than {wire.LIST_BYTES_MAX // 1024**2} MiB"


class Question(Enum):
    """What is asked before anything is sent."""

    ACCOUNT = "whose key is it"
    RUN = "is the run there"
    LIST = "is the run among the project's"
    PROJECT = "is the project there"


class Probe(Ticket, frozen=True):
    """The ticket of a question."""

    question: Question
    run: str

    def confirms(self, body: bytes) -> bool:
        """Whether the body answers the question."""
        match self.question:
            case Question.ACCOUNT:
                return wire.username(body) is not None
            case Question.RUN:
                return wire.takes_ranges(body, self.run) is not None
            case Question.LIST:
                return wire.is_too_long(body) or wire.lists(body, self.run) is not None
            case Question.PROJECT:
                return wire.read(body, dict[str, object]) is not None


class CapabilityProbe:
    """Of one run; ``account``: whose key it takes, None: that of this process. ``backoff`` is the run's."""

    def __init__(self, address: RunAddress, account: str | None, backoff: Backoff) -> None:
        self.address = address
        self.question: Question | None = Question.RUN if account is None else Question.ACCOUNT
        self.takes_ranges = True
        self.features: frozenset[str] = frozenset()  # that the server has told
        self.gone = False
        self.trouble: str | None = None
        self.status: str | None = None  # that the server gave to the run, when it was last asked
        self.generation = 0  # in which the server showed the run then; 0: it has none
        self._account = account
        self._backoff = backoff
        self._listed = False  # the last list had it, though its route was missing
        self._misses = 0  # times that a route of the run was missing though the probe found the run
        self._losses = 0  # times in a row that the run was gone

    def knows(self, takes_ranges: bool) -> None:
        """The server has the run, and has said whether it takes ranges."""
        if self._losses:
            deferred_log.info("steplog: the server has the run %s again.", self.address.run)
        self.question, self.takes_ranges, self.gone, self._listed = None, takes_ranges, False, False
        self._losses = 0

    def rekeyed(self) -> None:
        """The key has changed."""
        if self._account is not None:
            self.question = Question.ACCOUNT

    def ask_again(self) -> None:
        """Ask for the run, and its status."""
        self.status = None
        self.question = self.question or Question.RUN

    def missing(self, now: float, words: str) -> None:
        """A route of the run was not found; ``words``: of the answer."""
        if self.question is None:
            self.question = Question.RUN
            if self._misses:
                self._backoff.failed(now)
                self.trouble = words
            self._misses += 1

    def found(self) -> None:
        """Something of the run was accepted."""
        self._misses, self.trouble = 0, None

    def reopen(self) -> None:
        """That the run is gone is not known any more: it is asked for next."""
        self.gone = False

    def send(self, question: Question, maker: str = "") -> Send:
        """The request that asks it; ``maker``: of the owner, who is still there."""
        address = self.address
        project = (address.namespace, "projects", address.project)
        match question:
            case Question.ACCOUNT:
                request = Request("GET", wire.ACCOUNT_PATH)
            case Question.RUN:
                request = Request("GET", address.run_path, headers={"Steplog-Maker": maker} if maker else {})
            case Question.LIST:
                request = Request("GET", wire.api_path(*project, "runs"), answer_bytes_max=wire.LIST_BYTES_MAX)
            case Question.PROJECT:
                request = Request("GET", wire.api_path(*project))
        return Send(request, Probe(question, address.run))

    def answered(self, now: float, ticket: Probe, judgement: Judgement, body: bytes) -> None:
        """Learn from the answer to a question."""
        match ticket.question:
            case Question.ACCOUNT:
                self._account_answered(now, judgement, body)
            case Question.RUN:
                self._run_answered(now, judgement, body)
            case Question.LIST:
                self._list_answered(now, judgement, body)
            case Question.PROJECT:
                self._project_answered(now, judgement, body)

    def _account_answered(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is not Verdict.ACCEPTED:
            self._refused(now, judgement)
            return
        username = wire.username(body)
        if username == self._account:
            self.question, self.trouble = Question.RUN, None
            return
        if self.trouble is None:
            deferred_log.warning(
                "steplog: run %s waits here for an API key of %r; the one that is used belongs to %r.",
                self.address.run,
                self._account,
                username,
            )
        self.trouble = f"needs an API key of {self._account}"
        self._backoff.failed(now, ACCOUNT_INTERVAL_S)

    def _run_answered(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.status = wire.status_of(body, self.address.run)
            self.features = wire.features_of(body, self.address.run)
            self.generation = wire.generation_of(body, self.address.run)
            self.knows(bool(wire.takes_ranges(body, self.address.run)))
        elif judgement.verdict is not Verdict.MISSING and judgement.status != _NO_ROUTE:
            self._refused(now, judgement)
        elif self._listed:
            self.knows(False)
        else:
            self.question = Question.LIST

    def _list_answered(self, now: float, judgement: Judgement, body: bytes) -> None:
        self.question = Question.RUN
        if judgement.verdict is Verdict.ACCEPTED and wire.is_too_long(body):
            self._keep(now, TOO_LONG)
        elif judgement.verdict is Verdict.ACCEPTED and wire.lists(body, self.address.run):
            self.status = wire.listed_status(body, self.address.run)
            self._listed = True
        elif judgement.verdict is Verdict.ACCEPTED:
            self._lost(now)
        elif _is_missing(judgement, body):
            self.question = Question.PROJECT
        else:
            self._refused(now, judgement)

    def _project_answered(self, now: float, judgement: Judgement, body: bytes) -> None:
        self.question = Question.RUN
        if _is_missing(judgement, body):
            self._lost(now)
        elif judgement.verdict is Verdict.ACCEPTED:  # it is there, and the list of its runs is not
            self._keep(now, f"the server does not list the runs of {self.address.project}")
        else:
            self._refused(now, judgement)

    def _lost(self, now: float) -> None:
        if not self._losses:
            deferred_log.error(
                "steplog: the server does not have the run %s any more. Nothing more is sent; its records are kept.",
                self.address.run,
            )
        self.gone, self._listed = True, False
        self._losses += 1
        self._backoff.failed(now, min(GONE_INTERVAL_S, GONE_MIN_S * 2.0 ** min(self._losses - 1, 32)))

    def _refused(self, now: float, judgement: Judgement) -> None:
        """The question itself is refused."""
        self._listed = False
        if judgement.verdict is Verdict.MISSING or judgement.verdict in REFUSALS:
            self._keep(now, judgement.words, judgement.retry_after_s)

    def _keep(self, now: float, words: str, at_least_s: float | None = None) -> None:
        self._listed = False
        if self.trouble is None:
            deferred_log.warning("steplog: run %s: %s. Everything is kept.", self.address.run, words)
        self.trouble = words
        self._backoff.failed(now, at_least_s)


def _is_missing(judgement: Judgement, body: bytes) -> bool:
    """Whether the run server itself says that there is no such thing."""
    return judgement.verdict is Verdict.MISSING and not is_proxys_404(judgement.status, body)
