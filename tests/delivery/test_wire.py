"""What travels as JSON: paths, records one by one, and what counts as an acknowledgement."""

from __future__ import annotations

import json
import math

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from steplog.delivery import wire
from steplog.delivery.tickets import RunAddress
from steplog.errors import ConfigurationError
from steplog.journal import range as ranges
from steplog.journal import slot
from strategies import ENTRIES, Logged, range_of

ANSWER = {"writer": "w1", "first": 10, "end": 20, "accepted": 9, "duplicates": 1}


def test_the_paths_are_those_of_the_api():
    run = RunAddress("team", "mnist", "0b1c")
    assert wire.api_path("team", "projects") == "/api/v0/team/projects/"
    assert wire.api_path("team", "projects", "mnist") == "/api/v0/team/projects/mnist/"
    assert wire.api_path("team", "projects", "mnist", "runs") == "/api/v0/team/projects/mnist/runs/"
    assert run.run_path == "/api/v0/team/projects/mnist/runs/0b1c/"
    assert run.metrics_path == "/api/v0/team/projects/mnist/runs/0b1c/metrics/"
    assert run.batch_path == "/api/v0/team/projects/mnist/runs/0b1c/metrics/batch/"
    assert wire.web_path("team", "mnist", "brave-pasta") == "/team/projects/mnist/runs/brave-pasta/"


@given(st.text(min_size=1))
def test_a_slug_never_adds_a_part_to_a_path(text):
    try:
        path = RunAddress(text, text, text).run_path
    except (UnicodeEncodeError, ConfigurationError):
        return
    assert path.count("/") == 8
    assert not set(path) & set("?#\\ \r\n")


@pytest.mark.parametrize("slug", [".", ".."])
def test_a_slug_that_is_a_step_in_a_path_is_refused(slug):
    with pytest.raises(ConfigurationError):
        RunAddress("team", "mnist", slug)


@pytest.mark.parametrize("slug", ["...", ".a", "a.b", "a/..", "%2E%2E", "?", "#", ";", "é", " "])
def test_the_path_is_sent_as_it_was_made(slug):
    path = RunAddress(slug, slug, slug).run_path
    assert requests.Request("GET", f"http://server{path}").prepare().path_url == path


@given(ENTRIES, st.integers(0, 2**63 - 100))
def test_the_records_of_a_range_are_what_was_logged(entries, first):
    read = list(wire.records(range_of("w", first, entries)))
    kept = [(first + index, entry) for index, entry in enumerate(entries) if entry.kind != slot.KIND_NONE]
    assert [record.position for record in read] == [position for position, _ in kept]
    for record, (_, entry) in zip(read, kept, strict=True):
        assert (record.name, record.kind, record.step, record.time_ns) == (
            entry.name,
            entry.kind,
            entry.step,
            entry.time_ns,
        )
        assert type(record.value) is type(entry.value)
        assert record.value == entry.value or (math.isnan(record.value) and math.isnan(entry.value))


def expected_json(entry: Logged) -> object:
    if isinstance(entry.value, bytes):
        return json.loads(entry.value)
    if isinstance(entry.value, float) and not math.isfinite(entry.value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(entry.value)]
    return entry.value


def no_constant(token: str) -> None:
    raise AssertionError(f"a bare {token} is no JSON")


@given(ENTRIES)
def test_a_metric_body_is_plain_json_with_name_value_and_a_step_where_one_was_given(entries):
    kept = [(index, entry) for index, entry in enumerate(entries) if entry.kind != slot.KIND_NONE]
    sent = list(wire.metric_bodies(range_of("w", 0, entries)))
    assert [(position, name) for position, name, _ in sent] == [(index, entry.name) for index, entry in kept]
    for (_, _, body), (_, entry) in zip(sent, kept, strict=True):
        step = {} if entry.step is None else {"step": entry.step}
        expected = {"name": entry.name, "value": expected_json(entry), **step}
        assert json.loads(body, parse_constant=no_constant) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "NaN"), (-math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")],
)
def test_what_json_cannot_say_is_a_string_of_the_proto3_mapping(value, text):
    batch = range_of("w", 0, [Logged(slot.KIND_FLOAT, value, 3, 0, "loss")])
    assert [body for _, _, body in wire.metric_bodies(batch)] == [
        f'{{"name":"loss","value":"{text}","step":3}}'.encode()
    ]


def test_a_payload_goes_out_as_the_text_it_was_logged_as():
    batch = range_of("w", 0, [Logged(slot.KIND_JSON, b'{"b": 1.50, "a": [null]}', None, 0, "n")])
    assert [body for _, _, body in wire.metric_bodies(batch)] == [b'{"name":"n","value":{"b": 1.50, "a": [null]}}']


def test_an_answer_that_repeats_writer_and_range_acknowledges_it():
    assert wire.acknowledges(json.dumps(ANSWER).encode(), "w1", 10, 20)
    assert wire.acknowledges(json.dumps(ANSWER | {"more": "fields"}, indent=1).encode(), "w1", 10, 20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"{}",
        b"null",
        b"[]",
        b"<html>Sign in to the network</html>",
        json.dumps(ANSWER).encode("utf-16"),
        json.dumps(ANSWER).encode() + b"}",
        json.dumps([ANSWER]).encode(),
        b"[" * 100_000,
        b'{"more": ' + b"[" * 100_000,
        b'{"writer": "\xff", "first": 10, "end": 20, "accepted": 9, "duplicates": 1}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_success_without_these_words_acknowledges_nothing(body):
    assert not wire.acknowledges(body, "w1", 10, 20)


@pytest.mark.parametrize(
    "changed",
    [
        {"writer": "w2"},
        {"first": 11},
        {"first": 9},
        {"end": 19},
        {"end": 21},
        {"first": "10"},
        {"end": None},
        {"writer": None},
        {"accepted": "9"},
    ],
    ids=str,
)
def test_an_answer_about_something_else_acknowledges_nothing(changed):
    assert not wire.acknowledges(json.dumps(ANSWER | changed).encode(), "w1", 10, 20)


@pytest.mark.parametrize("field", list(ANSWER))
def test_an_answer_without_one_of_its_fields_acknowledges_nothing(field):
    rest = {key: value for key, value in ANSWER.items() if key != field}
    assert not wire.acknowledges(json.dumps(rest).encode(), "w1", 10, 20)


def test_an_answer_cut_at_any_byte_acknowledges_nothing():
    whole = json.dumps(ANSWER).encode()
    for length in range(len(whole)):
        assert not wire.acknowledges(whole[:length], "w1", 10, 20), whole[:length]


@given(st.binary())
def test_arbitrary_bytes_acknowledge_nothing(body):
    assert not wire.acknowledges(body, "w1", 10, 20)


def test_the_batch_body_is_the_range_of_the_journal_unchanged():
    batch = range_of("w", 3, [Logged(slot.KIND_FLOAT, 1.5, 1, 2, "loss")])
    assert [record.value for record in wire.records(ranges.decode(ranges.encode(batch)))] == [1.5]
