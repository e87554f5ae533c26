"""A key that asks for too much is told when to come again, and loses nothing by it."""

from __future__ import annotations

from steplog.server import quotas as module
from steplog.server.quotas import Quotas
from steplog.server.store_types import UNBOUND, KeyTerms


def test_a_key_may_ask_as_often_as_its_quota_says_and_again_once_it_has_filled():
    quotas = Quotas(requests_a_minute=3)
    assert [quotas.take(1, UNBOUND, 0, 100.0) for _ in range(4)] == [None, None, None, 20]
    assert quotas.take(2, UNBOUND, 0, 100.0) is None, "another key has its own"
    assert quotas.take(1, UNBOUND, 0, 119.0) is None, "there was most of one"
    assert quotas.take(1, UNBOUND, 0, 119.0) is not None
    assert [quotas.take(1, UNBOUND, 0, 1000.0) for _ in range(4)][:3] == [None] * 3, "it holds a minute's worth"


def test_a_body_larger_than_a_minutes_worth_passes_and_the_next_waits_for_it():
    quotas = Quotas(bytes_a_minute=1000)
    assert quotas.take(1, UNBOUND, 3000, 0.0) is None
    assert quotas.take(1, UNBOUND, 0, 60.0) == 61
    assert quotas.take(1, UNBOUND, 10, 121.0) is None
    quotas.add_bytes(1, 5000)
    assert quotas.take(1, UNBOUND, 10, 240.0) == 181
    quotas.add_bytes(9, 5000)


def test_a_keys_own_quota_counts_in_place_of_the_servers():
    quotas = Quotas(requests_a_minute=1)
    own = KeyTerms(requests_a_minute=2)
    assert [quotas.take(1, own, 0, 0.0) for _ in range(3)] == [None, None, 30]
    assert [Quotas().take(1, UNBOUND, 10**9, 0.0) for _ in range(9)] == [None] * 9
    assert quotas.take(1, KeyTerms(requests_a_minute=100), 0, 6.0) is None, "a quota that is raised counts at once"


def test_a_wait_is_told_up_to_an_hour():
    quotas = Quotas(bytes_a_minute=1)
    assert quotas.take(1, UNBOUND, 10**6, 0.0) is None
    assert quotas.take(1, UNBOUND, 0, 1.0) == 3600


def test_of_many_keys_those_that_were_used_last_keep_their_quota(monkeypatch):
    monkeypatch.setattr(module, "_KEYS_MAX", 2)
    quotas = Quotas(requests_a_minute=2)
    assert [quotas.take(key, UNBOUND, 0, 0.0) for key in (1, 2, 1, 3)] == [None] * 4
    assert quotas.take(1, UNBOUND, 0, 0.0) == 30, "it has asked twice"
