"""``curves/`` over HTTP: JSON and columns, what is refused and in which words, and who may ask."""

from __future__ import annotations

import math
import random
import sqlite3
from contextlib import closing
from typing import Any

import pytest
import requests

from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, ServerProcess
from steplog import instance
from steplog.column_format import MEDIA_TYPE, decode
from steplog.delivery.wire import API
from steplog.server.records.curve_formats import as_columns
from steplog.server.records.curve_query import Answered, CurveAnswer
from steplog.server.records.grid import Bucket

CURVES = "/team/projects/mnist/curves/"
RUN = "/team/projects/mnist/runs/{}/"


@pytest.fixture
def uuid(server: ServerProcess) -> str:
    """A run with a metric of 5,000 points, and one that is not always finite."""
    run = server.new_run()
    source = random.Random(1)
    records: list[Any] = [("loss", source.gauss(0, 1), step) for step in range(5000)]
    records += [("odd", value, step) for step, value in enumerate([0.5, math.nan, math.inf, -math.inf, b'"text"', 1])]
    assert server.send(run, range_of(records)).status_code == 200
    return run.rstrip("/").rsplit("/", 1)[1]


def ask(server: ServerProcess, accept: str = "application/json", **question: Any) -> requests.Response:
    return server.ask("POST", CURVES, json=question, headers={"Accept": accept})


def test_curves_come_as_json(server, uuid):
    answer = ask(server, runs=[uuid], names=["loss", "odd"], buckets=100)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert (body["x"], body["reset"], body["missing"]) == ("step", True, [])
    assert (body["runs"], body["names"], body["series"]) == ([uuid], ["loss", "odd"], [[0, 0], [0, 1]])
    assert body["widths"] == [64, 1]
    loss = [bucket for bucket in body["buckets"] if bucket["series"] == 0]
    assert [bucket["bucket"] for bucket in loss] == list(range(79))
    assert [bucket["step"] for bucket in loss][:2] == [63, 127]
    assert sum(bucket["count"] for bucket in loss) == 5000
    odd = [bucket for bucket in body["buckets"] if bucket["series"] == 1]
    assert [bucket.pop("time")[:24] for bucket in odd] == ["2023-11-14T22:13:20.0000"] * 6
    none = {"series": 1, "min": None, "max": None, "count": 1}
    assert odd == [
        none | {"bucket": 0, "step": 0, "min": 0.5, "max": 0.5, "last": 0.5},
        none | {"bucket": 1, "step": 1, "last": "NaN", "nan": 1},
        none | {"bucket": 2, "step": 2, "last": "Infinity", "inf": 1},
        none | {"bucket": 3, "step": 3, "last": "-Infinity", "-inf": 1},
        none | {"bucket": 4, "step": 4, "last": None},
        none | {"bucket": 5, "step": 5, "min": 1, "max": 1, "last": 1},
    ]


def test_curves_come_as_columns(server, uuid):
    answer = ask(server, MEDIA_TYPE, runs=[uuid, "gone"], names=["loss", "odd", "none"], buckets=100)
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
    (table,) = decode(answer.content)
    as_json = ask(server, runs=[uuid, "gone"], names=["loss", "odd", "none"], buckets=100).json()
    assert table.about["missing"] == ["gone"]
    header = {key: value for key, value in as_json.items() if key not in ("buckets", "since")}
    digits = table.about["digits"]
    assert {key: value for key, value in table.about.items() if key not in ("digits", "since")} == header
    assert list(table.columns) == [
        "series", "bucket", "step", "min", "max", "last", "count", "nan", "inf", "-inf",
    ]  # fmt: skip
    assert table.columns["min"].type == "f4"
    for name in ("series", "bucket", "step", "count"):
        assert list(table.columns[name].values()) == [bucket[name] for bucket in as_json["buckets"]]
    ends = [bucket[end] for bucket in as_json["buckets"][:79] for end in ("min", "max")]
    span = max(ends) - min(ends)
    last = list(table.columns["last"].values())
    for name, side in (("min", -1), ("max", 1), ("last", 0)):
        exact = [bucket[name] for bucket in as_json["buckets"]][:79]
        values = [b if a == math.inf else a for a, b in zip(table.columns[name].values(), last, strict=True)]
        assert all(abs(a - b) <= span / 4096 for a, b in zip(values, exact, strict=False))
        assert all(abs(a - b) <= abs(b) / 10**digits for a, b in zip(values, exact, strict=False))
        assert all((a - b) * side >= -span / 2**23 for a, b in zip(values, exact, strict=False)), "no spike is smaller"
    assert list(table.columns["nan"].values())[-5:] == [1, 0, 0, 0, 0]
    planes = ask(server, MEDIA_TYPE, runs=[uuid, "gone"], names=["loss", "odd", "none"], buckets=100, planes=True)
    (same,) = decode(planes.content)
    assert planes.content != answer.content
    assert {name: bytes(column.content) for name, column in same.columns.items()} == {
        name: bytes(column.content) for name, column in table.columns.items()
    }


