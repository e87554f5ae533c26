"""What is hidden from somebody is not in a list, not in an answer about something else, and not made by them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
import requests

from polling import wait_until
from server.asgi import asked
from server.process import KEY, ServerProcess
from steplog import instance
from steplog.delivery.wire import API
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.keys import Keyring, hash_key
from steplog.server.open_store import open_store
from steplog.server.store import Store
from steplog.server.store_types import KeyTerms, ProjectRow

NO_RUN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def beside(server: ServerProcess) -> Iterator[Store]:
    with closing(open_store(server.place, beside=True)) as store:
        yield store


class Someone:
    """A user with a key, who asks."""

    def __init__(self, server: ServerProcess, store: Store, name: str, terms: KeyTerms | None = None) -> None:
        self.server = server
        self.name = name
        self.key = f"{name}-{id(self)}"
        self.row = store.add_user(name).result()
        store.issue_key(name, hash_key(self.key), "", terms or KeyTerms()).result()

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = arguments.pop("headers", {}) | {"Authorization": f"Api-Key {self.key}"}
        return self.server.ask(method, path, headers=headers, **arguments)

    def status(self, method: str, path: str, **arguments: Any) -> int:
        return self.ask(method, path, **arguments).status_code

    def namespaces(self) -> list[str]:
        return [each["slug"] for each in self.ask("GET", "/namespaces/").json()]


def made(server: ServerProcess, store: Store, namespace: str, name: str, visibility: str = "RESTRICTED") -> ProjectRow:
    """A project of the server's own user."""
    body = {"display_name": name, "visibility": visibility}
    answer = server.ask("POST", f"/{namespace}/projects/", json=body)
    assert answer.status_code == 201, answer.text
    project = store.project(namespace, name)
    assert project is not None
    return project


def test_lists_have_what_may_be_read(server, beside):
    for namespace, name, visibility in (
        ("lists-a", "hidden", "RESTRICTED"),
        ("lists-b", "hidden", "RESTRICTED"),
        ("lists-b", "shown", "RESTRICTED"),
        ("lists-b", "public", "PUBLIC"),
    ):
        made(server, beside, namespace, name, visibility)
    bob = Someone(server, beside, "bob")
    beside.put_member(beside.namespace("lists-b"), beside.project("lists-b", "shown"), bob.row, "READER").result()
    assert {"bob", "lists-b"} <= set(bob.namespaces())
    assert "lists-a" not in bob.namespaces()
    listed = bob.ask("GET", "/lists-b/projects/").json()
    assert [(each["slug"], each["role"]) for each in listed] == [("shown", "READER"), ("public", "READER")]
    hidden, missing = (bob.ask("GET", f"/{name}/projects/") for name in ("lists-a", "nowhere"))
    assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content) == (404, missing.content)
    assert bob.ask("GET", "/bob/projects/").json() == []
    assert {each["role"] for each in server.ask("GET", "/lists-b/projects/").json()} == {"OWNER"}
    state = instance.read(server.state)
    assert state is not None
    page = server.ask("GET", "/lists-b/projects/", headers={"Authorization": f"Page-Token {state.page_token}"}).json()
    assert [(each["slug"], each["role"]) for each in page] == [
        *(("hidden", "READER"), ("shown", "READER"), ("public", "READER")),
    ]


