"""A journal on its way to a stock server, which takes one metric a request and knows no positions. Pure.

Several requests are under way at once, one a *lane*; a metric's name is always on the same lane, because the server
numbers steps on arrival. All lanes work inside a window of positions from the last acknowledged one on, with two bits a
position in the marks: *sent*, stored before the request, and *settled*.

Where an answer is lost, the record may be there already and is sent again all the same: at least once, and each such
record counts as ambiguous, once. An answer that says that nothing was stored takes the bit back.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import replace
from typing import NamedTuple

import msgspec

from steplog.delivery import wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.exchange import Request
from steplog.delivery.order import Address, Aside, Order
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.journal import Journal
from steplog.journal.marks import WINDOW

__all__ = ["MetricStream"]

_HEADERS = {"Content-Type": "application/json"}
_NOT_STORED = frozenset((Verdict.KEY_REFUSED, Verdict.FORBIDDEN, Verdict.MISSING, Verdict.REDIRECTED))
_log = logging.getLogger("steplog")


class _Metric(NamedTuple):
    position: int
    name: str
    body: bytes


class _Named(msgspec.Struct):
    name: str | None = None


class MetricStream:
    """Sends one journal record by record on ``lanes`` lanes."""

    def __init__(self, journal: Journal, aside: Aside, lanes: int, source: random.Random) -> None:
        self.journal = journal
        self.backoffs = [Backoff(source) for _ in range(lanes)]
        self._aside = aside
        self._set_aside = aside.positions(journal.writer)
        self._queues: list[deque[_Metric]] = [deque() for _ in range(lanes)]
        self._lane_of: dict[str, int] = {}
        self._filled = journal.marks.delivered
        self._accepted = 0
        self._refused_at: dict[int, int] = {}  # position: what was accepted by the time of its first refusal
        if not journal.marks.stock:
            journal.set_marks(replace(journal.marks, stock=True))

    def due_at(self, now: float, lane: int) -> float | None:
        """When this lane has something to send, on the monotonic clock; None while it has not."""
        if not self._queues[lane]:
            self._fill()
        return max(now, self.backoffs[lane].due) if self._queues[lane] else None

    def order(self, address: Address, lane: int) -> Order:
        """The exchange that is due on a lane; only one at a time a lane."""
        metric = self._queues[lane][0]
        self.journal.set_marks(self.journal.marks.with_sent([metric.position]))
        return Order(
            Request("POST", wire.metrics_path(address.namespace, address.project, address.run), metric.body, _HEADERS),
            lambda body: _names(body, metric.name),
            lambda now, judgement, body: self._answered(now, lane, metric, judgement),
        )

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left to send."""
        return self.journal.marks.delivered >= end or self._unsettled(end) == 0

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside."""
        return self._unsettled(self.journal.written())

    def _unsettled(self, end: int) -> int:
        first = self.journal.marks.delivered
        queued = sum(metric.position < end for queue in self._queues for metric in queue)
        start = max(first, self._filled)
        return queued + (self.journal.census(start, end)[0] if start < end else 0)

    def _fill(self) -> None:
        """Read on, as far as the window goes, and give each record to its name's lane."""
        limit = self.journal.marks.delivered + WINDOW
        end = self.journal.readable(self._filled, limit - self._filled) if self._filled < limit else self._filled
        if end <= self._filled:
            return
        batch = self.journal.read(self._filled, end)
        settled, base = self.journal.marks.settled, self.journal.marks.delivered
        positions = set(range(batch.first, batch.end))
        for position, name, body in wire.metric_bodies(batch):
            if position in self._set_aside or settled >> (position - base) & 1:
                continue
            lane = self._lane_of.setdefault(name, len(self._lane_of) % len(self._queues))
            self._queues[lane].append(_Metric(position, name, body))
            positions.discard(position)
        self._filled = batch.end
        if not settled >> (batch.first - base):  # not looked at by an agent before this one
            records, holes = self.journal.census(batch.first, batch.end)
            marks = self.journal.marks
            self.journal.set_marks(replace(marks, abandoned=marks.abandoned + holes + records - batch.records))
        self._settle(positions)

    def _settle(self, positions: set[int], records: int = 0) -> None:
        marks = self.journal.marks
        marks = replace(marks, records=marks.records + records)
        for position in sorted(positions):
            marks = marks.with_settled(position)
        self.journal.set_marks(marks)
        self.journal.evict(marks.delivered)

    # -- answers ------------------------------------------------------------------------------------------------

    def _answered(self, now: float, lane: int, metric: _Metric, judgement: Judgement) -> None:
        if judgement.verdict is Verdict.ACCEPTED:
            self._accepted += 1
            self._done(lane, metric, records=1)
            self.backoffs[lane].passed()
        elif judgement.verdict in (Verdict.REFUSED, Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.MARK):
            self._not_stored(metric)
            self._refused(now, lane, metric, judgement)
        elif judgement.verdict in _NOT_STORED or judgement.declined:
            self._not_stored(metric)

    def _refused(self, now: float, lane: int, metric: _Metric, judgement: Judgement) -> None:
        before = self._refused_at.setdefault(metric.position, self._accepted)
        record = self.journal.read(metric.position, metric.position + 1)
        if before < self._accepted and self._aside.put(record, judgement.words):
            marks = self.journal.marks
            self.journal.set_marks(replace(marks, rejected=marks.rejected + 1))
            self._done(lane, metric, records=0)
            _log.error(
                "steplog: the server refuses the record at position %d (%s): %s. It is set aside; the others go on.",
                metric.position,
                metric.name,
                judgement.words,
            )
        else:
            self.backoffs[lane].failed(now)

    def _done(self, lane: int, metric: _Metric, records: int) -> None:
        self._queues[lane].popleft()
        self._refused_at.pop(metric.position, None)
        self._settle({metric.position}, records)

    def _not_stored(self, metric: _Metric) -> None:
        marks = self.journal.marks
        self.journal.set_marks(replace(marks, sent=marks.sent & ~(1 << (metric.position - marks.delivered))))


def _names(body: bytes, name: str) -> bool:
    """Whether a stock server's answer confirms the metric: a JSON object, which names no other one."""
    try:
        return msgspec.json.decode(body, type=_Named).name in (name, None)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