def wait_until_packed(server: ServerProcess) -> None:
    """All of the newest run, whose curve would come again where that happens between two polls."""
    state = "SELECT packed = arrivals FROM progress ORDER BY run DESC LIMIT 1"
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as connection:
        wait_until(lambda: connection.execute(state).fetchone()[0])


def test_a_poll_brings_what_was_touched(server, uuid):
    question = {"runs": [uuid], "names": ["loss"], "buckets": 100}
    wait_until_packed(server)
    first = ask(server, **question).json()
    idle = ask(server, **question, since=first["since"]).json()
    assert (idle["reset"], idle["series"], idle["buckets"]) == (False, [], [])
    late = range_of([("loss", 9.0, 70), ("loss", 9.0, 5000)], 0, "late")
    server.send(RUN.format(uuid), late)
    patch = ask(server, **question, since=idle["since"]).json()
    assert (patch["reset"], patch["whole"]) == (False, [])
    assert [(b["bucket"], b["count"], b["max"]) for b in patch["buckets"]] == [(1, 65, 9.0), (78, 9, 9.0)]
    several = ask(server, **question, since=[idle["since"], patch["since"]]).json()
    assert (several["reset"], several["series"]) == (False, [])
    for since in ("not a token", [patch["since"], "not a token"]):
        assert ask(server, **question, since=since).json()["reset"]
    other = ask(server, **question | {"buckets": 200}, since=idle["since"]).json()
    assert other["reset"]


def test_the_runs_may_be_those_that_meet_conditions(server, uuid):
    server.ask("PATCH", RUN.format(uuid), json={"group": f"only {uuid}"})
    question = {"where": f'group="only {uuid}"', "names": ["loss"], "buckets": 10}
    wait_until_packed(server)
    answer = ask(server, **question).json()
    assert (answer["runs"], sum(bucket["count"] for bucket in answer["buckets"])) == ([uuid], 5000)
    assert ask(server, **question, since=answer["since"]).json()["series"] == []
    assert ask(server, **question | {"where": 'name="none"'}).json()["runs"] == []
    assert uuid in ask(server, **question | {"where": ""}).json()["runs"]


