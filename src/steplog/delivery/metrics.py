"""A journal on its way to a stock server, which takes one metric a request and knows no positions. Pure.

Several requests are under way at once, one a *lane*. A metric's name stays on its lane, because the server numbers
steps on arrival. All lanes work inside a window of positions from the last acknowledged one on, with two bits a
position in the cursor: *sent*, stored before the request, and *settled*.

Where an answer is lost the record is sent again, and counts as ambiguous, once. An answer that says that nothing was
stored takes the *sent* bit back.

A record of steplog's own is not sent, but for a name or description that was set (``run_edits``).

A record that is refused, or that makes the server fail (500) five times in a row, gets a poison test; the control is a
PATCH of the run that changes nothing. Its lane waits until the record is safe in quarantine.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection

import msgspec
from msgspec.structs import replace

from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.delivery.lanes import Lanes
from steplog.delivery.poison import FAULTS_MAX, PoisonTest
from steplog.delivery.run_edits import RunEdits
from steplog.delivery.stream import Head, Stream
from steplog.delivery.tickets import Edit, EmptyPatch, Metric, RunAddress, Send
from steplog.delivery.verdicts import NOT_STORED, REFUSALS, Judgement, Verdict
from steplog.journal.cursor import WINDOW, Cursor
from steplog.journal.journal import Journal

__all__ = ["MetricStream"]

_HEADERS = {"Content-Type": "application/json"}


class _Queued(msgspec.Struct, frozen=True):
    position: int
    name: str
    body: bytes
    is_edit: bool = False


class _Lane(Head):
    """Records that are sent one after the other."""

    __slots__ = ("queue",)

    def __init__(self, source: random.Random) -> None:
        super().__init__(source)
        self.queue: deque[_Queued] = deque()


class MetricStream(Stream):
    """``names`` gives each name its lane."""

    def __init__(
        self,
        journal: Journal,
        quarantined: Collection[int],
        names: Lanes,
        source: random.Random,
        edits: RunEdits | None = None,
    ) -> None:
        self._edits = edits or RunEdits()
        self.lanes = [_Lane(source) for _ in range(names.count)]
        super().__init__(journal, quarantined, source, self.lanes)
        self._quarantined = frozenset(quarantined)  # those of this life are settled
        self._names = names
        self._filled = journal.cursor.delivered

    def due_at(self, now: float, lane: int) -> float | None:
        """When this lane has something to send, on the monotonic clock; None: nothing for now."""
        of_lane = self.lanes[lane]
        if of_lane.quarantining:
            return None
        if not of_lane.queue:
            self._fill()
        if not of_lane.queue:
            return None
        return max(now, of_lane.backoff.due, self._pace.due if of_lane.poison_test is not None else 0.0)

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left."""
        if any(lane.queue and lane.queue[0].position < end for lane in self.lanes):
            return False
        start = max(self.journal.cursor.delivered, self._filled)
        while start < end:
            stop = min(end, start + WINDOW)
            if self.journal.census(start, stop):
                return False
            start = stop
        return True

    def empty(self) -> bool:
        """Whether no record is left."""
        return self.settled(self._filled + WINDOW) and self.settled(self.journal.written())

    def pending(self) -> int:
        """How many values are left."""
        start, end = max(self.journal.cursor.delivered, self._filled), self.journal.written()
        queued = sum(not metric.is_edit for lane in self.lanes for metric in lane.queue)
        return queued + (self.journal.values(start, end) if start < end else 0)

    def give_up(self, end: int) -> None:
        """Give up the records below ``end``, which is readable."""
        self.journal.give_up(end, self._quarantined)
        for lane in self.lanes:
            while lane.queue and lane.queue[0].position < end:
                lane.queue.popleft()
                lane.clear()
        cursor, last = self.journal.cursor, end - 1
        if last >= cursor.delivered:
            self.journal.set_cursor(cursor.moved(last).with_settled(last))

    def _fill(self) -> None:
        """Read on, as far as the window goes, and put each record on its name's lane."""
        delivered = self.journal.cursor.delivered
        limit = delivered + WINDOW
        self._filled = max(self._filled, delivered)  # it moves over what another agent settled
        end = self.backlog.readable(self._filled, limit - self._filled) if self._filled < limit else self._filled
        if end <= self._filled:
            return
        batch = self.journal.read(self._filled, end)
        cursor = self.journal.cursor
        positions = {at for at in range(batch.first, batch.end) if not cursor.done >> (at - delivered) & 1}
        own = self._edits.own_in(batch)
        found = []
        for position, name, body in wire.metric_bodies(batch):
            patch = own.get(position, body)
            if patch is not None and position in positions and position not in self._quarantined:
                found.append(_Queued(position, name, patch, position in own))
        lanes = [self.lanes[self._names.of(metric.name)] for metric in found]  # before anything has changed
        positions.difference_update(metric.position for metric in found)
        none = positions - self._quarantined - own.keys()
        empty = sum(self.journal.census(at, at + 1) + self.journal.missing(at, at + 1) for at in none)
        self.journal.set_cursor(_settled(replace(cursor, abandoned=cursor.abandoned + empty), positions))
        self._filled = batch.end
        for lane, metric in zip(lanes, found, strict=True):
            lane.queue.append(metric)
        self.journal.evict(self.journal.cursor.delivered)

    def send(self, address: RunAddress, lane: int) -> Send:
        """The record, or the control, that is due on a lane; one at a time."""
        head, writer = self.lanes[lane], self.journal.writer
        metric, test = head.queue[0], head.poison_test
        if test is not None and test.needs_control:
            request = Request("PATCH", address.run_path, b"{}", _HEADERS)
            return Send(request, EmptyPatch(writer, lane, metric.position, address.run))
        if metric.is_edit:
            return self._edits.send(address, writer, lane, metric.position, metric.body)
        self.journal.set_cursor(replace(self.journal.cursor, stock=True).with_sent([metric.position]))
        suspect = test is not None and test.vouched
        ticket = Metric(writer, lane, metric.position, metric.name, suspect=suspect)
        return Send(Request("POST", address.metrics_path, metric.body, _HEADERS), ticket)

    def answered(self, now: float, ticket: Metric, judgement: Judgement) -> None:
        """Learn from the answer to a record."""
        position, verdict = ticket.position, judgement.verdict
        if position < self.journal.cursor.delivered:  # given up meanwhile
            if verdict is Verdict.ACCEPTED:
                cursor = self.journal.cursor
                self.journal.set_cursor(replace(cursor, records=cursor.records + 1, oldest=cursor.oldest - 1))
            return
        lane, fault = self.lanes[ticket.lane], verdict is Verdict.FAULT
        if not fault:
            lane.faults = 0
        if verdict is Verdict.ACCEPTED:
            self._done(lane, position, lambda cursor: replace(cursor, records=cursor.records + 1))
            lane.backoff.passed()
            self._pace.passed()
            self.trouble = None
            return
        if verdict in NOT_STORED or judgement.declined:
            self.journal.set_cursor(self.journal.cursor.not_stored(position))
        lane.faults += fault
        test = lane.poison_test
        if verdict in REFUSALS or (fault and test is not None and test.vouched):
            lane.poison_test = test = test or PoisonTest(position, position + 1)
            test.refused(fault, judgement.words)
        elif lane.faults >= FAULTS_MAX:
            lane.poison_test = PoisonTest(position, position + 1, blocked=True)

    def edit_answered(self, ticket: Edit, judgement: Judgement, body: bytes) -> bool:
        """Learn from the answer to an edit; whether that is done with."""
        lane, fault = self.lanes[ticket.lane], judgement.verdict is Verdict.FAULT
        lane.faults = lane.faults + 1 if fault else 0
        over = judgement.verdict is Verdict.ACCEPTED or judgement.verdict in REFUSALS or lane.faults >= FAULTS_MAX
        if over and ticket.position >= self.journal.cursor.delivered:  # else given up meanwhile
            self._edits.answered(ticket, judgement, body)
            self._done(lane, ticket.position, lambda cursor: cursor)
            lane.backoff.passed()
        return over

    def head_at(self, position: int) -> _Lane:
        """The lane that this record is first on."""
        return next(lane for lane in self.lanes if lane.queue and lane.queue[0].position == position)

    def pass_over(self, position: int) -> None:
        """Settle the record."""
        self._done(self.head_at(position), position, lambda cursor: replace(cursor, rejected=cursor.rejected + 1))

    def _done(self, lane: _Lane, position: int, counted: Callable[[Cursor], Cursor]) -> None:
        # What is raised in the middle must leave cursor and queue in step: the cursor goes first, all at once.
        self.journal.set_cursor(_settled(counted(self.journal.cursor), {position}))
        lane.queue.popleft()
        lane.clear()
        self.journal.evict(self.journal.cursor.delivered)


def _settled(cursor: Cursor, positions: set[int]) -> Cursor:
    for position in sorted(positions):
        if position >= cursor.delivered:  # it has not moved over this one as well
            cursor = cursor.with_settled(position)
    return cursor