def test_projects_are_made_by_owners_and_members_of_a_namespace(server, beside):
    made(server, beside, "making", "secret")
    body = {"display_name": "secret", "visibility": "TEAM"}
    users = {role: Someone(server, beside, f"making-{role}".lower()) for role in ("none", "READER", "MEMBER", "OWNER")}
    for role in ("READER", "MEMBER", "OWNER"):
        beside.put_member(beside.namespace("making"), None, users[role].row, role).result()
    for name in ("secret", "free"):
        asked = body | {"display_name": name}
        assert users["none"].status("POST", "/making/projects/", json=asked) == 404, "whether the name is taken or not"
        assert users["READER"].status("POST", "/making/projects/", json=asked) == 403
    taken = [users[role].ask("POST", "/making/projects/", json=body) for role in ("MEMBER", "OWNER")]
    assert [(each.status_code, list(each.json())) for each in taken] == [(400, ["display_name"])] * 2
    assert taken[0].content == taken[1].content
    own = users["MEMBER"].ask("POST", "/making/projects/", json=body | {"display_name": "own"})
    assert (own.status_code, own.json()["role"]) == (201, "OWNER")
    assert users["MEMBER"].status("DELETE", "/making/projects/own/") == 204
    assert users["none"].status("POST", "/nowhere/projects/", json=body) == 404
    assert server.ask("GET", "/nowhere/projects/").status_code == 404, "nor was the namespace made"
    assert users["none"].status("POST", "/making-none/projects/", json=body) == 201


def test_runs_of_a_hidden_project_are_no_answer_to_questions_about_another(server, beside):
    made(server, beside, "answers", "hidden")
    eve = Someone(server, beside, "eve")
    own = eve.ask("POST", "/eve/projects/", json={"display_name": "own", "visibility": "TEAM"})
    assert own.status_code == 201
    run = server.new_run("answers", "hidden")
    uuid = run.split("/")[-2]
    assert server.ask("POST", f"{run}metrics/", json={"name": "loss", "value": 0.5}).status_code == 201
    project = "/eve/projects/own/"
    for method, path in (
        ("GET", f"runs/{uuid}/"),
        ("PATCH", f"runs/{uuid}/"),
        ("DELETE", f"runs/{uuid}/"),
        ("POST", f"runs/{uuid}/restore/"),
        ("GET", f"runs/{uuid}/history/"),
        ("GET", f"runs/{uuid}/metrics/"),
        ("GET", f"runs/{uuid}/series/?name=loss"),
    ):
        body = None if method == "GET" else {}
        hidden = eve.ask(method, project + path, json=body)
        missing = eve.ask(method, project + path.replace(uuid, NO_RUN), json=body)
        assert (hidden.status_code, hidden.content) == (404, missing.content), (method, path)
    curves = [
        eve.ask("POST", f"{project}curves/", json={"runs": [each], "names": ["loss"]}).json() for each in (uuid, NO_RUN)
    ]
    assert (curves[0].pop("missing"), curves[1].pop("missing")) == ([uuid], [NO_RUN])
    assert curves[0]["series"] == curves[1]["series"] == []
    assert eve.ask("GET", f"{project}table/?runs={uuid}", headers={"Accept": "application/json"}).json()["rows"] == []
    after = [eve.ask("GET", f"{project}runs/?after={each}") for each in (uuid, NO_RUN)]
    assert after[0].content == after[1].content
    again = eve.ask("POST", f"{project}runs/", json={}, headers={"Idempotency-Key": f'"id:{uuid}"'})
    assert (again.status_code, again.json()["uuid"] != uuid) == (201, True)


def test_a_change_of_visibility_counts_at_once_at_the_server_that_makes_it(server, beside):
    made(server, beside, "changing", "project", "PUBLIC")
    someone = Someone(server, beside, "changing-someone")
    path = "/changing/projects/project/"
    assert [someone.status("GET", path), someone.status("PATCH", path, json={})] == [200, 403]
    for visibility, expected in (("RESTRICTED", 404), ("OPEN", 201), ("PUBLIC", 403)):
        changed = server.ask("PATCH", path, json={"visibility": visibility})
        assert (changed.status_code, changed.json()["visibility"]) == (200, visibility)
        assert someone.status("POST", f"{path}runs/", json={}) == expected


