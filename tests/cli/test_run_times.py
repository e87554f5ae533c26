"""When a run began, how long it took, and when it was heard of, in words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.cli import run_times

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)


def before(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat().replace("+00:00", "Z")


def running(**fields: Any) -> dict[str, Any]:
    return {"status": "RUNNING", "date_created": before(hours=1)} | fields


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (3601, "1 h"),
        (86_400 * 2 + 3600 * 4 + 59, "2 d 4 h"),
        (86_400 * 400, "400 d"),
        (-5, "0 s"),
    ],
)
def test_a_time_in_words_has_its_two_greatest_units(seconds, words):
    assert run_times.span(seconds) == words


@given(st.floats(min_value=0, max_value=1e9))
def test_a_time_in_words_is_less_than_its_last_unit_too_short(seconds):
    units = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
    words = run_times.span(seconds).split()
    told = sum(int(count) * units[unit] for count, unit in zip(words[::2], words[1::2], strict=True))
    assert told <= seconds
    assert len(words) <= 4
    if len(words) == 4:
        assert seconds - told < units[words[3]]


def test_a_run_starts_when_it_says_and_not_when_it_was_delivered():
    assert run_times.began(running(started="2026-01-01T00:00:00Z")) == "2026-01-01T00:00:00Z"
    assert run_times.began(running()) == before(hours=1)
    assert run_times.began({}) == ""
    early, late = running(started=before(hours=9)), running(started=None)
    assert sorted([late, early, {}], key=run_times.sort_key) == [{}, early, late]


def test_the_duration_is_from_start_to_end_or_until_now():
    assert run_times.duration(running(started=before(minutes=3)), NOW) == "3 min"
    done = {"status": "COMPLETED", "started": before(hours=5), "ended": before(hours=3)}
    assert run_times.duration(done, NOW) == "2 h"
    assert run_times.duration(done | {"ended": None}, NOW) == ""  # a stock server's
    assert run_times.duration(running(started="yesterday"), NOW) == ""
    assert run_times.duration(running(ended=before(minutes=50)), NOW) == "1 h"  # it went on


def test_the_last_point_is_told_of_a_run_that_is_running():
    assert run_times.last_point(running(last_point=before(seconds=2)), NOW) == "2 s ago"
    assert run_times.last_point(running(last_point=before(seconds=-4)), NOW) == "now"
    assert run_times.last_point(running(), NOW) == run_times.last_point(running(last_point=None), NOW) == ""
    assert run_times.last_point({"status": "COMPLETED", "last_point": before(seconds=2)}, NOW) == ""


@pytest.mark.parametrize(
    ("status", "seen", "words"),
    [
        ("RUNNING", before(minutes=12), "RUNNING, not heard of for 12 min"),
        ("RUNNING", before(hours=30), "RUNNING, not heard of for 1 d"),
        ("RUNNING", before(seconds=301), "RUNNING, not heard of for 5 min"),
        ("RUNNING", before(seconds=300), "RUNNING"),
        ("RUNNING", None, "RUNNING"),
        ("COMPLETED", before(minutes=12), "COMPLETED"),
        ("CRASHED", before(minutes=12), "CRASHED"),
    ],
)
def test_a_running_run_not_heard_of_for_five_minutes_is_shown_so(status, seen, words):
    assert run_times.status({"status": status, "seen": seen}, NOW) == words


@pytest.mark.parametrize("date", ["", None, 5, "today", "9999-12-31T23:59:59-23:00", [], "2026-01-01T25:00:00Z"])
def test_what_is_no_date_of_the_servers_reads_as_none(date):
    assert run_times.as_date(date) is None
    run = {"status": "RUNNING", "started": date, "seen": date, "last_point": date}
    assert (run_times.duration(run, NOW), run_times.last_point(run, NOW)) == ("", "")
    assert run_times.status(run, NOW) == "RUNNING"


def test_a_date_without_a_zone_is_in_utc():
    assert run_times.as_date("2026-03-01T12:00:00") == run_times.as_date("2026-03-01T13:00:00+01:00") == NOW


def test_an_exception_of_a_run_that_went_on_did_not_end_it():
    crashed = {"status": "CRASHED", "generation": 2, "generation_began": before(minutes=5)}
    assert run_times.is_cause(crashed, before(minutes=4))
    assert not run_times.is_cause(crashed, before(minutes=6))
    assert not run_times.is_cause(crashed | {"status": "COMPLETED"}, before(minutes=4))
    assert run_times.is_cause(crashed | {"generation": 1}, before(minutes=6))  # the first one may be said late
    assert run_times.is_cause(crashed | {"generation_began": None}, before(minutes=6))
    assert run_times.is_cause(crashed, None)
    assert run_times.is_cause({"status": "CRASHED"}, None)  # a stock server's
