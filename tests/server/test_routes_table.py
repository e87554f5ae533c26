"""The table of a project's runs over HTTP (docs/api.md): forms, pages, errors in words."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
import requests

from polling import wait_until
from server.batches import range_of
from server.process import ServerProcess
from steplog.column_format import MEDIA_TYPE, decode

PATH = "/team/projects/tables/table/"


class Runs:
    """A project with five runs on a server, the uuids by name."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        made = server.ask("POST", "/team/projects/", json={"display_name": "tables", "visibility": "TEAM"})
        assert made.status_code == 201, made.text
        self.uuids = {}
        for number in range(5):
            run = server.ask("POST", "/team/projects/tables/runs/", json={"name": f"run-{number}"}).json()
            self.uuids[run["name"]] = run["uuid"]
            path = f"/team/projects/tables/runs/{run['uuid']}/"
            config = {"lr": [0.1, 0.01, "none", None, 0.01][number], "optim": {"name": "adam, w"}}
            server.ask("POST", f"{path}metrics/", json={"name": "steplog/config", "value": config})
            records = [("loss", value, 1) for value in ([0.5], [float("nan")], [float("inf")], [], [-2])[number]]
            assert server.send(path, range_of([*records, ("layer/0", number, 1)])).status_code == 200
            status = {"status": "FAILED" if number % 2 else "COMPLETED", "tags": ["a"] if number == 1 else []}
            assert server.ask("PATCH", path, json=status).status_code == 200

    def ask(self, path: str = PATH, accept: str | None = None, **parameters: Any) -> requests.Response:
        headers = {} if accept is None else {"Accept": accept}
        return self.server.ask("GET", path, params=parameters, headers=headers)

    def again(self, tag: str, path: str = PATH, **parameters: Any) -> requests.Response:
        """The same for a client that has an answer with this tag."""
        return self.server.ask("GET", path, params=parameters, headers={"If-None-Match": tag})

    def names(self, **parameters: Any) -> list[str]:
        answer = self.ask(**{"columns": "name"} | parameters)
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()["rows"]]


@pytest.fixture(scope="module")
def runs(server: ServerProcess) -> Runs:
    made = Runs(server)
    wait_until(lambda: len(made.names(where="layer/0.count>0")) == 5)  # until they are packed
    return made


def test_the_newest_runs_come_first_with_every_field(runs):
    answer = runs.ask(limit=2).json()
    assert [row["name"] for row in answer["rows"]] == ["run-4", "run-3"]
    assert answer["columns"] == [
        *("status", "name", "id", "tag", "group", "job_type", "user", "started", "ended", "duration"),
    ]
    row = answer["rows"][1]
    assert row["uuid"] == runs.uuids["run-3"]
    assert set(row) == {"uuid", *answer["columns"]}
    assert (row["status"], row["tag"], row["id"], row["group"]) == ("FAILED", [], None, None)
    assert row["duration"] >= 0


def test_columns_are_cells_of_config_and_metrics_and_what_is_missing_is_left_out(runs):
    answer = runs.ask(columns='name,config.lr,config."optim".name,loss.last,loss.count,layer/0.max', sort="name").json()
    assert answer["columns"] == ["name", "config.lr", "config.optim.name", "loss.last", "loss.count", "layer/0.max"]
    rows = [{key: value for key, value in row.items() if key != "uuid"} for row in answer["rows"]]
    every = {"config.optim.name": "adam, w"}
    assert rows == [
        every | {"name": "run-0", "config.lr": 0.1, "loss.last": 0.5, "loss.count": 1, "layer/0.max": 0},
        every | {"name": "run-1", "config.lr": 0.01, "loss.last": "NaN", "loss.count": 1, "layer/0.max": 1},
        every | {"name": "run-2", "config.lr": "none", "loss.last": "Infinity", "loss.count": 1, "layer/0.max": 2},
        every | {"name": "run-3", "config.lr": None, "layer/0.max": 3},
        every | {"name": "run-4", "config.lr": 0.01, "loss.last": -2, "loss.count": 1, "layer/0.max": 4},
    ]
    assert answer["next"] is None


