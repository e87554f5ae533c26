"""Which run a request to create one makes or finds: by key, id, uuid or name, and what ``Steplog-Resume`` says."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from server.process import ServerProcess

NAMES = itertools.count()


@pytest.fixture
def project(server: ServerProcess) -> str:
    """The path of the runs of a project that has none."""
    name = f"identity-{next(NAMES)}"
    server.ask("POST", "/team/projects/", json={"display_name": name, "visibility": "TEAM"})
    return f"/team/projects/{name}/runs/"


def ask(
    server: ServerProcess,
    runs: str,
    *,
    key: str | None = None,
    maker: str | None = None,
    resume: str | None = None,
    **body: Any,
) -> requests.Response:
    headers = {"Idempotency-Key": key and f'"{key}"', "Steplog-Maker": maker, "Steplog-Resume": resume}
    return server.ask("POST", runs, json=body, headers={name: text for name, text in headers.items() if text})


def test_an_id_is_unique_in_its_project_and_shown(server, project):
    made = ask(server, project, key="id:a.b-c_1", maker="m1", resume="never")
    assert (made.status_code, made.json()["id"], made.json()["made_by"]) == (201, "a.b-c_1", "m1")
    refused = ask(server, project, key="id:a.b-c_1", maker="m2", resume="never")
    told = {"detail": "There is a run with the id a.b-c_1 in this project.", "uuid": made.json()["uuid"]}
    assert (refused.status_code, refused.json()) == (409, told | {"name": made.json()["name"]})
    server.ask("POST", "/team/projects/", json={"display_name": "another", "visibility": "TEAM"})
    elsewhere = ask(server, "/team/projects/another/runs/", key="id:a.b-c_1", maker="m2", resume="never")
    assert (elsewhere.status_code, elsewhere.json()["id"]) == (201, "a.b-c_1")
    assert len(server.ask("GET", project).json()) == 1


def test_the_maker_that_asks_again_gets_its_run_though_it_must_not_exist(server, project):
    """Its first answer was lost."""
    for key in ("id:mine", "0123456789abcdef"):
        asked = [ask(server, project, key=key, maker="m1", resume="never", name=key[-4:]) for _ in range(3)]
        assert [answer.status_code for answer in asked] == [201, 200, 200]
        assert asked[0].json() == asked[1].json() == asked[2].json()
        assert ask(server, project, key=key, maker="m2", resume="never").status_code == 409
        assert ask(server, project, key=key, resume="never").status_code == 409


def test_a_run_without_a_maker_exists_for_everybody(server, project):
    ask(server, project, key="id:old")
    assert ask(server, project, key="id:old", resume="never").status_code == 409
    assert ask(server, project, key="id:old", maker="m1", resume="never").status_code == 409
    assert ask(server, project, key="id:old").status_code == 200


def test_resuming_by_id_takes_the_run_up_or_makes_it(server, project):
    missing = ask(server, project, key="id:x", maker="m1", resume="must")
    assert (missing.status_code, missing.json()) == (404, {"detail": "There is no run with the id x in this project."})
    made = ask(server, project, key="id:x", maker="m1", resume="allow", name="first")
    assert (made.status_code, made.json()["name"]) == (201, "first")
    for resume, maker in itertools.product(("allow", "must"), ("m1", "m2")):
        found = ask(server, project, key="id:x", maker=maker, resume=resume, name="second")
        assert (found.status_code, found.json()) == (200, made.json())


def test_the_uuid_of_a_run_is_an_id_of_it(server, project):
    made = ask(server, project, key="random-1", name="first").json()
    for resume, status in (("allow", 200), ("must", 200), ("never", 409), (None, 200)):
        found = ask(server, project, key=f"id:{made['uuid']}", maker="m2", resume=resume)
        assert (found.status_code, found.json()["uuid"]) == (status, made["uuid"])
    elsewhere = ask(server, "/team/projects/identity-0/runs/", key=f"id:{made['uuid']}", resume="must")
    assert elsewhere.status_code == 404


def test_a_name_without_an_id_is_looked_for_only_to_resume(server, project):
    made = ask(server, project, key="random-1", maker="m1", name="best").json()
    for resume, status in (("allow", 200), ("must", 200), ("never", 409)):
        found = ask(server, project, key=f"random-{resume}", maker="m2", resume=resume, name="best")
        assert (found.status_code, found.json()["uuid"]) == (status, made["uuid"])
    suffixed = ask(server, project, key="random-2", maker="m2", name="best")
    assert (suffixed.status_code, suffixed.json()["name"]) == (201, "best_1")
    by_id = ask(server, project, key="id:best", maker="m2", resume="allow", name="best")
    assert (by_id.status_code, by_id.json()["name"], by_id.json()["id"]) == (201, "best_2", "best")
    missing = ask(server, project, key="random-3", resume="must", name="worst")
    assert (missing.status_code, missing.json()) == (404, {"detail": "There is no run named worst in this project."})
    made = ask(server, project, key="random-3", resume="allow", name="worst")
    assert (made.status_code, made.json()["name"]) == (201, "worst")
    assert ask(server, project, key="random-4", resume="must").status_code == 404


def test_a_run_that_was_renamed_is_not_found_by_its_old_name(server, project):
    made = ask(server, project, name="before").json()
    assert server.ask("PATCH", f"{project}{made['uuid']}/", json={"name": "after"}).json()["name"] == "after"
    assert ask(server, project, resume="must", name="before").status_code == 404
    assert ask(server, project, resume="must", name="after").json()["uuid"] == made["uuid"]


@pytest.mark.parametrize("resume", ["allow", "never", None])
def test_many_requests_at_once_with_one_id_make_one_run(server, project, resume):
    def make(number: int) -> tuple[int, str]:
        answer = requests.post(
            f"{server.url}/api/v0{project}",
            json={"name": f"n{number}"},
            headers={
                "Authorization": server.session.headers["Authorization"],
                "Idempotency-Key": '"id:one"',
                "Steplog-Maker": f"m{number}",
            }
            | ({"Steplog-Resume": resume} if resume else {}),
            timeout=30,
        )
        return answer.status_code, answer.json()["uuid"]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(make, range(16)))
    assert sorted(status for status, _ in answers) == sorted([201] + [409 if resume == "never" else 200] * 15)
    assert len({found for _, found in answers}) == len(server.ask("GET", project).json()) == 1


@pytest.mark.parametrize(
    ("header", "text"),
    [
        *(("Idempotency-Key", f'"id:{bad}"') for bad in ("", "a b", "a/b", "ä".encode(), "x" * 129, "id:x")),
        *(("Steplog-Maker", bad) for bad in ("", "a b", "x" * 129)),
        *(("Steplog-Resume", bad) for bad in ("", "ALLOW", "always", "allow, must")),
    ],
)
def test_a_bad_header_is_refused_and_makes_no_run(server, project, header, text):
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    answer = server.ask("POST", project, json={}, headers={header: text})
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    assert server.ask("GET", project).json() == []


def test_the_longest_id_and_the_longest_maker_are_taken(server, project):
    made = ask(server, project, key=f"id:{'x' * 128}", maker="m" * 128)
    assert (made.status_code, made.json()["id"], made.json()["made_by"]) == (201, "x" * 128, "m" * 128)
