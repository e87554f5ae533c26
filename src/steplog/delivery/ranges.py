"""A journal on its way to a server that takes ranges. Pure.

A range begins at the last acknowledged end, and one is under way at a time. It is due by size, by age, or because
somebody waits. The answers:

* accepted: the journal is acknowledged to its end, and the next may be twice as large;
* conflict (409): the journal goes on from the server's mark. If that is backwards (an older backup was restored), what
  is still in the journal is sent again, and what is not is covered by empty ranges, and counted;
* too large: half of it next, down to one record;
* wrong encoding: without compression, or with it again;
* refused: half of it next, down to one record, which gets a poison test; the control is an empty range;
* a server fault (500), five times in a row: a control tells whether it is the range's own; if so, as refused.

While a record goes to quarantine nothing is sent, since each range would cover it. Several in a row, with nothing
accepted in between, go there at the pace of back-off.

To a server that takes no records of edits, a range covers steplog's own without a record, and ends before a name or
description that was set, which goes first (``run_edits``).

While the answers to ranges are lost, the cursor keeps how far they reached: should the server turn into a stock one,
their records may arrive twice, and are counted.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Collection

from msgspec.structs import replace

from steplog.delivery import wire
from steplog.delivery.backlog import SLOTS_MAX
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.linger import Linger
from steplog.delivery.poison import FAULTS_MAX, PoisonTest
from steplog.delivery.run_edits import RunEdits
from steplog.delivery.stream import Head, Stream
from steplog.delivery.tickets import Action, Batch, Edit, EmptyBatch, RunAddress, Send
from steplog.delivery.verdicts import NOT_STORED, REFUSALS, Judgement, Verdict
from steplog.journal.journal import Journal
from steplog.journal.range import Range, encode

__all__ = ["STEADY_RANGES", "RangeStream"]

STEADY_RANGES = 8  # accepted ones, after one was too large, before a larger one is tried
_DEFLATED = {"Content-Type": wire.CONTENT_TYPE_RANGE, "Content-Encoding": "deflate"}
_PLAIN = {"Content-Type": wire.CONTENT_TYPE_RANGE}


class RangeStream(Stream):
    """``batch_age_s`` is how long records may linger."""

    def __init__(
        self,
        journal: Journal,
        quarantined: Collection[int],
        batch_age_s: float,
        source: random.Random,
        edits: RunEdits | None = None,
    ) -> None:
        self._edits = edits
        self._edited: set[int] = set()  # positions of edits that are done with, and not covered yet
        self.head = Head(source)
        super().__init__(journal, quarantined, source, [self.head])
        self._linger = Linger(batch_age_s, SLOTS_MAX)
        self._slots_max = SLOTS_MAX
        self._steady = 0
        self._deflates = True
        self._conflicts = 0  # in a row

    def due_at(self, now: float, hurry: bool) -> float | None:
        """When to send, or to look again, on the monotonic clock; None: nothing to send."""
        head, linger = self.head, self._linger
        if head.quarantining:
            return None
        ready = hurry or head.poison_test is not None
        if not ready and now < linger.look_at:
            return linger.look_at
        first = self.journal.cursor.delivered
        end = self.backlog.readable(first, SLOTS_MAX)
        if end <= first and (gap_ends := self.backlog.gap_ends(now)) is not None:
            return gap_ends if gap_ends > now else self.due_at(now, hurry)
        whole = end - first >= SLOTS_MAX
        if end <= first or not (whole or self.backlog.carries(first, end)):
            linger.found_none(now)
            return None
        ready_at = linger.ready_at(now, first, end)
        return max(head.backoff.due, self._pace.due, now if ready or whole else ready_at)

    def look_again(self) -> None:
        """There may be more to send than expected."""
        self._linger.look_at = 0.0

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left."""
        return self.backlog.settled(end)

    def empty(self) -> bool:
        """Whether no record is left."""
        return self.backlog.empty()

    def pending(self) -> int:
        """How many values are left."""
        return self.backlog.pending()

    def give_up(self, end: int) -> None:
        """Give up the records below ``end``, which is readable."""
        self.backlog.give_up(end)
        test = self.head.poison_test
        if test is not None and test.first < end:
            self.head.clear()

    def send(self, address: RunAddress) -> Send:
        """The range, or the control, that is due."""
        first, test = self.journal.cursor.delivered, self.head.poison_test
        if test is not None and first >= test.end:
            test = self.head.poison_test = None
        if test is not None and test.needs_control:
            empty = Range(self.journal.writer, first, first, {}, b"", b"")
            return Send(self._request(address, empty), EmptyBatch(self.journal.writer, first))
        most = self._slots_max
        if test is not None:
            most = min(most, max(1, (test.end - first) // 2))
        batch, covered = self.backlog.read(first, self.backlog.readable(first, most)), 0
        if self._edits is not None and not self._edits.takes_records and (own := self._edits.own_in(batch)):
            patches = ((at, patch) for at, patch in own.items() if patch is not None and at not in self._edited)
            at, patch = next(patches, (batch.end, b""))
            if at == first:
                return self._edits.send(address, self.journal.writer, 0, at, patch)
            batch, covered = _covering(batch.part(first, at) if at < batch.end else batch, own)
        cursor = self.journal.cursor
        if batch.end - first > cursor.reach:
            self.journal.set_cursor(replace(cursor, reach=batch.end - first))
        ticket = Batch(batch, cursor.reach, covered, suspect=test is not None and test.vouched)
        return Send(self._request(address, batch), ticket)

    def _request(self, address: RunAddress, batch: Range) -> Request:
        body = encode(batch)
        if self._deflates:
            return Request("POST", address.batch_path, body, _DEFLATED)
        return Request("POST", address.batch_path, zlib.decompress(body), _PLAIN)

    def answered(self, now: float, ticket: Batch, judgement: Judgement) -> None:
        """Learn from the answer to a range."""
        batch, head, verdict = ticket.range, self.head, judgement.verdict
        if verdict in NOT_STORED or judgement.declined:
            self.journal.set_cursor(replace(self.journal.cursor, reach=ticket.reach))
        if verdict is not Verdict.FAULT:
            head.faults = 0
        match verdict:
            case Verdict.ACCEPTED:
                self._accepted(now, ticket)
            case Verdict.CONFLICT:
                self._go_on_from(now, judgement.mark)
            case Verdict.TOO_LARGE if batch.end - batch.first > 1:
                self._slots_max, self._steady = (batch.end - batch.first) // 2, STEADY_RANGES
            case Verdict.UNSUPPORTED:
                self._encoding_refused(now, judgement)
            case Verdict.TOO_LARGE | Verdict.REFUSED:
                self._refused(now, batch, judgement)
            case Verdict.FAULT:
                head.faults += 1
                if head.poison_test is not None and head.poison_test.vouched:
                    self._refused(now, batch, judgement)
                elif head.faults >= FAULTS_MAX:
                    head.poison_test = PoisonTest(batch.first, batch.end, blocked=True)

    def control_answered(self, now: float, head: Head, judgement: Judgement) -> list[Action]:
        """Learn from the answer to an empty range."""
        if judgement.verdict is Verdict.CONFLICT:
            self._go_on_from(now, judgement.mark)
        elif judgement.verdict is Verdict.UNSUPPORTED:
            self._encoding_refused(now, judgement)
        else:
            return super().control_answered(now, head, judgement)
        return []

    def edit_answered(self, ticket: Edit, judgement: Judgement, body: bytes) -> bool:
        """Learn from the answer to an edit; whether that is done with."""
        head = self.head
        head.faults = head.faults + 1 if judgement.verdict is Verdict.FAULT else 0
        over = judgement.verdict is Verdict.ACCEPTED or judgement.verdict in REFUSALS or head.faults >= FAULTS_MAX
        if over and self._edits is not None:
            self._edits.answered(ticket, judgement, body)
            self._edited = {at for at in self._edited if at >= self.journal.cursor.delivered} | {ticket.position}
            head.faults = 0
            head.backoff.passed()
        return over

    def _accepted(self, now: float, ticket: Batch) -> None:
        batch, begin = ticket.range, self.journal.cursor.begin
        quarantined = self.backlog.quarantined_in(batch.first, batch.end) if self.backlog.quarantined else 0
        records, uncounted, given_up = batch.records, batch.uncounted.bit_count(), 0
        if begin > batch.first:
            gone = batch.part(batch.first, min(begin, batch.end))
            gone_uncounted = gone.uncounted.bit_count()
            given_up = gone.records - gone_uncounted
            records, uncounted = records - gone.records, uncounted - gone_uncounted
        self.journal.ack(batch.end, records, quarantined + ticket.covered, given_up, uncounted)
        self._linger.delivered(now, batch.first, batch.end)
        if self._steady:
            self._steady -= 1
        else:
            self._slots_max = min(SLOTS_MAX, 2 * self._slots_max)
        self._conflicts, self.trouble = 0, None
        self.head.backoff.passed()
        if records:
            self._pace.passed()

    def _refused(self, now: float, batch: Range, judgement: Judgement) -> None:
        head, count = self.head, batch.end - batch.first
        test = head.poison_test
        vouched = test is not None and test.vouched  # of the run at large
        if count > 1:
            head.poison_test = PoisonTest(batch.first, batch.end, vouched=vouched)
            self._slots_max = count // 2
            return
        if not batch.records:
            head.backoff.failed(now)  # nothing that could be at fault
            return
        if test is None or (test.first, test.end) != (batch.first, batch.end):
            head.poison_test = test = PoisonTest(batch.first, batch.end, vouched=vouched)
        test.refused(judgement.verdict is Verdict.FAULT, judgement.words)

    def _encoding_refused(self, now: float, judgement: Judgement) -> None:
        self._deflates = not self._deflates
        if self._deflates:  # so it was refused both ways
            self.blocked(now, self.head, judgement)

    def head_at(self, position: int) -> Head:
        """There is one."""
        return self.head

    def pass_over(self, position: int) -> None:
        """Cover it in the ranges from now on."""
        self.backlog.pass_over(position)

    def _go_on_from(self, now: float, mark: int) -> None:
        """Take the server's mark for the beginning."""
        delivered, written = self.journal.cursor.delivered, self.journal.written()
        self.head.poison_test = None
        self._conflicts += 1
        if self._conflicts > 1 or not 0 <= mark <= written or mark == delivered:
            self.head.backoff.failed(now)  # a second conflict in a row leads nowhere
        if delivered < mark <= written:
            quarantined, records = self.backlog.quarantined_in(delivered, mark), self.journal.census(delivered, mark)
            uncounted = records - self.journal.values(delivered, mark)
            self.journal.ack(mark, records - quarantined, quarantined, uncounted=uncounted)
        elif mark < delivered:
            cursor, gone = self.journal.cursor, self.backlog.go_back_to(mark)
            if not cursor.records and not cursor.rejected:
                return  # it had confirmed nothing: there was nothing to send to the stock server it was taken for
            deferred_log.error(
                "steplog: the server went back from position %d to %d of writer %s. What is still here is sent again; "
                "%d positions are not.",
                delivered,
                mark,
                self.journal.writer,
                gone,
            )


def _covering(batch: Range, own: Collection[int]) -> tuple[Range, int]:
    """The range without a record at these positions, and how many of them it covers."""
    covered = [position for position in own if position < batch.end]
    for position in covered:
        batch = batch.without(position)
    return batch, len(covered)
