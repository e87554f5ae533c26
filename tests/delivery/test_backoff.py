"""When to try again."""

from __future__ import annotations

import random

from steplog.delivery.backoff import DELAY_MAX_S, Backoff


def test_the_delay_doubles_from_a_second_to_a_minute_and_is_anything_below():
    for seed in range(200):
        backoff = Backoff(random.Random(seed))
        for attempt in range(1, 12):
            backoff.failed(100.0)
            assert 100.0 <= backoff.due <= 100.0 + min(2.0 ** (attempt - 1), DELAY_MAX_S)


def test_clients_that_fail_together_do_not_come_back_together():
    dues = []
    for seed in range(50):
        backoff = Backoff(random.Random(seed))
        for _ in range(7):
            backoff.failed(0.0)
        dues.append(backoff.due)
    assert len({round(due) for due in dues}) > 20


def test_the_hundred_thousandth_failure_in_a_row_waits_as_long_as_the_tenth():
    backoff = Backoff(random.Random(0))
    for _ in range(100_000):
        backoff.failed(0.0)
    assert backoff.due <= DELAY_MAX_S


def test_a_server_that_asks_for_time_gets_at_least_that():
    backoff = Backoff(random.Random(0))
    backoff.failed(10.0, 30.0)
    assert backoff.due >= 40.0
    backoff.failed(10.0, 0.0)
    assert backoff.due <= 12.0


def test_after_a_success_it_begins_anew():
    backoff = Backoff(random.Random(0))
    for _ in range(20):
        backoff.failed(0.0)
    backoff.passed()
    assert backoff.due == 0.0
    backoff.failed(0.0)
    assert backoff.due <= 1.0


def test_requests_that_fail_together_are_one_failure():
    """Eight lanes that ran into one short outage waited for a minute, as after eight failures in a row."""
    backoff = Backoff(random.Random(0))
    for lane in range(8):
        backoff.failed(10.0 + lane / 100, sent_at=9.0)
    assert backoff.attempt_number == 1
    backoff.failed(12.0, sent_at=11.0)
    assert backoff.attempt_number == 2


def test_of_requests_that_fail_together_the_longest_wish_for_time_counts():
    backoff = Backoff(random.Random(0))
    backoff.failed(10.0, sent_at=9.0)
    backoff.failed(10.1, 300.0, sent_at=9.0)
    assert backoff.due >= 310.0


def test_another_try_at_once_does_not_begin_anew():
    backoff = Backoff(random.Random(0))
    for _ in range(5):
        backoff.failed(0.0)
    backoff.try_again()
    assert (backoff.due, backoff.attempt_number) == (0.0, 5)
