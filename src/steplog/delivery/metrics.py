"""A journal on its way to a stock server, which takes one metric a request and knows no positions. Pure.

Several requests are under way at once, one a *lane*; a metric's name is always on the same lane, because the server
numbers steps on arrival. All lanes work inside a window of positions from the last acknowledged one on, with two bits a
position in the marks: *sent*, stored before the request, and *settled*.

Where an answer is lost, the record may be there already and is sent again all the same: at least once. A record that
was sent again so counts as ambiguous, once, however often it was. An answer that says that nothing was stored takes the
bit back.

A record that the server refuses, or that makes it fail (500) five times in a row, may be set aside (``doubt``). The
probe is a PATCH of the run that changes nothing. Until the record is safe where it is put, its lane waits.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import msgspec

from steplog.delivery import questions, wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.lanes import Lanes
from steplog.delivery.order import Aside, Order, RunAddress
from steplog.delivery.poison import FAULTS_MAX, PoisonTest
from steplog.delivery.verdicts import NOT_STORED, Judgement, Verdict
from steplog.journal.cursor import WINDOW, Cursor
from steplog.journal.journal import Journal

__all__ = ["MetricStream"]

_HEADERS = {"Content-Type": "application/json"}
_REFUSALS = frozenset((Verdict.REFUSED, Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.MARK))


class _Metric(NamedTuple):
    position: int
    name: str
    body: bytes


class _Named(msgspec.Struct):
    name: str | None = None


class _Lane:
    """What goes out one after the other; about the first of it there may be a doubt."""

    __slots__ = ("backoff", "faults", "leaving", "poison_test", "queue")

    def __init__(self, source: random.Random) -> None:
        self.queue: deque[_Metric] = deque()
        self.backoff = Backoff(source)
        self.poison_test: PoisonTest | None = None
        self.faults = 0
        self.leaving = False  # the first of it is being set aside


class MetricStream:
    """Sends one journal record by record on lanes."""

    def __init__(self, journal: Journal, aside: Aside, lanes: Lanes, source: random.Random) -> None:
        self.journal = journal
        self.trouble: str | None = None  # what is refused for as long as everything is
        self._pace = Backoff(source)  # of setting aside
        self._aside = aside
        self._set_aside = aside.positions(journal.writer)
        self._names = lanes
        self._lanes = [_Lane(source) for _ in range(lanes.count)]
        self._filled = journal.cursor.delivered
        if journal.cursor.rejected < len(self._set_aside):  # a death came between the file and the count
            journal.set_cursor(replace(journal.cursor, rejected=len(self._set_aside)))

    # -- what there is --------------------------------------------------------------------------------------------

    def due_at(self, now: float, lane: int) -> float | None:
        """When this lane has something to send, on the monotonic clock; None while it has not, or a record leaves."""
        of_lane = self._lanes[lane]
        if of_lane.leaving:
            return None
        if not of_lane.queue:
            self._fill()
        if not of_lane.queue:
            return None
        return max(now, of_lane.backoff.due, self._pace.due if of_lane.poison_test is not None else 0.0)

    @property
    def leaving(self) -> bool:
        """Whether a record is being set aside."""
        return any(lane.leaving for lane in self._lanes)

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left to send."""
        if any(lane.queue and lane.queue[0].position < end for lane in self._lanes):
            return False
        start = max(self.journal.cursor.delivered, self._filled)
        while start < end:
            stop = min(end, start + WINDOW)
            if self.journal.census(start, stop):
                return False
            start = stop
        return True

    def empty(self) -> bool:
        """Whether no record at all is left to send."""
        return self.settled(self._filled + WINDOW) and self.settled(self.journal.written())

    def pending(self) -> int:
        """How many records are written and neither delivered nor set aside; the cost grows with their number."""
        start, end = max(self.journal.cursor.delivered, self._filled), self.journal.written()
        queued = sum(len(lane.queue) for lane in self._lanes)
        return queued + (self.journal.census(start, end) if start < end else 0)

    def give_up(self, end: int) -> None:
        """Do without the records below ``end``, which is readable."""
        self.journal.give_up(end, self._set_aside)
        for lane in self._lanes:
            while lane.queue and lane.queue[0].position < end:
                lane.queue.popleft()
                lane.poison_test, lane.faults = None, 0
        cursor, last = self.journal.cursor, end - 1
        if last >= cursor.delivered:
            self.journal.set_cursor(cursor.moved(last).with_settled(last))

    def _fill(self) -> None:
        """Read on, as far as the window goes, and give each record to its name's lane."""
        limit = self.journal.cursor.delivered + WINDOW
        self._filled = max(self._filled, self.journal.cursor.delivered)  # it moves over what another agent settled
        end = self.journal.readable(self._filled, limit - self._filled) if self._filled < limit else self._filled
        if end <= self._filled:
            return
        batch = self.journal.read(self._filled, end)
        cursor, base = self.journal.cursor, self.journal.cursor.delivered
        positions = {position for position in range(batch.first, batch.end) if not cursor.done >> (position - base) & 1}
        metrics = [
            _Metric(position, name, body)
            for position, name, body in wire.metric_bodies(batch)
            if position in positions and position not in self._set_aside
        ]
        lanes = [self._lanes[self._names.of(metric.name)] for metric in metrics]  # before anything has changed
        positions.difference_update(metric.position for metric in metrics)
        none = positions - self._set_aside
        empty = sum(self.journal.census(at, at + 1) + self.journal.missing(at, at + 1) for at in none)
        self.journal.set_cursor(_settled(replace(cursor, abandoned=cursor.abandoned + empty), positions))
        self._filled = batch.end
        for lane, metric in zip(lanes, metrics, strict=True):
            lane.queue.append(metric)
        self.journal.evict(self.journal.cursor.delivered)

    # -- what is sent ---------------------------------------------------------------------------------------------

    def order(self, address: RunAddress, lane: int) -> Order:
        """The exchange that is due on a lane; only one at a time a lane."""
        of_lane = self._lanes[lane]
        metric, poison_test = of_lane.queue[0], of_lane.poison_test
        if poison_test is not None and poison_test.needs_control:
            return self._probe(address, of_lane, poison_test)
        self.journal.set_cursor(replace(self.journal.cursor, stock=True).with_sent([metric.position]))
        return Order(
            Request("POST", wire.metrics_path(address.namespace, address.project, address.run), metric.body, _HEADERS),
            lambda body: _names(body, metric.name),
            lambda now, judgement, body: self._answered(now, of_lane, metric, judgement),
            suspect=poison_test is not None and poison_test.vouched,
        )

    def _probe(self, address: RunAddress, lane: _Lane, poison_test: PoisonTest) -> Order:
        return Order(
            Request("PATCH", wire.run_path(address.namespace, address.project, address.run), b"{}", _HEADERS),
            lambda body: questions.status_of(body, address.run) is not None,
            lambda now, judgement, body: self._probed(now, lane, poison_test, judgement),
        )

    # -- answers --------------------------------------------------------------------------------------------------

    def _answered(self, now: float, lane: _Lane, metric: _Metric, judgement: Judgement) -> None:
        if metric.position < self.journal.cursor.delivered:  # given up meanwhile
            if judgement.verdict is Verdict.ACCEPTED:
                cursor = self.journal.cursor
                self.journal.set_cursor(replace(cursor, records=cursor.records + 1, oldest=cursor.oldest - 1))
            return
        if judgement.verdict is not Verdict.FAULT:
            lane.faults = 0
        if judgement.verdict is Verdict.ACCEPTED:
            self._done(lane, metric, lambda cursor: replace(cursor, records=cursor.records + 1))
            lane.backoff.passed()
            self._pace.passed()
            self.trouble = None
            return
        if judgement.verdict in NOT_STORED or judgement.declined:
            self._not_stored(metric)
        fault = judgement.verdict is Verdict.FAULT
        lane.faults += fault
        poison_test = lane.poison_test
        if judgement.verdict in _REFUSALS or (fault and poison_test is not None and poison_test.vouched):
            lane.poison_test = poison_test = poison_test or PoisonTest(metric.position, metric.position + 1)
            poison_test.refused(fault, judgement.words)
        elif lane.faults >= FAULTS_MAX:
            lane.poison_test = PoisonTest(metric.position, metric.position + 1, blocked=True)

    def _probed(self, now: float, lane: _Lane, poison_test: PoisonTest, judgement: Judgement) -> None:
        if lane.poison_test is not poison_test:
            return  # its metric was given up meanwhile
        if judgement.verdict in _REFUSALS:
            if self.trouble is None:
                deferred_log.warning("steplog: the server refuses everything: %s. Everything is kept.", judgement.words)
            self.trouble = judgement.words
            poison_test.block()
            lane.backoff.failed(now, judgement.retry_after_s)
        elif judgement.verdict is not Verdict.ACCEPTED:
            poison_test.blurred()
        elif poison_test.passed():
            self._put_aside(now, lane, poison_test)
        elif poison_test.fault and poison_test.rounds:
            lane.backoff.failed(now)
        else:
            lane.backoff.try_again()

    def _put_aside(self, now: float, lane: _Lane, poison_test: PoisonTest) -> None:
        """Once the record is safe in the quarantine, the lane goes on without it."""
        position = lane.queue[0].position
        if self.journal.readable(position, 1) <= position:  # it is on disk, and not here yet
            self._once_more(now, lane, poison_test)
            return
        record = self.journal.read(position, position + 1)
        lane.leaving = True
        self._aside.put(record, poison_test.words, lambda now, safe: self._left(now, lane, poison_test, safe))

    def _left(self, now: float, lane: _Lane, poison_test: PoisonTest, safe: bool) -> None:
        lane.leaving, metric = False, lane.queue[0]
        if not safe:
            self._once_more(now, lane, poison_test)
            return
        self._done(lane, metric, lambda cursor: replace(cursor, rejected=cursor.rejected + 1))
        lane.backoff.passed()
        self._pace.failed(now)
        if self._pace.attempt_number == 1:
            self._pace.try_again()  # one alone is no reason to wait
        deferred_log.error(
            "steplog: the server refuses the record at position %d (%s): %s. It is set aside; the others go on.",
            metric.position,
            metric.name,
            poison_test.words,
        )

    def _once_more(self, now: float, lane: _Lane, poison_test: PoisonTest) -> None:
        poison_test.refused(poison_test.fault, poison_test.words)
        lane.backoff.failed(now)

    # What is raised in the middle must leave marks and queue in step: the marks go first, all at once.

    def _done(self, lane: _Lane, metric: _Metric, counted: Callable[[Cursor], Cursor]) -> None:
        self.journal.set_cursor(_settled(counted(self.journal.cursor), {metric.position}))
        lane.queue.popleft()
        lane.poison_test, lane.faults = None, 0
        self.journal.evict(self.journal.cursor.delivered)

    def _not_stored(self, metric: _Metric) -> None:
        self.journal.set_cursor(self.journal.cursor.not_stored(metric.position))


def _settled(cursor: Cursor, positions: set[int]) -> Cursor:
    for position in sorted(positions):
        if position >= cursor.delivered:  # it has not moved over this one as well
            cursor = cursor.with_settled(position)
    return cursor


def _names(body: bytes, name: str) -> bool:
    """Whether a stock server's answer confirms the metric: a JSON object, which names no other one."""
    try:
        return msgspec.json.decode(body, type=_Named).name in (name, None)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