@pytest.mark.parametrize(
    ("where", "sort", "names"),
    [
        ("", "loss.last", ["run-4", "run-0", "run-2", "run-1", "run-3"]),
        ("", "-loss.last", ["run-2", "run-0", "run-4", "run-1", "run-3"]),
        ("loss.last<1", "", ["run-4", "run-0"]),
        ("loss.last=NaN or", None, None),
        ("loss.last=NaN", "", ["run-1"]),
        ('loss.last!=NaN and config.optim.name="adam, w"', "name", ["run-0", "run-2", "run-3", "run-4"]),
        ("config.lr=0.01 and status=FAILED", "", ["run-1"]),
        ("tag=a", "", ["run-1"]),
        ("tag!=a and layer/0.last>=2", "-name", ["run-4", "run-3", "run-2"]),
        ('[["config.lr", "=", null]]', "", ["run-3"]),
    ],
)
def test_runs_are_filtered_and_sorted(runs, where, sort, names):
    if names is None:
        assert runs.ask(where=where).status_code == 400
    else:
        assert runs.names(where=where, sort=sort) == names


@pytest.mark.parametrize("sort", ["", "name", "-loss.last", "config.lr", "duration"])
def test_pages_follow_one_another_by_token_and_by_link(runs, sort):
    whole = runs.names(sort=sort)
    found: list[str] = []
    parameters: dict[str, Any] = {"columns": "name", "sort": sort, "limit": 2}
    while True:
        answer = runs.ask(**parameters)
        body = answer.json()
        found += [row["name"] for row in body["rows"]]
        if body["next"] is None:
            assert "Link" not in answer.headers
            break
        following = answer.links["next"]["url"]
        assert dict(parse_qsl(following.removeprefix("?"), keep_blank_values=True))["after"] == body["next"]
        parameters |= {"after": body["next"]}
    assert found == whole


def test_a_page_goes_on_where_the_last_one_ended_though_runs_come_and_go(runs):
    first = runs.ask(columns="name", sort="-name", limit=2).json()
    assert [row["name"] for row in first["rows"]] == ["run-4", "run-3"]
    new = runs.server.ask("POST", "/team/projects/tables/runs/", json={"name": "run-9"}).json()
    path = f"/team/projects/tables/runs/{new['uuid']}/"
    try:
        gone = f"/team/projects/tables/runs/{runs.uuids['run-3']}/"
        assert runs.server.ask("DELETE", gone).status_code == 204
        rest = runs.names(sort="-name", limit=10, after=first["next"])
        assert runs.server.ask("POST", f"{gone}restore/", json={}).status_code == 200
    finally:
        assert runs.server.ask("DELETE", path, params={"now": 1}).status_code == 204
    assert rest == ["run-2", "run-1", "run-0"]


@pytest.mark.parametrize("sort", ["", "-name", "loss.last", "config.lr"])
def test_a_table_may_be_of_some_runs_alone_as_far_as_they_are_there(runs, sort):
    wanted = {"run-0", "run-2", "run-4"}
    uuids = ",".join(["00000000-0000-0000-0000-000000000000", "", *(runs.uuids[name] for name in wanted)])
    table = runs.ask(columns="name,loss.last", runs=uuids, sort=sort, count=1).json()
    assert ({row["name"] for row in table["rows"]}, table["count"]) == (wanted, 3)
    first = runs.ask(columns="name", runs=uuids, sort=sort, where='config.lr!="none"', limit=1).json()
    rest = runs.ask(columns="name", runs=uuids, sort=sort, where='config.lr!="none"', after=first["next"]).json()
    assert sorted(row["name"] for row in [*first["rows"], *rest["rows"]]) == ["run-0", "run-4"]
    assert runs.ask(runs="", sort=sort).json()["rows"] == []


def test_how_many_runs_there_are_is_said_where_it_is_asked_for(runs):
    assert runs.ask(where="status=FAILED", count=1, limit=1).json()["count"] == 2
    assert "count" not in runs.ask(limit=1).json()