def test_a_role_that_is_taken_away_elsewhere_gives_nothing_after_five_seconds(server, beside):
    project = made(server, beside, "taking", "project")
    namespace, someone = beside.namespace("taking"), Someone(server, beside, "taking-someone")
    beside.put_member(namespace, project, someone.row, "MEMBER").result()
    path = "/taking/projects/project/runs/"
    assert someone.status("POST", path, json={}) == 201
    beside.remove_member(namespace, project, someone.row).result()
    wait_until(lambda: someone.status("POST", path, json={}) == 404, 5.0)


def test_a_removed_user_is_signed_out_within_five_seconds(server, beside):
    someone = Someone(server, beside, "leaving")
    browser = requests.Session()
    signed = browser.post(
        f"{server.url}/api/v0/session/", json={"key": someone.key}, headers={"Origin": server.url}, timeout=30
    )
    assert (signed.status_code, signed.json()["role"]) == (200, "MEMBER")
    headers = {"Steplog-Binding": signed.json()["binding"]}

    def status() -> int:
        return browser.get(f"{server.url}/api/v0/namespaces/", headers=headers, timeout=30).status_code

    assert status() == 200
    beside.remove_user("leaving").result()
    wait_until(lambda: (status(), someone.status("GET", "/namespaces/")) == (401, 401), 5.0)
    browser.close()


def test_a_service_key_sees_its_project_alone_whatever_its_user_may(server, beside):
    bound = made(server, beside, "service", "bound")
    made(server, beside, "service", "other", "OPEN")
    user = Someone(server, beside, "service-user", KeyTerms(project_id=bound.id))
    beside.put_member(beside.namespace("service"), None, user.row, "OWNER").result()
    beside.add_user("service-user", is_admin=True).result()
    assert user.namespaces() == ["service"]
    assert [each["slug"] for each in user.ask("GET", "/service/projects/").json()] == ["bound"]
    assert [user.status("GET", f"/service/projects/{name}/") for name in ("bound", "other", "none")] == [200, 404, 404]
    assert user.status("POST", "/service/projects/bound/runs/", json={}) == 201
    assert user.status("PATCH", "/service/projects/bound/", json={}) == 403
    assert user.status("GET", "/service-user/projects/") == 404
    assert user.status("GET", "/verify-api-key/") == 200


def test_who_may_only_read_is_not_heard_of_as_a_client_of_the_run(server, beside):
    project = made(server, beside, "heard", "project")
    reader = Someone(server, beside, "heard-reader")
    beside.put_member(beside.namespace("heard"), project, reader.row, "READER").result()
    run = server.new_run("heard", "project")
    before = server.ask("GET", run).json()["seen"]
    assert reader.status("GET", run, headers={"Steplog-Maker": "m"}) == 200
    assert server.ask("GET", run).json()["seen"] == before
    assert server.ask("GET", run, headers={"Steplog-Maker": "m"}).json()["seen"] > before


def test_the_servers_own_key_is_an_admins(server):
    assert server.ask("GET", "/verify-api-key/", headers={"Authorization": f"Api-Key {KEY}"}).status_code == 200
    made_ = server.ask("POST", "/anything/projects/", json={"display_name": "x", "visibility": "TEAM"})
    assert made_.status_code == 201


class Counting:
    """A store, and what was called of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.called.append(name)
        return getattr(self._store, name)


def test_a_namespace_that_is_hidden_costs_as_many_reads_as_one_that_is_not_there(tmp_path):
    with closing(open_store(tmp_path / "server.db")) as store:
        store.add_user("ann").result()
        store.issue_key("bob", hash_key("of-bob"), "").result()
        counting = Counting(store)
        keyring = Keyring(store)
        app = create_app(cast(Any, counting), keyring, hosts=AllowedHosts(8787))
        called = []
        for name in ("ann", "nowhere"):
            counting.called.clear()
            answer = asked(app, "GET", f"{API}/{name}/projects/", {"Authorization": "Api-Key of-bob"})
            assert answer.status == 404
            called.append(list(counting.called))
        keyring.close()
    assert called[0] == called[1] == ["namespace", "facts", "namespace_roles"]
