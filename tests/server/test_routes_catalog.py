"""Keys, projects and runs answer as the API says (docs/api.md)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROJECT_FIELDS = {"uuid", "display_name", "slug", "date_created", "last_run_date", "visibility"}
ORGANIZATION_FIELDS = {"role", "org_uuid", "org_display_name", "org_slug"}
RUN_FIELDS = {"uuid", "name", "description", "status", "date_created", "date_updated", "project", "user"} | {
    *(
        "id",
        "made_by",
        "generation",
        "generation_began",
        "tags",
        "group",
        "job_type",
        "notes",
        "started",
        "ended",
        "seen",
        "last_point",
        "files_pending",
    ),
    *("provenance", "report", "config"),
}
FEATURES = ["report", "generations", "resume", "run", "trash", "table", "history", "curves", "views", "files"]


def test_a_good_key_is_told_whose_it_is(server):
    answer = server.ask("GET", "/verify-api-key/")
    assert (answer.status_code, set(answer.json())) == (200, {"email", "username", "message"})


@pytest.mark.parametrize("header", [None, "", "Api-Key", "Api-Key ", "Api-Key wrong", "Bearer a-key-of-the-tests"])
@pytest.mark.parametrize("path", ["/verify-api-key/", "/team/projects/", "/nowhere/"])
def test_without_the_key_every_path_answers_401(server, header, path):
    headers = {} if header is None else {"Authorization": header}
    answer = requests.get(f"{server.url}/api/v0{path}", headers=headers, timeout=30)
    assert (answer.status_code, list(answer.json())) == (401, ["detail"])
    assert answer.headers["WWW-Authenticate"] == "Api-Key"


def test_a_project_is_made_read_listed_and_deleted(server):
    made = server.ask("POST", "/fresh/projects/", json={"display_name": "My Project", "visibility": "RESTRICTED"})
    assert made.status_code == 201
    project = made.json()
    assert set(project) == PROJECT_FIELDS | ORGANIZATION_FIELDS
    assert (project["slug"], project["role"], project["org_slug"]) == ("my-project", "OWNER", "fresh")
    assert UUID.fullmatch(project["uuid"])
    assert DATE.fullmatch(project["date_created"])
    read = server.ask("GET", "/fresh/projects/my-project/")
    known = {name: project[name] for name in (*PROJECT_FIELDS, "role")} | {"retention_days": None}
    assert (read.status_code, read.json()) == (200, known)
    nothing = {"runs": 0, "running": 0, "seen": None}
    assert server.ask("GET", "/fresh/projects/").json() == [read.json() | nothing]
    run = server.new_run("fresh", "my-project")
    assert DATE.fullmatch(server.ask("GET", "/fresh/projects/my-project/").json()["last_run_date"])
    gone = server.ask("DELETE", "/fresh/projects/my-project/")
    assert (gone.status_code, gone.content) == (204, b"")
    for path in ("/fresh/projects/my-project/", run, f"{run}metrics/"):
        answer = server.ask("GET", path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
    assert server.ask("DELETE", "/fresh/projects/my-project/").status_code == 404


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"display_name", "visibility"}),
        ({"display_name": "x", "visibility": "SECRET"}, {"visibility"}),
        ({"display_name": "", "visibility": "TEAM"}, {"display_name"}),
        ({"display_name": "!!!", "visibility": "TEAM"}, {"display_name"}),
        ({"display_name": 7, "visibility": ["TEAM"]}, {"display_name", "visibility"}),
        ({"display_name": "x" * 300, "visibility": None}, {"display_name", "visibility"}),
        ([], {"non_field_errors"}),
        ("x", {"non_field_errors"}),
    ],
)
def test_a_bad_project_is_refused_field_by_field(server, body, fields):
    answer = server.ask("POST", "/team/projects/", json=body)
    assert (answer.status_code, set(answer.json())) == (400, fields)
    assert all(isinstance(reason, str) for reasons in answer.json().values() for reason in reasons)


def test_a_project_of_the_same_name_is_refused(server):
    for status in (201, 400):
        answer = server.ask("POST", "/team/projects/", json={"display_name": "Twice", "visibility": "OPEN"})
        assert answer.status_code == status
    assert set(answer.json()) == {"display_name"}


def test_unknown_namespaces_and_projects_are_not_found(server):
    for path in ("/nobody/projects/", "/nobody/projects/x/", "/team/projects/x/", "/team/projects/x/runs/"):
        assert server.ask("GET", path).status_code == 404
    assert server.ask("POST", "/team/projects/x/runs/", json={}).status_code == 404
    answer = server.ask("POST", "/not a slug/projects/", json={"display_name": "x", "visibility": "TEAM"})
    assert answer.status_code == 404


def test_a_run_is_made_read_and_its_status_set(server, run):
    runs = run.rsplit("/", 2)[0] + "/"
    made = server.ask("POST", runs, json={"name": "first", "description": "d", "status": "RUNNING"})
    assert made.status_code == 201
    fields = made.json()
    assert set(fields) == RUN_FIELDS | {"batch", "features"}
    assert (fields["batch"], fields["features"], fields["report"]) == (1, FEATURES, None)
    assert (fields["status"], fields["description"]) == ("RUNNING", "d")
    empty = ("id", "made_by", "group", "job_type", "notes", "ended", "provenance", "report")
    assert [fields[field] for field in empty] == [None] * len(empty)
    assert (fields["generation"], fields["tags"], fields["config"]) == (1, [], {})
    assert fields["started"] == fields["seen"] == fields["date_created"]
    assert set(fields["project"]) == {"uuid", "display_name", "slug"}
    assert set(fields["user"]) == {"uuid", "username", "slug"}
    path = f"{runs}{fields['uuid']}/"
    read = server.ask("GET", path)
    assert (read.status_code, read.json()) == (200, fields)
    set_ = server.ask("PATCH", path, json={"status": "COMPLETED"})
    assert (set_.status_code, set(set_.json())) == (200, RUN_FIELDS)
    assert set_.json()["status"] == "COMPLETED"
    assert set_.json()["date_updated"] > fields["date_updated"]
    assert server.ask("PATCH", path, json={"status": "DONE"}).json() == {"status": ['"DONE" is not a valid choice.']}
    assert server.ask("GET", path).json()["status"] == "COMPLETED"


def report(**changes: Any) -> dict[str, Any]:
    return {"dropped": {"memory full": 1_132_772}, "abandoned": 3, "lost": 0, "rejected": 1} | changes


def test_a_report_is_kept_with_the_run_with_a_status_or_without_one(server, run):
    sent = report()
    answer = server.ask("PATCH", run, json={"status": "COMPLETED", "report": sent})
    assert (answer.status_code, answer.json()["status"], answer.json()["report"]) == (200, "COMPLETED", sent)
    for body in ({"status": "FAILED"}, {"report": None}, {}):
        assert server.ask("PATCH", run, json=body).json()["report"] == sent
    later = report(dropped={}, lost=None) | {"of a later version": [1]}
    answer = server.ask("PATCH", run, json={"report": later})
    kept = report(dropped={}, lost=None)
    assert (answer.status_code, answer.json()["status"], answer.json()["report"]) == (200, "FAILED", kept)
    assert server.ask("GET", run).json()["report"] == kept
    runs = run.rsplit("/", 2)[0] + "/"
    uuid = run.rsplit("/", 2)[1]
    assert [other["report"] for other in server.ask("GET", runs).json() if other["uuid"] == uuid] == [kept]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        [],
        "none",
        7,
        {"dropped": {}, "abandoned": 0, "lost": 0},
        report(abandoned=-1),
        report(abandoned=None),
        report(abandoned=1.5),
        report(rejected="1"),
        report(lost=True),
        report(lost=2**53),
        report(lost=10**400),
        report(dropped=None),
        report(dropped={"memory full": None}),
        report(dropped={"memory full": {}}),
        report(dropped={"": 1}),
        report(dropped={"x" * 129: 1}),
        report(dropped={f"reason {number}": 1 for number in range(33)}),
    ],
)
def test_a_bad_report_is_refused_and_changes_nothing(server, run, sent):
    before = server.ask("GET", run).json()
    answer = server.ask("PATCH", run, json={"status": "FAILED", "report": sent})
    assert (answer.status_code, set(answer.json())) == (400, {"report"})
    assert server.ask("GET", run).json() == before


def test_the_largest_report_is_taken(server, run):
    sent = report(dropped={f"{number:03}{'ü' * 125}": 2**53 - 1 for number in range(32)}, lost=2**53 - 1)
    assert server.ask("PATCH", run, json={"report": sent}).json()["report"] == sent


def test_a_run_without_a_name_gets_one_and_a_taken_name_gets_a_number(server, run):
    runs = run.rsplit("/", 2)[0] + "/"
    assert re.fullmatch(r"[a-z]+_[a-z]+_\d{3}", server.ask("POST", runs, json={}).json()["name"])
    names = [server.ask("POST", runs, json={"name": "same"}).json()["name"] for _ in range(3)]
    assert names == ["same", "same_1", "same_2"]
    assert server.ask("POST", runs).status_code == 201
    for body in ({"name": ""}, {"name": 1}, {"status": "x"}, {"description": {}}, {"name": "x" * 257}):
        assert set(server.ask("POST", runs, json=body).json()) == set(body)


def test_runs_are_listed_oldest_first_and_in_pages_when_asked(server):
    server.new_run("team", "pages")
    for _ in range(4):
        server.new_run("team", "pages")
    runs = server.ask("GET", "/team/projects/pages/runs/").json()
    assert len(runs) == 5
    assert [run["date_created"] for run in runs] == sorted(run["date_created"] for run in runs)
    assert server.ask("GET", "/team/projects/pages/runs/?limit=2&after=1").json() == runs[1:3]
    assert server.ask("GET", f"/team/projects/pages/runs/?limit=2&after={runs[1]['uuid']}").json() == runs[2:4]
    unknown = server.ask("GET", "/team/projects/pages/runs/?after=00000000-0000-4000-8000-000000000000")
    assert (unknown.status_code, unknown.json()) == (400, {"after": ["The project has no such run."]})
    assert server.ask("GET", "/team/projects/pages/runs/?after=4").json() == runs[4:]
    for query in ("limit=0", "limit=x", "after=-1", "limit=1e3", "after=" + "9" * 30):
        assert server.ask("GET", f"/team/projects/pages/runs/?{query}").status_code == 400


def test_the_same_idempotency_key_gives_the_same_run(server, run):
    runs = run.rsplit("/", 2)[0] + "/"
    headers = {"Idempotency-Key": '"0123456789abcdef"'}

    def make(_: int) -> tuple[int, str]:
        answer = requests.post(
            f"{server.url}/api/v0{runs}",
            json={"name": "once"},
            headers=headers | {"Authorization": server.session.headers["Authorization"]},
            timeout=30,
        )
        return answer.status_code, answer.text

    with ThreadPoolExecutor(8) as threads:
        statuses, texts = zip(*threads.map(make, range(16)), strict=True)
    assert (sorted(statuses), len(set(texts))) == ([200] * 15 + [201], 1)
    assert server.ask("POST", runs, json={}, headers={"Idempotency-Key": '"other"'}).text not in texts
    assert server.ask("POST", runs, json={}, headers={"Idempotency-Key": "x" * 300}).status_code == 400


def test_the_same_idempotency_key_in_two_projects_makes_a_run_in_each(server):
    headers = {"Idempotency-Key": '"one-key"'}
    made = {}
    for project in ("keyed-one", "keyed-two"):
        server.ask("POST", "/team/projects/", json={"display_name": project, "visibility": "TEAM"})
        asked = [server.ask("POST", f"/team/projects/{project}/runs/", json={}, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in asked] == [201, 200]
        assert asked[0].json() == asked[1].json()
        made[project] = asked[0].json()
    assert made["keyed-one"]["uuid"] != made["keyed-two"]["uuid"]
    for project, run in made.items():
        assert run["project"]["slug"] == project
        listed = server.ask("GET", f"/team/projects/{project}/runs/").json()
        assert [other["uuid"] for other in listed] == [run["uuid"]]


def test_methods_paths_and_bodies_that_do_not_fit_are_refused_as_django_would(server, run):
    answer = server.ask("PUT", run, json={})
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "PUT" not allowed.'})
    assert set(re.split(r", ", answer.headers["Allow"])) >= {"GET", "PATCH"}
    answer = server.ask("GET", "/verify-api-key", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"{server.url}/api/v0/verify-api-key/")
    assert server.ask("GET", "/no/such/path/").json() == {"detail": "Not found."}
    answer = server.ask("PATCH", run, data=b"status=COMPLETED", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, list(answer.json())) == (415, ["detail"])
    for body in (b"{", b'{"status": NaN}', b"\xff", b'{"a":' * 100_000, b"[" * 100_000):
        answer = server.ask("PATCH", run, data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert next(iter(answer.json())) in ("detail", "non_field_errors")
