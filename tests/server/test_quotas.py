"""A key that asks for too much is told when to come again, and loses nothing by it."""

from __future__ import annotations

from steplog.server.quotas import QuotaError, Quotas
from steplog.server.store_types import UNBOUND, KeyTerms


def take(quotas: Quotas, key_id: int, terms: KeyTerms, body_bytes: int, now: float) -> int | None:
    """Take a request; else how long to wait."""
    try:
        quotas.take(key_id, terms, body_bytes, now)
    except QuotaError as error:
        return error.wait_s
    return None


def test_a_key_may_ask_as_often_as_its_quota_says_and_again_once_it_has_filled():
    quotas = Quotas(requests_a_minute=3)
    assert [take(quotas, 1, UNBOUND, 0, 100.0) for _ in range(4)] == [None, None, None, 20]
    assert take(quotas, 2, UNBOUND, 0, 100.0) is None, "another key has its own"
    assert take(quotas, 1, UNBOUND, 0, 119.0) is None, "there was most of one"
    assert take(quotas, 1, UNBOUND, 0, 119.0) is not None
    assert [take(quotas, 1, UNBOUND, 0, 1000.0) for _ in range(4)][:3] == [None] * 3, "it holds a minute's worth"


def test_a_body_larger_than_a_minutes_worth_passes_and_the_next_waits_for_it():
    quotas = Quotas(bytes_a_minute=1000)
    assert take(quotas, 1, UNBOUND, 3000, 0.0) is None
    assert take(quotas, 1, UNBOUND, 0, 60.0) == 61
    assert take(quotas, 1, UNBOUND, 10, 121.0) is None
    quotas.add_bytes(1, 5000)
    assert take(quotas, 1, UNBOUND, 10, 240.0) == 181
    quotas.add_bytes(9, 5000)


def test_a_keys_own_quota_counts_in_place_of_the_servers():
    quotas = Quotas(requests_a_minute=1)
    own = KeyTerms(requests_a_minute=2)
    assert [take(quotas, 1, own, 0, 0.0) for _ in range(3)] == [None, None, 30]
    assert [take(Quotas(), 1, UNBOUND, 10**9, 0.0) for _ in range(9)] == [None] * 9
    assert take(quotas, 1, KeyTerms(requests_a_minute=100), 0, 6.0) is None, "a quota that is raised counts at once"


def test_a_wait_is_told_up_to_an_hour():
    quotas = Quotas(bytes_a_minute=1)
    assert take(quotas, 1, UNBOUND, 10**6, 0.0) is None
    assert take(quotas, 1, UNBOUND, 0, 1.0) == 3600


def test_a_key_that_asks_on_keeps_its_count_however_many_others_there_are():
    quotas = Quotas(requests_a_minute=2)
    assert [take(quotas, 0, UNBOUND, 0, 0.0) for _ in range(3)] == [None, None, 30]
    for other in range(1, 15_000):
        assert take(quotas, other, UNBOUND, 0, 0.0) is None
        if other % 5000 == 0:
            assert take(quotas, 0, UNBOUND, 0, 0.0) == 30
