"""A run as its user holds it: identity, ``log``, ``flush``, ``stats``, ``finish``, the context manager, pickling."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Iterator
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
from steplog import Run, RunFinishedError, RunOrg, RunProject, RunStatus, RunUser
from steplog.testing.memory_server import Fault


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return Host(tmp_path, server)


@pytest.fixture
def held(host: Host, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """What the server holds that this process is configured for."""
    return host.configure(monkeypatch)


def begin(name: str = "run", **given: Any) -> Run:
    return steplog.init("team", os.environ.get("PROJECT", "mnist"), name, **given)


def test_the_statuses_are_the_four_of_the_server():
    assert {status.name: status.value for status in RunStatus} == {
        name: name for name in ("RUNNING", "COMPLETED", "CRASHED", "FAILED")
    }


def test_what_a_run_belongs_to_has_a_telling_repr():
    assert repr(RunOrg("team")) == "RunOrg(slug='team')"
    assert repr(RunProject("u", "My MNIST", "my-mnist")) == (
        "RunProject(uuid='u', display_name='My MNIST', slug='my-mnist')"
    )
    assert repr(RunUser("u", "ada", "ada")) == "RunUser(uuid='u', username='ada', slug='ada')"


@pytest.mark.parametrize("status", [RunStatus.FAILED, "FAILED"])
def test_a_run_takes_its_status_as_the_enum_or_its_value_and_shows_who_it_is(status: Any):
    run = Run("1234", "brave_pasta_1", "first try", status, project=RunProject("u", "My MNIST", "my-mnist"))
    assert run.status is RunStatus.FAILED
    assert all(part in repr(run) for part in ("1234", "brave_pasta_1", "FAILED", "My MNIST"))
    assert (run.date_created, run.date_updated, run.organization, run.user) == (None, None, None, None)


def test_a_status_that_is_none_is_refused():
    with pytest.raises(ValueError, match="DONE"):
        Run("1234", "name", None, "DONE")


@pytest.mark.parametrize("missing", ["uuid", "project", "organization"])
@pytest.mark.parametrize("call", ["log", "flush", "finish"])
@apart
def test_a_run_built_by_hand_needs_its_identifiers(held: Oracle, missing: str, call: str):
    known: dict[str, Any] = {
        "uuid": "1234",
        "project": RunProject("u", "p", "p"),
        "organization": RunOrg("team"),
    } | {missing: None}
    run = Run(name="by hand", description=None, status="RUNNING", **known)
    with pytest.raises(ValueError, match=r"^Run object is missing required identifiers\.$"):
        run.log("loss", 0.5) if call == "log" else getattr(run, call)()


@apart
def test_a_run_built_by_hand_logs_and_finishes(held: Oracle, server: ServerProcess, host: Host):
    path = f"/team/projects/{host.project}/"
    server.ask("POST", "/team/projects/", json={"display_name": host.project, "visibility": "TEAM"})
    told = server.ask("POST", f"{path}runs/", json={"name": "by hand"}).json()
    run = Run(
        told["uuid"],
        "by hand",
        None,
        "RUNNING",
        organization=RunOrg("team"),
        project=RunProject("", host.project, host.project),
    )
    assert run.stats() == steplog.Stats()
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    report = run.finish()
    assert (report.logged, report.delivered, report.pending) == (2, 2, 0)
    row = held.run("by hand")
    assert (row.status, row.points) == ("COMPLETED", 2)


MISTAKES: list[tuple[Any, type[Exception]]] = [
    ((1, 0.5), TypeError),
    (("", 0.5), ValueError),
    (("n" * 257, 0.5), ValueError),
    (("loss", 0.5, "1"), TypeError),
    (("loss", 0.5, 1.5), ValueError),
    (("loss", 0.5, True), TypeError),
    (("loss", 0.5, -(2**63)), ValueError),
    (("loss", 0.5, 2**63), ValueError),
]


@apart
def test_a_mistake_is_raised_where_it_is_made_and_nothing_is_recorded(held: Oracle):
    run = begin()
    for arguments, error in MISTAKES:
        with pytest.raises(error):
            run.log(*arguments)
    assert run.stats().logged == 0
    run.log("loss", 0.5)
    assert run.finish().delivered == 1
    assert held.metrics("run") == [("loss", 0.5, 0)]


@apart
def test_flush_says_that_everything_is_there_and_the_run_goes_on(held: Oracle):
    run = begin()
    run.log("loss", 0.5)
    assert run.flush() is True
    assert held.values("run", "loss") == [0.5]
    run.log("loss", 0.25)
    assert run.flush(timeout=10) is True
    assert (held.run("run").status, held.run("run").points) == ("RUNNING", 2)


@apart
def test_reports_and_stats_are_frozen_and_count_in_integers(held: Oracle):
    run = begin()
    run.log("loss", 0.5)
    stats, report = run.stats(), run.finish()
    for counts in (stats, report):
        for field in ("logged", "delivered", "pending", "rejected", "ambiguous", "coerced", "abandoned"):
            assert type(getattr(counts, field)) is int
        assert counts.dropped == {}
        assert counts.logged == counts.delivered + counts.pending == 1
        with pytest.raises(dataclasses.FrozenInstanceError):
            counts.logged = 2  # type: ignore[misc]
    assert not isinstance(report, steplog.Stats)
    assert [type(getattr(stats, field)) for field in ("durable", "memory_bytes", "spool_bytes")] == [int] * 3
    assert stats.memory_bytes > 0
    assert stats.append in ("c", "pure", "locked")
    assert stats.last_error is None


@apart
def test_finish_a_second_time_does_nothing_and_gives_the_same_report(held: Oracle):
    run = begin()
    run.log("loss", 0.5)
    report = run.finish()
    assert run.finish(status="FAILED") is report
    assert (run.status, held.run("run").status) == (RunStatus.COMPLETED, "COMPLETED")
    assert run.flush() is True
    assert run.stats().delivered == 1


@pytest.mark.parametrize("status", [RunStatus.FAILED, "CRASHED"])
@apart
def test_finish_sends_the_status_that_it_is_given(held: Oracle, status: Any):
    run = begin()
    run.finish(status=status)
    assert run.status is RunStatus(status)
    assert held.run("run").status == RunStatus(status).value


@pytest.mark.parametrize("given", ["CRASHED", RunStatus.CRASHED, ValueError("bad")])
@apart
def test_a_status_in_the_place_of_the_client_is_an_error_that_says_what_was_meant(held: Oracle, given: Any):
    run = begin()
    with pytest.raises(TypeError, match='status="CRASHED"'):
        run.finish(given)
    run.log("loss", 0.5)
    assert run.finish().delivered == 1
    assert held.run("run").status == "COMPLETED"


@apart
def test_finish_with_a_status_that_is_none_leaves_the_run_open(held: Oracle):
    run = begin()
    with pytest.raises(ValueError, match="DONE"):
        run.finish(status="DONE")
    run.log("loss", 0.5)
    assert run.finish().delivered == 1


@apart
def test_log_after_finish_is_a_clear_error(held: Oracle):
    run = begin()
    run.log("loss", 0.5)
    run.finish()
    with pytest.raises(RunFinishedError, match=r"finished.*init\(\)"):
        run.log("loss", 0.25)
    assert held.values("run", "loss") == [0.5]


@apart
def test_a_with_block_completes_its_run_and_gives_the_run_itself(held: Oracle):
    made = begin()
    with made as run:
        assert run is made
        run.log("loss", 0.5)
    row = held.run("run")
    assert (row.status, row.points, run.status) == ("COMPLETED", 1, RunStatus.COMPLETED)
    with pytest.raises(RunFinishedError):
        run.log("loss", 0.25)


@apart
def test_finish_inside_a_with_block_decides_the_status(held: Oracle):
    with begin() as run:
        run.finish(status="FAILED")
    assert held.run("run").status == "FAILED"


@pytest.mark.parametrize("call", ["log", "finish"])
@apart
def test_what_a_call_is_given_as_its_client_delivers_from_then_on(monkeypatch: pytest.MonkeyPatch, call: str):
    fake = FakeServer()
    fake.configure(monkeypatch)
    run = begin()
    other = steplog.TellurioClient(fake.url)
    other.login("another-key")
    if call == "log":
        run.log("loss", 0.5, client=other)
        assert run.finish().delivered == 1
    else:
        run.log("loss", 0.5)
        assert run.finish(other).delivered == 1
    sent = [request.headers["Authorization"] for request, _ in fake.memory.requests if request.method == "PATCH"]
    assert sent == ["Api-Key another-key"]


@apart
def test_a_pickled_run_is_the_same_run_elsewhere(held: Oracle):
    run = begin(description="first try")
    run.log("loss", 0.5)
    again = pickle.loads(pickle.dumps(run))
    assert (again.uuid, again.name, again.description, repr(again)) == (run.uuid, run.name, "first try", repr(run))
    again.log("loss", 0.25)
    assert run.finish().delivered == 2
    assert sorted(held.values("run", "loss")) == [0.25, 0.5]


@apart
def test_a_pickled_run_that_no_server_has_made_is_the_same_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It was looked for by the uuid that a server gives alone, and a spawned process could not log to it."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    run = steplog.init(project="mnist", name="kept", mode="offline", provenance=False)
    again = pickle.loads(pickle.dumps(run))
    again.log("loss", 0.5, 1)
    run.finish()
    logged = [record for record in steplog.read_journal("kept") if not record.name.startswith("steplog/")]
    assert [(record.name, record.value, record.step) for record in logged] == [("loss", 0.5, 1)]


@apart
def test_a_pickled_run_carries_no_key(held: Oracle):
    run = begin()
    run.log("loss", 0.5)
    assert KEY.encode() not in pickle.dumps(run)


@apart
def test_a_status_that_the_server_refuses_raises_and_leaves_the_run_open(monkeypatch: pytest.MonkeyPatch):
    refused = Fault(400, b'{"status": ["not from you"]}', {"content-type": "application/json"})
    fake = FakeServer()
    fake.configure(monkeypatch)
    run = begin()
    run.log("loss", 0.5)
    fake.memory.script = lambda request: refused if request.method == "PATCH" else None
    with pytest.raises(requests.HTTPError, match="not from you"):
        run.finish(status="FAILED")
    assert steplog.get_active_run() is run
    assert run.status is RunStatus.RUNNING
    steplog.log("loss", 0.25)
    assert run.flush()
    fake.memory.script = lambda request: None
    assert run.finish().delivered == 2
    (kept,) = fake.memory.runs.values()
    assert kept.statuses == ["COMPLETED"]
    assert [row.value for row in kept.rows] == [0.5, 0.25]


@apart
def test_a_status_that_was_refused_does_not_replace_the_exception_of_a_with_block(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    fake.memory.script = lambda request: Fault(400) if request.method == "PATCH" else None
    with pytest.raises(KeyError, match="its own"), begin():
        raise KeyError("its own")


@apart
def test_what_the_server_refuses_for_good_is_counted_and_holds_nothing_back(monkeypatch: pytest.MonkeyPatch):
    fake = FakeServer()
    fake.configure(monkeypatch)
    fake.memory.refuses = lambda name, value: 400 if value == 13.0 else None
    run = begin()
    for number in range(100):
        run.log("loss", float(number))
    report = run.finish()
    assert (report.logged, report.delivered, report.rejected, report.pending) == (100, 99, 1, 0)
    (kept,) = fake.memory.runs.values()
    assert [row.value for row in kept.rows] == [float(number) for number in range(100) if number != 13]
