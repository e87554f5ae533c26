"""``steplog.open``: a run is found as attach finds it, and read from where it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

import steplog
from apart import apart
from end_to_end.programs import Host
from reading.arrays import read
from server.process import ServerProcess, lasting_port
from steplog import ReadOnlyRun, RunStatus
from steplog.reading.points import Selection

LARGE = 2**53 + 1
NAMES = ["loss", "count", "note", "large"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "team", "--stock") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Host:
    """This process is a program of it."""
    made = Host(tmp_path, server)
    made.configure(monkeypatch)
    return made


def logged(host: Host, **given: object) -> steplog.Run:
    """A run that has been logged and not finished."""
    run = steplog.init("team", host.project, config={"lr": 0.1}, **given)  # type: ignore[arg-type]
    for step in range(10):
        run.log("loss", 1 / (step + 1), step)
    for step in (3, 9, 3):
        run.log("count", step, step)
    run.log("loss", math.nan, 9)
    run.log("note", {"a": [1]}, 3)
    run.log("large", LARGE)
    return run


def check(run: ReadOnlyRun, *, timed: bool = True) -> None:
    """Everything that was logged is there; a stock server gets the metrics in any order, and keeps no times."""
    assert run.config == {"lr": 0.1}
    names = list(run.summary)
    assert names == NAMES if timed else sorted(names) == sorted(NAMES)
    assert [repr(run.summary[name]) for name in NAMES] == ["nan", "3", "{'a': [1]}", f"{LARGE}"]
    rows = {row["name"]: row for row in run.series()}
    assert list(rows) == names
    assert (rows["loss"]["count"], rows["loss"]["first_step"], rows["loss"]["last_step"]) == (11, 0, 9)
    assert (rows["count"]["max_step"], rows["count"]["last"], rows["count"]["max"]) == (9, 3.0, 9.0)
    assert (rows["note"]["last"], rows["note"]["last_json"], rows["note"]["min"]) == (None, {"a": [1]}, None)
    assert (rows["large"]["last"], rows["large"]["last_json"]) == (None, LARGE)
    assert (rows["loss"]["last_time"] is not None) is timed
    wide = run.history()
    assert wide.columns == ("step", "time", *names)
    assert wide["step"] == list(range(10))
    assert wide["loss"][:9] == [1 / (step + 1) for step in range(9)]
    assert math.isnan(wide["loss"][9])
    assert wide["count"] == [None, None, None, 3, *[None] * 5, 9]
    assert wide["note"][3] == {"a": [1]}
    assert wide["large"] == [LARGE, *[None] * 9]
    assert all((time is not None) is timed for time in wide["time"])
    long = run.history(["count", "large"], form="long")
    assert read(long)["name"] == ["count"] * 3 + ["large"]
    assert read(long)["value"] == [3.0, 9.0, 3.0, None]
    assert read(long)["json"] == [None, None, None, str(LARGE)]
    assert run.history("count", start=4).to_dict() | {"time": None} == {"step": [9], "time": None, "count": [9]}
    assert run.history(["count"], last=1)["step"] == [3]
    assert [part.name for part in run.points(Selection(("note",)))] == ["note"]


@apart
def test_a_run_on_a_server_is_read_there_whatever_names_it(host):
    with logged(host, name="brave", tags=["a", "b"], group="g", job_type="train", notes="n", id="mine") as run:
        pass
    for text in (run, run.uuid, UUID(run.uuid), "brave", "mine", run.uuid[:8], f"{host.project}/brave", run.url):
        found = steplog.open(text)
        assert (found.uuid, found.id, found.key, found.name) == (run.uuid, run.uuid, "mine", "brave")
    assert (found.namespace, found.project, found.url) == ("team", host.project, run.url)
    assert (found.status, found.tags, found.group) == (RunStatus.COMPLETED, ("a", "b"), "g")
    assert (found.job_type, found.notes, found.description) == ("train", "n", None)
    assert found.started is not None
    assert found.ended is not None
    assert found.started.tzinfo is timezone.utc
    assert found.started < found.ended < datetime.now(timezone.utc)
    assert found.provenance["python"]
    assert repr(found) == f"<ReadOnlyRun team/{host.project}/brave ({run.uuid}), COMPLETED>"
    check(found)


@apart
def test_what_a_run_says_is_kept_until_refresh_and_its_history_is_not(host):
    run = logged(host)
    assert run.flush()
    found = steplog.open(run)
    assert (found.status, found.summary["large"]) == (RunStatus.RUNNING, LARGE)
    run.log("loss", 7.0, 100)
    run.finish()
    assert (found.status, len(found.series())) == (RunStatus.RUNNING, 4)
    assert found.history("loss")["loss"][-1] == 7.0
    found.refresh()
    assert (found.status, found.summary["loss"]) == (RunStatus.COMPLETED, 7.0)
    found.config["lr"] = 5
    assert found.config == {"lr": 0.1}


@apart
def test_a_run_that_no_server_has_is_read_here_and_there_once_it_was_sent(host):
    run = logged(host, name="kept", mode="offline")
    for text in (run, run.id, "kept"):
        found = steplog.open(text)
        assert (found.uuid, found.name, found.status, found.url) == (run.id, "kept", RunStatus.RUNNING, None)
        check(found)
    run.finish()
    assert steplog.open("kept").status is RunStatus.COMPLETED
    assert len(list(steplog.sync())) == 1
    found.refresh()
    assert found.uuid == steplog.open("kept").uuid != run.id
    check(found)


@apart
def test_a_run_begun_without_its_server_is_read_there_once_that_has_come(tmp_path, monkeypatch):
    with ServerProcess(tmp_path, "--user", "team", "--port", str(lasting_port())) as late:
        late.end()
        host = Host(tmp_path, late)
        host.configure(monkeypatch)
        run = logged(host, name="early")
        found, local_id = steplog.open(run), run.uuid
        check(found)
        assert found.uuid == local_id
        late.start()
        run.finish()
        found.refresh()
        assert found.uuid == run.uuid != local_id
        assert found.url == run.url
        check(found)


@apart
def test_a_run_on_a_stock_server_is_read_by_its_list_of_metrics(stock, tmp_path, monkeypatch):
    host = Host(tmp_path, stock)
    host.configure(monkeypatch)
    with logged(host, name="old") as run:
        pass
    found = steplog.open(run.uuid)
    assert (found.name, found.status, found.tags, found.ended) == ("old", RunStatus.COMPLETED, (), None)
    check(found, timed=False)


@apart
def test_a_client_that_is_no_transport_is_asked_by_its_own_get(host):
    with logged(host) as run:
        pass
    client = steplog.TellurioClient()
    asked: list[str] = []

    def get(path: str) -> object:
        asked.append(path)
        return client.get(path)

    found = steplog.open(run.uuid, client=SimpleNamespace(get=get))  # type: ignore[arg-type]
    check(found, timed=False)
    assert all(path.startswith("/api/v0/") for path in asked)
    client.close()


@apart
def test_a_metric_or_a_run_that_is_not_there_is_named_with_what_is(host):
    with logged(host, name="brave") as run:
        pass
    found = steplog.open(f"{host.project}/brave")
    with pytest.raises(steplog.MetricNotFoundError, match=r"brave .* no metric 'lss'; did you mean 'loss'\?"):
        found.history(["loss", "lss"])
    with pytest.raises(steplog.RunNotFoundError, match="'brav_'"):
        steplog.open("brav_")
    run.delete()
    with pytest.raises(steplog.RunNotFoundError, match=r"brave .* in the trash .* steplog restore brave"):
        found.history("loss")


@apart
def test_a_run_that_logs_nowhere_cannot_be_read(host):
    run = steplog.init("team", host.project, mode="disabled")
    with pytest.raises(steplog.RunNotFoundError, match="logs nowhere"):
        steplog.open(run)


@apart
def test_what_makes_no_sense_is_refused_where_it_is_typed(host):
    with logged(host) as run:
        pass
    found = steplog.open(run)
    for given, error in (
        ({"form": "flat"}, ValueError),
        ({"last": 0}, ValueError),
        ({"last": 1.5}, TypeError),
        ({"start": "1"}, TypeError),
        ({"end": True}, TypeError),
        ({"names": [1]}, TypeError),
    ):
        with pytest.raises(error):
            found.history(**given)  # type: ignore[arg-type]
    assert len(found.history("loss", start=-(2**70), end=2**70, last=2**70)) == 10
    for text in ("", "  "):
        with pytest.raises(ValueError, match="empty"):
            steplog.open(text)
    with pytest.raises(TypeError):
        steplog.open(7)  # type: ignore[arg-type]


@apart
def test_without_a_server_the_run_is_named_and_what_waits_here_said(tmp_path, monkeypatch):
    with ServerProcess(tmp_path, "--user", "team") as short:
        host = Host(tmp_path, short)
        host.configure(monkeypatch)
        run = logged(host, name="brave")
        assert run.flush()
        found = steplog.open("brave")
        short.end()
    for ask in (found.history, found.refresh, lambda: steplog.open("brave")):
        with pytest.raises(steplog.ServerUnavailableError, match="brave"):
            ask()
