"""Saved views over HTTP (docs/api.md): who may save them, and what they may be."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from server.process import ServerProcess
from steplog import instance

VIEWS = "/team/projects/viewed/views/"
ONE = {"name": "one", "address": "?smoothing=0.6&metrics=loss"}


@pytest.fixture(scope="module")
def viewed(server: ServerProcess) -> ServerProcess:
    made = {"display_name": "viewed", "visibility": "TEAM"}
    assert server.ask("POST", "/team/projects/", json=made).status_code == 201
    return server


def by_page(server: ServerProcess, method: str, path: str, **arguments: Any) -> requests.Response:
    state = instance.read(server.state)
    assert state is not None
    headers = {"Authorization": f"Page-Token {state.page_token}", "Sec-Fetch-Site": "same-origin"}
    return server.ask(method, path, headers=headers, **arguments)


def test_a_view_is_saved_read_by_anyone_renamed_and_deleted(viewed):
    made = viewed.ask("POST", VIEWS, json=ONE)
    assert made.status_code == 201
    view = made.json()
    assert {name: view[name] for name in ONE} == ONE
    assert view["user"]["username"] == viewed.ask("GET", "/verify-api-key/").json()["username"]
    assert by_page(viewed, "GET", VIEWS).json() == [view]
    path = f"{VIEWS}{view['uuid']}/"
    renamed = viewed.ask("PATCH", path, json={"name": "two"}).json()
    assert (renamed["name"], renamed["address"]) == ("two", ONE["address"])
    emptied = viewed.ask("PATCH", path, json={"address": ""}).json()
    assert (emptied["name"], emptied["address"]) == ("two", "")
    assert viewed.ask("DELETE", path).status_code == 204
    assert viewed.ask("GET", VIEWS).json() == []
    assert viewed.ask("DELETE", path).status_code == 404


def test_who_reads_saves_nothing(viewed):
    view = viewed.ask("POST", VIEWS, json={"name": "kept", "address": ""}).json()
    path = f"{VIEWS}{view['uuid']}/"
    for method, asked in (("POST", VIEWS), ("PATCH", path), ("DELETE", path)):
        assert by_page(viewed, method, asked, json={"name": "x", "address": ""}).status_code == 403
    assert viewed.ask("GET", VIEWS).json() == [view]
    viewed.ask("DELETE", path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"address": None}, "address"),
        ({"address": "x=time"}, "address"),
        ({"address": "javascript:alert(1)"}, "address"),
        ({"address": "//elsewhere.example/"}, "address"),
        ({"address": ["?x=time"]}, "address"),
        ({"address": "?" + "x" * 65_536}, "address"),
        ({"address": "?" + "é" * 32_768}, "address"),
    ],
)
def test_what_is_no_view_is_refused_by_its_field(viewed, change, field):
    answer = viewed.ask("POST", VIEWS, json=ONE | change)
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert viewed.ask("GET", VIEWS).json() == []


def test_the_longest_view_there_may_be_is_kept_as_it_is(viewed):
    longest = {"name": "é" * 256, "address": "?" + "x" * 65_535}
    view = viewed.ask("POST", VIEWS, json=longest).json()
    assert {name: view[name] for name in longest} == longest
    assert viewed.ask("GET", VIEWS).json() == [view]
    taken = viewed.ask("POST", VIEWS, json=ONE | {"name": longest["name"]})
    assert (taken.status_code, taken.json()) == (400, {"name": ["The project has a view of this name."]})
    viewed.ask("DELETE", f"{VIEWS}{view['uuid']}/")