@pytest.mark.parametrize("x", ["time", "relative"])
def test_curves_over_time_are_of_nanoseconds(server, uuid, x):
    question = {"runs": [uuid], "names": ["loss"], "x": x, "buckets": 100}
    body = ask(server, **question).json()
    assert sum(bucket["count"] for bucket in body["buckets"]) == 5000
    assert body["widths"] == [64], "the points are a nanosecond apart"
    began = body["buckets"][0]["bucket"] * 64
    assert (began > 1.6e18) == (x == "time")
    (table,) = decode(ask(server, MEDIA_TYPE, **question).content)
    parts = list(table.columns["at"].values())
    assert [part * 64 for part in parts[:-1]] == [63] * (len(parts) - 1), "the last point of each is at its end"


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ({"names": ["a"]}, 400, {"runs": ["Give runs or where, one of them."]}),
        ({"names": ["a"], "runs": ["a"], "where": ""}, 400, {"runs": ["Give runs or where, one of them."]}),
        ({"names": ["a"], "where": "status ="}, 400, {"where": ["Column 9: expected a value; found the end."]}),
        ({"runs": ["a"], "names": []}, 400, {"names": ["This list may not be empty."]}),
        ({"runs": "a", "names": ["a"]}, 400, {"runs": ["Not a list of strings."]}),
        ({"runs": ["a"], "names": [1]}, 400, {"names": ["Not a list of strings."]}),
        (
            {"runs": ["a"] * 10_001, "names": ["a"]},
            400,
            {"runs": ["Ensure this field has no more than 10000 elements; there are 10001."]},
        ),
        (
            {"runs": ["a"], "names": ["a"] * 201},
            400,
            {"names": ["Ensure this field has no more than 200 elements; there are 201."]},
        ),
        (
            {"runs": [str(number) for number in range(10_000)], "names": [str(number) for number in range(21)]},
            400,
            {"names": ["These are 10000 runs and 21 names; ask for at most 200000 curves."]},
        ),
        ({"runs": ["a"], "names": ["a"], "x": "epoch"}, 400, {"x": ['"epoch" is not a valid choice.']}),
        (
            {"runs": ["a"], "names": ["a"], "buckets": 0},
            400,
            {"buckets": ["Ensure this value is greater than or equal to 1."]},
        ),
        ({"runs": ["a"], "names": ["a"], "planes": 1}, 400, {"planes": ["Must be a valid boolean."]}),
        ({"runs": ["a"], "names": ["a"], "since": 1}, 400, {"since": ["Not a valid string."]}),
        ({"runs": ["a"], "names": ["a"], "since": [1]}, 400, {"since": ["Not a list of strings."]}),
        (
            {"runs": ["a"], "names": ["a"], "since": ["a"] * 33},
            400,
            {"since": ["Ensure this field has no more than 32 elements; there are 33."]},
        ),
        ({"runs": ["a"], "names": ["a"], "from": "soon"}, 400, {"from": ["A valid integer is required."]}),
    ],
)
def test_what_cannot_be_asked_is_said(server, uuid, question, status, words):
    answer = ask(server, **question)
    assert (answer.status_code, answer.json()) == (status, words)


def test_a_type_that_is_not_offered_and_a_project_that_is_not_there(server, uuid):
    answer = ask(server, "text/csv", runs=[uuid], names=["loss"])
    assert answer.status_code == 406
    assert MEDIA_TYPE in answer.json()["detail"]
    assert server.ask("POST", "/team/projects/none/curves/", json={"runs": ["a"], "names": ["a"]}).status_code == 404
    assert server.ask("GET", CURVES).status_code == 405


def test_the_page_may_ask_for_curves_and_change_nothing(server, uuid):
    state = instance.read(server.state)
    assert state is not None
    headers = {"Authorization": f"Page-Token {state.page_token}"}
    body = {"runs": [uuid], "names": ["loss"]}

    def post(path: str, **more: str) -> int:
        return requests.post(
            f"{server.url}{API}{path}", json=body, headers=headers | more, timeout=DEADLINE_S
        ).status_code

    assert post(CURVES) == 200
    assert post(CURVES, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post("/team/projects/mnist/runs/") == 403
    assert post("/team/projects/mnist/runs/curves/") == 403
    assert post("/team/projects/") == 403
    answer = requests.put(f"{server.url}{API}{CURVES}", json=body, headers=headers, timeout=DEADLINE_S)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        ([[0.0, 1.0]], "f4"),
        ([[1000.0, 1001.0]], "f4"),
        ([[10_000.0, 10_001.0]], "f8"),
        ([[0.5, 0.5]], "f4"),
        ([[0.1, 0.1]], "f8"),
        ([[1e300, 2e300]], "f8"),
        ([[1e-320, 2e-320]], "f8"),
        ([[math.nan, math.nan]], "f4"),
        ([[0.0, 1.0], [0.1, 0.1]], "f8"),
        ([[0.0, 1.0], [0.25, 0.25]], "f4"),
    ],
)
def test_values_are_float32_only_where_no_curve_loses_its_shape(series, kind):
    columns: dict[str, list[Any]] = {name: [] for name in ("series", *Bucket.__struct_fields__)}
    for number, values in enumerate(series):
        for place, value in enumerate(values):
            row = (number, place, value, value, value, 1, place, 0, 0, 0, 0, False)
            for column, entry in zip(columns.values(), row, strict=True):
                column.append(entry)
    places = [(0, number) for number in range(len(series))]
    answer = CurveAnswer(True, ["run"], [0], ["a", "b"], [1, 1], places, [], [], columns, Answered(0, [], {}))
    (table,) = decode(as_columns(answer, "step", "token"))
    assert table.columns["min"].type == kind
    assert ("digits" in table.about) == (kind == "f4")
    assert table.columns["step"].type == "u4"
