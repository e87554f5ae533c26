"""Filters as MongoDB writes them, and orders: which rows are meant, and what a server is asked."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from steplog.compat.wandb.api_filters import filter_of, order_of
from steplog.filters import parse_field, parse_filter
from steplog.reading.table_query import query_of

ROW: dict[str, Any] = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "id": "abc",
    "name": "first run",
    "status": "COMPLETED",
    "tag": ["best", "v2"],
    "group": "g",
    "job_type": "train",
    "user": "me",
    "started": datetime(2030, 1, 2, tzinfo=timezone.utc),
    "duration": 90.0,
    "config.lr": 0.1,
    "config.optim.name": "adam",
    "config.amp": True,
    "config.layers": [1, 2],
    "summary/acc.last": 0.9,
    "acc.last": 0.5,
    "loss.last": 0.25,
}

MATCH = [
    {},
    {"name": "abc", "display_name": "first run", "displayName": {"$regex": "^first"}},
    {"state": "finished"},
    {"state": {"$in": ["finished", "crashed"]}},
    {"tags": "best"},
    {"tags": {"$in": ["other", "v2"]}},
    {"tags": {"$nin": ["other"]}},
    {"group": "g", "jobType": "train", "job_type": {"$ne": "eval"}, "username": "me", "user.username": "me"},
    {"created_at": {"$gte": "2030-01-01", "$lt": "2030-01-02T00:00:01Z"}},
    {"createdAt": {"$gt": datetime(2030, 1, 1, tzinfo=timezone.utc)}},
    {"duration": {"$gt": 60}},
    {"config.lr": 0.1},
    {"config.lr.value": {"$gt": 0.05, "$lte": 0.1}},
    {"config.optim.value.name": "adam"},
    {"config.amp": True},
    {"config.layers": [1, 2]},
    {"config.none": None},
    {"config.none": {"$exists": False}, "config.lr": {"$exists": True}},
    {"config.none": {"$ne": 3}},
    {"summary_metrics.acc": 0.9},
    {"summary.loss": {"$lt": 0.3}},
    {"$or": [{"config.lr": 7}, {"state": "finished"}]},
    {"$and": [{"config.lr": {"$gt": 0}}, {"$nor": [{"state": "failed"}, {"tags": "other"}]}]},
    {"$not": {"state": "running"}},
    {"display_name": {"$regex": "FIRST", "$options": "i"}},
    {"display_name": {"$not": {"$regex": "second"}}},
]

DIFFER = [
    {"state": "running"},
    {"tags": {"$nin": ["best"]}},
    {"tags": {"$ne": "v2"}},
    {"config.amp": 1},
    {"config.lr": "0.1"},
    {"config.lr": {"$gt": 0.1}},
    {"config.optim.name": {"$gt": 3}},
    {"config.none": {"$exists": True}},
    {"summary_metrics.acc": 0.5},
    {"summary_metrics.none": {"$lt": 1}},
    {"created_at": {"$gt": "2030-01-02"}},
    {"$nor": [{"state": "finished"}]},
    {"display_name": {"$regex": "FIRST"}},
]


@pytest.mark.parametrize("filters", MATCH, ids=str)
def test_a_row_that_is_meant_matches(filters):
    assert filter_of(filters).matches(ROW)


@pytest.mark.parametrize("filters", DIFFER, ids=str)
def test_another_row_does_not_match(filters):
    assert not filter_of(filters).matches(ROW)


def test_a_server_is_asked_what_its_filter_can_say():
    filters = {
        "config.lr": {"$gt": 0.05, "$exists": True},
        "state": "finished",
        "$and": [{"group": "g"}, {"$or": [{"tags": "a"}]}],
        "tags": "best",
        "config.none": None,
        "summary_metrics.acc": {"$gt": 0.5},
        "created_at": {"$gt": "2030-01-01"},
    }
    assert filter_of(filters).where == [
        ("config.lr", ">", 0.05),
        ("status", "=", "COMPLETED"),
        ("group", "=", "g"),
        ("tag", "=", "best"),
    ]


@pytest.mark.parametrize("filters", [*MATCH, *DIFFER], ids=str)
def test_what_a_server_is_asked_it_can_read(filters):
    asked = filter_of(filters)
    query = query_of(asked.where, asked.columns)
    assert parse_filter(query.where) == query.conditions
    named = [column for column in asked.columns if column != "uuid"]
    assert [str(parse_field(column)) for column in named] == named


@pytest.mark.parametrize("filters", [{"bogus": 1}, {"state": {"$near": 1}}, {"$or": {}}, {"$where": "x"}, [1]])
def test_what_is_no_filter_is_refused_in_words(filters):
    with pytest.raises(ValueError, match="filter"):
        filter_of(filters)


def test_runs_are_ordered_by_numbers_then_texts_then_what_has_none():
    found = [{"config.x": value, "at": at} for at, value in enumerate([2, "b", None, 1, "a", 2])]
    assert [row["at"] for row in order_of("+config.x").sorted(found)] == [3, 5, 0, 4, 1, 2]
    assert [row["at"] for row in order_of("-config.x.value").sorted(found)] == [0, 5, 3, 1, 4, 2]
    assert order_of(None) == order_of("created_at") == order_of("+created_at")
    assert order_of("-summary_metrics.loss").columns == ("summary/loss.last", "loss.last")
