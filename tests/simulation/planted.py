"""Bugs to plant: each a fault on a ticket, on what comes of one, or in pure code, as small as it would be in real life.

``on_sent`` changes what leaves the outbox, a request with its ticket; ``on_answered`` what it makes of an answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace

from simulation import places
from steplog.delivery import metrics, poison, probe, ranges, sender, verdicts, wire
from steplog.delivery.backlog import Backlog
from steplog.delivery.backoff import Backoff
from steplog.delivery.generations import Generations
from steplog.delivery.lanes import Lanes
from steplog.delivery.metrics import MetricStream
from steplog.delivery.outbox import Outbox
from steplog.delivery.probe import CapabilityProbe, Question
from steplog.delivery.ranges import RangeStream
from steplog.delivery.sender import Sender
from steplog.delivery.stream import Head, Stream
from steplog.delivery.tickets import Action, Batch, Quarantine, Quarantined, Send, Status, Ticket
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.cursor import Cursor
from steplog.journal.range import encode

PLANTED = {}


def planted(plant):
    PLANTED[plant.__name__] = plant
    return plant


def on_sent(patch, fault: Callable[[Outbox, Send], Send]) -> None:
    """Have ``fault`` change each request that is due, with its ticket."""
    following = Outbox.next

    def due(self, now, lane):
        found = following(self, now, lane)
        return fault(self, found) if isinstance(found, Send) else found

    patch.setattr(Outbox, "next", due)


def on_answered(patch, fault: Callable[[Outbox, float, Ticket, Judgement, list[Action]], list[Action]]) -> None:
    """Have ``fault`` change what is to be done after each answer."""
    answered = Outbox.answered

    def learn(self, now, ticket, judgement, body, sent_at):
        return fault(self, now, ticket, judgement, answered(self, now, ticket, judgement, body, sent_at))

    patch.setattr(Outbox, "answered", learn)


@planted
def ack_on_a_bare_200(patch):
    patch.setattr(sender, "judge", lambda answer, confirms: verdicts.judge(answer, lambda body: True))


@planted
def ack_before_the_rows_are_stored(patch):
    def acknowledge(outbox, send):
        if isinstance(send.ticket, Batch):
            batch = send.ticket.range
            outbox.journals[batch.writer].ack(batch.end, batch.records)
        return send

    on_sent(patch, acknowledge)


@planted
def range_begun_at_the_first_record_instead_of_the_last_end(patch):
    def cut(outbox, send):
        if not isinstance(send.ticket, Batch):
            return send
        batch = send.ticket.range
        begin = next((record.position for record in wire.records(batch)), batch.first)
        batch = batch.part(begin, batch.end)
        return Send(replace(send.request, body=encode(batch)), replace(send.ticket, range=batch))

    on_sent(patch, cut)


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
    chosen = Outbox._stream

    def stream(self, journal):
        if not self.probe.takes_ranges:
            return chosen(self, journal)
        return self._ranges.setdefault(journal.writer, RangeStream(journal, (), 0.5, self._source))

    patch.setattr(Outbox, "_stream", stream)


@planted
def stock_after_a_single_404(patch):
    answered = CapabilityProbe.answered

    def believe(self, now, ticket, judgement, body):
        self._listed |= ticket.question is Question.RUN
        answered(self, now, ticket, judgement, body)

    patch.setattr(CapabilityProbe, "answered", believe)


@planted
def quarantined_while_everything_is_refused(patch):
    blocked = Stream.control_answered

    def quarantine(self, now, head, judgement):
        if judgement.verdict in verdicts.REFUSALS and head.poison_test is not None:
            return self._quarantine(now, head, head.poison_test)
        return blocked(self, now, head, judgement)

    patch.setattr(Stream, "control_answered", quarantine)


@planted
def quarantined_at_the_first_refusal(patch):
    patch.setattr(poison, "ROUNDS", 0)
    patch.setattr(poison.PoisonTest, "control_refused", lambda self: None)


@planted
def quarantined_because_something_had_been_accepted_before_the_trouble(patch):
    def quarantine(outbox, now, ticket, judgement, actions):
        if isinstance(ticket, Batch) and judgement.verdict is Verdict.REFUSED:
            stream = outbox._ranges[ticket.range.writer]
            test = stream.head.poison_test
            if test is not None and test.end - test.first == 1:
                return actions + stream._quarantine(now, stream.head, test)
        return actions

    on_answered(patch, quarantine)


@planted
def passed_over_before_it_is_safe_in_quarantine(patch):
    def pass_over(outbox, now, ticket, judgement, actions):
        for action in actions:
            if isinstance(action, Quarantine):
                outbox.quarantined(now, Quarantined(action.record, True))
        return actions

    on_answered(patch, pass_over)


@planted
def sent_again_while_it_goes_to_quarantine(patch):
    patch.setattr(Head, "quarantining", property(lambda self: False, lambda self, leaving: None))


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
def a_trial_that_is_never_answered_for(patch):
    answered = Sender.answered

    def forget(self, now, flight, answer):
        lost = flight.server.trial is flight and isinstance(answer, str)
        return [] if lost else answered(self, now, flight, answer)

    patch.setattr(Sender, "answered", forget)


@planted
def sent_is_not_stored_before_the_request(patch):
    patch.setattr(Cursor, "with_sent", lambda self, positions: self)


@planted
def settled_bits_are_forgotten_at_a_restart(patch):
    built = MetricStream.__init__

    def build(self, journal, *more):
        journal.set_cursor(replace(journal.cursor, settled=0))
        built(self, journal, *more)

    patch.setattr(MetricStream, "__init__", build)


@planted
def an_older_backup_is_not_noticed(patch):
    patch.setattr(RangeStream, "_go_on_from", lambda self, now, mark: self.head.backoff.failed(now))


@planted
def what_went_with_an_older_backup_is_waited_for(patch):
    patch.setattr(Backlog, "begin", lambda self, first: first)


@planted
def a_run_that_is_gone_is_never_asked_for_again(patch):
    following = Outbox.next
    patch.setattr(Outbox, "next", lambda self, now, lane: None if self.gone else following(self, now, lane))


@planted
def a_404_in_html_says_that_the_run_is_gone(patch):
    patch.setattr(probe, "is_proxys_404", lambda status, body: False)


@planted
def finish_keeps_to_what_was_decided_before(patch):
    patch.setattr(Outbox, "afresh", property(lambda self: False, lambda self, afresh: None), raising=False)


@planted
def finish_believes_that_a_run_is_gone(patch):
    patch.setattr(CapabilityProbe, "reopen", lambda self: None)
    released = Outbox.release_waiters

    def release(self):
        self.afresh = self.afresh and not self.gone
        released(self)

    patch.setattr(Outbox, "release_waiters", release)


@planted
def retry_after_is_honoured_for_as_long_as_it_says(patch):
    patch.setattr(verdicts, "RETRY_AFTER_MAX_S", float("inf"))


@planted
def the_key_is_not_read_again(patch):
    patch.setattr(places.SimServer, "refresh_key", lambda self: False)


@planted
def the_status_is_sent_by_each_agent_anew(patch):
    sent = property(lambda self: self.__dict__.get("told", False), lambda self, sent: None)
    patch.setattr(Outbox, "status_sent", sent, raising=False)

    def note(outbox, now, ticket, judgement, actions):
        if isinstance(ticket, Status):
            outbox.__dict__["told"] = judgement.verdict is Verdict.ACCEPTED
        return actions

    on_answered(patch, note)


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
    def give_up(outbox, now, ticket, judgement, actions):
        if isinstance(ticket, Status) and judgement.verdict is Verdict.REFUSED:
            outbox.refused = judgement
        return actions

    on_answered(patch, give_up)


@planted
def a_range_that_may_have_arrived_is_forgotten_when_the_server_turns_stock(patch):
    def forget(outbox, send):
        if isinstance(send.ticket, Batch):
            journal = outbox.journals[send.ticket.range.writer]
            journal.set_cursor(replace(journal.cursor, reach=0))
        return send

    on_sent(patch, forget)


@planted
def a_record_is_ambiguous_each_time_that_it_goes_again(patch):
    sent = Cursor.with_sent

    def with_sent(self, positions):
        bits = sum(1 << (position - self.delivered) for position in positions)
        made = sent(self, positions)
        return replace(made, ambiguous=self.ambiguous + (self.sent & bits).bit_count())

    patch.setattr(Cursor, "with_sent", with_sent)


@planted
def a_status_counts_though_the_run_has_gone_on_elsewhere(patch):
    patch.setattr(Generations, "number", property(lambda self: 1000 if self.offered else 0))


@planted
def each_writer_is_of_the_present_generation(patch):
    patch.setattr(Generations, "_of", lambda self, writer: self.begun[-1] if self.begun else None)


@planted
def the_server_is_not_told_that_the_run_was_taken_up(patch):
    patch.setattr(Generations, "_is_due", lambda self, one: False)
    patch.setattr(Generations, "number", property(lambda self: self.begun[0].number if self.begun else 0))
