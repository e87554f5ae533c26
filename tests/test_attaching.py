"""How runs come to be open: ``init`` makes one on the server, ``attach`` joins one."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from server.process import KEY, ServerProcess
from steplog import Run, RunFinishedError, RunStatus
from steplog.journal import manifest as manifests
from steplog.journal.directories import new_id
from steplog.journal.manifest import Manifest
from steplog.lifecycle.process import current
from steplog.network.keys import key_path, store_key
from steplog.private_files import make_private
from steplog.secret import Secret
from steplog.testing.memory_server import Fault, MemoryServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "ada", "--namespace", "team") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return Host(tmp_path, server)


@pytest.fixture
def held(host: Host, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """What the server holds that this process is configured for."""
    return host.configure(monkeypatch)


def begin(name: str | None = "run", **given: Any) -> Run:
    return steplog.init("team", os.environ.get("PROJECT", "mnist"), name, **given)


@apart
def test_init_makes_the_project_restricted_and_the_run_in_it(held: Oracle, host: Host):
    run = steplog.init("team", f"{host.project.upper()} ", "first", "a first try")
    assert held.projects() == [(f"{host.project.upper()} ", "RESTRICTED")]
    (row,) = held.runs()
    assert (row.uuid, row.name, row.description, row.status) == (run.uuid, "first", "a first try", "RUNNING")
    assert (run.name, run.description, run.status) == ("first", "a first try", RunStatus.RUNNING)
    assert run.organization is not None
    assert run.project is not None
    assert run.user is not None
    assert (run.organization.slug, run.project.slug, run.user.slug) == ("team", host.project, "ada")
    assert run.date_created


@apart
def test_init_uses_the_project_that_is_there_and_lets_the_server_find_names(held: Oracle, server: ServerProcess):
    server.ask("POST", "/team/projects/", json={"display_name": os.environ["PROJECT"], "visibility": "TEAM"})
    named, again, unnamed = begin("run"), begin("run"), begin(None)
    assert [visibility for _, visibility in held.projects()] == ["TEAM"]
    assert [row.name for row in held.runs()] == [named.name, again.name, unnamed.name]
    assert (named.name, again.name) == ("run", "run_1")
    assert unnamed.name not in (None, "run", "run_2")


@apart
def test_init_sends_only_what_it_was_given_and_when_it_began(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    steplog.init("team", "my-mnist")
    steplog.init("team", "my-mnist", "name", "words", status="FAILED")
    steplog.init("team", "my-mnist", status=None)
    assert fake.asked("POST", "/projects/") == [{"display_name": "my-mnist", "visibility": "RESTRICTED"}]
    asked = fake.asked("POST", "/runs/")
    began = [datetime.fromisoformat(body.pop("began").replace("Z", "+00:00")) for body in asked]
    assert began == sorted(began)
    assert asked == [{"status": "RUNNING"}, {"name": "name", "description": "words", "status": "FAILED"}, {}]


@apart
def test_init_sends_a_key_for_each_run_so_that_a_retry_makes_no_second_one(
    monkeypatch: pytest.MonkeyPatch,
):
    fake = FakeServer()
    fake.configure(monkeypatch)
    begin(), begin()
    keys = [r.headers["Idempotency-Key"] for r, _ in fake.memory.requests if r.path.endswith("/runs/")]
    assert len(set(keys)) == 2
    assert all(key[0] == key[-1] == '"' and len(key) == 34 for key in keys)


@apart
def test_init_says_where_the_run_is_to_be_seen(
    held: Oracle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.INFO, "steplog")
    monkeypatch.delenv("STEPLOG_QUIET")
    begin("My First")
    address = f"{os.environ['STEPLOG_URL']}/team/projects/{os.environ['PROJECT']}/runs/my-first/"
    assert address in caplog.text
    assert KEY not in caplog.text


@apart
def test_an_unknown_namespace_raises_with_the_servers_words_and_opens_nothing(held: Oracle):
    words = r"the project 'mnist' is not in 'nobody' at .*, and cannot be made: 40[34] for POST .*/nobody/projects/: ."
    with pytest.raises(requests.HTTPError, match=words) as told:
        steplog.init("nobody", "mnist")
    assert told.value.response.status_code in (403, 404)
    with pytest.raises(ValueError, match="no active run"):
        steplog.get_active_run()


@apart
def test_a_wrong_key_raises_and_shows_no_key(held: Oracle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_API_KEY", "not-the-key")
    with pytest.raises(
        steplog.InvalidAPIKeyError, match=r"^Login failed due to invalid API key\. http.* type: steplog login$"
    ) as told:
        begin()
    assert "not-the-key" not in repr(told.value)


@apart
def test_a_refusal_of_the_run_raises_with_the_servers_words(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    refused = Fault(400, b'{"name": ["is taken"]}', {"content-type": "application/json"})
    fake.memory.script = lambda request: refused if request.path.endswith("/runs/") else None
    with pytest.raises(requests.HTTPError, match=r"400 for POST .*/runs/: name: is taken"):
        begin()


@apart
def test_an_init_that_fails_leaves_the_run_before_it_as_it_was(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    run = begin()
    fake.memory.script = lambda request: Fault(403) if request.path.endswith("/runs/") else None
    with pytest.raises(requests.HTTPError):
        begin("second")
    assert steplog.get_active_run() is run
    run.log("loss", 0.5)
    assert run.finish().delivered == 1


@apart
def test_a_bare_init_fails_the_last_run_that_its_thread_so_made(held: Oracle):
    first = begin("first")
    first.log("loss", 0.5)
    second = begin("second")
    assert first.status is RunStatus.FAILED
    first.log("loss", 0.25)  # counted, since the program did not finish it itself
    assert first.stats().dropped == {"finished": 1}
    assert first.flush()
    assert first.finish(status="COMPLETED") is first.finish()
    assert second.finish().pending == 0
    assert (held.wait_for("first", "FAILED").points, held.run("second").status) == (1, "COMPLETED")


@apart
def test_a_bare_init_touches_no_run_that_was_finished_entered_or_made_elsewhere(held: Oracle):
    begin("finished").finish()
    entered = begin("entered")
    with entered:
        inactive = begin("inactive", activate=False)
        made: list[Run] = []
        thread = threading.Thread(target=lambda: made.append(begin("of a thread")))
        thread.start()
        thread.join()
        last = begin("last")
        for run in (entered, inactive, made[0], last):
            run.log("loss", 0.5)
            assert run.flush()
        statuses = {row.name: row.status for row in held.runs()}
    assert statuses.pop("finished") == "COMPLETED"
    assert set(statuses.values()) == {"RUNNING"}
    assert len(statuses) == 4


@apart
def test_a_run_that_another_thread_has_entered_is_not_superseded(held: Oracle):
    run = begin("run")
    inside, done = threading.Event(), threading.Event()

    def enter() -> None:
        with run:
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=enter)
    thread.start()
    inside.wait(20)
    begin("second")
    run.log("loss", 0.5)
    done.set()
    thread.join()
    assert (held.run("run").status, held.run("run").points) == ("COMPLETED", 1)


@apart
def test_init_with_activate_false_neither_supersedes_nor_becomes_active(held: Oracle):
    first = begin("first")
    second = begin("second", activate=False)
    assert steplog.get_active_run() is first
    assert (first.status, second.status) == (RunStatus.RUNNING, RunStatus.RUNNING)


@apart
def test_init_takes_a_client_and_the_run_is_delivered_over_it(held: Oracle, monkeypatch: pytest.MonkeyPatch):
    other = FakeServer(MemoryServer(username="ada"))
    client = steplog.TellurioClient(other.url)
    client.login("key")
    run = begin(client=client)
    run.log("loss", 0.5)
    assert run.finish().delivered == 1
    assert held.runs() == []
    assert [[row.value for row in made.rows] for made in other.memory.runs.values()] == [[0.5]]


@pytest.mark.parametrize("owner", [True, False])
@apart
def test_attach_joins_a_run_of_elsewhere_and_only_an_owner_decides_its_status(
    held: Oracle, server: ServerProcess, host: Host, owner: bool
):
    path = server.new_run("team", host.project)
    uuid = path.rstrip("/").rpartition("/")[2]
    run = steplog.attach(uuid, namespace_slug="team", project_slug=host.project, owner=owner)
    run.log("loss", 0.5)
    assert run.finish(status="FAILED").delivered == 1
    with pytest.raises(RunFinishedError):
        run.log("loss", 0.25)
    (row,) = held.runs()
    assert (row.status, row.points) == ("FAILED" if owner else "RUNNING", 1)


@apart
def test_attach_delivers_a_run_of_this_machine_to_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It went to the default one, which does not have it."""
    own, default = FakeServer(), FakeServer()
    default.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    make_private(tmp_path / "state")
    store_key(key_path(tmp_path / "state"), own.url, Secret(own.memory.key))
    client = steplog.TellurioClient(own.url)
    client.post("/api/v0/me/projects/", {"display_name": "mnist", "visibility": "TEAM"})
    uuid = client.post("/api/v0/me/projects/mnist/runs/", {"name": "run"}).json()["uuid"]
    paths, lock = current().roots.claim(new_id())
    assert lock is not None
    found = Manifest(local_id=paths.local_id, base_url=own.url, account="", namespace="me", project="mnist", run=uuid)
    manifests.store(paths.manifest(), found)
    lock.release()
    run = steplog.attach(uuid, owner=True)
    run.log("loss", 0.5)
    assert run.finish(timeout=20).delivered == 1
    assert [row.status for row in own.memory.runs.values()] == ["COMPLETED"]


