"""A client whose methods its user has replaced: what makes a run, its metrics and its status go through them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests

import steplog
from apart import apart
from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from server.process import ServerProcess

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture(autouse=True)
def held(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """What the server holds that this process is configured for."""
    return Host(tmp_path, server).configure(monkeypatch)


class Calls:
    """What ``post`` and ``patch`` were called with."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []
        self.patched: list[tuple[str, Any]] = []

    def post(self, endpoint: str, json: Any = None) -> Any:
        self.posted.append((endpoint, json))
        return SimpleNamespace(status_code=201, json=lambda: {"uuid": "a-b-c", "name": "brave", "status": "RUNNING"})

    def patch(self, endpoint: str, json: Any = None) -> Any:
        self.patched.append((endpoint, json))
        return Mock()

    def put_into(self, client: steplog.TellurioClient) -> steplog.TellurioClient:
        vars(client).update(post=self.post, patch=self.patch)
        return client


def delivered(calls: Calls, run: steplog.Run) -> None:
    runs = "/api/v0/team/projects/mnist/runs/"
    assert run.uuid == "a-b-c"
    assert calls.posted[0] == (runs, {"name": "brave", "status": "RUNNING"})
    assert [(path, body["name"], body["value"]) for path, body in calls.posted[1:]] == [
        (f"{runs}a-b-c/metrics/", "loss", float(number)) for number in range(10)
    ]
    assert calls.patched == [(f"{runs}a-b-c/", {"status": "COMPLETED"})]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "k" * 40])
@apart
def test_what_is_replaced_on_the_instance_makes_the_run_and_sets_its_status(key: str, monkeypatch: Any):
    monkeypatch.setenv("STEPLOG_API_KEY", key)
    calls = Calls()
    run = steplog.init("team", "mnist", "brave", client=calls.put_into(steplog.TellurioClient(NOWHERE)))
    for number in range(10):
        run.log("loss", float(number))
    assert run.finish().delivered == 10
    delivered(calls, run)


@apart
def test_what_a_subclass_replaces_is_used_in_front_of_a_server(held: Oracle):
    calls: list[tuple[str, str]] = []

    class Told(steplog.TellurioClient):
        def post(self, endpoint: str, json: Any = None, **more: Any) -> requests.Response:
            calls.append(("POST", endpoint))
            return super().post(endpoint, json, **more)

        def patch(self, endpoint: str, json: Any = None, **more: Any) -> requests.Response:
            calls.append(("PATCH", endpoint))
            return super().patch(endpoint, json, **more)

        def get(self, endpoint: str, **more: Any) -> requests.Response:
            calls.append(("GET", endpoint))
            return super().get(endpoint, **more)

    run = steplog.init("team", os.environ["PROJECT"], "run", client=Told())
    for number in range(10):
        run.log("loss", float(number), number)
    assert run.finish().delivered == 10
    assert held.run("run").status == "COMPLETED"
    assert held.values("run", "loss") == [float(number) for number in range(10)]
    own = f"/api/v0/team/projects/{os.environ['PROJECT']}/runs/{run.uuid}/"
    assert [path for method, path in calls if method == "POST"][-10:] == [f"{own}metrics/"] * 10
    assert [path for method, path in calls if method == "PATCH"] == [own]


@apart
def test_what_is_replaced_later_sends_the_status_of_the_run_that_it_is_given_to(held: Oracle):
    run = steplog.init("team", os.environ["PROJECT"], "run")
    run.log("loss", 1.0)
    calls, client = Calls(), steplog.TellurioClient()
    vars(client).update(patch=calls.patch)
    assert run.finish(client).pending == 0
    assert [(path, told["status"]) for path, told in calls.patched] == [
        (f"/api/v0/team/projects/{os.environ['PROJECT']}/runs/{run.uuid}/", "COMPLETED")
    ]
    assert held.values("run", "loss") == [1.0]


@apart
def test_a_refusal_by_what_is_replaced_is_raised_by_init():
    def post(endpoint: str, json: Any = None) -> Any:
        refused = requests.Response()
        refused.status_code = 403
        raise requests.HTTPError("403", response=refused)

    client = steplog.TellurioClient(NOWHERE)
    vars(client).update(post=post)
    with pytest.raises(requests.HTTPError, match="403"):
        steplog.init("team", "mnist", client=client)
    assert steplog.journals() == []


@pytest.mark.slow
@apart
def test_what_it_raises_is_no_answer_and_is_tried_again(monkeypatch: Any):
    calls, failures = Calls(), [OSError("away"), ValueError("mistaken")]

    def post(endpoint: str, json: Any = None) -> Any:
        if endpoint.endswith("/metrics/") and failures:
            raise failures.pop()
        return calls.post(endpoint, json)

    client = calls.put_into(steplog.TellurioClient(NOWHERE))
    vars(client).update(post=post)
    run = steplog.init("team", "mnist", "brave", client=client)
    for number in range(10):
        run.log("loss", float(number))
    assert run.finish(timeout=20.0).pending == 0
    delivered(calls, run)


class Own:
    """What is no client of ours, and has its methods."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []

    def get(self, endpoint: str) -> Any:
        self.calls.append(("GET", endpoint.rpartition("/runs/")[2], None))
        return Mock()

    def post(self, endpoint: str, json: Any = None) -> Any:
        self.calls.append(("POST", endpoint.rpartition("/runs/")[2], json))
        return Mock()

    def patch(self, endpoint: str, json: Any = None) -> Any:
        self.calls.append(("PATCH", endpoint.rpartition("/runs/")[2], json))
        return Mock()


@apart
def test_what_is_no_client_of_ours_and_has_its_methods_is_a_stock_server():
    given = Own()
    project, team = steplog.RunProject("", "mnist", "mnist"), steplog.RunOrg("team")
    run = steplog.Run("a-b-c", "brave", None, "RUNNING", organization=team, project=project)
    for number in range(3):
        run.log("loss", float(number), client=given)  # type: ignore[arg-type]
    run.tags = ["t"]
    assert run.finish(given).delivered == 3  # type: ignore[arg-type]
    assert given.calls == [
        ("GET", "a-b-c/", None),
        *(("POST", "a-b-c/metrics/", {"name": "loss", "value": float(number)}) for number in range(3)),
        ("PATCH", "a-b-c/", {"status": "COMPLETED"}),
    ]


@pytest.mark.parametrize("made", [Mock, lambda: Mock(spec=steplog.TellurioClient)], ids=["a mock", "with a spec"])
@apart
def test_a_mock_of_a_client_takes_what_is_sent(made: Any):
    given = made()
    project, team = steplog.RunProject("", "mnist", "mnist"), steplog.RunOrg("team")
    run = steplog.Run("a-b-c", "brave", None, "RUNNING", organization=team, project=project)
    run.log("loss", 1.0, client=given)
    assert run.finish(given).delivered == 1
    path = "/api/v0/team/projects/mnist/runs/a-b-c/"
    given.post.assert_called_once_with(f"{path}metrics/", json={"name": "loss", "value": 1.0})
    given.patch.assert_called_once_with(path, json={"status": "COMPLETED"})


@apart
def test_what_has_no_method_of_a_client_is_a_mistake():
    with pytest.raises(TypeError, match="a client has post, patch and get; object has none of them"):
        steplog.init("team", "mnist", client=object())  # type: ignore[arg-type]