def test_a_table_comes_as_csv(runs):
    answer = runs.ask(accept="text/csv", columns="name,config.optim.name,config.lr,loss.last,tag", sort="name")
    assert answer.headers["Content-Type"].startswith("text/csv")
    lines = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert lines[0] == ["uuid", "name", "config.optim.name", "config.lr", "loss.last", "tag"]
    assert [line[1:] for line in lines[1:]] == [
        ["run-0", "adam, w", "0.1", "0.5", "[]"],
        ["run-1", "adam, w", "0.01", "NaN", '["a"]'],
        ["run-2", "adam, w", "none", "Infinity", "[]"],
        ["run-3", "adam, w", "", "", "[]"],
        ["run-4", "adam, w", "0.01", "-2", "[]"],
    ]


def test_a_table_comes_as_columns(runs):
    answer = runs.ask(accept=MEDIA_TYPE, columns="name,loss.last,layer/0.last,duration", sort="name", limit=3)
    (table,) = decode(answer.content)
    assert {name: column.type for name, column in table.columns.items()} == {
        "uuid": "json",
        "name": "json",
        "loss.last": "f8",
        "layer/0.last": "i8",
        "duration": "f8",
    }
    assert [json.loads(bytes(name)) for name in table.columns["name"].values()] == ["run-0", "run-1", "run-2"]
    assert repr(list(table.columns["loss.last"].values())) == "[0.5, nan, inf]"
    assert list(table.columns["layer/0.last"].values()) == [0, 1, 2]
    assert table.about["next"]
    last = runs.ask(accept=MEDIA_TYPE, columns="loss.last", sort="name", limit=3, after=table.about["next"])
    (table,) = decode(last.content)
    assert table.columns["loss.last"].values()[0] is None, "missing, and so not a column of numbers"
    assert table.about["next"] is None


def test_another_form_is_not_acceptable(runs):
    answer = runs.ask(accept="text/html")
    assert answer.status_code == 406
    assert answer.json()["detail"].endswith(f"Offered: application/json, {MEDIA_TYPE}, text/csv.")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"where": "loss<1"}, {"where": ["Column 1:", '"loss" is no field']}),
        ({"where": "name=a or name=b"}, {"where": ["Column 8:", "or is not known here"]}),
        ({"columns": "name,lr"}, {"columns": ["Column 6:", '"lr" is no field']}),
        ({"columns": ",".join(["name"] * 201)}, {"columns": ["at most 200 fields"]}),
        ({"sort": "-lr"}, {"sort": ["Column 2:", '"lr" is no field']}),
        ({"sort": "words"}, {"sort": ["Words can only be looked for"]}),
        ({"columns": "name,words"}, {"columns": ["Words can only be looked for"]}),
        ({"sort": "tag"}, {"sort": ["Column 1:", "several tags"]}),
        ({"sort": "name,status"}, {"sort": ["Column 6:", "at most 1 field"]}),
        ({"runs": ",".join(["x"] * 1001)}, {"runs": ["no more than 1000 runs"]}),
        ({"limit": 0}, {"limit": ["greater than or equal to 1"]}),
        ({"count": "yes"}, {"count": ["not a valid choice"]}),
        ({"after": "x"}, {"after": ["Not where a page"]}),
        ({"after": "\u00e4"}, {"after": ["Not where a page"]}),
        ({"after": "lsA"}, {"after": ["Not where a page"]}),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(runs, parameters, error):
    answer = runs.ask(**parameters)
    assert answer.status_code == 400
    ((field, words),) = error.items()
    assert list(answer.json()) == [field]
    assert all(word in answer.json()[field][0] for word in words), answer.text


def test_a_token_is_of_one_order(runs):
    token = runs.ask(sort="name", limit=1).json()["next"]
    answer = runs.ask(sort="-name", after=token)
    assert (answer.status_code, answer.json()) == (400, {"after": ["This is where a page in another order ends."]})


