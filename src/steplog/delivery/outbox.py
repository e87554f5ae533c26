"""The outbox: all of one run that is still to be delivered, and in what order. Pure.

The run is made, if it was begun without the server (``creation``); the server is asked what it has (``probe``), and
told of each owner that took the run up (``generations``); then come the records of every writer, and last the status.
Of a run that is gone from the server nothing is sent, and everything is kept. Of one that goes on here the server hears
at least once a minute, and says whether it still has it.

``next`` says what to do now, ``answered`` and ``quarantined`` take in what came of it; see ``tickets``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping

import msgspec

from steplog.delivery import tickets, wire
from steplog.delivery.backlog import left_of
from steplog.delivery.backoff import Backoff
from steplog.delivery.creation import Create, Creation, Made
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.generations import Begin, Generations
from steplog.delivery.lanes import Lanes
from steplog.delivery.loss_report import LossReport
from steplog.delivery.metrics import MetricStream
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.probe import CapabilityProbe, Probe, Question
from steplog.delivery.ranges import RangeStream
from steplog.delivery.run_edits import RunEdits
from steplog.delivery.samples import Samples
from steplog.delivery.tickets import Action, Quarantined, RunAddress, Send, Store, Ticket
from steplog.delivery.uploads import Uploads
from steplog.delivery.verdicts import REFUSALS, Judgement, Verdict
from steplog.delivery.waiter import Waiter
from steplog.journal.journal import Journal

__all__ = ["SEEN_INTERVAL_S", "STATUS_INTERVAL_S", "Outbox"]

STATUS_INTERVAL_S = 60.0  # between two tries of a status that the server refuses and nobody waits for
SEEN_INTERVAL_S = 60.0  # of silence, until the server is told that the run goes on
_ENDED = ("COMPLETED", "FAILED")
_JSON = {"Content-Type": "application/json"}


class Outbox:
    """One run; ``quarantined`` gives a writer's positions in quarantine, ``creation`` makes the run, if need be.

    ``account``: whose key it takes, None for a run made here.
    """

    def __init__(
        self,
        address: RunAddress,
        quarantined: Callable[[str], Collection[int]],
        options: DeliveryOptions,
        source: random.Random,
        account: str | None = None,
        creation: Creation | None = None,
        generations: Generations | None = None,
    ) -> None:
        self.address = address
        self.generations = generations or Generations()
        self.resumed = False  # a status that the server has may be of an earlier owner
        self.ended = 0  # when the status was decided, in ns; 0: nobody knows
        self.options = options
        self.backoff = Backoff(source)
        self.creation = creation
        self.name = ""  # as the server gave it to a run that was made here
        self.key: str | None = None  # the caller's id, as far as the server took it for that run
        self.edits = RunEdits()
        self.held_back = False  # what is decided is not written down: nothing that a later process must know of goes
        self.probe = CapabilityProbe(address, account, self.backoff)
        self.status: str | None = None  # to be sent, after the records below ``ends``
        self.status_sent = False
        self.refused: Judgement | None = None  # of the status, for those who wait for it
        self.waiters: list[Waiter] = []
        self.afresh = False  # an attempt is due whatever was decided: back-off, Retry-After, that the run is gone
        self.journals: dict[str, Journal] = {}
        self.samples: Samples | None = None  # system metrics, in no journal
        self.uploads = Uploads(source, lambda: self.name or self.address.run)
        self._over: set[str] = set()  # dead writers of whom nothing is left, since the last look at all
        self._ends: Mapping[str, int] = {}
        self._heard_at: float | None = None  # when the server last answered
        self._presumed = False
        self._status_at = 0.0
        self._trouble: str | None = None
        self._ranges: dict[str, RangeStream] = {}
        self._metrics: dict[str, MetricStream] = {}
        self.name_lanes = Lanes(options.connections_max)
        self._quarantined = quarantined
        self._source = source
        self._turn = 0

    @property
    def gone(self) -> bool:
        """Whether the server does not have the run any more."""
        return self.probe.gone

    @property
    def trouble(self) -> str | None:
        """What keeps this run from being delivered; None while nothing does."""
        streams: list[RangeStream | MetricStream] = [*self._ranges.values(), *self._metrics.values()]
        return self._trouble or self.probe.trouble or next((s.trouble for s in streams if s.trouble), None)

    def knows(self, takes_ranges: bool) -> None:
        """The server has the run, and has said whether it takes ranges."""
        self.probe.knows(takes_ranges)

    def made(self, made: Made, namespace: str, takes_ranges: bool | None) -> None:
        """The server has made the run; ``takes_ranges`` None: it is to be asked."""
        creation, self.creation = self.creation, None
        self.address = RunAddress(namespace, self.address.project, made.uuid)
        self.probe.address = self.address
        self.name, self.key = made.name, None if creation is None else made.key(creation.key)
        self._offers(wire.features_in(made.features))
        if creation is not None and (creation.found or not made.is_of(creation.local_id)):
            self.resumed = True
        elif creation is not None and self.generations.offered:
            self.generations.made(creation.local_id)
        if takes_ranges is None:
            self.probe.question = Question.RUN
        else:
            self.knows(takes_ranges)

    def _offers(self, features: frozenset[str]) -> None:
        self.probe.features = features
        self.generations.offered = wire.GENERATIONS_FEATURE in features

    def add(self, journal: Journal) -> None:
        """Deliver one more writer's journal."""
        self.journals[journal.writer] = journal

    def end_with(self, status: str, sent: bool = False, *, presumed: bool = False, ended: int = 0) -> None:
        """Send this status after everything that is written by now, unless it was sent before.

        ``presumed``: it is that of a process that was killed, and does not replace one that the server has of the same
        owner. ``ended``: when it was decided, in ns since the epoch; 0: nobody knows.
        """
        self.status, self.status_sent, self.refused, self._status_at = status, sent, None, 0.0
        self.ended = ended
        self._presumed = presumed and not sent
        if self._presumed:
            self.probe.ask_again()
        self._ends = self._written()

    def reopen(self) -> None:
        """Another owner goes on with the run: what was decided of its end does not count."""
        self.status, self.status_sent, self.refused, self._presumed = None, False, None, False

    def wait(self, waiter: Waiter) -> None:
        """Call ``waiter.done`` once everything that is written by now is delivered."""
        waiter.ends, waiter.files = self._written(), frozenset(self.uploads.left)
        self.afresh = self.afresh or waiter.afresh
        if waiter not in self.waiters:
            self.waiters.append(waiter)

    def pending(self) -> int:
        """Values written and neither delivered nor in quarantine; the cost grows with their number."""
        return sum(self._stream(journal).pending() for journal in self.journals.values())

    def losses(self) -> LossReport:
        """What of the run does not reach the server, as far as it is known."""
        return LossReport.of(self.journals.values())

    def left(self) -> int:
        """Positions written and not delivered: about as many values, at little cost."""
        return sum(left_of(journal) for journal in self.journals.values())

    def idle(self) -> bool:
        """Whether nothing is left, be it a record, a file or a status."""
        return self.uploads.is_empty() and self.has_sent_records()

    def has_sent_records(self) -> bool:
        """Whether neither a record nor a status is left."""
        return not self._owes_status() and all(self._stream(journal).empty() for journal in self.journals.values())

    def settled(self, waiter: Waiter) -> bool:
        """Whether everything that was waited for is there."""
        return self._has_records(waiter) and self.uploads.have_arrived(waiter.files, told=waiter.status)

    def _has_records(self, waiter: Waiter) -> bool:
        return self._settled(waiter.ends) and (not waiter.status or self.status_sent)

    def takes_files(self) -> bool | None:
        """Whether the server keeps files; None: it has yet to say so."""
        known = self.creation is None and self.probe.question is None
        return wire.FILES_FEATURE in self.probe.features if known else None

    def files_are_stuck(self) -> bool:
        """Whether no more files arrive for now."""
        return (self.takes_files() is False and not self.uploads.is_behind()) or self.uploads.is_stuck()

    def _files_until(self) -> float:
        """Until when the status waits for files: as long as somebody waits for it."""
        if not self.uploads.left or self.files_are_stuck():
            return 0.0
        return max((waiter.files_until for waiter in self.waiters if waiter.status), default=0.0)

    def release_waiters(self) -> None:
        """Release those who waited for what is done, or cannot be done."""
        for waiter in list(self.waiters):
            refused = (waiter.status and self.refused) or (self._has_records(waiter) and self.files_are_stuck())
            if self.settled(waiter) or refused or (self.gone and not self.afresh):
                self.waiters.remove(waiter)
                waiter.done()

    def give_up(self, writer: str, end: int) -> bool:
        """Give up a journal's records below ``end``, unless one is going to quarantine; whether so. Raises OSError."""
        stream = self._stream(self.journals[writer])
        if not stream.quarantining:
            stream.give_up(end)
        return not stream.quarantining

    def _written(self) -> dict[str, int]:
        return {writer: journal.written() for writer, journal in self.journals.items()}

    def _settled(self, ends: Mapping[str, int]) -> bool:
        journals = self.journals
        return all(self._stream(journals[writer]).settled(end) for writer, end in ends.items() if writer in journals)

    def _owes_status(self) -> bool:
        return self.status is not None and not self.status_sent

    def _stream(self, journal: Journal) -> RangeStream | MetricStream:
        writer = journal.writer
        ranges = self._ranges.get(writer)
        if ranges is not None and ranges.head.quarantining:
            return ranges  # the server may have turned stock: no other is to send what goes to quarantine
        if journal.cursor.stock or not self.probe.takes_ranges:
            metrics = self._metrics.get(writer)
            if metrics is None:
                metrics = MetricStream(journal, self._quarantined(writer), self.name_lanes, self._source, self.edits)
                self._metrics[writer] = metrics
                self._over.discard(writer)  # it has yet to pass over what is in quarantine
            return metrics
        self._metrics.pop(writer, None)  # nothing was sent that way
        if ranges is None:
            age_s = self.options.batch_age_s
            ranges = RangeStream(journal, self._quarantined(writer), age_s, self._source, self.edits)
            self._ranges[writer] = ranges
        return ranges

    def next(self, now: float, lane: int) -> Send | Store | float | None:
        """What to do on this lane, or when something is due; None: nothing is left for now.

        Not to be called before ``backoff`` is over, unless ``afresh``. Lane 0 does everything; the others send single
        metrics.
        """
        if self.afresh:
            self._try_again()
        found = self._next(now, lane)
        if isinstance(found, Send):
            self.afresh = False
        return found

    def _try_again(self) -> None:
        """Take back what was decided on when to try again."""
        self.backoff.try_again()
        self.probe.reopen()
        self._status_at = 0.0
        for stream in (*self._ranges.values(), *self._metrics.values()):
            stream.try_again()

    def _next(self, now: float, lane: int) -> Send | Store | float | None:
        if self.creation is not None or self.probe.question is not None:
            wanted = self.creation is not None or self.waiters or (self.generations.is_open() and not self.status_sent)
            rests = not wanted and self.idle() and not self._goes_on()
            return None if lane or rests else self._ask()
        begun = None if self.status_sent else self.generations.due()  # it would be RUNNING again
        if lane == 0 and not self.held_back and begun is not None:
            return self.generations.send(self.address, begun)
        self.edits.takes_records = wire.RUN_FEATURE in self.probe.features
        owes_status = self.status is not None and not self.status_sent
        hurry = owes_status or bool(self.waiters)
        soonest: float | None = None
        dead, living = self._by_life() if len(self.journals) > 1 else ([], list(self.journals.values()))
        for turn, journal in enumerate((*dead, *living)):
            stream = self._stream(journal)
            if begun is not None and self.generations.waits(journal.writer):
                continue
            if isinstance(stream, MetricStream):
                due = stream.due_at(now, lane)
            else:
                due = stream.due_at(now, hurry or journal in dead) if lane == 0 else None
            if due is None:
                if journal in dead and lane == 0 and stream.empty():
                    self._over.add(journal.writer)
                continue
            if due <= now:
                self._turn += max(0, turn - len(dead)) + 1
                if isinstance(stream, MetricStream):
                    return stream.send(self.address, lane)
                return self.generations.signed(stream.send(self.address), journal.writer)
            soonest = due if soonest is None else min(soonest, due)
        if lane == 0 and not hurry and (due := self._samples_due_at(now)) is not None:
            if due <= now and self.samples is not None:
                return self.generations.signed(self.samples.send(self.address))
            soonest = due if soonest is None else min(soonest, due)
        if lane == 0 and owes_status and not (self.held_back or self.refused) and self._settled(self._ends):
            due_at = max(self._status_at, self._files_until())
            return self._send_status() if due_at <= now else min(due_at, soonest or due_at)
        if lane == 0 and self._is_to_be_seen(now):
            return self.probe.send(Question.RUN, self.generations.maker)
        return soonest

    def _is_to_be_seen(self, now: float) -> bool:
        """Whether it is time to tell the server that the run goes on."""
        if self._heard_at is None:
            self._heard_at = now
        return now >= self._heard_at + SEEN_INTERVAL_S and self._goes_on()

    def _goes_on(self) -> bool:
        """Whether an owner is at it here, and the server wants to know."""
        if self.status is not None or not self.generations.maker:
            return False
        return wire.RUN_FEATURE in self.probe.features and any(journal.alive for journal in self.journals.values())

    def takes_samples(self) -> bool:
        """Whether system metrics are of use: the run goes on, and its server takes ranges, or has yet to say so."""
        known = self.creation is None and self.probe.question is None
        return self.status is None and not self.gone and (not known or self.probe.takes_ranges)

    def _samples_due_at(self, now: float) -> float | None:
        if self.samples is None:
            return None
        if not self.takes_samples():
            self.samples.drop()
        return self.samples.due_at(now)

    def _by_life(self) -> tuple[list[Journal], list[Journal]]:
        """The dead writers, whose records come before those of later ones, and the living in turn."""
        journals, over = list(self.journals.values()), self._over
        turn = self._turn % len(journals)
        dead = [journal for journal in journals if journal.writer not in over and not journal.alive]
        passed = {*over, *(journal.writer for journal in dead)}
        return dead, [journal for journal in journals[turn:] + journals[:turn] if journal.writer not in passed]

    def look_at_all(self) -> None:
        """Look at the journals of the dead, too, of whom nothing was left."""
        self._over.clear()

    def look_again(self) -> None:
        """There may be more to send than expected."""
        for stream in self._ranges.values():
            stream.look_again()

    def lanes(self) -> int:
        """How many requests at a time a stock server can use; 0: it is none."""
        return max(1, self.name_lanes.used) if self._metrics else 0

    def _ask(self) -> Send | Store | None:
        if self.creation is None or self.probe.question is Question.ACCOUNT:
            return self.probe.send(self.probe.question or Question.RUN)
        found = self.creation.send()
        return None if self.held_back and isinstance(found, Send) else found

    def _send_status(self) -> Send:
        status = self.status or ""
        fields: dict[str, object] = {"status": status, **self.generations.of_status(self.ended)}
        if self.probe.takes_ranges and wire.REPORT_FEATURE in self.probe.features:
            fields["report"] = self.losses()
        if (pending := self.uploads.files_left() if self.uploads.any and self.takes_files() else None) is not None:
            fields["files_pending"] = pending
        request = Request("PATCH", self.address.run_path, msgspec.json.encode(fields), _JSON)
        return Send(request, tickets.Status(self.address.run, status, self.generations.number, pending))

    def answered(self, now: float, ticket: Ticket, judgement: Judgement, body: bytes, sent_at: float) -> list[Action]:
        """Learn from the answer to a ticket; what to do about it."""
        self._run_answered(now, judgement, sent_at)
        if judgement.verdict is Verdict.ACCEPTED:
            self._heard_at = now
        match ticket:
            case tickets.Batch():
                self._ranges[ticket.range.writer].answered(now, ticket, judgement)
                if judgement.verdict is Verdict.ACCEPTED and self.edits.acknowledged(ticket.range, body):
                    return [Store()]
            case tickets.Sample():
                if self.samples is not None:
                    self.samples.answered(now, ticket, judgement)
            case tickets.Metric():
                self._metrics[ticket.writer].answered(now, ticket, judgement)
            case tickets.Edit():
                stream = self._metrics.get(ticket.writer) or self._ranges[ticket.writer]
                return [Store()] if stream.edit_answered(ticket, judgement, body) else []
            case tickets.EmptyBatch():
                ranges = self._ranges[ticket.writer]
                return ranges.control_answered(now, ranges.head, judgement)
            case tickets.EmptyPatch():
                metrics = self._metrics[ticket.writer]
                lane = metrics.lanes[ticket.lane]
                if lane.poison_test is not None and lane.poison_test.first == ticket.position:  # else it is given up
                    return metrics.control_answered(now, lane, judgement)
            case Probe():
                return self._probe_answered(now, ticket, judgement, body)
            case Begin():
                return self._generation_answered(now, ticket, judgement, body)
            case Create():
                return self._creation_answered(now, ticket, judgement, body)
            case tickets.Status():
                return self._status_answered(now, ticket, judgement, body)
        return []

    def _probe_answered(self, now: float, ticket: Probe, judgement: Judgement, body: bytes) -> list[Action]:
        self.probe.answered(now, ticket, judgement, body)
        actions, before = list[Action](), self.generations.begun
        if judgement.verdict is Verdict.ACCEPTED and ticket.question is Question.RUN:
            self._offers(self.probe.features)
            self.generations.found(self.probe.generation)
            actions += [Store()] * (self.generations.begun != before)
        of_earlier_owner = self.resumed and not self.generations.number  # what the server has, perhaps
        if self._presumed and self.probe.status in _ENDED and not of_earlier_owner:
            self.status, self.status_sent, self._presumed = self.probe.status, True, False
            actions = [Store()]
        return actions

    def _generation_answered(self, now: float, ticket: Begin, judgement: Judgement, body: bytes) -> list[Action]:
        stored = self.generations.answered(ticket, judgement, body)
        if judgement.verdict in REFUSALS:
            self.backoff.failed(now, judgement.retry_after_s)
        if stored and self._presumed:
            self.probe.ask_again()  # what it said before was of the owner before
        return [Store()] * stored

    def quarantined(self, now: float, event: Quarantined) -> None:
        """A record has reached quarantine, or could not."""
        writer = event.record.writer
        for stream in (self._ranges.get(writer), self._metrics.get(writer)):
            if stream is not None and stream.quarantining:
                stream.quarantined(now, event)
                return

    def _run_answered(self, now: float, judgement: Judgement, sent_at: float) -> None:
        """What an answer means for the run as a whole."""
        verdict = judgement.verdict
        if verdict is Verdict.FORBIDDEN or verdict is Verdict.REDIRECTED:
            self._say(judgement)
            self.backoff.failed(now, judgement.retry_after_s, sent_at)
        elif self.creation is not None:
            return  # it knows by itself what to make of an answer
        elif verdict is Verdict.MISSING:
            self.probe.missing(now, judgement.words)
        elif verdict is Verdict.ACCEPTED:
            self._trouble = None
            if self.probe.question is None:
                self.probe.found()
                self.backoff.passed()

    def failed_alone(self, now: float, judgement: Judgement, sent_at: float) -> None:
        """This run got no good answer though its server is well."""
        self.backoff.failed(now, sent_at=sent_at)
        if self.backoff.attempt_number > 1:
            self._say(judgement)

    def _say(self, judgement: Judgement) -> None:
        if self._trouble is None:
            deferred_log.warning("steplog: run %s: %s. Everything is kept.", self.address.run, judgement.words)
        self._trouble = judgement.words

    def _creation_answered(self, now: float, ticket: Create, judgement: Judgement, body: bytes) -> list[Action]:
        creation, actions = self.creation, list[Action]()
        if creation is None:
            return actions
        step = creation.step
        creation.answered(ticket, judgement, body)
        if creation.made is not None:
            self.made(creation.made, creation.namespace, True if creation.made.batch else None)
            actions.append(Store())
        elif creation.refused is not None:
            if self._trouble is None:
                deferred_log.warning("steplog: the run %s cannot be made: %s", creation.name, creation.refused.words)
            self._trouble = creation.refused.words
        went_on = creation.made is not None or creation.step is not step
        if judgement.verdict is Verdict.ACCEPTED and went_on:
            self.backoff.passed()
        elif judgement.verdict is Verdict.MISSING and went_on:
            pass  # the project is to be made: nothing has failed
        elif judgement.verdict in REFUSALS or judgement.verdict in (Verdict.ACCEPTED, Verdict.MISSING):
            self.backoff.failed(now, judgement.retry_after_s)
        return actions

    def _status_answered(self, now: float, ticket: tickets.Status, judgement: Judgement, body: bytes) -> list[Action]:
        if ticket.status != self.status or ticket.generation != self.generations.number:
            return []  # another one was decided meanwhile
        if judgement.verdict is Verdict.ACCEPTED:
            if ticket.overruled(body):
                words = "steplog: the run %s was resumed by another process, whose status counts."
                deferred_log.info(words, self.name or self.address.run)
            self.status_sent, self.uploads.told = True, ticket.files_pending
            return [Store()]
        if judgement.verdict in REFUSALS:
            if self._status_at == 0.0:
                deferred_log.error(
                    "steplog: the server refuses the status %s of the run: %s", ticket.status, judgement.words
                )
            self._status_at = now + STATUS_INTERVAL_S
            if any(waiter.status for waiter in self.waiters):
                self.refused = judgement
        return []
