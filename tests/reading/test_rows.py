"""Rows of a table that are made here: what a query means, their order, and the types of their columns."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import pytest

from steplog import FilterError
from steplog.filters import parse_fields
from steplog.reading.rows import Candidate, chosen, in_order, table_of
from steplog.reading.table_query import Row, query_of

NOW = datetime(2026, 11, 3, tzinfo=timezone.utc)


def candidate(name: str, last: Any = None, read: list[str] | None = None, **config: Any) -> Candidate:
    metrics = {} if last is None else {"loss": {"last": last, "min": None, "max": None, "count": 1}}
    run = {
        "uuid": f"uuid of {name}",
        "name": name,
        "status": "COMPLETED",
        "tags": [],
        "started": "2026-11-01T00:00:00Z",
    }

    def whole(_kinds: set[str]) -> Any:
        if read is not None:
            read.append(name)
        return {**run, "config": config}, metrics

    return Candidate(run, whole)


def names(candidates: list[Candidate], **query: Any) -> list[str]:
    rows = chosen(candidates, query_of(columns=["name"], **query), NOW)
    return [row["name"] for row in rows]


def test_numbers_come_first_then_texts_then_others_and_missing_ones_last():
    values = [None, "b", 7, True, "NaN", "a", -0.5, [1], "Infinity"]
    runs = [candidate(str(value), value) for value in values]
    assert names(runs, sort="loss.last") == ["-0.5", "7", "Infinity", "a", "b", "NaN", "[1]", "True", "None"]
    assert names(runs, sort="-loss.last") == ["Infinity", "7", "-0.5", "b", "a", "True", "[1]", "NaN", "None"]


def test_among_equals_the_newest_run_comes_first_in_both_directions():
    runs = [candidate(name, value) for name, value in (("new", 1), ("old", 1.0), ("older", 0), ("none", None))]
    assert names(runs, sort="loss.last") == ["older", "new", "old", "none"]
    assert names(runs, sort="-loss.last") == ["new", "old", "older", "none"]
    assert names(runs) == ["new", "old", "older", "none"]


def test_no_more_runs_are_read_whole_than_the_answer_takes():
    read: list[str] = []
    runs = [candidate(name, number, read, lr=number) for number, name in enumerate("abcdef")]
    assert names(runs, sort="-name", limit=2) == ["f", "e"]
    assert read == []
    rows = chosen(runs, query_of("config.lr<3", ["config.lr"], "-name", 2), NOW)
    assert [row["config.lr"] for row in rows] == [2, 1]
    assert read == ["f", "e", "d", "c", "b"]
    read.clear()
    assert names(runs, where="name!=b and loss.last>0", sort="loss.last", limit=1) == ["c"]
    assert read == ["a", "c", "d", "e", "f"]


def test_a_run_that_is_gone_when_it_is_read_is_no_row():
    gone = Candidate({"uuid": "1", "name": "gone"}, lambda _: None)
    assert names([gone, candidate("there")], where="config.lr!=1") == ["there"]


def test_a_filter_may_be_triples_and_columns_one_text():
    runs = [candidate(str(rate), None, lr=rate) for rate in (0.1, "0.1", 3)]
    assert names(runs, where=[("config.lr", ">", 0.01), ["name", "!=", "3"]]) == ["0.1"]
    query = query_of(columns="name, config.lr,name")
    assert query.columns == parse_fields("name,config.lr")
    assert query_of(columns=["uuid", "name"]).columns == parse_fields("name")


@pytest.mark.parametrize(
    ("arguments", "column", "words"),
    [
        ({"where": "config.lr>"}, 11, "expected a value"),
        ({"where": [("config.lr", "is", 1)]}, None, "condition 1: expected one of"),
        ({"columns": ["name", "loss.mean"]}, None, "^'loss.mean' is no column: "),
        ({"columns": "name,,lr"}, 6, "expected a field"),
        ({"sort": "-loss"}, 2, "is no field"),
        ({"sort": "tag"}, 1, "cannot be sorted"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_a_value_error_that_says_where(arguments, column, words):
    with pytest.raises(FilterError, match=words) as error:
        query_of(**arguments)
    assert isinstance(error.value, ValueError)
    assert error.value.column == column


@pytest.mark.parametrize("arguments", [{"where": 5}, {"sort": 5}, {"columns": 5}])
def test_what_is_no_text_and_no_list_is_a_type_error(arguments):
    with pytest.raises(TypeError):
        query_of(**arguments)


def test_a_limit_is_at_least_1():
    with pytest.raises(ValueError, match="limit is at least 1, or None"):
        query_of(limit=0)


def kinds_of(text: str, rows: list[Row]) -> dict[str, str]:
    table = table_of(parse_fields(text), [{"uuid": str(number), **row} for number, row in enumerate(rows)])
    return {part.split()[0]: part.split()[1].rstrip(">") for part in repr(table).split(": ")[1].split(", ")}


def test_a_column_has_the_type_of_all_its_values():
    columns = "config.a,config.b,config.c,config.d,config.e,config.f,x.last"
    rows: list[Row] = [
        {"config.a": 1, "config.b": 1, "config.c": "t", "config.d": True, "config.e": 2**60, "x.last": "NaN"},
        {"config.a": 2**60, "config.b": 0.5, "config.c": "NaN", "config.d": None, "config.e": 0.5, "x.last": "NaN"},
        {"config.f": {}},
    ]
    assert kinds_of(columns, rows) == {
        "uuid": "text",
        "config.a": "i8",
        "config.b": "f8",
        "config.c": "text",
        "config.d": "bool",
        "config.e": "json",
        "config.f": "json",
        "x.last": "f8",
    }
    assert kinds_of("x.count,x.min,config.a", []) == {
        "uuid": "text",
        "x.count": "i8",
        "x.min": "f8",
        "config.a": "json",
    }


def test_fields_of_runs_have_their_type_whatever_the_rows_say():
    text = "status,name,id,tag,started,ended,duration"
    expected = dict.fromkeys(("uuid", "status", "name", "id"), "text")
    expected |= {"tag": "texts", "started": "time", "ended": "time", "duration": "f8"}
    assert kinds_of(text, []) == expected
    assert kinds_of(text, [{"ended": None, "id": None}]) == expected
    others = {"uuid": "text", "seen": "time", "last_point": "time", "lost": "f8", "generation": "i8", "notes": "text"}
    assert kinds_of("seen,last_point,lost,generation,notes", []) == others


def test_values_come_out_as_they_went_in_and_what_is_missing_is_none():
    started = "2026-11-01T00:00:05.250001Z"
    rows: list[Row] = [
        {"uuid": "a", "started": started, "tag": ["x", "y"], "loss.last": "NaN", "config.m": [1, "2"]},
        {"uuid": "b", "started": None, "tag": [], "loss.last": 1, "config.m": "text"},
        {"uuid": "c"},
    ]
    table = table_of(parse_fields("started,tag,loss.last,config.m"), rows).to_dict()
    assert table["started"] == [datetime(2026, 11, 1, 0, 0, 5, 250001, tzinfo=timezone.utc), None, None]
    assert table["tag"] == [["x", "y"], [], None]
    assert math.isnan(table["loss.last"][0])
    assert table["loss.last"][1:] == [1.0, None]
    assert table["config.m"] == [[1, "2"], "text", None]


def test_what_a_strange_server_says_of_a_run_is_missing_or_a_text():
    rows: list[Row] = [{"uuid": "a", "name": 7, "started": "today", "ended": 5, "duration": "long", "tag": "x"}]
    rows[0] |= {"lost": "many", "generation": "second", "seen": False}
    (row,) = table_of(parse_fields("name,started,ended,duration,tag,lost,generation,seen"), rows).rows()
    none = ("started", "ended", "duration", "tag", "lost", "generation", "seen")
    assert row == {"uuid": "a", "name": "7"} | dict.fromkeys(none)


def test_a_number_of_lost_values_that_nobody_knows_is_infinite():
    rows: list[Row] = [{"uuid": "a", "lost": "Infinity"}, {"uuid": "b", "lost": 3}, {"uuid": "c", "lost": None}]
    query = query_of(columns="lost", sort="-lost")
    assert [row["lost"] for row in table_of(query.columns, in_order(rows[::-1], query)).rows()] == [math.inf, 3.0, None]
