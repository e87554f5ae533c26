"""Bugs to plant: each a change of the real code, as small as it would be in real life."""

from __future__ import annotations

import random
from dataclasses import replace

from simulation import places
from steplog.delivery import metrics, poison, probe, ranges, sender, verdicts, wire
from steplog.delivery.backlog import Backlog
from steplog.delivery.backoff import Backoff
from steplog.delivery.lanes import Lanes
from steplog.delivery.metrics import MetricStream
from steplog.delivery.outbox import Outbox
from steplog.delivery.ranges import RangeStream
from steplog.delivery.sender import Sender
from steplog.delivery.verdicts import Verdict
from steplog.journal.cursor import Cursor

PLANTED = {}


def planted(plant):
    PLANTED[plant.__name__] = plant
    return plant


@planted
def ack_on_a_bare_200(patch):
    patch.setattr(sender, "judge", lambda answer, echoes: verdicts.judge(answer, lambda body: True))


@planted
def ack_before_the_rows_are_stored(patch):
    sent = RangeStream._order

    def order(self, address, batch, answered, suspect=False):
        made = sent(self, address, batch, answered, suspect)
        self.journal.ack(batch.end, batch.records)
        return made

    patch.setattr(RangeStream, "_order", order)


@planted
def range_begun_at_the_first_record_instead_of_the_last_end(patch):
    sent = RangeStream._order

    def order(self, address, batch, answered, suspect=False):
        begin = next((record.position for record in wire.records(batch)), batch.first)
        return sent(self, address, batch.part(begin, batch.end), answered, suspect)

    patch.setattr(RangeStream, "_order", order)


@planted
def mark_moved_past_an_unanswered_lane(patch):
    def with_settled(self, position):
        step = position + 1 - self.delivered
        return replace(self, delivered=position + 1, settled=self.settled >> step, sent=self.sent >> step)

    patch.setattr(Cursor, "with_settled", with_settled)


@planted
def one_name_on_two_lanes(patch):
    source = random.Random(1)

    def of(self, name):
        self._of.setdefault(name, 0)
        self.used = min(len(self._of), self.count)
        return source.randrange(self.count)

    patch.setattr(Lanes, "of", of)


@planted
def status_sent_before_the_last_acknowledgement(patch):
    patch.setattr(Outbox, "_settled", lambda self, ends: True)


@planted
def status_sent_before_the_other_writers_are_through(patch):
    settled = Outbox._settled
    patch.setattr(Outbox, "_settled", lambda self, ends: settled(self, dict(list(ends.items())[:1])))


@planted
def stock_turned_to_batch(patch):
    def stream(self, writer):
        journal = self.journals[writer]
        if not self.probe.takes_ranges:
            if writer not in self._metrics:
                self._metrics[writer] = MetricStream(journal, self._aside, self.name_lanes, self._source)
            return self._metrics[writer]
        if writer not in self._ranges:
            self._ranges[writer] = RangeStream(journal, self._aside, 0.5, self._source)
        return self._ranges[writer]

    patch.setattr(Outbox, "_stream", stream)


@planted
def stock_after_a_single_404(patch):
    told = probe.CapabilityProbe._told_run

    def told_run(self, now, judgement, body):
        self._listed = True
        told(self, now, judgement, body)

    patch.setattr(probe.CapabilityProbe, "_told_run", told_run)


@planted
def set_aside_while_everything_is_refused(patch):
    def blocked(self, now, judgement):
        if self._poison_test is not None:
            self._put_aside(now, self._poison_test)

    patch.setattr(RangeStream, "_blocked", blocked)


@planted
def set_aside_at_the_first_refusal(patch):
    patch.setattr(poison, "ROUNDS", 0)
    patch.setattr(poison.PoisonTest, "block", lambda self: None)


@planted
def set_aside_because_something_had_passed_before_the_trouble(patch):
    refused = RangeStream._refused

    def refuse(self, now, batch, judgement):
        refused(self, now, batch, judgement)
        if (
            self._poison_test is not None
            and self._poison_test.end - self._poison_test.first == 1
            and judgement.verdict is Verdict.REFUSED
        ):
            self._put_aside(now, self._poison_test)

    patch.setattr(RangeStream, "_refused", refuse)


