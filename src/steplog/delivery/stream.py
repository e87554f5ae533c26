"""A stream: one writer's journal on its way to a server, and the poison test of what is sent next. Pure.

There are two kinds: ``ranges``, to a server that takes ranges, and ``metrics``, to a stock one.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from steplog.delivery.backlog import Backlog
from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.poison import PoisonTest
from steplog.delivery.tickets import Action, Quarantine, Quarantined
from steplog.delivery.verdicts import REFUSALS, Judgement, Verdict
from steplog.journal.journal import Journal

__all__ = ["Head", "Stream"]


class Head:
    """What is sent next, and what is known of it."""

    __slots__ = ("backoff", "faults", "poison_test", "quarantining")

    def __init__(self, source: random.Random) -> None:
        self.backoff = Backoff(source)
        self.faults = 0  # in a row
        self.poison_test: PoisonTest | None = None
        self.quarantining = False  # its record is on its way to quarantine

    def clear(self) -> None:
        """Something else is next."""
        self.poison_test, self.faults = None, 0


class Stream:
    """``quarantined``: the positions that are in quarantine; ``heads``: what may be under way at once."""

    def __init__(
        self, journal: Journal, quarantined: Collection[int], source: random.Random, heads: Sequence[Head]
    ) -> None:
        self.journal = journal
        self.trouble: str | None = None  # what the server says while it refuses everything
        self.backlog = Backlog(journal, quarantined)
        self._pace = Backoff(source)  # of quarantine, where nothing is accepted in between
        self._heads = heads

    @property
    def quarantining(self) -> bool:
        """Whether a record is going to quarantine."""
        return any(head.quarantining for head in self._heads)

    def try_again(self) -> None:
        """Take back when to try again."""
        self._pace.try_again()
        for head in self._heads:
            head.backoff.try_again()

    def control_answered(self, now: float, head: Head, judgement: Judgement) -> list[Action]:
        """Learn from the answer to a control."""
        test = head.poison_test
        if judgement.verdict in REFUSALS:
            self.blocked(now, head, judgement)
        elif test is None:
            head.backoff.try_again()
        elif judgement.verdict is not Verdict.ACCEPTED:
            test.control_unanswered()
        elif test.control_accepted():
            return self._quarantine(now, head, test)
        elif test.fault and test.rounds:
            head.backoff.failed(now)
        else:
            head.backoff.try_again()
        return []

    def blocked(self, now: float, head: Head, judgement: Judgement) -> None:
        """Everything is refused."""
        if self.trouble is None:
            deferred_log.warning("steplog: the server refuses everything: %s. Everything is kept.", judgement.words)
        self.trouble = judgement.words
        if head.poison_test is not None:
            head.poison_test.control_refused()
        head.backoff.failed(now, judgement.retry_after_s)

    def _quarantine(self, now: float, head: Head, test: PoisonTest) -> list[Action]:
        record = self.backlog.record(test.first)
        if record is None:
            self._test_again(now, head, test)
            return []
        head.quarantining = True
        return [Quarantine(record, test.words)]

    def quarantined(self, now: float, event: Quarantined) -> None:
        """Go on without the record, if it is safe."""
        position = event.record.first
        head = self.head_at(position)
        test, head.quarantining = head.poison_test, False
        if test is None:  # given up meanwhile
            return
        if not event.safe:
            self._test_again(now, head, test)
            return
        self.pass_over(position)
        head.clear()
        head.backoff.passed()
        self._pace.failed(now)
        if self._pace.attempt_number == 1:
            self._pace.try_again()  # one alone is no reason to wait
        deferred_log.error(
            "steplog: the server refuses the record at position %d (%s): %s. It is set aside; the others go on.",
            position,
            ", ".join(event.record.names.values()),
            test.words,
        )

    @staticmethod
    def _test_again(now: float, head: Head, test: PoisonTest) -> None:
        test.refused(test.fault, test.words)
        head.backoff.failed(now)

    def head_at(self, position: int) -> Head:
        """The head whose record is at this position."""
        raise NotImplementedError

    def pass_over(self, position: int) -> None:
        """Count the record at this position as rejected."""
        raise NotImplementedError
