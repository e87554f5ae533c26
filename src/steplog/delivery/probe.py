"""The inquiry: what is known of a run at its server, and what is to be asked. Pure.

Before anything is sent of an adopted run, the server must say that the key belongs to the run's account. Then it is
asked for the run, unless its creation has just told what the server is: one that takes ranges, or a stock one. A 404
on any of the run's routes has it asked again.

A stock server has no such route (404, 405). So the project's runs are listed: not among them means that the run is
*gone*. Listed means stock, if the run is then asked for once more with the same answer: a writer that has turned to a
stock server's ways never turns back, and that is not to hang on one answer of somebody in between.

A run that is gone is asked for at long intervals: who says 404 may have been a proxy, and nothing is lost meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from steplog.delivery import questions
from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.order import Order, RunAddress
from steplog.delivery.questions import Question
from steplog.delivery.verdicts import Judgement, Verdict

__all__ = ["ACCOUNT_INTERVAL_S", "GONE_INTERVAL_S", "CapabilityProbe"]

ACCOUNT_INTERVAL_S = 60.0
GONE_INTERVAL_S = 600.0
_NO_ROUTE = 405


class CapabilityProbe:
    """About one run; ``account``: whose key it takes (None: whoever made it is here). ``backoff`` is the run's."""

    def __init__(self, address: RunAddress, account: str | None, backoff: Backoff) -> None:
        self.address = address
        self.question: Question | None = Question.RUN if account is None else Question.ACCOUNT
        self.takes_ranges = True
        self.gone = False
        self.trouble: str | None = None
        self._account = account
        self._backoff = backoff
        self._listed = False  # the last list had it, since it could not be asked for
        self._misses = 0  # answers in a row that could not find the run, while questions could

    def knows(self, takes_ranges: bool) -> None:
        """The server has the run, and has said whether it takes ranges."""
        if self.gone:
            deferred_log.info("steplog: the server has the run %s again.", self.address.run)
        self.question, self.takes_ranges, self.gone, self._listed = None, takes_ranges, False, False

    def rekeyed(self) -> None:
        """Another key is used from now on."""
        if self._account is not None:
            self.question = Question.ACCOUNT

    def missing(self, now: float) -> None:
        """A route of the run was not found."""
        if self.question is None:
            self.question = Question.RUN
            if self._misses:
                self._backoff.failed(now)
            self._misses += 1

    def found(self) -> None:
        """Something of the run was accepted."""
        self._misses, self.trouble = 0, None

    def order(self, question: Question) -> Order:
        """The request that asks."""
        run = self.address.run
        echoes: Callable[[bytes], bool]
        if question is Question.ACCOUNT:
            echoes, answered = (lambda body: questions.username(body) is not None), self._told_account
        elif question is Question.RUN:
            echoes, answered = (lambda body: questions.takes_ranges(body, run) is not None), self._told_run
        else:
            echoes, answered = (lambda body: questions.lists(body, run) is not None), self._told_list
        return Order(questions.ask(question, self.address), echoes, answered)

    def _told_account(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is not Verdict.ACCEPTED:
            self._refused(now, judgement)
            return
        username = questions.username(body)
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

    def _told_run(self, now: float, judgement: Judgement, body: bytes) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.knows(bool(questions.takes_ranges(body, self.address.run)))
        elif judgement.verdict is not Verdict.MISSING and judgement.status != _NO_ROUTE:
            self._refused(now, judgement)
        elif self._listed:
            self.knows(False)
        else:
            self.question = Question.LIST

    def _told_list(self, now: float, judgement: Judgement, body: bytes) -> None:
        self.question = Question.RUN
        if judgement.verdict is Verdict.ACCEPTED and questions.lists(body, self.address.run):
            self._listed = True
        elif judgement.verdict in (Verdict.ACCEPTED, Verdict.MISSING):  # MISSING: the project is not there either
            self._lost(now)
        else:
            self._refused(now, judgement)

    def _lost(self, now: float) -> None:
        if not self.gone:
            deferred_log.error(
                "steplog: the server does not have the run %s any more. Nothing more is sent; its records are kept.",
                self.address.run,
            )
        self.gone = True
        self._backoff.failed(now, GONE_INTERVAL_S)

    def _refused(self, now: float, judgement: Judgement) -> None:
        """The question itself gets no answer to learn from."""
        self._listed = False
        if judgement.verdict in (
            Verdict.MISSING,
            Verdict.REFUSED,
            Verdict.TOO_LARGE,
            Verdict.UNSUPPORTED,
            Verdict.MARK,
        ):
            if self.trouble is None:
                deferred_log.warning("steplog: run %s: %s. Everything is kept.", self.address.run, judgement.words)
            self.trouble = judgement.words
            self._backoff.failed(now, judgement.retry_after_s)
