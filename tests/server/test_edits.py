"""A PATCH of a run sets its fields and its status as the API says (docs/api.md)."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from server.batches import range_of
from steplog import instance

NAMES = itertools.count()
ALL = {
    "description": "why",
    "tags": ["a", "b"],
    "group": "g",
    "job_type": "train",
    "notes": "n",
    "started": "2026-01-01T00:00:00.000000Z",
    "provenance": {"host": "h"},
}


def test_each_field_is_set_kept_and_emptied(server, run):
    set_ = server.ask("PATCH", run, json=ALL | {"unknown": 1, "uuid": "x", "made_by": "y", "id": "z"})
    assert set_.status_code == 200
    read = server.ask("GET", run).json()
    assert {field: read[field] for field in ALL} == ALL
    assert {field: set_.json()[field] for field in ALL} == ALL
    assert (read["uuid"] in run, read["made_by"], read["id"], "unknown" in read) == (True, None, None, False)
    for field in ALL:
        assert server.ask("PATCH", run, json={field: None}).status_code == 200
    read = server.ask("GET", run).json()
    empty = dict.fromkeys(ALL) | {"tags": [], "started": read["date_created"]}
    assert {field: read[field] for field in ALL} == empty


def test_a_name_that_another_run_has_gets_a_number_and_its_own_does_not(server, run):
    runs = run.rsplit("/", 2)[0] + "/"
    name = f"taken {next(NAMES)}"
    server.ask("POST", runs, json={"name": name})
    assert [server.ask("PATCH", run, json={"name": name}).json()["name"] for _ in range(2)] == [f"{name}_1"] * 2
    assert server.ask("PATCH", run, json={"name": f"{name}_1"}).json()["name"] == f"{name}_1"
    assert server.ask("PATCH", run, json={"name": None}).json()["name"] == f"{name}_1"


@pytest.mark.parametrize(
    "body",
    [
        *({"name": bad} for bad in ("", 1, [], "x" * 257)),
        *({"description": bad} for bad in (1, {}, "x" * 65_537)),
        *({"tags": bad} for bad in ("a", [1], [""], [None], ["x" * 129], [str(n) for n in range(65)], {"a": 1})),
        *({field: bad} for field in ("group", "job_type") for bad in (1, [], "x" * 257)),
        *({"notes": bad} for bad in (1, {}, "x" * 65_537)),
        *({field: bad} for field in ("started", "ended") for bad in (1, "", "now", "2026-13-01T00:00:00Z", [])),
        *({"provenance": bad} for bad in (1, "x", [], {"x": "y" * 65_536})),
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_field_of_another_type_or_too_long_is_refused_and_changes_nothing(server, run, body):
    before = server.ask("GET", run).json()
    answer = server.ask("PATCH", run, json=body | {"group": body.get("group", "g"), "status": "FAILED"})
    assert (answer.status_code, set(answer.json())) == (400, set(body))
    assert all(isinstance(reason, str) and reason for reasons in answer.json().values() for reason in reasons)
    assert server.ask("GET", run).json() == before


def test_what_was_set_here_later_counts_over_what_a_record_said_before(server, run):
    """Records of tests are of 2023, whenever they arrive."""
    server.send(run, range_of([("steplog/run", b'{"notes": "recorded", "group": "recorded"}')]))
    server.ask("PATCH", run, json={"notes": "set"})
    server.send(run, range_of([("steplog/run", b'{"notes": "recorded again"}')], first=1))
    read = server.ask("GET", run).json()
    assert (read["notes"], read["group"]) == ("set", "recorded")


@pytest.mark.parametrize("status", ["COMPLETED", "CRASHED", "FAILED"])
def test_a_status_ends_the_run_now_unless_its_end_is_told(server, run, status):
    ended = server.ask("PATCH", run, json={"status": status}).json()
    assert (ended["status"], ended["ended"]) == (status, ended["date_updated"])
    assert server.ask("PATCH", run, json={"status": "FAILED"}).json()["ended"] == ended["ended"]
    assert server.ask("PATCH", run, json={"status": "RUNNING"}).json()["ended"] is None
    told = "2026-01-01T00:00:00.000000Z"
    assert server.ask("PATCH", run, json={"status": status, "ended": told}).json()["ended"] == told


def test_a_killed_run_ended_with_its_last_point_however_late_that_is_found_out(server):
    """The duration of one that was delivered on Monday was that of the weekend."""
    run = server.new_run()
    server.send(
        run, range_of([("steplog/run", b'{"started": "2026-01-01T00:00:00Z"}')], began_ns=1_767_225_600 * 10**9)
    )
    started_alone = server.ask("PATCH", run, json={"status": "CRASHED"}).json()
    assert started_alone["ended"] == started_alone["started"] == "2026-01-01T00:00:00.000000Z"
    server.ask("PATCH", run, json={"status": "RUNNING"})
    server.send(run, range_of([("loss", 0.5)], first=1, began_ns=1_767_229_200 * 10**9))
    assert server.ask("PATCH", run, json={"status": "CRASHED"}).json()["ended"] == "2026-01-01T01:00:00.000000Z"
    server.ask("PATCH", run, json={"status": "RUNNING"})
    completed = server.ask("PATCH", run, json={"status": "COMPLETED"}).json()
    assert completed["ended"] == completed["date_updated"]


def test_the_end_that_the_run_recorded_counts_whenever_it_arrives(server):
    told = "2026-01-01T00:00:00.000000Z"
    record = range_of([("steplog/run", b'{"ended": "2026-01-01T00:00:00Z"}')])
    status: dict[str, Any] = {"status": "COMPLETED"}
    before, after = server.new_run(), server.new_run()
    server.send(before, record)
    server.ask("PATCH", before, json=status)
    server.ask("PATCH", after, json=status)
    server.send(after, record)
    assert [server.ask("GET", each).json()["ended"] for each in (before, after)] == [told, told]


def test_whoever_may_only_read_is_not_seen_whatever_it_says(server, run):
    """The page's token."""
    found = instance.read(server.state)
    assert found is not None
    before = server.ask("GET", run).json()
    headers = {"Authorization": f"Page-Token {found.page_token}", "Steplog-Maker": "m"}
    assert server.ask("GET", run, headers=headers).json() == before
    assert server.ask("GET", run).json() == before


def test_a_client_of_the_run_is_seen_when_it_says_who_it_is(server, run):
    first = server.ask("GET", run).json()
    assert server.ask("GET", run).json()["seen"] == first["seen"], "a page that looks is no client"
    second = server.ask("GET", run, headers={"Steplog-Maker": "m"}).json()
    assert second["seen"] > first["seen"]
    assert second["date_updated"] == first["date_updated"]
    third = server.ask("PATCH", run, json={"notes": "n"}).json()
    assert third["seen"] > second["seen"]
    server.send(run, range_of([("a", 1)]))
    assert server.ask("GET", run).json()["seen"] > third["seen"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", third["seen"])
