"""What an answer means, and how long a server asks us to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.delivery.exchange import Answer
from steplog.delivery.verdicts import RETRY_AFTER_MAX_S, Verdict, judge, retry_after_s

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


def verdict(status: int, body: bytes = b"", confirms: bool = False) -> Verdict:
    return judge(Answer(status, body), lambda text: confirms).verdict


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_counts_only_if_it_confirms_what_was_sent(status):
    assert verdict(status, b"{}", confirms=True) is Verdict.ACCEPTED
    assert verdict(status, b"<html>Welcome</html>") is Verdict.AGAIN


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, Verdict.AGAIN) for status in (100, 102, 408, 425, 429, 501, 502, 503, 504, 505, 507, 520, 599)],
        *[(status, Verdict.REDIRECTED) for status in (300, 301, 302, 303, 304, 307, 308)],
        *[(status, Verdict.REFUSED) for status in (400, 402, 405, 406, 407, 418, 422, 431, 451)],
        (401, Verdict.KEY_REFUSED),
        (403, Verdict.FORBIDDEN),
        (404, Verdict.MISSING),
        (410, Verdict.MISSING),
        (413, Verdict.TOO_LARGE),
        (415, Verdict.UNSUPPORTED),
        (500, Verdict.FAULT),
    ],
)
def test_each_status_has_its_verdict_whatever_the_body(status, expected):
    for body in (b"", b"{}", b"<html>", b"\xff\x00", b"[" * 100_000):
        assert verdict(status, body, confirms=True) is expected


def test_a_409_is_a_mark_only_if_it_says_one_that_can_be():
    judgement = judge(Answer(409, b'{"mark": 12}'), lambda body: False)
    assert (judgement.verdict, judgement.mark, judgement.status) == (Verdict.CONFLICT, 12, 409)
    for body in (b"", b"{}", b'{"mark": -1}', b'{"mark": "12"}', b'{"mark": 1.5}', b'{"mark": null}', b"[" * 100_000):
        assert verdict(409, body) is Verdict.REFUSED


@pytest.mark.parametrize(("status", "declined"), [(429, True), (425, True), (408, False), (503, False), (500, False)])
def test_only_a_server_that_did_not_look_has_declined(status, declined):
    assert judge(Answer(status), lambda body: False).declined is declined


def test_the_servers_words_are_one_bounded_line_without_control_characters():
    words = judge(Answer(400, b"\x1b[31m bad\r\nX-Evil: 1" + b"x" * 10_000), lambda body: False).words
    assert words.isprintable()
    assert len(words) < 600
    assert "bad" in words


def test_a_redirect_names_where_it_leads():
    judgement = judge(Answer(302, b"", {"location": "https://elsewhere/\x07"}), lambda body: False)
    assert "https://elsewhere/" in judgement.words
    assert judgement.words.isprintable()


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-1", 0.0),
        ("-inf", 0.0),
        ("inf", RETRY_AFTER_MAX_S),
        ("1e12", RETRY_AFTER_MAX_S),
        ("86400", RETRY_AFTER_MAX_S),
        ("Thu, 01 Jan 2026 00:00:20 GMT", 20.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", RETRY_AFTER_MAX_S),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("5x", None),
        ("5, 7", None),  # two headers, joined
        ("Thu, 99 Nix 2026 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:00:20", None),  # no zone, and so not to be compared
        ("Thu, 01 Jan 99999 00:00:20 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_within_an_hour_or_it_is_none(text, delay):
    assert retry_after_s({"retry-after": text, "date": DATE}) == delay


@pytest.mark.parametrize("text", ["36000", "Thu, 01 Jan 2026 10:00:00 GMT"])
def test_a_server_that_asks_for_ten_hours_gets_one(text):
    assert retry_after_s({"retry-after": text, "date": DATE}) == 3600


def test_a_date_is_read_against_the_servers_own_clock_however_wrong_that_is():
    skewed = {"retry-after": "Sat, 01 Jan 2050 00:01:00 GMT", "date": "Sat, 01 Jan 2050 00:00:00 GMT"}
    assert retry_after_s(skewed) == 60.0
    assert retry_after_s({"retry-after": "Sat, 01 Jan 2050 00:01:00 GMT"}) is None
    assert retry_after_s({"retry-after": "Sat, 01 Jan 2050 00:01:00 GMT", "date": "yesterday"}) is None
    assert retry_after_s({}) is None


@given(st.text(), st.text())
def test_no_header_makes_it_raise_or_wait_for_longer_than_an_hour(text, date):
    delay = retry_after_s({"retry-after": text, "date": date})
    assert delay is None or 0.0 <= delay <= RETRY_AFTER_MAX_S


@given(st.integers(0, 999), st.binary(max_size=200), st.text(max_size=20))
def test_every_answer_has_a_verdict(status, body, header):
    assert judge(Answer(status, body, {"retry-after": header, "location": header}), lambda text: False).words
