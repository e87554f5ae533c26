"""Every route of a project, asked for by who has each role there: as ``docs/team.md`` says, and not a bit more."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from starlette.routing import Route

from server.contents import MemoryContents
from server.file_server import FileServer, new_id
from server.permission_table import CELLS, PROJECT, REQUESTS, RUN, VIEW, Cell, may, role_of
from server.process import ServerProcess
from steplog.delivery.wire import API
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.endpoint import Endpoint
from steplog.server.keys import hash_key
from steplog.server.open_store import open_store
from steplog.server.permissions import VISIBILITIES, Right
from steplog.server.store import Store
from steplog.server.store_types import KeyTerms

NO_RUN = "00000000-0000-4000-8000-000000000000"


@functools.cache
def routes() -> dict[tuple[str, str], Right]:
    """What each method of each path of the API takes."""
    app = create_app(
        cast(Any, SimpleNamespace(instance="i")), cast(Any, None), hosts=AllowedHosts(1), contents=MemoryContents()
    )
    return {
        (method, route.path.removeprefix(API).replace(":path}", "}")): right
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith(f"{API}/")
        for method, right in cast("type[Endpoint]", route.endpoint).rights.items()
    }


def test_every_route_of_a_project_takes_a_right_and_is_tried():
    of_projects = {route: right for route, right in routes().items() if "{project}" in route[1]}
    assert of_projects.keys() == REQUESTS.keys()
    assert all(right.takes is not None for right in of_projects.values())


def test_an_endpoint_that_does_not_state_a_right_is_none():
    with pytest.raises(TypeError, match="must state the right"):

        class _Forgetful(Endpoint, get=Right.READ):
            async def get(self, _request: Any) -> Any: ...

            async def delete(self, _request: Any) -> Any: ...


class Team:
    """A namespace with a project of each visibility, and a user for each two roles."""

    def __init__(self, server: ServerProcess, store: Store) -> None:
        self.server = server
        self.store = store
        self._missing: dict[tuple[str, str], requests.Response] = {}
        self.namespace = store.put_namespace("team").result()
        for visibility in VISIBILITIES:
            self.make(visibility)

    def make(self, visibility: str) -> None:
        """A project with a run and a view, and with each user that has a role in it."""
        body = {"display_name": visibility, "visibility": visibility}
        made = self.server.ask("POST", "/team/projects/", json=body)
        assert made.status_code == 201, made.text
        project = self.store.project("team", visibility.lower())
        assert project is not None
        for cell in CELLS:
            if cell.visibility == visibility:
                user = self.store.add_user(self.name(cell)).result()
                for where, role in ((None, cell.in_namespace), (project, cell.in_project)):
                    if role is not None:
                        self.store.put_member(self.namespace, where, user, role).result()

    def name(self, cell: Cell) -> str:
        return f"{cell.in_namespace or 'no'}-{cell.in_project or 'no'}".lower()

    def key(self, name: str, terms: KeyTerms | None = None) -> str:
        key = f"key of {name}".replace(" ", "-")
        if not self.store.keys_of_hashes([hash_key(key)]):
            self.store.issue_key(name, hash_key(key), "", terms or KeyTerms()).result()
        return key

    def ask(self, method: str, path: str, key: str, **arguments: Any) -> requests.Response:
        headers = arguments.pop("headers", {}) | {"Authorization": f"Api-Key {key}"}
        return self.server.ask(method, path, headers=headers, **arguments)

    def missing(self, route: tuple[str, str], key: str, places: dict[str, str]) -> requests.Response:
        """The answer of a route of a project that is not there; asked for once."""
        if route not in self._missing:
            path = route[1].format(**places | {"project": "none"})
            self._missing[route] = self.ask(route[0], path, key, **REQUESTS[route])
        return self._missing[route]

    def places(self, visibility: str) -> dict[str, str]:
        """What is in the project now, made anew where it is not there."""
        path = f"/team/projects/{visibility.lower()}/"
        if self.server.ask("GET", path).status_code == 404:
            self.make(visibility)
        runs = self.server.ask("GET", f"{path}runs/").json()
        views = self.server.ask("GET", f"{path}views/").json()
        if not runs:
            runs = [self.server.ask("POST", f"{path}runs/", json={}).json()]
        if not views:
            views = [self.server.ask("POST", f"{path}views/", json={"name": "one", "address": ""}).json()]
        return {
            "namespace": "team",
            "project": visibility.lower(),
            "run": runs[0]["uuid"],
            "view": views[0]["uuid"],
            **self._files(f"{path}runs/{runs[0]['uuid']}/"),
        }

    def _files(self, run: str) -> dict[str, str]:
        """A file of the run, and one of an artifact."""
        files = FileServer(self.server.url)
        sha256, artifact = files.send(run, b"file"), new_id()
        entry = {"id": new_id(), "sha256": sha256, "size": 4}
        told = {"id": artifact, "name": "model", "type": "model", "digest": sha256, "count": 1}
        of_artifact = entry | {"id": new_id(), "path": "a/b.bin", "artifact": artifact}
        files.announce(run, files=[entry, of_artifact], artifacts=[told])
        return {"file": str(entry["id"]), "sha256": sha256, "name": "model", "version": "latest", "path": "a/b.bin"}


@pytest.fixture(scope="module")
def team(server: ServerProcess) -> Iterator[Team]:
    with closing(open_store(server.place, beside=True)) as store:
        yield Team(server, store)


def check(team: Team, cell: Cell, route: tuple[str, str], places: dict[str, str]) -> None:
    """Ask for a route as the user of a cell, and for the same of a project that is not there."""
    method, path = route
    key = team.key(team.name(cell))
    answer = team.ask(method, path.format(**places), key, **REQUESTS[route])
    role, right = role_of(cell), routes()[route]
    told = f"{route} as {cell}: {answer.status_code} {answer.text[:200]}"
    if role is None:
        missing = team.missing(route, key, places)
        assert (answer.status_code, answer.content) == (missing.status_code, missing.content), told
        assert answer.status_code == 404, told
        assert answer.headers.keys() == missing.headers.keys(), told
    elif may(role, right):
        assert answer.status_code not in (401, 403, 404), told
        assert answer.status_code < 500, told
    else:
        assert (answer.status_code, "You have the role" in answer.json()["detail"]) == (403, True), told


CHANGING = {("DELETE", PROJECT), ("DELETE", RUN), ("DELETE", VIEW)}
FEW = [route for route in REQUESTS if route in {("GET", RUN), ("POST", RUN + "metrics/batch/"), ("PATCH", PROJECT)}]


def test_reading_writing_and_owning_take_the_roles_that_the_document_says(team):
    for visibility in VISIBILITIES:
        places = team.places(visibility)
        for cell in CELLS:
            if cell.visibility == visibility and cell.in_project in (None, "MEMBER"):
                for route in FEW:
                    check(team, cell, route, places)


@pytest.mark.slow
@pytest.mark.parametrize("route", REQUESTS, ids=" ".join)
def test_each_route_takes_the_roles_that_the_document_says(team, route):
    places: dict[str, str] = {}
    for cell in CELLS:
        if route in CHANGING or places.get("project") != cell.visibility.lower():
            places = team.places(cell.visibility)
        check(team, cell, route, places)
