"""Dates have one form and sort by time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from steplog.records.dates import date_of, exact_date_of, exact_dates, utc_text
from strategies import INT64

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@given(INT64)
@example(-(2**63))
@example(2**63 - 1)
@example(-1)
@example(999)
@example(999_999_999_999)
def test_nanoseconds_have_the_text_of_their_datetime(time_ns):
    assert date_of(time_ns) == utc_text(EPOCH + timedelta(microseconds=time_ns // 1000))


@given(INT64, INT64)
def test_texts_sort_as_their_times_do(one, other):
    assert (date_of(one) <= date_of(other)) == (one // 1000 <= other // 1000)


@given(st.lists(INT64))
@example([-(2**63), -1, 0, 999_999_999, 60_000_000_000, 2**63 - 1])
@example([10**18, 10**18 + 59_999_999_999, 2**63 - 1])
@example([10**18 - 1, 10**18])
def test_many_dates_are_those_of_each(times_ns):
    assert exact_dates(times_ns) == [exact_date_of(time_ns) for time_ns in times_ns]
