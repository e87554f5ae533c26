"""Projects, as the server answers them."""

from __future__ import annotations

import json
import re

import pytest
import requests
from pytest_httpserver import HTTPServer

from steplog.client import TellurioClient
from steplog.errors import ServerUnavailableError
from steplog.project import Project, create_project, delete_project, get_project

TOLD = {
    "uuid": "c4f1",
    "display_name": "My Project",
    "slug": "my-project",
    "date_created": "2026-01-02T03:04:05Z",
    "last_run_date": None,
    "visibility": "TEAM",
}
PATH = "/api/v0/ada/projects/my-project/"


@pytest.fixture
def client(httpserver: HTTPServer, monkeypatch, tmp_path):
    monkeypatch.setenv("STEPLOG_API_KEY", "a-key")
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    with TellurioClient(httpserver.url_for("")) as made:
        yield made


def test_a_project_is_what_the_server_describes(httpserver, client):
    httpserver.expect_request(PATH, method="GET").respond_with_json({**TOLD, "color": "a field of a later server"})
    project = get_project("ada", "my-project", client)
    assert project == Project(**TOLD)
    assert repr(project) == "Project('my-project', 'My Project', visibility='TEAM', uuid='c4f1')"


def test_one_that_is_unknown_is_none(httpserver, client):
    httpserver.expect_request(PATH).respond_with_json({"detail": "Not found."}, status=404)
    assert get_project("ada", "my-project", client) is None


def test_a_slug_is_one_part_of_the_path_whatever_is_in_it(httpserver, client):
    httpserver.expect_request(re.compile(".*")).respond_with_json({}, status=404)
    get_project("a?b", "c/../../d#e", client)
    assert httpserver.log[0][0].environ["RAW_URI"] == "/api/v0/a%3Fb/projects/c%2F..%2F..%2Fd%23e/"
    with pytest.raises(ValueError, match="cannot be a part"):
        get_project("..", "x", client)


def test_a_new_project_is_of_the_team_unless_said_otherwise(httpserver, client):
    created = {**TOLD, "role": "OWNER", "org_uuid": "o1", "org_display_name": "Ada", "org_slug": "ada"}
    httpserver.expect_request("/api/v0/ada/projects/", method="POST").respond_with_json(created, status=201)
    assert create_project("ada", "My Project", client=client).role == "OWNER"
    create_project("ada", "My Project", "RESTRICTED", client)
    assert [json.loads(request.get_data()) for request, _ in httpserver.log] == [
        {"display_name": "My Project", "visibility": "TEAM"},
        {"display_name": "My Project", "visibility": "RESTRICTED"},
    ]


def test_a_project_is_deleted(httpserver, client):
    httpserver.expect_request(PATH, method="DELETE").respond_with_data("", status=204)
    assert delete_project("ada", "my-project", client) is None
    assert httpserver.log[0][0].method == "DELETE"


def test_a_refusal_raises_with_the_words_of_the_server(httpserver, client):
    httpserver.expect_request("/api/v0/ada/projects/").respond_with_json({"visibility": ["not a choice"]}, status=400)
    with pytest.raises(
        requests.HTTPError, match="400 for POST /api/v0/ada/projects/: visibility: not a choice"
    ) as raised:
        create_project("ada", "x", "SECRET", client)
    assert raised.value.response.status_code == 400
    httpserver.expect_request(PATH).respond_with_json({"detail": "Not found."}, status=404)
    with pytest.raises(requests.HTTPError, match=r"404 .*Not found\."):
        delete_project("ada", "my-project", client)


@pytest.mark.parametrize("status", [302, 401, 403, 500, 503])
def test_only_a_success_is_one(httpserver, client, status):
    httpserver.expect_request(PATH).respond_with_data("", status=status, headers={"Location": "/elsewhere"})
    for ask in (get_project, delete_project):
        with pytest.raises(requests.HTTPError, match=str(status)):
            ask("ada", "my-project", client)


@pytest.mark.parametrize("body", ["<html>Log in to the network</html>", "", "[]", '{"slug": "x"}', "null"])
def test_a_success_that_describes_no_project_is_no_answer(httpserver, client, body):
    httpserver.expect_request(PATH).respond_with_data(body)
    with pytest.raises(ServerUnavailableError, match="describes no project"):
        get_project("ada", "my-project", client)


def test_without_a_client_it_is_the_default_one(httpserver, client, monkeypatch):
    monkeypatch.setenv("STEPLOG_URL", httpserver.url_for(""))
    httpserver.expect_request(PATH).respond_with_json(TOLD)
    assert get_project("ada", "my-project") == Project(**TOLD)
