"""Whose status counts: a resume begins a generation of ownership, and what an earlier owner says changes nothing."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from server.batches import range_of
from server.process import ServerProcess
from steplog.delivery.wire import API, CONTENT_TYPE_RANGE
from steplog.journal.range import encode

IDS = itertools.count()
T = [f"2026-01-01T00:00:{second:02}.000000Z" for second in range(60)]


@pytest.fixture
def run(server: ServerProcess) -> str:
    """A run that the process "first" made, which began at T[10]."""
    server.new_run()
    headers = {"Idempotency-Key": f'"id:g{next(IDS)}"', "Steplog-Maker": "first"}
    made = server.ask("POST", "/team/projects/mnist/runs/", json={"began": T[10]}, headers=headers)
    assert made.status_code == 201
    return f"/team/projects/mnist/runs/{made.json()['uuid']}/"


def begin(server: ServerProcess, run: str, maker: str, began: str) -> tuple[int, int]:
    """The answer's status and number."""
    answer = server.ask("POST", f"{run}generations/", json={"began": began}, headers={"Steplog-Maker": maker})
    assert set(answer.json()) == {"generation"}, answer.text
    return answer.status_code, answer.json()["generation"]


def told(server: ServerProcess, run: str, **body: Any) -> dict[str, Any]:
    answer = server.ask("PATCH", run, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_creation_begins_the_first_and_each_resume_the_next(server, run):
    assert server.ask("GET", run).json()["generation"] == 1
    assert begin(server, run, "second", T[20]) == (201, 2)
    assert begin(server, run, "third", T[30]) == (201, 3)
    assert server.ask("GET", run).json()["generation"] == 3


def test_a_resume_sets_the_run_running_and_clears_its_end(server, run):
    before = told(server, run, status="FAILED", generation=1, ended=T[15])
    assert (before["status"], before["ended"]) == ("FAILED", T[15])
    begin(server, run, "second", T[20])
    after = server.ask("GET", run).json()
    assert (after["status"], after["ended"]) == ("RUNNING", None)
    assert after["date_updated"] > before["date_updated"]
    assert after["seen"] > before["seen"]


def test_a_maker_that_asks_again_gets_its_number_and_changes_nothing(server, run):
    assert begin(server, run, "first", T[59]) == (200, 1)
    assert [begin(server, run, "second", T[20]) for _ in range(3)] == [(201, 2), (200, 2), (200, 2)]
    told(server, run, status="COMPLETED", generation=2)
    assert begin(server, run, "second", T[20]) == (200, 2)
    assert server.ask("GET", run).json()["status"] == "COMPLETED"


def test_a_maker_whose_answer_was_lost_does_not_get_the_number_of_its_successor(server, run):
    """Else its status would count as that of the owner after it."""
    begin(server, run, "second", T[20])
    begin(server, run, "third", T[30])
    assert begin(server, run, "second", T[20]) == (200, 2)
    assert told(server, run, status="CRASHED", generation=2)["status"] == "RUNNING"


def test_what_began_earlier_and_comes_late_takes_no_ownership(server, run):
    """An offline run that is delivered after another host has resumed and ended the same run."""
    begin(server, run, "second", T[30])
    told(server, run, status="COMPLETED", generation=2)
    assert begin(server, run, "offline", T[20]) == (200, 1)
    assert told(server, run, status="CRASHED", generation=1)["status"] == "COMPLETED"
    assert server.ask("GET", run).json()["generation"] == 2
    assert begin(server, run, "offline-between", T[29]) == (200, 1)
    begin(server, run, "third", T[40])
    assert begin(server, run, "offline-later", T[35]) == (200, 2)


def test_without_a_time_of_its_own_the_first_began_when_the_run_did(server):
    """A run of a client that sends none, and then one that records when it started."""
    path = server.new_run()
    created = server.ask("GET", path).json()["date_created"]
    assert begin(server, path, "second", T[20]) == (200, 1)
    assert begin(server, path, "second", created) == (201, 2)
    path = server.new_run()
    told(server, path, started=T[10])
    assert begin(server, path, "second", T[9]) == (200, 1)
    assert begin(server, path, "second", T[20]) == (201, 2)


@pytest.mark.parametrize("number", [1, None])
def test_a_status_of_an_earlier_generation_changes_nothing(server, run, number):
    begin(server, run, "second", T[20])
    before = server.ask("GET", run).json()
    sent = {"status": "CRASHED", "ended": T[15], "name": "mine", "generation": number}
    answer = server.ask("PATCH", run, json={name: value for name, value in sent.items() if value is not None})
    assert (answer.status_code, answer.json()) == (200, {name: before[name] for name in answer.json()})
    end = {"ended": T[15]} | ({} if number is None else {"generation": number})
    assert server.ask("PATCH", run, json=end).json() == answer.json()
    after = server.ask("GET", run).json()
    assert after == before


@pytest.mark.parametrize("number", [2, 3])
def test_a_status_of_the_present_generation_counts_or_of_one_that_was_lost_here(server, run, number):
    """A server whose database is an older copy has not heard of the latest."""
    begin(server, run, "second", T[20])
    assert told(server, run, status="COMPLETED", generation=number)["status"] == "COMPLETED"


def test_a_status_without_a_number_counts_in_the_first_generation(server, run):
    assert told(server, run, status="COMPLETED")["status"] == "COMPLETED"


def test_the_killed_owner_that_is_delivered_after_a_resume_leaves_its_records_alone(server, run):
    """It is killed, another host resumes and completes; then the first host delivers what was left."""
    server.send(run, range_of([("loss", 1.0)], writer="a"))
    begin(server, run, "second", T[20])
    server.send(run, range_of([("loss", 0.5)], writer="b"))
    told(server, run, status="COMPLETED", generation=2)
    server.send(run, range_of([("loss", 0.9)], first=1, writer="a"))
    assert told(server, run, status="CRASHED", generation=1)["status"] == "COMPLETED"
    assert [point["value"] for point in server.ask("GET", f"{run}metrics/").json()] == [1.0, 0.5, 0.9]


def test_an_end_that_an_earlier_owner_recorded_does_not_end_the_run_again(server, run):
    begin(server, run, "second", T[20])
    body = encode(range_of([("steplog/run", b'{"ended": "2026-01-01T00:00:15Z"}')], writer="a"))
    headers = {"Content-Encoding": "deflate", "Content-Type": CONTENT_TYPE_RANGE, "Steplog-Generation": "1"}
    assert server.ask("POST", f"{run}metrics/batch/", data=body, headers=headers).status_code == 200
    assert server.ask("GET", run).json()["ended"] is None


def test_of_many_at_once_each_gets_a_number_of_its_own(server, run):
    def start(number: int) -> tuple[int, int]:
        headers = {"Authorization": server.session.headers["Authorization"], "Steplog-Maker": f"m{number}"}
        url = f"{server.url}{API}{run}generations/"
        answer = requests.post(url, json={"began": T[20]}, headers=headers, timeout=30)
        return answer.status_code, answer.json()["generation"]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(start, range(16)))
    assert sorted(answers) == [(201, number) for number in range(2, 18)]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"began"}),
        ({"began": None}, {"began"}),
        ({"began": 1_700_000_000}, {"began"}),
        ({"began": "2026-01-01"}, {"began"}),
        ({"began": "2026-01-01T00:00:00"}, {"began"}),  # of which time zone?
        ([], {"non_field_errors"}),
    ],
)
def test_a_beginning_without_its_time_is_refused(server, run, body, fields):
    answer = server.ask("POST", f"{run}generations/", json=body, headers={"Steplog-Maker": "m"})
    assert (answer.status_code, set(answer.json())) == (400, fields)
    assert server.ask("GET", run).json()["generation"] == 1


def test_a_beginning_without_a_maker_or_of_no_run_is_refused(server, run):
    answer = server.ask("POST", f"{run}generations/", json={"began": T[20]})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Steplog-Maker is required."})
    gone = f"{run.rsplit('/', 2)[0]}/{'0' * 8}-0000-4000-8000-{'0' * 12}/generations/"
    answer = server.ask("POST", gone, json={"began": T[20]}, headers={"Steplog-Maker": "m"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


@pytest.mark.parametrize("number", [0, -1, "x", 1.5, True, 2**31])
def test_a_bad_number_is_refused_and_changes_nothing(server, run, number):
    answer = server.ask("PATCH", run, json={"status": "FAILED", "generation": number})
    assert (answer.status_code, set(answer.json())) == (400, {"generation"})
    assert server.ask("GET", run).json()["status"] == "RUNNING"
