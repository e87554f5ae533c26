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
from steplog.delivery.backoff import Backoff
from steplog.delivery.company import Company
from steplog.delivery.doubt import FAULTS_MAX, Doubt
from steplog.delivery.exchange import Request
from steplog.delivery.news import news
from steplog.delivery.order import Address, Aside, Order
from steplog.delivery.remains import SLOTS_MAX, Remains
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
        self._remains = Remains(journal, aside)
        self._aside = aside
        self._pace = Backoff(source)  # of setting aside
        self._company = Company(batch_age_s, SLOTS_MAX)
        self._slots_max = SLOTS_MAX
        self._steady = 0
        self._deflated = True
        self._faults = 0
        self._marks = 0  # answers in a row that sent us elsewhere
        self._doubt: Doubt | None = None
        self.leaving = False  # a record is being set aside

    # -- what there is --------------------------------------------------------------------------------------------

    def due_at(self, now: float, hurry: bool) -> float | None:
        """When there is something to send, or enough may be there, on the monotonic clock; None: nothing, for now."""
        if self.leaving:
            return None
        ready = hurry or self._doubt is not None
        if not ready and now < self._company.look_at:
            return self._company.look_at
        first = self._remains.first
        end = self._remains.readable(SLOTS_MAX)
        if end <= first and (gap_ends := self._remains.gap_ends(now)) is not None:
            return gap_ends if gap_ends > now else self.due_at(now, hurry)
        whole = end - first >= SLOTS_MAX
        if end <= first or not (whole or self._remains.carries(first, end)):
            self._company.none(now)
            return None
        ready_at = self._company.ready_at(now, first, end)
        return max(self.backoff.due, self._pace.due, now if ready or whole else ready_at)

    def look_again(self) -> None:
        """There may be more than was to be expected."""
        self._company.look_at = 0.0

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left to send."""
        return self._remains.settled(end)

    def empty(self) -> bool:
        """Whether no record at all is left to send."""
        return self._remains.empty()

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside; the cost grows with their number."""
        return self._remains.pending()

    def give_up(self, end: int) -> None:
        """Do without the records below ``end``, which is readable."""
        self._remains.give_up(end)
        if self._doubt is not None and self._doubt.first < end:
            self._doubt, self._faults = None, 0

    # -- what is sent ---------------------------------------------------------------------------------------------

    def order(self, address: Address, lane: int = 0) -> Order:
        """The exchange that is due; there is one lane."""
        first = self._remains.first
        if self._doubt is not None and first >= self._doubt.end:
            self._doubt = None
        if self._doubt is not None and self._doubt.probes:
            return self._order(address, Range(self.journal.writer, first, first, {}, b"", b""), self._probed)
        most = self._slots_max
        if self._doubt is not None:
            most = min(most, max(1, (self._doubt.end - first) // 2))
        batch = self._remains.read(most)
        marks = self.journal.marks
        if batch.end - first > marks.reach:
            self.journal.set_marks(replace(marks, reach=batch.end - first))

        def answered(now: float, batch: Range, judgement: Judgement) -> None:
            if judgement.verdict in NOT_STORED or judgement.declined:
                self.journal.set_marks(replace(self.journal.marks, reach=marks.reach))
            self._answered(now, batch, judgement)

        return self._order(address, batch, answered, self._doubt is not None and self._doubt.vouched)

    def _order(
        self,
        address: Address,
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
            if self._doubt is not None and self._doubt.vouched:
                self._refused(now, batch, judgement)
            elif self._faults >= FAULTS_MAX:
                self._doubt = Doubt(batch.first, batch.end, blocked=True)

    def _accepted(self, now: float, batch: Range) -> None:
        begin, aside = self.journal.marks.begin, self._remains.aside_in(batch.first, batch.end)
        given_up = batch.part(batch.first, min(begin, batch.end)).records if begin > batch.first else 0
        self.journal.ack(batch.end, batch.records - given_up, aside, given_up)
        self._company.took(now, batch.first, batch.end)
        if self._steady:
            self._steady -= 1
        else:
            self._slots_max = min(SLOTS_MAX, 2 * self._slots_max)
        self._marks, self.trouble = 0, None
        self.backoff.passed()
        if batch.records:
            self._pace.passed()

    def _refused(self, now: float, batch: Range, judgement: Judgement) -> None:
        doubt, count = self._doubt, batch.end - batch.first
        vouched = doubt is not None and doubt.vouched  # of the run at large
        if count > 1:
            self._doubt = Doubt(batch.first, batch.end, vouched=vouched)
            self._slots_max = count // 2
            return
        if not batch.records:
            self.backoff.failed(now)  # nothing that could be at fault
            return
        if doubt is None or (doubt.first, doubt.end) != (batch.first, batch.end):
            self._doubt = doubt = Doubt(batch.first, batch.end, vouched=vouched)
        doubt.refused(judgement.verdict is Verdict.FAULT, judgement.words)

    def _refused_encoding(self, now: float, judgement: Judgement) -> None:
        self._deflated = not self._deflated
        if self._deflated:  # so it was refused both ways
            self._blocked(now, judgement)

    def _probed(self, now: float, batch: Range, judgement: Judgement) -> None:
        doubt = self._doubt
        if judgement.verdict is Verdict.MARK:
            self._go_on_from(now, judgement)
        elif judgement.verdict is Verdict.UNSUPPORTED:
            self._refused_encoding(now, judgement)
        elif judgement.verdict in _REFUSALS:
            self._blocked(now, judgement)
        elif doubt is not None and judgement.verdict is not Verdict.ACCEPTED:
            doubt.blurred()
        elif doubt is not None and doubt.passed():
            self._put_aside(now, doubt)
        elif doubt is not None and doubt.fault and doubt.rounds:
            self.backoff.failed(now)
        else:
            self.backoff.try_again()

    def _blocked(self, now: float, judgement: Judgement) -> None:
        """Everything is refused."""
        if self.trouble is None:
            news.warning("steplog: the server refuses everything: %s. Everything is kept.", judgement.words)
        self.trouble = judgement.words
        if self._doubt is not None:
            self._doubt.block()
        self.backoff.failed(now, judgement.retry_after_s)

    def _put_aside(self, now: float, doubt: Doubt) -> None:
        """Once the record is safe in the quarantine, the ranges go on without it."""
        if self.journal.readable(doubt.first, 1) <= doubt.first:  # it is on disk, and not here yet
            self._once_more(now, doubt)
            return
        record = self.journal.read(doubt.first, doubt.end)
        self.leaving = True
        self._aside.put(record, doubt.words, lambda now, safe: self._left(now, doubt, record, safe))

    def _left(self, now: float, doubt: Doubt, record: Range, safe: bool) -> None:
        self.leaving = False
        if not safe:
            self._once_more(now, doubt)
            return
        self._remains.pass_over(doubt.first)
        self._doubt, self._faults = None, 0
        self.backoff.passed()
        self._pace.failed(now)
        if self._pace.attempt_number == 1:
            self._pace.try_again()  # one alone is no reason to wait
        news.error(
            "steplog: the server refuses the record at position %d (%s): %s. It is set aside; the others go on.",
            doubt.first,
            ", ".join(record.names.values()),
            doubt.words,
        )

    def _once_more(self, now: float, doubt: Doubt) -> None:
        doubt.refused(doubt.fault, doubt.words)
        self.backoff.failed(now)

    def _go_on_from(self, now: float, judgement: Judgement) -> None:
        mark, delivered = judgement.mark, self.journal.marks.delivered
        self._doubt = None
        self._marks += 1
        if self._marks > 1 or not 0 <= mark <= self.journal.written() or mark == delivered:
            self.backoff.failed(now)  # once is news; over and over is no way to get anywhere
        if delivered < mark <= self.journal.written():
            aside = self._remains.aside_in(delivered, mark)
            self.journal.ack(mark, self.journal.census(delivered, mark) - aside, aside)
        elif mark < delivered:
            news.error(
                "steplog: the server went back from position %d to %d of writer %s. What is still here is sent again; "
                "%d positions are not.",
                delivered,
                mark,
                self.journal.writer,
                self._remains.go_back_to(mark),
            )