@planted
def set_aside_before_it_is_safe(patch):
    class Careless:
        def __init__(self, aside):
            self.put = lambda record, words, told: told(0.0, True)
            self.positions = aside.positions

    built = RangeStream.__init__

    def build(self, journal, aside, batch_age_s, source):
        built(self, journal, aside, batch_age_s, source)
        self._aside = Careless(aside)

    patch.setattr(RangeStream, "__init__", build)


@planted
def sent_again_while_it_is_set_aside(patch):
    for stream in (RangeStream, metrics._Lane):
        patch.setattr(stream, "leaving", property(lambda self: False, lambda self, leaving: None), raising=False)


@planted
def a_fault_at_every_other_request_is_the_records_own(patch):
    patch.setattr(poison, "FAULT_ROUNDS", 1)
    patch.setattr(ranges, "FAULTS_MAX", 1)
    patch.setattr(metrics, "FAULTS_MAX", 1)


@planted
def a_fault_is_never_the_records_own(patch):
    patch.setattr(ranges, "FAULTS_MAX", 1 << 60)
    patch.setattr(metrics, "FAULTS_MAX", 1 << 60)


@planted
def tries_again_without_a_delay(patch):
    patch.setattr(Backoff, "failed", lambda self, now, at_least_s=None, sent_at=None: setattr(self, "due", now))


@planted
def a_probe_that_is_never_answered_for(patch):
    answered = Sender.answered

    def forget(self, now, due, answer):
        if due.server.probe is not due or not isinstance(answer, str):
            answered(self, now, due, answer)

    patch.setattr(Sender, "answered", forget)


@planted
def sent_is_not_stored_before_the_request(patch):
    patch.setattr(Cursor, "with_sent", lambda self, positions: self)


@planted
def settled_bits_are_forgotten_at_a_restart(patch):
    built = MetricStream.__init__

    def build(self, journal, aside, lanes, source):
        journal.set_cursor(replace(journal.cursor, settled=0))
        built(self, journal, aside, lanes, source)

    patch.setattr(MetricStream, "__init__", build)


@planted
def an_older_backup_is_not_noticed(patch):
    patch.setattr(RangeStream, "_go_on_from", lambda self, now, judgement: self.backoff.failed(now))


@planted
def what_went_with_an_older_backup_is_waited_for(patch):
    patch.setattr(Backlog, "begin", lambda self, first: first)


@planted
def a_run_that_is_gone_is_never_asked_for_again(patch):
    following = Outbox.next
    patch.setattr(Outbox, "next", lambda self, now, lane: None if self.gone else following(self, now, lane))


@planted
def the_key_is_not_read_again(patch):
    patch.setattr(places.SimServer, "refresh_key", lambda self: False)


@planted
def the_status_is_sent_by_each_agent_anew(patch):
    ended = Outbox.end_with

    def end_with(self, status):
        ended(self, status)
        self.__class__ = Again

    class Again(Outbox):
        status_sent = property(lambda self: self.__dict__.get("told", False), lambda self, sent: None)

        def _status_answered(self, now, judgement, status):
            self.__dict__["told"] = judgement.verdict is Verdict.ACCEPTED

    patch.setattr(Outbox, "end_with", end_with)


@planted
def refused_records_are_not_counted(patch):
    passed_over = Backlog.pass_over

    def silently(self, position):
        rejected = self.journal.cursor.rejected
        passed_over(self, position)
        self.journal.set_cursor(replace(self.journal.cursor, rejected=rejected))

    patch.setattr(Backlog, "pass_over", silently)


@planted
def a_refused_status_is_given_up(patch):
    answered = Outbox._status_answered

    def give_up(self, now, judgement, status):
        answered(self, now, judgement, status)
        if judgement.verdict is Verdict.REFUSED:
            self.refused = judgement

    patch.setattr(Outbox, "_status_answered", give_up)


@planted
def a_range_that_may_have_arrived_is_forgotten_when_the_server_turns_stock(patch):
    def order(self, address, lane=0):
        made = ordered(self, address)
        self.journal.set_cursor(replace(self.journal.cursor, reach=0))
        return made

    ordered = RangeStream.order
    patch.setattr(RangeStream, "order", order)


@planted
def a_record_is_ambiguous_each_time_that_it_goes_again(patch):
    sent = Cursor.with_sent

    def with_sent(self, positions):
        bits = sum(1 << (position - self.delivered) for position in positions)
        made = sent(self, positions)
        return replace(made, ambiguous=self.ambiguous + (self.sent & bits).bit_count())

    patch.setattr(Cursor, "with_sent", with_sent)
