"""A journal on its way to a server that takes ranges. Pure.

A range begins at the last acknowledged end, and one is under way at a time. It is ready by size, by age, or because
somebody waits. What happens to it:

* accepted: the journal is acknowledged to its end, and the next may be twice as large again;
* the server's mark (409) lies elsewhere: the journal goes on from there. If that is backwards (an older backup was
  restored), what is still in the journal is sent again, and what is not is covered by empty ranges, and counted;
* too large: the first half of it, and so on down to one record;
* in the wrong encoding: once more, without compression or with it again;
* refused: the first half of it, and so on down to one record. About that there is ``doubt`` then; the probe is an
  empty range at the same place. If the record is found to be refused by itself, it is set aside. If the probe is
  refused too, nothing is set aside: everything is kept, said once, and the probe goes out again, slowly;
* a server fault (500) five times in a row on the same range: the probe tells whether it is the range's; if so, it is
  halved as one that is refused, and its record is set aside after more rounds.

While a record is being set aside nothing is sent: each range would cover it, and it is not safe yet.

Records that are set aside one after the other, with nothing accepted in between, come at the pace of back-off.

What is given up for want of room (``on_full``) while it is under way is delivered if it is accepted, and does not go
again if not.

While no answer tells what became of a range, the marks keep how far it reached: should the server turn into a stock
one, its records may arrive there twice, and are counted.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import replace

from steplog.delivery import wire
from steplog.delivery.backlog import SLOTS_MAX, Backlog
from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.linger import Linger
from steplog.delivery.order import Aside, Order, RunAddress
from steplog.delivery.poison import FAULTS_MAX, PoisonTest
from steplog.delivery.verdicts import NOT_STORED, Judgement, Verdict
from steplog.journal.journal import Journal
from steplog.journal.range import Range, encode

__all__ = ["STEADY_RANGES", "RangeStream"]

STEADY_RANGES = 8  # accepted ones, after one was too large, before a larger one is tried
_REFUSALS = (Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.REFUSED)


class RangeStream:
    """Sends one journal; ``batch_age_s`` is how long records may wait for company."""

    def __init__(self, journal: Journal, aside: Aside, batch_age_s: float, source: random.Random) -> None:
        self.journal = journal
        self.backoff = Backoff(source)  # of the range that the server refuses
        self.trouble: str | None = None  # what is refused for as long as everything is
        self._backlog = Backlog(journal, aside)
        self._aside = aside
        self._pace = Backoff(source)  # of setting aside
        self._linger = Linger(batch_age_s, SLOTS_MAX)
        self._slots_max = SLOTS_MAX
        self._steady = 0
        self._deflated = True
        self._faults = 0
        self._conflicts = 0  # answers in a row that sent us elsewhere
        self._poison_test: PoisonTest | None = None
        self.leaving = False  # a record is being set aside

    # -- what there is --------------------------------------------------------------------------------------------

    def due_at(self, now: float, hurry: bool) -> float | None:
        """When there is something to send, or enough may be there, on the monotonic clock; None: nothing, for now."""
        if self.leaving:
            return None
        ready = hurry or self._poison_test is not None
        if not ready and now < self._linger.look_at:
            return self._linger.look_at
        first = self._backlog.first
        end = self._backlog.readable(SLOTS_MAX)
        if end <= first and (gap_ends := self._backlog.gap_ends(now)) is not None:
            return gap_ends if gap_ends > now else self.due_at(now, hurry)
        whole = end - first >= SLOTS_MAX
        if end <= first or not (whole or self._backlog.carries(first, end)):
            self._linger.none(now)
            return None
        ready_at = self._linger.ready_at(now, first, end)
        return max(self.backoff.due, self._pace.due, now if ready or whole else ready_at)

    def look_again(self) -> None:
        """There may be more than was to be expected."""
        self._linger.look_at = 0.0

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left to send."""
        return self._backlog.settled(end)

    def empty(self) -> bool:
        """Whether no record at all is left to send."""
        return self._backlog.empty()

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside; the cost grows with their number."""
        return self._backlog.pending()

    def give_up(self, end: int) -> None:
        """Do without the records below ``end``, which is readable."""
        self._backlog.give_up(end)
        if self._poison_test is not None and self._poison_test.first < end:
            self._poison_test, self._faults = None, 0

    # -- what is sent ---------------------------------------------------------------------------------------------

    def order(self, address: RunAddress, lane: int = 0) -> Order:
        """The exchange that is due; there is one lane."""
        first = self._backlog.first
        if self._poison_test is not None and first >= self._poison_test.end:
            self._poison_test = None
        if self._poison_test is not None and self._poison_test.needs_control:
            return self._order(address, Range(self.journal.writer, first, first, {}, b"", b""), self._probed)
        most = self._slots_max
        if self._poison_test is not None:
            most = min(most, max(1, (self._poison_test.end - first) // 2))
        batch = self._backlog.read(most)
        cursor = self.journal.cursor
        if batch.end - first > cursor.reach:
            self.journal.set_cursor(replace(cursor, reach=batch.end - first))

        def answered(now: float, batch: Range, judgement: Judgement) -> None:
            if judgement.verdict in NOT_STORED or judgement.declined:
                self.journal.set_cursor(replace(self.journal.cursor, reach=cursor.reach))
            self._answered(now, batch, judgement)

        return self._order(address, batch, answered, self._poison_test is not None and self._poison_test.vouched)

    def _order(
        self,
        address: RunAddress,
        batch: Range,
        answered: Callable[[float, Range, Judgement], None],
        suspect: bool = False,
    ) -> Order:
        body, headers = encode(batch), {"Content-Type": wire.CONTENT_TYPE_RANGE, "Content-Encoding": "deflate"}
        if not self._deflated:
            body, headers = zlib.decompress(body), {"Content-Type": wire.CONTENT_TYPE_RANGE}
        return Order(
            Request("POST", wire.batch_path(address.namespace, address.project, address.run), body, headers),
            lambda body: wire.acknowledges(body, batch.writer, batch.first, batch.end),
            lambda now, judgement, body: answered(now, batch, judgement),
            suspect,
        )

    # -- answers --------------------------------------------------------------------------------------------------

    def _answered(self, now: float, batch: Range, judgement: Judgement) -> None:
        if judgement.verdict is not Verdict.FAULT:
            self._faults = 0
        if judgement.verdict is Verdict.ACCEPTED:
            self._accepted(now, batch)
        elif judgement.verdict is Verdict.MARK:
            self._go_on_from(now, judgement)
        elif judgement.verdict is Verdict.TOO_LARGE and batch.end - batch.first > 1:
            self._slots_max, self._steady = (batch.end - batch.first) // 2, STEADY_RANGES
        elif judgement.verdict is Verdict.UNSUPPORTED:
            self._refused_encoding(now, judgement)
        elif judgement.verdict in _REFUSALS:
            self._refused(now, batch, judgement)
        elif judgement.verdict is Verdict.FAULT:
            self._faults += 1
            if self._poison_test is not None and self._poison_test.vouched:
                self._refused(now, batch, judgement)
            elif self._faults >= FAULTS_MAX:
                self._poison_test = PoisonTest(batch.first, batch.end, blocked=True)

    def _accepted(self, now: float, batch: Range) -> None:
        begin, aside = self.journal.cursor.begin, self._backlog.aside_in(batch.first, batch.end)
        given_up = batch.part(batch.first, min(begin, batch.end)).records if begin > batch.first else 0
        self.journal.ack(batch.end, batch.records - given_up, aside, given_up)
        self._linger.took(now, batch.first, batch.end)
        if self._steady:
            self._steady -= 1
        else:
            self._slots_max = min(SLOTS_MAX, 2 * self._slots_max)
        self._conflicts, self.trouble = 0, None
        self.backoff.passed()
        if batch.records:
            self._pace.passed()

    def _refused(self, now: float, batch: Range, judgement: Judgement) -> None:
        poison_test, count = self._poison_test, batch.end - batch.first
        vouched = poison_test is not None and poison_test.vouched  # of the run at large
        if count > 1:
            self._poison_test = PoisonTest(batch.first, batch.end, vouched=vouched)
            self._slots_max = count // 2
            return
        if not batch.records:
            self.backoff.failed(now)  # nothing that could be at fault
            return
        if poison_test is None or (poison_test.first, poison_test.end) != (batch.first, batch.end):
            self._poison_test = poison_test = PoisonTest(batch.first, batch.end, vouched=vouched)
        poison_test.refused(judgement.verdict is Verdict.FAULT, judgement.words)

    def _refused_encoding(self, now: float, judgement: Judgement) -> None:
        self._deflated = not self._deflated
        if self._deflated:  # so it was refused both ways
            self._blocked(now, judgement)

    def _probed(self, now: float, batch: Range, judgement: Judgement) -> None:
        poison_test = self._poison_test
        if judgement.verdict is Verdict.MARK:
            self._go_on_from(now, judgement)
        elif judgement.verdict is Verdict.UNSUPPORTED:
            self._refused_encoding(now, judgement)
        elif judgement.verdict in _REFUSALS:
            self._blocked(now, judgement)
        elif poison_test is not None and judgement.verdict is not Verdict.ACCEPTED:
            poison_test.blurred()
        elif poison_test is not None and poison_test.passed():
            self._put_aside(now, poison_test)
        elif poison_test is not None and poison_test.fault and poison_test.rounds:
            self.backoff.failed(now)
        else:
            self.backoff.try_again()

    def _blocked(self, now: float, judgement: Judgement) -> None:
        """Everything is refused."""
        if self.trouble is None:
            deferred_log.warning("steplog: the server refuses everything: %s. Everything is kept.", judgement.words)
        self.trouble = judgement.words
        if self._poison_test is not None:
            self._poison_test.block()
        self.backoff.failed(now, judgement.retry_after_s)

    def _put_aside(self, now: float, poison_test: PoisonTest) -> None:
        """Once the record is safe in the quarantine, the ranges go on without it."""
        if self.journal.readable(poison_test.first, 1) <= poison_test.first:  # it is on disk, and not here yet
            self._once_more(now, poison_test)
            return
        record = self.journal.read(poison_test.first, poison_test.end)
        self.leaving = True
        self._aside.put(record, poison_test.words, lambda now, safe: self._left(now, poison_test, record, safe))

    def _left(self, now: float, poison_test: PoisonTest, record: Range, safe: bool) -> None:
        self.leaving = False
        if not safe:
            self._once_more(now, poison_test)
            return
        self._backlog.pass_over(poison_test.first)
        self._poison_test, self._faults = None, 0
        self.backoff.passed()
        self._pace.failed(now)
        if self._pace.attempt_number == 1:
            self._pace.try_again()  # one alone is no reason to wait
        deferred_log.error(
            "steplog: the server refuses the record at position %d (%s): %s. It is set aside; the others go on.",
            poison_test.first,
            ", ".join(record.names.values()),
            poison_test.words,
        )

    def _once_more(self, now: float, poison_test: PoisonTest) -> None:
        poison_test.refused(poison_test.fault, poison_test.words)
        self.backoff.failed(now)

    def _go_on_from(self, now: float, judgement: Judgement) -> None:
        mark, delivered = judgement.mark, self.journal.cursor.delivered
        self._poison_test = None
        self._conflicts += 1
        if self._conflicts > 1 or not 0 <= mark <= self.journal.written() or mark == delivered:
            self.backoff.failed(now)  # once is news; over and over is no way to get anywhere
        if delivered < mark <= self.journal.written():
            aside = self._backlog.aside_in(delivered, mark)
            self.journal.ack(mark, self.journal.census(delivered, mark) - aside, aside)
        elif mark < delivered:
            deferred_log.error(
                "steplog: the server went back from position %d to %d of writer %s. What is still here is sent again; "
                "%d positions are not.",
                delivered,
                mark,
                self.journal.writer,
                self._backlog.go_back_to(mark),
            )
