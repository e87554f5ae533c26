"""Times in files of others: which unit a number is in, and which texts are dates."""

from __future__ import annotations

import pytest

from steplog.formats.times import time_ns, time_ns_of_text, times_ns
from steplog.records.dates import exact_dates

SECOND = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:13:20.000000001Z", SECOND + 1),
        ("2023-11-14 22:13:20", SECOND),
        ("2023-11-14T22:13:20.5", SECOND + 500_000_000),
        ("2023-11-14T22:13:20,5Z", SECOND + 500_000_000),
        ("2023-11-15T00:13:20+02:00", SECOND),
        ("2023-11-14T17:43:20-0430", SECOND),
        ("2023-11-14T22:13Z", SECOND - 20 * 10**9),
        ("2023-11-14", SECOND - (22 * 3600 + 13 * 60 + 20) * 10**9),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1700000000", SECOND),
        ("1700000000.25", SECOND + 250_000_000),
        ("1700000000123", SECOND + 123_000_000),
        ("1700000000123456", SECOND + 123_456_000),
        ("1700000000123456789", SECOND + 123_456_789),
        ("-1.5", -1_500_000_000),
        ("nan", None),
        ("inf", None),
        ("2023-13-14", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_text_is_a_date_or_a_number_in_the_unit_of_its_size(text: str, expected: int | None):
    assert time_ns_of_text(text) == expected


def test_seconds_as_floats_keep_what_they_have():
    assert time_ns(1_700_000_000.25) == SECOND + 250_000_000
    assert time_ns(0.0) == 0


def test_what_steplog_writes_is_read_to_the_nanosecond():
    times = [SECOND + step * 987_654_321 for step in range(-50, 50)] + [-1, -(2**62)]
    assert list(times_ns(exact_dates(times))) == times


def test_texts_of_one_length_need_not_be_dates():
    assert list(times_ns(["x" * 30, "2023-11-14T22:13:20.000000001Z"])) == [None, SECOND + 1]
    assert list(times_ns(["2023-11-14T22:13:20.12345 +0000"[:30]])) == [None]
