"""``steplog.runs`` gives a table of a project's runs: of any server, and of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

import steplog
from apart import apart
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog.reading import server_project
from steplog.reading.server_project import ServerProject
from steplog.reading.table_query import query_of

Client = steplog.TellurioClient


def add(server: ServerProcess, name: str, loss: float | None = None, config: str = "{}", project: str = "mnist") -> str:
    """The uuid of a new run."""
    server.ask("POST", "/me/projects/", json={"display_name": project, "visibility": "TEAM"})
    made = server.ask("POST", f"/me/projects/{project}/runs/", json={"name": name}).json()
    path = f"/me/projects/{project}/runs/{made['uuid']}/metrics/"
    for metric, value in (("steplog/config", config), ("loss", loss)):
        if value is not None:
            body = {"name": metric, "value": value if metric == "loss" else eval(config)}
            assert server.ask("POST", path, json=body).status_code == 201
    return str(made["uuid"])


@pytest.fixture(scope="module", params=["batch", "stock"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Three runs in ``mnist``, the first the oldest."""
    options = ["--stock"] if request.param == "stock" else []
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me", *options) as server:
        add(server, "first", 0.5, "{'lr': 0.1}")
        add(server, "second", 0.25, "{'lr': 0.2, 'optim': {'name': 'adam'}}")
        add(server, "third")
        yield server