@apart
def test_attach_finds_a_run_of_this_machine_by_its_uuid_alone(held: Oracle):
    run = begin("run")
    again = steplog.attach(str(run.uuid))
    assert (again.uuid, again.name) == (run.uuid, "run")
    again.log("loss", 0.5)
    assert run.finish().delivered == 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 9}', None], ids=["empty", "cut", "newer", "a pipe"])
@apart
def test_another_runs_damaged_manifest_does_not_keep_a_run_from_being_joined(held: Oracle, damage: bytes | None):
    """attach() raised FormatError for a run that it was not asked about."""
    run = begin("joined")
    memory = Path(os.environ["STEPLOG_MEMORY_DIR"])
    (found,) = memory.glob("*/manifest")
    host = found.parent.name.partition(".")[2]
    for digit in "0f":  # one is listed before it, and one after
        for root in (memory, Path(os.environ["STEPLOG_DIR"])):
            other = root / f"{digit * 32}.{host}"
            other.mkdir(mode=0o700)
            if damage is None:
                os.mkfifo(other / "manifest", 0o600)
            else:
                (other / "manifest").write_bytes(damage)
    joined = steplog.attach(str(run.uuid))
    joined.log("loss", 2.0)
    assert joined.flush(20)
    held.wait_for_points("joined", 1)
    assert len(steplog.journals()) == 3
    run.finish()
