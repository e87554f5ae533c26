"""``attach`` finds the run that is meant, here or on the server, or says at the call that it does not."""

from __future__ import annotations

import json
import logging
import os
import pickle
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from server.process import ServerProcess, lasting_port
from steplog.delivery.exchange import Request
from steplog.lifecycle import finding
from steplog.testing.memory_server import Fault, MemoryServer

UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "team", "--stock") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return Host(tmp_path, server)


@pytest.fixture
def held(host: Host, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    return configured(host, monkeypatch)


def configured(host: Host, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """Each test has a namespace of its own."""
    monkeypatch.setenv("STEPLOG_NAMESPACE", f"n-{host.project}")
    return host.configure(monkeypatch)


def space() -> str:
    return os.environ["STEPLOG_NAMESPACE"]


def elsewhere(server: ServerProcess, name: str = "trial-05", project: str | None = None) -> dict[str, Any]:
    """A run of another machine: the server has it, and no journal here."""
    project = project or os.environ["PROJECT"]
    server.ask("POST", f"/{space()}/projects/", json={"display_name": project, "visibility": "TEAM"})
    made = server.ask("POST", f"/{space()}/projects/{project}/runs/", json={"name": name})
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()
    return told


WAYS = {
    "uuid": lambda run, project: run["uuid"],
    "UUID": lambda run, project: uuid.UUID(run["uuid"]),
    "beginning of the uuid": lambda run, project: run["uuid"][:8],
    "name": lambda run, project: "trial-05",
    "name in addresses": lambda run, project: f"{project}/trial-05",
    "beginning of the name": lambda run, project: f"{project}/tria",
    "place": lambda run, project: f"{space()}/{project}/trial-05",
    "address": lambda run, project: f"http://127.0.0.1:1/{space()}/projects/{project}/runs/trial-05/#token=x",
}


@pytest.mark.parametrize("slugs", [True, False], ids=["with slugs", "without"])
@pytest.mark.parametrize("way", WAYS)
@apart
def test_a_run_that_only_the_server_has_is_found_by_each_of_its_names(
    held: Oracle, host: Host, server: ServerProcess, way: str, slugs: bool
):
    """Without slugs it said: nothing on this host knows the run."""
    made = elsewhere(server)
    elsewhere(server, "other")
    place = {"namespace_slug": space(), "project_slug": host.project} if slugs else {}
    said = WAYS[way](made, host.project)
    run = steplog.attach(str(said).rpartition("/")[2] if slugs and way not in ("UUID", "address") else said, **place)
    assert (run.uuid, run.name, run.status.value) == (made["uuid"], "trial-05", "RUNNING")
    assert run.organization is not None
    assert run.project is not None
    assert (run.organization.slug, run.project.slug) == (space(), host.project)
    assert run.url == f"{server.url}/{space()}/projects/{host.project}/runs/trial-05/"
    run.log("loss", 0.5)
    assert run.finish().delivered == 1
    assert (held.run("trial-05").points, held.run("trial-05").status) == (1, "RUNNING")


@apart
def test_a_run_is_found_by_the_id_that_its_caller_chose(held: Oracle, host: Host, server: ServerProcess):
    elsewhere(server)
    path, key = f"/{space()}/projects/{host.project}/runs/", '"id:job-7_a"'
    made = server.ask("POST", path, json={"name": "other"}, headers={"Idempotency-Key": key}).json()
    elsewhere(server, "job-7_a")  # a name is less than an id
    for said in ("job-7_a", f"{host.project}/job-7_a"):
        assert steplog.attach(said).uuid == made["uuid"]
    run = steplog.attach("job-7_a")
    assert (run.key, run.name) == ("job-7_a", "other")


@apart
def test_a_run_resumed_by_its_name_begins_with_its_config(held: Oracle, host: Host, server: ServerProcess):
    """attach(owner=True) knew neither, and the run stayed CRASHED."""
    made = elsewhere(server)
    path = f"/{space()}/projects/{host.project}/runs/{made['uuid']}/"
    server.ask("POST", f"{path}metrics/", json={"name": "steplog/config", "value": {"lr": 0.1}})
    server.ask("PATCH", path, json={"status": "CRASHED"})
    run = steplog.attach("trial-05", owner=True)
    assert dict(run.config) == {"lr": 0.1}
    run.log("loss", 0.5)
    assert run.finish().pending == 0
    assert held.run("trial-05").status == "COMPLETED"


@apart
def test_names_that_look_like_a_place_are_found_too(held: Oracle, server: ServerProcess):
    made = elsewhere(server, "lr/1e-3")
    assert steplog.attach("lr/1e-3").uuid == made["uuid"]
    assert steplog.attach(f"{os.environ['PROJECT']}/lr/1e-3").uuid == made["uuid"]


@apart
def test_a_run_beyond_the_first_page_is_found(held: Oracle, server: ServerProcess):
    for number in range(203):
        last = elsewhere(server, f"run {number}")
    assert steplog.attach("run 202").uuid == last["uuid"]


@pytest.mark.parametrize("slugs", [True, False], ids=["with slugs", "without"])
@apart
def test_a_wrong_uuid_is_an_error_at_the_call_that_says_where_it_looked(
    held: Oracle, host: Host, server: ServerProcess, slugs: bool
):
    """With both slugs it was accepted, and then there was a line each five seconds."""
    elsewhere(server)
    place = {"namespace_slug": space(), "project_slug": host.project} if slugs else {"project_slug": host.project}
    where = rf"{server.url} \(in {space()}/{host.project}\)"
    words = rf"^no run '{UNKNOWN}': neither a journal on this machine nor {where} has it; type: steplog ls$"
    with pytest.raises(steplog.RunNotFoundError, match=words):
        steplog.attach(UNKNOWN, **place)
    assert list(host.state.glob("*.*")) == []  # nothing waits for it


@apart
def test_a_project_that_is_not_there_is_an_error_at_the_call(held: Oracle):
    with pytest.raises(steplog.RunNotFoundError, match=rf"\(in {space()}/nothing\)"):
        steplog.attach(UNKNOWN, namespace_slug=space(), project_slug="nothing")


@apart
def test_several_runs_are_listed_with_what_tells_them_apart(held: Oracle, host: Host, server: ServerProcess):
    made = [elsewhere(server, f"trial-{number}") for number in range(7)]
    with pytest.raises(ValueError, match=r"^'trial-' may mean 7 runs: ") as told:
        steplog.attach("trial-", project_slug=host.project)
    listed = [run["uuid"] in str(told.value) for run in made]
    assert listed == [False, False, True, True, True, True, True]
    assert f"{space()}/{host.project}/trial-6 ({made[6]['uuid']})" in str(told.value)


@apart
def test_a_name_in_two_projects_is_narrowed_by_one(held: Oracle, host: Host, server: ServerProcess):
    here, there = elsewhere(server), elsewhere(server, project=f"{host.project}-other")
    with pytest.raises(ValueError, match="may mean 2 runs"):
        steplog.attach("trial-05", namespace_slug=space())
    assert steplog.attach("trial-05", project_slug=host.project).uuid == here["uuid"]
    assert steplog.attach(f"{host.project}-other/trial-05").uuid == there["uuid"]


@apart
def test_a_beginning_that_a_run_here_and_one_on_the_server_have_names_neither(held: Oracle, server: ServerProcess):
    run = steplog.init(space(), os.environ["PROJECT"], "trial-1")
    assert steplog.attach("trial").uuid == run.uuid
    elsewhere(server, "trial-2")
    with pytest.raises(ValueError, match="may mean 2 runs"):
        steplog.attach("trial")
    assert steplog.attach("trial-1").uuid == run.uuid


@apart
def test_with_a_client_a_name_is_that_of_a_run_of_its_server(held: Oracle):
    fake = FakeServer()
    made = fake.memory.add_run(space(), "mnist", "trial-05")
    mine = steplog.init(space(), os.environ["PROJECT"], "trial-05")
    client = steplog.TellurioClient(fake.url)
    client.login("key")
    assert steplog.attach("trial-05").uuid == mine.uuid
    assert steplog.attach("trial-05", client=client).uuid == made.uuid


@apart
def test_what_is_found_by_its_beginning_is_said(
    held: Oracle, server: ServerProcess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.INFO, "steplog")
    monkeypatch.delenv("STEPLOG_QUIET")
    made = elsewhere(server)
    steplog.attach(f"{os.environ['PROJECT']}/tria")
    assert f"steplog: '{os.environ['PROJECT']}/tria' is run trial-05 ({made['uuid']})" in caplog.messages


@apart
def test_a_finished_run_is_joined_and_keeps_its_status(held: Oracle, host: Host, server: ServerProcess):
    """A rank that came after rank 0 had finished, and the run was gone from this machine, was killed by ValueError."""
    made = elsewhere(server)
    server.ask("PATCH", f"/{space()}/projects/{host.project}/runs/{made['uuid']}/", json={"status": "COMPLETED"})
    run = steplog.attach(made["uuid"])
    assert run.status is steplog.RunStatus.COMPLETED
    run.log("loss", 0.5)
    assert run.finish().delivered == 1
    assert (held.run("trial-05").points, held.run("trial-05").status) == (1, "COMPLETED")


@apart
def test_a_stock_server_is_asked_for_its_list(stock: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    host = Host(tmp_path, stock)
    held = configured(host, monkeypatch)
    made = elsewhere(stock)
    elsewhere(stock, "other")
    for said in (made["uuid"], made["uuid"][:13], "trial-05"):
        assert steplog.attach(said, project_slug=host.project).uuid == made["uuid"]
    with pytest.raises(steplog.RunNotFoundError):
        steplog.attach(UNKNOWN, project_slug=host.project)
    run = steplog.attach(made["uuid"], project_slug=host.project)
    run.log("loss", 0.5)
    assert run.finish().delivered == 1
    assert held.run("trial-05").points == 1


@apart
def test_a_server_that_lists_no_projects_wants_one_named(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    made = fake.memory.add_run("me", "mnist", "trial-05")
    no_route = Fault(404, b"<h1>Not Found</h1>", {"content-type": "text/html"})
    fake.memory.script = lambda request: no_route if request.path.endswith("/projects/") else None
    with pytest.raises(steplog.ServerUnavailableError, match="does not list the projects of me; give project_slug"):
        steplog.attach("trial-05")
    assert steplog.attach("trial-05", project_slug="mnist").uuid == made.uuid
    assert steplog.attach("mnist/trial-05").uuid == made.uuid
    monkeypatch.setenv("STEPLOG_PROJECT", "mnist")
    assert steplog.attach("trial-05", client=steplog.TellurioClient()).uuid == made.uuid


@pytest.mark.parametrize("status", [429, 500, 503, 200])
@apart
def test_an_answer_that_is_none_is_not_taken_for_a_run_that_is_missing(monkeypatch: pytest.MonkeyPatch, status: int):
    fake = FakeServer(MemoryServer(batch=False))
    fake.configure(monkeypatch)
    fake.memory.add_run("me", "mnist", "trial-05")
    fault = Fault(status, b"<h1>an ingress</h1>", {"content-type": "text/html"})
    fake.memory.script = lambda request: fault if request.path.endswith("/runs/") else None
    with pytest.raises(steplog.ServerUnavailableError, match="the server cannot be asked"):
        steplog.attach("trial-05", project_slug="mnist")
    proxys = Fault(404, b"<h1>default backend</h1>", {"content-type": "text/html"})
    fake.memory.script = lambda request: proxys if request.path.endswith("/runs/") else None
    with pytest.raises(steplog.ServerUnavailableError, match="the server cannot be asked"):
        steplog.attach("trial-05", project_slug="mnist")


@apart
def test_a_list_without_an_end_ends_the_search_at_its_deadline(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    fake.memory.add_run("me", "mnist", "trial-05")
    numbers = count()

    def endless(request: Request) -> Fault | None:
        page = [{"uuid": f"run {next(numbers)}", "name": "trial-05"} for _ in range(200)]
        return Fault(200, json.dumps(page).encode()) if request.path.endswith("/runs/") else None

    fake.memory.script = endless
    monkeypatch.setattr(finding, "_LOOK_S", 0.5)
    with pytest.raises(
        steplog.ServerUnavailableError, match=r"(not all was answered within|timed out after) 0\.\d+ s$"
    ):
        steplog.attach("trial-05", project_slug="mnist")


@apart
def test_what_a_server_calls_its_runs_and_projects_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    for number in range(2):
        fake.memory.add_run("me", "mnist", f"trial\x1b[2J\n{number}")
    with pytest.raises(ValueError, match="may mean 2 runs") as told:
        steplog.attach("trial")
    assert str(told.value).isprintable()
    fake.memory.projects = {("me", "mnist\x1b[2J"): "x"}
    with pytest.raises(steplog.RunNotFoundError) as missing:
        steplog.attach("nothing")
    assert str(missing.value).isprintable()


@apart
def test_a_run_that_was_deleted_is_not_there(held: Oracle, host: Host, server: ServerProcess):
    made = elsewhere(server)
    assert server.ask("DELETE", f"/{space()}/projects/{host.project}/runs/{made['uuid']}/").status_code == 204
    for said in (made["uuid"], "trial-05", made["uuid"][:8]):
        with pytest.raises(steplog.RunNotFoundError):
            steplog.attach(said, project_slug=host.project)
        run = steplog.attach(said, project_slug=host.project, missing="ignore")
        run.log("loss", 0.5)
        assert run.finish().dropped == {"no run": 1}


@apart
def test_a_deleted_run_is_said_to_be_in_the_trash_and_how_it_comes_back(
    held: Oracle, host: Host, server: ServerProcess
):
    made = elsewhere(server, "trial 5")
    assert server.ask("DELETE", f"/{space()}/projects/{host.project}/runs/{made['uuid']}/").status_code == 204
    for said in (made["uuid"], "trial 5", "trial-5"):
        with pytest.raises(
            steplog.RunNotFoundError, match=r"it is in the trash there, type: steplog restore 'trial 5'$"
        ):
            steplog.attach(said, project_slug=host.project)


@apart
def test_a_name_that_is_mistyped_is_answered_with_those_like_it(held: Oracle, host: Host, server: ServerProcess):
    for name in ("trial-05", "trial-06", "unlike"):
        elsewhere(server, name)
    steplog.init(space(), host.project, "tryal-7", mode="offline")
    for place in ("", f"{host.project}/", f"{space()}/{host.project}/"):
        with pytest.raises(steplog.RunNotFoundError, match=rf"has it; did you mean '{place}trial-05'") as told:
            steplog.attach(f"{place}trail-05")
        assert "unlike" not in str(told.value)
    with pytest.raises(steplog.RunNotFoundError, match=r"did you mean 'tryal-7', 'trial-06' or 'trial-05'\?$"):
        steplog.attach("tryal-70")


@apart
def test_an_address_of_another_server_says_that_there_is_no_key_for_it(held: Oracle, host: Host, server: ServerProcess):
    elsewhere(server)
    address = f"http://127.0.0.1:9/{space()}/projects/{host.project}/runs"
    assert steplog.attach(f"{address}/trial-05/").name == "trial-05"  # as of a server whose port has changed
    with pytest.raises(steplog.RunNotFoundError, match=r"; there is no API key for http://127\.0\.0\.1:9 here, type: "):
        steplog.attach(f"{address}/nothing/")


@apart
def test_an_address_means_the_server_that_it_names(held: Oracle, monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    made = fake.memory.add_run("me", "mnist", "trial-05")
    with_key = steplog.TellurioClient(fake.url)
    monkeypatch.delenv("STEPLOG_API_KEY")
    with_key.login("key")
    assert steplog.attach(f"{fake.url}/me/projects/mnist/runs/trial-05/").uuid == made.uuid


@apart
def test_without_a_server_the_names_like_it_are_those_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    host = Host(tmp_path, None)
    host.environment.update(STEPLOG_URL="", STEPLOG_API_KEY="")
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    steplog.init(project="mnist", name="trial-05", mode="offline")
    with pytest.raises(steplog.ConfigurationError, match=r"the run 'trail-05' \(did you mean 'trial-05'\?\), and the"):
        steplog.attach("trail-05")


@apart
def test_a_run_that_was_joined_shows_itself_here_and_where_it_is_passed_to(held: Oracle, server: ServerProcess):
    elsewhere(server)
    for owner in (False, True):
        run = steplog.attach("trial-05", owner=owner)
        again = pickle.loads(pickle.dumps(run))
        assert (repr(again), again.uuid, again.config) == (repr(run), run.uuid, run.config)
        again.log("loss", 0.5)
        address = f"{server.url}/{space()}/projects/{os.environ['PROJECT']}/runs/trial-05/"
        assert run.url == again.url == address
        assert f'<a href="{address}"' in run._repr_html_()
        assert again._repr_html_() == run._repr_html_()


@apart
def test_a_wrong_key_is_an_error_at_the_call(held: Oracle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_API_KEY", "not-the-key")
    with pytest.raises(steplog.InvalidAPIKeyError):
        steplog.attach(UNKNOWN)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, TypeError, "needs one run"),
        ({"run": "a", "uuid": "b"}, TypeError, "needs one run"),
        ({"run": 3}, TypeError, "not int"),
        ({"run": " "}, ValueError, "empty"),
        ({"run": "a", "missing": "maybe"}, ValueError, '"raise" or "ignore"'),
    ],
)
@apart
def test_what_names_no_run_is_a_mistake(given: dict[str, Any], error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        steplog.attach(**given)


@apart
def test_the_uuid_may_be_given_as_a_keyword(held: Oracle, server: ServerProcess):
    made = elsewhere(server)
    assert steplog.attach(uuid=made["uuid"]).name == "trial-05"


@pytest.mark.parametrize("cause", ["unknown", "away", "no server"])
@apart
def test_a_missing_run_that_is_ignored_logs_nowhere_counts_that_and_is_said_once(
    held: Oracle,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cause: str,
):
    caplog.set_level(logging.INFO, "steplog")
    monkeypatch.delenv("STEPLOG_QUIET")
    if cause != "unknown":
        monkeypatch.setenv("STEPLOG_URL", f"http://127.0.0.1:{lasting_port()}" if cause == "away" else "")
    if cause == "no server":
        monkeypatch.setenv("STEPLOG_API_KEY", "")
    run = steplog.attach("trial-05", missing="ignore")
    for step in range(10):
        run.log("loss", 0.5, step=step)
    run.log({"a": 1, "b": 2})
    run.config["lr"] = 0.1
    assert run.flush()
    report = run.finish()
    assert (report.logged, report.delivered, dict(report.dropped)) == (13, 0, {"no run": 13})
    assert run.stats().dropped == {"no run": 13}
    said = [line for line in caplog.messages if "trial-05" in line]
    assert len(said) == 1, caplog.messages
    assert said[0].startswith("steplog: run trial-05 is not joined, and what it logs is dropped: no ")
    assert run.url is None
    assert "trial-05" in repr(run)
    assert list(host.state.glob("*.*")) == []


@apart
def test_a_missing_run_is_missing_in_a_process_that_it_is_passed_to(held: Oracle):
    run = pickle.loads(pickle.dumps(steplog.attach("trial-05", missing="ignore")))
    run.log("loss", 0.5)
    assert run.finish().dropped == {"no run": 1}


@apart
def test_a_disabled_run_is_disabled_in_a_process_that_it_is_passed_to(held: Oracle, host: Host):
    """The process made a journal of it, for a run that no server has."""
    run = pickle.loads(pickle.dumps(steplog.init(project="mnist", mode="disabled")))
    run.log("loss", 0.5)
    assert run.finish() == steplog.Report()
    assert list(host.state.glob("*.*")) == []


@apart
def test_a_run_that_is_there_is_joined_whatever_missing_is(held: Oracle, server: ServerProcess):
    made = elsewhere(server)
    run = steplog.attach("trial-05", missing="ignore", project_slug=os.environ["PROJECT"])
    assert run.uuid == made["uuid"]
    run.log("loss", 0.5)
    assert run.finish().delivered == 1


@apart
def test_what_is_resumed_offline_says_that_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It said that it was resumed in a project of no namespace, and a line without an address."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    run = steplog.init(project="mnist", name="kept", mode="offline")
    run.finish()
    with caplog.at_level(logging.INFO):
        caplog.clear()
        steplog.attach(str(run.uuid), owner=True)
    words = "steplog: run kept is resumed, and kept on this machine; to send it, type: steplog sync"
    assert [record.getMessage() for record in caplog.records] == [words]
