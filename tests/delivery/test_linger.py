"""For how long records wait for company."""

from __future__ import annotations

import pytest

from delivery.parts import Book, Line
from steplog.delivery.backlog import SLOTS_MAX
from steplog.delivery.linger import Linger
from steplog.delivery.sender import InFlight

FULL = 1000


def looks(line: Line, until_s: float) -> list[float]:
    """When the sender comes to look, from now on; ten records come between two looks."""
    begun, found = line.now, []
    while line.now < begun + until_s:
        found.append(line.now)
        if line.step():
            continue
        due = line.sender.next(line.now)
        assert isinstance(due, float)
        line.now = max(due, line.now + 0.001)
        line.books[0].write(10)
    return found


def after_a_range(batch_age_s: float = 0.5, took_s: float = 0.0, end: int = 10, seen: int = 10) -> Linger:
    """A look at 9.0 found nothing, one at 9.5 records up to ``seen``, of which those up to ``end`` were taken."""
    linger = Linger(batch_age_s, FULL)
    linger.found_none(9.0)
    linger.ready_at(9.5, 0, seen)
    linger.delivered(9.5 + took_s, 0, end)
    return linger


def test_records_wait_from_the_last_look_at_which_there_was_none():
    linger = Linger(0.5, FULL)
    linger.found_none(10.0)
    assert linger.ready_at(10.4, 0, 1) == 10.5


def test_records_wait_from_the_look_at_which_those_before_were_taken():
    linger = after_a_range()
    assert linger.ready_at(9.9, 10, 11) == 10.0


def test_after_a_range_no_look_is_of_use_before_the_next_records_are_old_enough():
    linger = after_a_range()
    assert linger.look_at == 10.0


def test_after_a_range_the_next_look_is_when_records_at_the_same_rate_fill_one():
    linger = Linger(0.5, FULL)
    linger.found_none(9.0)
    linger.ready_at(9.25, 0, FULL // 2)
    linger.delivered(9.25, 0, FULL // 2)
    assert linger.look_at == pytest.approx(9.75)
    linger.ready_at(9.5, FULL // 2, FULL // 2 + 625)
    linger.delivered(9.5, FULL // 2, FULL // 2 + 625)
    assert linger.look_at == pytest.approx(9.9)


@pytest.mark.parametrize(("end", "seen"), [(FULL, FULL), (10, 20)], ids=["it was whole", "it left some behind"])
def test_where_there_may_be_more_the_next_look_is_at_once(end, seen):
    assert after_a_range(end=end, seen=seen).look_at <= 9.5


def test_records_wait_less_by_twice_what_an_exchange_takes_down_to_half():
    for took_s, age_s in ((0.0, 0.9), (0.1, 0.7), (0.2, 0.5), (5.0, 0.45)):
        assert after_a_range(0.9, took_s).look_at == pytest.approx(9.5 + age_s)


def test_an_exchange_that_took_long_once_is_forgotten():
    linger, now = Linger(0.9, FULL), 10.0
    linger.found_none(9.0)
    waits = []
    for number in range(20):
        linger.ready_at(now, number, number + 1)
        linger.delivered(now + (0.2 if number == 0 else 0.0), number, number + 1)
        waits.append(linger.look_at - now)
        now = linger.look_at
    assert waits[0] == pytest.approx(0.5)
    assert waits == sorted(waits)
    assert waits[-1] > 0.89


def test_a_loop_that_logs_on_has_one_look_for_each_request():
    line = Line(Book().write(10), batch_age_s=0.5)
    assert len(looks(line, 60.0)) <= 2 * len(line.sent) + 5  # one of them is the exchange itself
    assert len(line.sent) <= 60 / 0.5 + 10


def test_a_sender_that_is_woken_for_more_records_than_expected_looks_again():
    line = Line(Book(size=4 * 1024 * 1024).write(10), batch_age_s=100.0)
    while not line.step():
        line.now += 1.0
    line.books[0].write(SLOTS_MAX)
    assert isinstance(line.sender.next(line.now), float)
    line.sender.wake()
    assert isinstance(line.sender.next(line.now), InFlight)


def test_while_somebody_waits_no_look_is_too_early():
    line = Line(Book().write(10), batch_age_s=100.0)
    line.deliver()
    line.books[0].write(10)
    begun = line.now
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert line.now - begun < 1
    assert len(line.values()) == 20