@pytest.fixture
def client(server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    client = Client(server.url)
    client.login(KEY)
    return client


def test_all_runs_are_rows_the_newest_first(client):
    table = steplog.runs("me/mnist", client=client)
    assert table.columns[:3] == ("uuid", "status", "name")
    assert table["name"] == ["third", "second", "first"]
    assert table["status"] == ["RUNNING"] * 3


def test_filter_columns_order_and_limit_mean_the_same_on_every_server(client):
    columns = ["name", "config.optim.name", "loss.last"]
    table = steplog.runs("mnist", "loss.last<1", columns, "loss.last", client=client)
    assert table.columns == ("uuid", *columns)
    assert table["name"] == ["second", "first"]
    assert table["loss.last"] == [0.25, 0.5]
    assert table["config.optim.name"] == ["adam", None]
    assert steplog.runs("mnist", columns="name", sort="-config.lr", limit=2, client=client)["name"] == [
        "second",
        "first",
    ]
    assert steplog.runs("mnist", [("config.lr", "!=", 0.1)], ["name"], client=client)["name"] == ["third", "second"]


def test_a_project_that_is_not_there_is_an_error_that_says_what_is(client, server):
    with pytest.raises(steplog.ProjectNotFoundError) as error:
        steplog.runs("mnits", client=client)
    assert str(error.value) == f"{server.url} has no project me/mnits; did you mean 'me/mnist'?"
    assert isinstance(error.value, LookupError)


def test_without_a_project_the_setting_counts_and_without_that_it_says_so(client, server, monkeypatch):
    with pytest.raises(steplog.ConfigurationError, match="no project is given; say which, or set STEPLOG_PROJECT"):
        steplog.runs(client=client)
    monkeypatch.setenv("STEPLOG_PROJECT", "mnist")
    own = Client(server.url)
    own.login(KEY)
    assert len(steplog.runs(client=own)) == 3


def test_a_namespace_that_is_not_there_is_said_too(client, server):
    words = r"has no (namespace us; it has me|project us/mnist, or not for this key)$"  # a stock server lists none
    with pytest.raises(steplog.ProjectNotFoundError, match=words):
        steplog.runs("us/mnist", client=client)


def test_a_filter_is_refused_before_anybody_is_asked():
    with pytest.raises(steplog.FilterError, match="column 11: expected a value") as error:
        steplog.runs("mnist", "loss.last<", client=Client("http://127.0.0.1:9"))
    assert error.value.column == 11


OFFLINE = """
import steplog
run = steplog.init("me", "mnist", name="here", mode="offline", config={"lr": 0.3}, tags=["plane"])
run.log("loss", 1.0)
run.log("loss", 0.125)
"""


def start_offline(directory: Path, memory: str) -> None:
    """A run that ends without having asked any server."""
    environment = {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(directory), "STEPLOG_MEMORY_DIR": memory}
    environment |= {"STEPLOG_QUIET": "1", "HOME": str(directory)}
    subprocess.run([sys.executable, "-c", OFFLINE], env=environment, check=True, timeout=DEADLINE_S)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that only this machine has."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    start_offline(tmp_path, os.environ["STEPLOG_MEMORY_DIR"])


@apart
def test_without_a_server_the_runs_of_this_machine_are_all_there_are(offline):
    table = steplog.runs("mnist", "tag=plane", ["name", "status", "config.lr", "loss.last", "loss.count"])
    (row,) = table.rows()
    (kept,) = steplog.journals()
    assert row.pop("uuid") == kept.id
    expected = {"name": "here", "status": "COMPLETED", "config.lr": 0.3, "loss.last": 0.125, "loss.count": 2}
    assert row == expected
    assert len(steplog.runs("mnist", "loss.last>0.5")) == 0
    words = "no run on this machine is of the project cifar, and no server is configured; type: steplog serve"
    with pytest.raises(steplog.ProjectNotFoundError, match=words):
        steplog.runs("cifar")
    with pytest.raises(steplog.ProjectNotFoundError):
        steplog.runs("others/mnist")


@apart
def test_runs_of_this_machine_are_placed_among_those_of_the_server(offline, client):
    assert steplog.runs("mnist", columns=["name"], client=client)["name"] == ["here", "third", "second", "first"]
    table = steplog.runs("mnist", columns=["name"], sort="-loss.last", client=client)
    assert table["name"] == ["first", "second", "here", "third"]
    assert table.columns == ("uuid", "name")
    assert steplog.runs("mnist", columns=["name"], sort="loss.last", limit=2, client=client)["name"] == [
        "here",
        "second",
    ]


@apart
def test_a_server_that_is_away_leaves_a_hint_at_what_is_here(offline, monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    away = Client("http://127.0.0.1:9")
    words = "refused; one run of me/mnist is on this machine alone; type: steplog ls --here$"
    with pytest.raises(steplog.ServerUnavailableError, match=words):
        steplog.runs("me/mnist", client=away)


class _Delivering(Client):
    """Asked for the runs for the first time, it first has those of this machine delivered."""

    def send(self, method: str, endpoint: str, *arguments: object, **named: object) -> object:
        if "/runs/" in endpoint or "/table/" in endpoint:
            list(steplog.sync())
        return super().send(method, endpoint, *arguments, **named)


@pytest.mark.slow
@apart
def test_a_run_that_is_delivered_while_it_is_listed_comes_once(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "me") as server:
        add(server, "first")
        monkeypatch.setenv("STEPLOG_URL", server.url)
        monkeypatch.setenv("STEPLOG_API_KEY", KEY)
        start_offline(tmp_path, os.environ["STEPLOG_MEMORY_DIR"])
        assert steplog.runs("mnist")["name"] == ["here", "first"]
        table = steplog.runs("mnist", client=_Delivering())
        assert table["name"] == ["here", "first"]
        uuid = server.ask("GET", "/me/projects/mnist/runs/").json()[-1]["uuid"]
        assert table["uuid"][0] == uuid
        assert steplog.journals() == []


@pytest.mark.slow
def test_pages_neither_repeat_nor_miss_a_run_while_runs_come_and_go(tmp_path, monkeypatch):
    """A page of two; before each, a run is made and one that was listed already is deleted."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "client"))
    monkeypatch.setattr(server_project, "_PAGE_ROWS", 2)
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "me") as server:
        kept = [add(server, f"kept-{number}", number / 10) for number in range(9)]
        spare = [add(server, f"spare-{number}") for number in range(9)]

        class Busy(Client):
            def send(self, method: str, endpoint: str, *arguments: object, **named: object) -> object:
                answer = super().send(method, endpoint, *arguments, **named)
                if "/table/" in endpoint and spare:
                    server.ask("DELETE", f"/me/projects/mnist/runs/{spare.pop()}/")
                    add(server, "new", 0.35)
                return answer

        client = Busy(server.url)
        client.login(KEY)
        uuids = steplog.runs("mnist", client=client)["uuid"]
        assert [uuid for uuid in uuids if uuid in kept] == kept[::-1]
        assert len(uuids) == len(set(uuids))
        sorted_uuids = steplog.runs("mnist", sort="loss.last", client=client)["uuid"]
        assert [uuid for uuid in sorted_uuids if uuid in kept] == kept


def test_a_page_that_does_not_come_is_asked_for_again_but_the_first_is_not(client, monkeypatch):
    monkeypatch.setattr(server_project, "_PAGE_ROWS", 2)
    monkeypatch.setattr(server_project, "_LIST_RUNS", 2)
    asked: list[str] = []

    class Failing(Client):
        fails_at = 2

        def send(self, method: str, endpoint: str, *arguments: object, **named: object) -> object:
            asked.append(endpoint)
            if len(asked) == self.fails_at:
                raise steplog.ServerUnavailableError("cut")
            return super().send(method, endpoint, *arguments, **named)

    failing, slept = Failing(client.base_url), list[float]()
    failing.login(KEY)
    asked.clear()
    project = ServerProject(failing, "me", "mnist", sleep=slept.append)
    rows = project.rows(query_of(columns=["name"]), datetime.now(timezone.utc), lambda: None)
    assert rows is not None
    assert [row["name"] for row in rows] == ["third", "second", "first"]
    assert len(slept) == 1
    asked.clear()
    Failing.fails_at = 1
    slept.clear()
    with pytest.raises(steplog.ServerUnavailableError, match="cut"):
        ServerProject(failing, "me", "mnist", sleep=slept.append).columns()
    assert slept == []


@pytest.mark.slow
def test_runs_of_a_server_without_tables_are_read_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "client"))
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "me", "--stock") as server:
        for number in range(5):
            add(server, f"run-{number}", number / 10)
        together = threading.Barrier(2, timeout=DEADLINE_S)

        class Meeting(Client):
            def stream(self, method: str, endpoint: str, *arguments: object, **named: object) -> object:
                if endpoint.endswith("/metrics/") and not endpoint.endswith(f"/{first}/metrics/"):
                    together.wait()  # until another one comes, too
                return super().stream(method, endpoint, *arguments, **named)

        client = Meeting(server.url)
        client.login(KEY)
        first = server.ask("GET", "/me/projects/mnist/runs/").json()[0]["uuid"]
        table = steplog.runs("mnist", "loss.last>=0", ["loss.last"], client=client)
        assert table["loss.last"] == [0.4, 0.3, 0.2, 0.1, 0.0]


def test_a_busy_server_is_asked_again_after_the_time_that_it_says(httpserver, monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    page = {"columns": ["name"], "rows": [{"uuid": "1", "name": "a"}], "next": None}
    httpserver.expect_oneshot_request("/api/v0/me/projects/p/table/").respond_with_data(
        status=503, headers={"Retry-After": "20"}
    )
    httpserver.expect_request("/api/v0/me/projects/p/table/").respond_with_json(page)
    client, slept = Client(httpserver.url_for("").rstrip("/")), list[float]()
    project = ServerProject(client, "me", "p", sleep=slept.append)
    assert project.rows(query_of(columns=["name"]), datetime.now(timezone.utc), lambda: None) == page["rows"]
    assert slept == [20.0]


@pytest.mark.parametrize("key_is_good", [False, True])
def test_what_is_refused_is_not_for_this_key_or_the_key_is_wrong(httpserver, monkeypatch, key_is_good):
    """As a server of Django REST framework refuses, with 403 in either case."""
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    account = {"username": "me", "email": "", "message": ""}
    if key_is_good:
        httpserver.expect_request("/api/v0/verify-api-key/").respond_with_json(account)
    httpserver.expect_request(re.compile(".*")).respond_with_json({"detail": "no"}, status=403)
    client = Client(httpserver.url_for("").rstrip("/"))
    expected = steplog.ProjectNotFoundError if key_is_good else steplog.InvalidAPIKeyError
    with pytest.raises(expected, match="not for this key" if key_is_good else "invalid API key"):
        steplog.runs("others/secret", client=client)
