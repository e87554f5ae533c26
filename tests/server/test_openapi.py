"""``docs/openapi.yaml`` describes every route, and real answers are as it describes them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route

from server.batches import range_of
from server.contents import MemoryContents
from server.description import Description, Operation, jsonschema_rs
from server.file_server import FileServer, new_id, sha256_of
from server.process import BATCH_HEADERS, KEY, ServerProcess
from steplog import instance
from steplog.delivery.wire import API
from steplog.journal.range import encode
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app

PROJECTS = "/{namespace}/projects/"
PROJECT = f"{PROJECTS}{{project}}/"
RUNS = f"{PROJECT}runs/"
RUN = f"{RUNS}{{run}}/"
NO_RUN = "00000000-0000-0000-0000-000000000000"
CONTENT = b"GIF89a and more"
BLOB = f"{PROJECT}blobs/{{sha256}}"
TOO_LONG = b" " * (2 * 1024 * 1024 + 1)
COLUMNS = {"Accept": "application/vnd.steplog.columns"}
UNSEEN = {
    429: "takes a quota: test_quotas.py",
    408: "takes 30 seconds: test_request_body.py",
    507: "takes a full disk: tests/crash/test_full_disk.py",
}


@pytest.fixture(scope="module")
def description() -> Description:
    return Description()


def test_it_is_well_formed(description):
    for schema in description.schemas():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    missing = [reference for reference in description.references() if not description.resolves(reference)]
    assert not missing
    used = {reference.removeprefix("#/components/") for reference in description.references()}
    made = {
        f"{kind}/{name}"
        for kind, each in description.document["components"].items()
        if kind != "securitySchemes"
        for name in each
    }
    assert made == used, "describe nothing that is not there"
    names = [each["operationId"] for each in operations_of(description.document)]
    assert len(names) == len(set(names))


def operations_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (each for name, each in item.items() if name != "parameters")


def test_it_has_every_route_and_method_and_no_other(description):
    app = create_app(
        cast(Any, SimpleNamespace(instance="i")), cast(Any, None), hosts=AllowedHosts(1), contents=MemoryContents()
    )
    routes = [route for route in app.routes if isinstance(route, Route) and route.path.startswith(f"{API}/")]
    served = {
        (method, route.path.removeprefix(API).replace(":path}", "}"))
        for route in routes
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if hasattr(cast("type[HTTPEndpoint]", route.endpoint), method.lower())
    }
    assert {(each.method, each.path) for each in description.operations()} == served


class Scene:
    """A server with a run, and requests whose answers are checked."""

    def __init__(self, server: ServerProcess, description: Description) -> None:
        self.server = server
        self.description = description
        self.run = server.new_run("described", "scene")
        self.places = {"namespace": "described", "project": "scene", "run": self.run.split("/")[-2], "view": NO_RUN}
        self.places |= self._files()

    def _files(self) -> dict[str, str]:
        """A file of the run, and one of an artifact."""
        files = FileServer(self.server.url)
        sha256, artifact = files.send(self.run, CONTENT), new_id()
        entry: dict[str, Any] = {"id": new_id(), "sha256": sha256, "size": len(CONTENT)}
        told = {"id": artifact, "name": "model", "type": "model", "digest": sha256, "count": 1}
        of_artifact = entry | {"id": new_id(), "path": "a/b.bin", "artifact": artifact}
        files.announce(self.run, files=[entry, of_artifact], artifacts=[told])
        return {"file": entry["id"], "sha256": sha256, "name": "model", "version": "v0", "path": "a/b.bin"}

    def ask(self, method: str, path: str, status: int, query: str = "", **arguments: Any) -> requests.Response:
        places = self.places | arguments.pop("places", {})
        answer = self.server.ask(method, path.format(**places) + query, **arguments)
        assert answer.status_code == status, f"{method} {path}{query}: {answer.status_code} {answer.text[:300]}"
        self.description.check(method, path, answer)
        return answer

    def send(self, first: int, records: list[Any], status: int, writer: str = "w") -> None:
        path = "/{namespace}/projects/{project}/runs/{run}/metrics/batch/"
        body = encode(range_of(records, first, writer=writer))
        self.ask("POST", path, status, data=body, headers=BATCH_HEADERS)


@pytest.fixture(scope="module")
def scene(server: ServerProcess, description: Description) -> Scene:
    return Scene(server, description)


def ids(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize("operation", Description().operations(), ids=ids)
def test_refusals_are_as_described(scene, operation):
    """Those that every route has, and the answer 304."""
    state = instance.read(scene.server.state)
    assert state is not None
    method, path = operation.method, operation.path
    query = {"/instance/": "?nonce=x", f"{PROJECT}table/": "?columns=name"}.get(path, "")  # a duration changes
    own = {"Origin": scene.server.url} if path == "/session/" else {}
    scene.ask(method, path, 400, query, headers={"Host": "elsewhere.example"})
    scene.ask(method, path, 406, query, headers={"Accept-Encoding": "identity;q=0"} | own)
    if not operation.is_public:
        scene.ask(method, path, 401, headers={"Authorization": "Api-Key wrong"})
        page = {"Authorization": f"Page-Token {state.page_token}", "Sec-Fetch-Site": "cross-site"}
        scene.ask(method, path, 403, headers=page)
    if 404 in operation.statuses and not operation.has_body and "batch" not in path:
        scene.ask(method, path, 404, places={"namespace": "nowhere", "run": NO_RUN, "project": "none"})
    if method in ("POST", "PATCH"):
        scene.ask(method, path, 413, data=TOO_LONG, headers={"Content-Type": "application/json"} | maker(path) | own)
        scene.ask(method, path, 415, data=b"<a/>", headers={"Content-Type": "text/xml"} | maker(path) | own)
    if 304 in operation.statuses:
        tag = scene.ask(method, path, 200, query).headers["ETag"]
        scene.ask(method, path, 304, query, headers={"If-None-Match": tag})


def maker(path: str) -> dict[str, str]:
    return {"Steplog-Maker": "m"} if path.endswith("generations/") else {}


REPORT = {"dropped": {"full": 3}, "abandoned": 0, "lost": None, "rejected": 1}


def test_the_catalogue_is_as_described(scene):
    ask = scene.ask
    ask("GET", "/verify-api-key/", 200)
    ask("GET", "/instance/", 200, "?nonce=x")
    ask("GET", "/namespaces/", 200)
    made = {"display_name": "to be deleted", "visibility": "TEAM"}
    ask("POST", PROJECTS, 201, json=made)
    ask("POST", PROJECTS, 400, json=made)
    ask("POST", PROJECTS, 404, json=made, places={"namespace": "a b"})
    ask("GET", PROJECTS, 200)
    for body, status in (({"visibility": "OPEN", "retention_days": 30, "display_name": "Other"}, 200), ({}, 200)):
        ask("PATCH", PROJECT, status, json=body, places={"project": "to-be-deleted"})
    ask("PATCH", PROJECT, 400, json={"retention_days": 0})
    ask("PATCH", PROJECT, 404, json={}, places={"project": "none"})
    ask("DELETE", PROJECT, 204, places={"project": "to-be-deleted"})
    ask("GET", PROJECT, 200)
    for query in ("", "?brief=1", "?slug=x", "?trash=1", "?limit=1", f"?after={scene.places['run']}"):
        ask("GET", RUNS, 200, query)
    ask("GET", RUNS, 400, "?brief=2")


def test_saved_views_are_as_described(scene):
    ask, views = scene.ask, f"{PROJECT}views/"
    view = ask("POST", views, 201, json={"name": "one", "address": "?smoothing=0.6"}).json()
    ask("POST", views, 201, json={"name": "two", "address": ""})
    ask("POST", views, 400, json={"name": "one", "address": ""})
    ask("POST", views, 404, json={"name": "one", "address": ""}, places={"project": "none"})
    ask("GET", views, 200)
    here = {"view": view["uuid"]}
    ask("PATCH", f"{views}{{view}}/", 200, json={"name": "three", "address": "?x=time"}, places=here)
    ask("PATCH", f"{views}{{view}}/", 400, json={"address": "javascript:"}, places=here)
    ask("PATCH", f"{views}{{view}}/", 404, json={"name": "three"}, places={"view": NO_RUN})
    ask("DELETE", f"{views}{{view}}/", 204, places=here)


def test_files_are_as_described(scene):
    ask, files = scene.ask, f"{RUN}files/"
    logged = {"id": new_id(), "sha256": "0" * 64, "size": 5, "type": "image/png", "suffix": ".png", "time": 1}
    saved = logged | {"id": new_id(), "path": "a/b.pt"}
    ask("POST", files, 200, json={"files": [logged, saved], "pending": 2, "used": ["model:v0", "model:v7"]})
    ask("POST", files, 400, json={"files": [logged | {"path": "../x"}]})
    ask("POST", files, 404, json={}, places={"run": NO_RUN})
    for query in ("", "?limit=1", f"?after={logged['id']}", "?path=a/", "?saved=1"):
        ask("GET", files, 200, query)
    ask("GET", files, 400, "?limit=0")
    ask("GET", f"{files}{{file}}", 404, places={"file": logged["id"]})
    artifacts = f"{PROJECT}artifacts/"
    for query in ("", "?name=model", "?type=model&limit=1", f"?used_by={scene.places['run']}"):
        ask("GET", artifacts, 200, query)
    ask("GET", artifacts, 400, f"?run={NO_RUN}")
    ask("GET", f"{artifacts}{{name}}/{{version}}/", 200)
    for path in (f"{files}{{file}}", BLOB, f"{artifacts}{{name}}/{{version}}/files/{{path}}"):
        ask("GET", path, 200)
        ask("GET", path, 206, headers={"Range": "bytes=1-2"})
        ask("GET", path, 416, headers={"Range": "bytes=99-"})


def test_sending_a_content_is_as_described(scene, description, tmp_path):
    content = b"in two parts"
    here, size = {"sha256": sha256_of(content)}, len(content)
    ask, said = scene.ask, "Content-Range"
    ask("PUT", BLOB, 308, places=here, headers={said: f"bytes */{size}"})
    ask("PUT", BLOB, 308, places=here, data=content[:5], headers={said: f"bytes 0-4/{size}"})
    ask("PUT", BLOB, 201, places=here, data=content[5:], headers={said: f"bytes 5-{size - 1}/{size}"})
    ask("PUT", BLOB, 200, places=here, headers={said: f"bytes */{size}"})
    ask("PUT", BLOB, 400, places=here)
    ask("PUT", BLOB, 404, places=here | {"project": "none"}, headers={said: "bytes */1"})
    ask("PUT", BLOB, 422, places={"sha256": "0" * 64}, data=b"a", headers={said: "bytes 0-0/1"})
    with ServerProcess(tmp_path, "--project-bytes-max", "100") as small:
        more = {said: "bytes */200"}
        Scene(small, description).ask("PUT", BLOB, 413, places={"sha256": "0" * 64}, headers=more)


def test_sessions_are_as_described(scene):
    ask, own = scene.ask, {"Origin": scene.server.url}
    state = instance.read(scene.server.state)
    assert state is not None
    for credential, status in (
        ({"key": "wrong"}, 401),
        ({}, 400),
        ({"token": state.page_token}, 200),
        ({"key": KEY}, 200),
    ):
        answer = ask("POST", "/session/", status, json=credential, headers=own)
    binding = {"Steplog-Binding": answer.json()["binding"]}
    ask("GET", "/session/", 200)
    ask("GET", "/session/", 200, headers=binding)
    ask("DELETE", "/session/", 204, headers=own | binding)
    for method in ("GET", "POST", "DELETE"):
        ask(method, "/session/", 403, headers=own | {"Sec-Fetch-Site": "cross-site"})


def test_the_life_of_a_run_is_as_described(scene):
    ask = scene.ask
    chosen = {"Idempotency-Key": '"id:mine"', "Steplog-Maker": "one", "Steplog-Resume": "never"}
    run = ask("POST", RUNS, 201, json={"name": "a", "began": "2026-01-02T03:04:05Z"}, headers=chosen).json()["uuid"]
    ask("POST", RUNS, 200, json={}, headers=chosen)
    ask("POST", RUNS, 409, json={}, headers=chosen | {"Steplog-Maker": "two"})
    ask("POST", RUNS, 404, json={}, headers={"Idempotency-Key": '"id:none"', "Steplog-Resume": "must"})
    ask("POST", RUNS, 400, json={"status": "NEVER"})
    here = {"run": run}
    fields = {"notes": "n", "tags": ["a"], "group": "g", "job_type": "j", "provenance": {"host": "h"}, "report": REPORT}
    ask(
        "PATCH",
        RUN,
        200,
        json=fields | {"status": "FAILED", "name": "b", "started": "2026-01-01T00:00:00Z"},
        places=here,
    )
    ask("PATCH", RUN, 400, json={"tags": 1}, places=here)
    ask("PATCH", RUN, 404, json={}, places={"run": NO_RUN})
    ask("GET", RUN, 200, places=here)
    ask("GET", RUN, 200, "?brief=1", places=here, headers={"Steplog-Maker": "one"})
    generations = f"{RUN}generations/"
    ask("POST", generations, 201, json={"began": "2026-02-01T00:00:00Z"}, headers={"Steplog-Maker": "two"}, places=here)
    ask("POST", generations, 200, json={"began": "2026-02-01T00:00:00Z"}, headers={"Steplog-Maker": "two"}, places=here)
    ask(
        "POST",
        generations,
        404,
        json={"began": "2026-02-01T00:00:00Z"},
        headers=maker(generations),
        places={"run": NO_RUN},
    )
    ask("GET", RUN, 200, places=here)
    ask("DELETE", RUN, 204, places=here)
    ask("GET", RUNS, 200, "?trash=1")
    ask("POST", f"{RUN}restore/", 200, places=here)
    ask("DELETE", RUN, 400, "?now=2", places=here)
    key = {"Idempotency-Key": '"random"'}
    gone = ask("POST", RUNS, 201, headers=key).json()["uuid"]
    ask("DELETE", RUN, 204, "?now=1", places={"run": gone})
    ask("POST", RUNS, 410, headers=key)


def test_metrics_are_as_described(scene):
    ask, metrics = scene.ask, f"{RUN}metrics/"
    for value in (0.5, 7, True, "NaN", {"a": [None]}):
        ask("POST", metrics, 201, json={"name": "one", "value": value})
    ask("POST", metrics, 400, json={"name": ""})
    ask("POST", metrics, 404, json={"name": "x", "value": 1}, places={"run": NO_RUN})
    records = [("loss", step / 7, step) for step in range(300)]
    records += [("loss", float(text)) for text in ("nan", "inf", "-inf")]
    scene.send(0, [*records, ("text", b'"x"'), ("steplog/run", b'{"name": "named"}')], 200)
    scene.send(900, records, 409)
    scene.send(0, [("x", b"no json")], 400, writer="v")
    places = scene.places
    scene.places = places | {"run": NO_RUN}
    scene.send(0, records, 404)
    scene.places = places
    ask("GET", metrics, 200)
    ask("GET", metrics, 400, "?limit=0")
    for query in ("", "?name=loss", "?name=loss&points=5&from=3&to=70", "?name=text"):
        ask("GET", f"{RUN}series/", 200, query)
    ask("GET", f"{RUN}series/", 404, "?name=other")
    ask("GET", f"{RUN}series/", 400, "?points=x")
    for kind in ("application/json", "text/csv", "application/x-ndjson", COLUMNS["Accept"]):
        ask("GET", f"{RUN}history/", 200, "?name=loss&name=text&from=2&last=40", headers={"Accept": kind})
    ask("GET", f"{RUN}history/", 400, "?last=0")
    ask("GET", f"{RUN}history/", 406, headers={"Accept": "image/png"})


def test_what_is_read_of_many_runs_is_as_described(scene):
    ask, table, curves = scene.ask, f"{PROJECT}table/", f"{PROJECT}curves/"
    for value in (1.0, 2.0, "NaN"):
        ask("POST", f"{RUN}metrics/", 201, json={"name": "many", "value": value})
    for kind in ("application/json", "text/csv", COLUMNS["Accept"]):
        ask("GET", table, 200, "?columns=name,status,many.last&sort=-many.last&count=1", headers={"Accept": kind})
    ask("GET", table, 200, "?limit=1")
    ask("GET", table, 400, "?where=and")
    ask("GET", table, 406, headers={"Accept": "image/png"})
    ask("GET", f"{table}columns/", 200, "?q=m&limit=5")
    ask("GET", f"{table}columns/", 400, "?limit=0")
    question = {"runs": [scene.places["run"], NO_RUN], "names": ["many", "loss"], "buckets": 10}
    answer = ask("POST", curves, 200, json=question)
    ask("POST", curves, 200, json=question | {"since": answer.json()["since"]})
    ask("POST", curves, 200, json=question, headers=COLUMNS)
    ask("POST", curves, 400, json={})
    ask("POST", curves, 404, json=question, places={"project": "none"})
    ask("POST", curves, 406, json=question, headers={"Accept": "image/png"})


def test_without_its_database_it_answers_as_described(description, tmp_path):
    with ServerProcess(tmp_path) as server:
        scene, state = Scene(server, description), instance.read(server.state)
        assert state is not None
        server.database.rename(tmp_path / "away.db")
        bodies: dict[str, Any] = {
            PROJECTS: {"display_name": "x", "visibility": "TEAM"},
            f"{RUN}generations/": {"began": "2026-02-01T00:00:00Z"},
            f"{RUN}metrics/": {"name": "x", "value": 1},
            f"{PROJECT}curves/": {"runs": [NO_RUN], "names": ["x"]},
            f"{PROJECT}views/": {"name": "x", "address": ""},
            "/session/": {"key": "of-somebody"},
        }
        session = {"Steplog-Binding": "x", "Cookie": f"steplog_{state.instance}=x", "Origin": server.url}
        for operation in description.operations():
            path, has_body = operation.path, operation.method in ("POST", "PATCH")
            if path.endswith("batch/"):
                scene.ask(operation.method, path, 503, data=encode(range_of([("x", 1.0)])), headers=BATCH_HEADERS)
            elif 503 in operation.statuses and path != "/verify-api-key/":
                body = {"json": bodies.get(path, {})} if has_body else {}
                headers = session if path == "/session/" else maker(path)
                headers = headers | ({"Content-Range": "bytes */9"} if operation.method == "PUT" else {})
                scene.ask(operation.method, path, 503, headers=headers, **body)


def test_every_answer_that_is_described_was_seen(description):
    """By the tests before."""
    if not description.seen:
        pytest.skip("none of them was run")
    described = {
        (each.method, each.path, status)
        for each in description.operations()
        for status in each.statuses - UNSEEN.keys()
    }
    assert described - description.seen - {("GET", "/verify-api-key/", 503)} == set()
