"""Bugs that were planted on purpose: a test of the simulation, which has to catch each within ``SEEDS_MAX`` seeds.

Each is written as a change of the real code, as small as it would be in real life.
"""

from __future__ import annotations

import logging
import random
from dataclasses import replace

import pytest

from simulation import places, world
from steplog.delivery import consignment, doubt, inquiry, metrics, ranges, sender, verdicts, wire
from steplog.delivery.backoff import Backoff
from steplog.delivery.consignment import Consignment
from steplog.delivery.metrics import MetricStream
from steplog.delivery.ranges import RangeStream
from steplog.delivery.sender import Sender
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.marks import Marks

SEEDS_MAX = 300
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

    patch.setattr(Marks, "with_settled", with_settled)


@planted
def one_name_on_two_lanes(patch):
    class Anywhere(dict):
        def setdefault(self, name, lane):
            return self.source.choice(self.lanes)

    built = MetricStream.__init__

    def build(self, journal, aside, lanes, source):
        built(self, journal, aside, lanes, source)
        self._lane_of = Anywhere()
        self._lane_of.lanes, self._lane_of.source = self._lanes, random.Random(1)

    patch.setattr(MetricStream, "__init__", build)


@planted
def status_sent_before_the_last_acknowledgement(patch):
    patch.setattr(Consignment, "_settled", lambda self, ends: True)


@planted
def status_sent_before_the_other_writers_are_through(patch):
    settled = Consignment._settled
    patch.setattr(Consignment, "_settled", lambda self, ends: settled(self, dict(list(ends.items())[:1])))


@planted
def stock_turned_to_batch(patch):
    def stream(self, writer):
        journal = self.journals[writer]
        if not self.inquiry.takes_ranges:
            if writer not in self._metrics:
                self._metrics[writer] = MetricStream(journal, self._aside, self.terms.connections_max, self._source)
            return self._metrics[writer]
        if writer not in self._ranges:
            self._ranges[writer] = RangeStream(journal, self._aside, 0.5, self._source)
        return self._ranges[writer]

    patch.setattr(Consignment, "_stream", stream)


@planted
def stock_after_a_single_404(patch):
    told = inquiry.Inquiry._told_run

    def told_run(self, now, judgement, body):
        self._listed = True
        told(self, now, judgement, body)

    patch.setattr(inquiry.Inquiry, "_told_run", told_run)


@planted
def set_aside_while_everything_is_refused(patch):
    patch.setattr(doubt.Doubt, "refused", lambda self, fault: True)


@planted
def set_aside_because_something_had_passed_before_the_trouble(patch):
    built = doubt.Doubt.__init__

    def build(self, first, end):
        built(self, first, end)
        self.vouched = self._refused = True

    patch.setattr(doubt.Doubt, "__init__", build)


@planted
def set_aside_before_it_is_safe(patch):
    passed_over = RangeStream._pass_over

    def refused(self, now, batch, judgement):
        if batch.end - batch.first == 1 and judgement.verdict is Verdict.REFUSED and self._doubt is not None:
            return passed_over(self, now, batch, judgement)
        return original(self, now, batch, judgement)

    original = RangeStream._refused
    patch.setattr(RangeStream, "_refused", refused)


@planted
def a_fault_at_every_other_request_is_the_records_own(patch):
    patch.setattr(doubt, "FAULT_ROUNDS", 1)
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
    patch.setattr(Marks, "with_sent", lambda self, positions: self)


@planted
def settled_bits_are_forgotten_at_a_restart(patch):
    built = MetricStream.__init__

    def build(self, journal, aside, lanes, source):
        journal.set_marks(replace(journal.marks, settled=0))
        built(self, journal, aside, lanes, source)

    patch.setattr(MetricStream, "__init__", build)


@planted
def an_older_backup_is_not_noticed(patch):
    patch.setattr(RangeStream, "_go_on_from", lambda self, now, judgement: self.backoff.failed(now))


@planted
def what_went_with_an_older_backup_is_waited_for(patch):
    patch.setattr(RangeStream, "_begin", lambda self, first: first)


@planted
def a_run_that_is_gone_is_never_asked_for_again(patch):
    following = Consignment.next
    patch.setattr(Consignment, "next", lambda self, now, lane: None if self.gone else following(self, now, lane))


@planted
def the_key_is_not_read_again(patch):
    patch.setattr(places.SimServer, "refresh_key", lambda self: False)


@planted
def the_status_is_sent_by_each_agent_anew(patch):
    ended = Consignment.end_with

    def end_with(self, status):
        ended(self, status)
        self.__class__ = Again

    class Again(Consignment):
        status_sent = property(lambda self: self.__dict__.get("told", False), lambda self, sent: None)

        def _status_answered(self, now, judgement, status):
            self.__dict__["told"] = judgement.verdict is Verdict.ACCEPTED

    patch.setattr(Consignment, "end_with", end_with)


@planted
def refused_records_are_not_counted(patch):
    passed_over = RangeStream._pass_over

    def silently(self, now, batch, judgement):
        marks = self.journal.marks
        passed_over(self, now, batch, judgement)
        self.journal.set_marks(replace(self.journal.marks, rejected=marks.rejected))

    patch.setattr(RangeStream, "_pass_over", silently)


@planted
def a_refused_status_is_given_up(patch):
    def give_up(self, now, judgement, status):
        if judgement.verdict is Verdict.ACCEPTED:
            self.status_sent = True
        elif judgement.verdict is Verdict.REFUSED:
            self.refused = judgement

    patch.setattr(consignment.Consignment, "_status_answered", give_up)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_caught(name, monkeypatch, record_property, capsys):
    monkeypatch.setattr(logging.getLogger("steplog"), "disabled", True)
    PLANTED[name](monkeypatch)
    caught = first_caught()
    assert caught is not None, f"{name} lives through {SEEDS_MAX} seeds"
    record_property("caught by", caught)
    with capsys.disabled():
        print(f"\n  {name}: {caught}", end="")


def first_caught() -> str | None:
    """The first seed whose life shows the bug, and how; an exception shows it as well."""
    for seed in range(SEEDS_MAX):
        try:
            violations = world.live(seed)
        except Exception as error:  # noqa: BLE001 - whatever a bug leads to
            violations = [f"{type(error).__name__}: {error}"]
        if violations:
            return f"seed {seed}: {violations[0][:90]}"
    return None


def test_a_judgement_says_what_it_came_with():
    assert Judgement(Verdict.AGAIN).status == 0