@pytest.mark.parametrize(
    ("kind", "value", "now"),
    [
        (1, 5, "2026-11-03T00:00:00.000000Z"),
        (0, "run-1", "2026-11-03T00:00:00.000000Z"),
        (0, True, "2026-11-03T00:00:00.000000Z"),
        (2, None, "2026-11-03T00:00:00.000000Z"),
        (1, "run-1", "2026-99-03T00:00:00.000000Z"),
    ],
)
def test_a_token_that_was_made_up_is_refused(runs, kind, value, now):
    """A database that has types would not compare these."""
    token = base64.urlsafe_b64encode(msgspec.msgpack.encode(["name", kind, value, 1, now])).decode()
    answer = runs.ask(sort="name", after=token)
    assert (answer.status_code, answer.json()) == (400, {"after": ["Not where a page of this table ends."]})


def test_the_columns_that_there_are_can_be_asked_for(runs):
    path = f"{PATH}columns/"
    assert runs.ask(path).json() == {
        "fields": [
            *("status", "name", "id", "tag", "group", "job_type", "user", "started", "ended", "duration"),
            *("lost", "seen", "last_point", "generation", "description", "notes"),
        ],
        "config": ["config.lr", "config.optim.name"],
        "metrics": ["layer/0", "loss"],
        "kinds": ["numbers", "numbers"],
        "more": False,
    }
    assert runs.ask(path, q="L", limit=1).json() == {
        "fields": ["lost", "last_point"],
        "config": ["config.lr"],
        "metrics": ["layer/0"],
        "kinds": ["numbers"],
        "more": True,
    }
    assert runs.ask(path, q="a" * 257).status_code == 400
    assert runs.ask(path, limit=0).status_code == 400


def test_an_unknown_project_has_no_table(runs):
    for path in ("/team/projects/none/table/", "/team/projects/none/table/columns/", "/none/projects/tables/table/"):
        assert runs.ask(path).status_code == 404


def test_a_page_that_has_not_changed_is_neither_made_nor_sent_again(runs):
    parameters = {"columns": "name,loss.last", "sort": "loss.last", "limit": 2, "count": 1}
    first = runs.ask(**parameters)
    version, dot, digest = first.headers["ETag"].removeprefix('W/"').removesuffix('"').rpartition(".")
    assert version
    assert (dot, len(digest)) == (".", 24)
    # What it would say is not looked at where the version is known.
    for known in (f"{version}.{digest}", f"{version}.0"):
        again = runs.again(f'W/"{known}"', **parameters)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == f'W/"{known}"'
        assert set(again.headers["Vary"].split(", ")) == {"Accept", "Accept-Encoding"}
    as_columns = runs.ask(accept=MEDIA_TYPE, **parameters)
    assert runs.again(as_columns.headers["ETag"], **parameters).status_code == 200
    assert runs.again('"', **parameters).status_code == 200


def test_a_change_that_does_not_show_is_not_sent(runs):
    parameters = {"columns": "name", "where": "name=run-2"}
    first = runs.ask(**parameters)
    path = f"/team/projects/tables/runs/{runs.uuids['run-0']}/"
    assert runs.server.ask("PATCH", path, json={"notes": "not shown"}).status_code == 200
    second = runs.again(first.headers["ETag"], **parameters)
    assert second.status_code == 304
    assert second.headers["ETag"] != first.headers["ETag"]
    assert second.headers["ETag"].rpartition(".")[2] == first.headers["ETag"].rpartition(".")[2]
    assert runs.server.ask("PATCH", path, json={"notes": "shown"}).status_code == 200
    notes = {"columns": "name,notes", "where": "name=run-0"}
    shown = runs.ask(**notes)
    assert shown.json()["rows"][0]["notes"] == "shown"
    assert runs.server.ask("PATCH", path, json={"notes": None}).status_code == 200
    assert runs.again(shown.headers["ETag"], **notes).json()["rows"][0]["notes"] is None


def test_the_names_of_columns_are_made_again_only_where_something_arrived(runs):
    path = f"{PATH}columns/"
    first = runs.ask(path)
    assert runs.again(first.headers["ETag"], path).status_code == 304
    run = f"/team/projects/tables/runs/{runs.uuids['run-3']}/metrics/"
    assert runs.server.ask("POST", run, json={"name": "late", "value": "a text"}).status_code == 201
    second = runs.again(first.headers["ETag"], path)
    assert second.status_code == 200
    assert dict(zip(second.json()["metrics"], second.json()["kinds"], strict=True))["late"] == "others"
