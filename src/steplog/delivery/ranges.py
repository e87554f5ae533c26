"""A journal on its way to a server that takes ranges. Pure.

A range begins at the last acknowledged end, and one is under way at a time. It is ready by size, by age, or because
somebody waits. What happens to it:

* accepted: the journal is acknowledged to its end, and the next may be twice as large again;
* the server's mark (409) lies elsewhere: the journal goes on from there;
* too large, or refused: the first half of it, and so on down to one record;
* one record refused: it is set aside, but only once the run is known to take anything else: either something was
  accepted since the trouble began, or the *probe* is, an empty range at the same place. A proxy that refuses everything
  refuses the probe too, and then nothing is set aside: everything is kept, and the probe goes out again, slowly;
* a server fault (500) five times on the same range: the probe tells whether it is the range's; if so, as refused.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace

from steplog.delivery import wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.exchange import Request
from steplog.delivery.order import Address, Aside, Order
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal import range as ranges
from steplog.journal import slot
from steplog.journal.journal import Journal

__all__ = ["RangeStream"]

SLOTS_MAX = ranges.RANGE_BYTES_MAX // slot.SLOT_BYTES
FAULTS_MAX = 5
_HEADERS = {"Content-Type": wire.CONTENT_TYPE_RANGE, "Content-Encoding": "deflate"}
_log = logging.getLogger("steplog")


class RangeStream:
    """Sends one journal; ``batch_age_s`` is how long records may wait for company."""

    def __init__(self, journal: Journal, aside: Aside, batch_age_s: float, source: random.Random) -> None:
        self.journal = journal
        self.backoff = Backoff(source)  # of the range that the server refuses
        self._aside = aside
        self._set_aside = aside.positions(journal.writer)
        self._batch_age_s = batch_age_s
        self._waiting_since: float | None = None
        self._slots_max = SLOTS_MAX
        self._faults = 0
        self._trouble = False  # since a range was refused, until a full one is accepted
        self._vouched = False  # something was accepted since the trouble began
        self._probe_due = False

    def due_at(self, now: float, hurry: bool) -> float | None:
        """When there is something to send, on the monotonic clock; None while nothing is pending."""
        first = self.journal.marks.delivered
        end = self.journal.readable(first, SLOTS_MAX)
        if end - first <= 0 or (end - first < SLOTS_MAX and not self._carries(first, end)):
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        ready = hurry or end - first >= SLOTS_MAX or self._probe_due
        return max(self.backoff.due, now if ready else self._waiting_since + self._batch_age_s)

    def order(self, address: Address) -> Order:
        """The exchange that is due."""
        first = self.journal.marks.delivered
        if self._probe_due:
            return self._order(address, ranges.Range(self.journal.writer, first, first, {}, b"", b""), self._probed)
        end = self.journal.readable(first, self._slots_max)
        return self._order(address, self._without_aside(self.journal.read(first, end)), self._answered)

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left to send."""
        first = self.journal.marks.delivered
        return first >= end or not self._carries(first, end)

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside."""
        first, end = self.journal.marks.delivered, self.journal.written()
        return self.journal.census(first, end)[0] - self._aside_in(first, end)

    def _carries(self, first: int, end: int) -> bool:
        return self.journal.census(first, end)[0] > self._aside_in(first, end)

    def _aside_in(self, first: int, end: int) -> int:
        return sum(first <= position < end for position in self._set_aside)

    def _order(
        self, address: Address, batch: ranges.Range, answered: Callable[[float, ranges.Range, Judgement], None]
    ) -> Order:
        return Order(
            Request(
                "POST",
                wire.batch_path(address.namespace, address.project, address.run),
                ranges.encode(batch),
                _HEADERS,
            ),
            lambda body: wire.acknowledges(body, batch.writer, batch.first, batch.end),
            lambda now, judgement, body: answered(now, batch, judgement),
        )

    def _without_aside(self, batch: ranges.Range) -> ranges.Range:
        for position in sorted(self._set_aside):
            if batch.first <= position < batch.end:
                batch = batch.without(position)
        return batch

    # -- answers ------------------------------------------------------------------------------------------------

    def _answered(self, now: float, batch: ranges.Range, judgement: Judgement) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self.journal.ack(batch.end, batch.records, self._aside_in(batch.first, batch.end))
            self._waiting_since = None
            self._trouble = self._trouble and self._slots_max < SLOTS_MAX
            self._slots_max = min(SLOTS_MAX, 2 * self._slots_max)
            self._faults = 0
            self._vouched = True
            self.backoff.passed()
        elif judgement.verdict is Verdict.MARK:
            self._go_on_from(now, judgement)
        elif judgement.verdict is Verdict.FAULT:
            self._faults += 1
            if self._faults >= FAULTS_MAX:
                self._refused(now, batch, judgement)
        elif judgement.verdict in (Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.REFUSED):
            self._refused(now, batch, judgement)

    def _refused(self, now: float, batch: ranges.Range, judgement: Judgement) -> None:
        count = batch.end - batch.first
        if not self._trouble:
            self._trouble, self._vouched = True, False
        if count > 1 and (self._vouched or judgement.verdict is not Verdict.FAULT):
            self._slots_max = count // 2
        elif not self._vouched:
            self._probe_due = True
        elif self._aside.put(batch, judgement.words):
            self._set_aside.add(batch.first)
            marks = self.journal.marks
            self.journal.set_marks(replace(marks, rejected=marks.rejected + 1))
            self._faults = 0
            _log.error(
                "steplog: the server refuses the record at position %d (%s): %s. It is set aside; the others go on.",
                batch.first,
                ", ".join(batch.names.values()),
                judgement.words,
            )
        else:
            self.backoff.failed(now)

    def _probed(self, now: float, batch: ranges.Range, judgement: Judgement) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            # The run takes what is in order. Whether the range still is not, only another try can tell.
            self._probe_due, self._vouched = False, True
            self.backoff.passed()
        elif judgement.verdict is Verdict.MARK:
            self._probe_due = False
            self._go_on_from(now, judgement)
        elif judgement.verdict in (Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.REFUSED):
            self.backoff.failed(now)

    def _go_on_from(self, now: float, judgement: Judgement) -> None:
        marks = self.journal.marks
        if judgement.mark > self.journal.written():
            _log.error("steplog: the server is further than this journal has come: %s", judgement.words)
            self.backoff.failed(now)
        elif judgement.mark > marks.delivered:
            self.journal.ack(judgement.mark, self.journal.census(marks.delivered, judgement.mark)[0])
        else:
            self.journal.set_marks(replace(marks, delivered=judgement.mark, sent=0, settled=0))
