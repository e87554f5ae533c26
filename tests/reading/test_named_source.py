"""Errors of a run that is read say which run was meant, what there is instead, and what to type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.programs import Host
from server.process import KEY, ServerProcess
from steplog.errors import InvalidAPIKeyError, MetricNotFoundError, RunNotFoundError, ServerUnavailableError
from steplog.naming import Named
from steplog.reading.named_source import NamedSource
from steplog.reading.points import Selection, SeriesPoints

UUID = "11111111-2222-4333-8444-555555555555"
FIRST = Named(UUID, "the first", "", "team", "mnist")
PLACE = rf"team/mnist/the first \({UUID}\)"


class Source:
    """Has these metrics, and fails with this error."""

    def __init__(self, *names: str, error: Exception | None = None) -> None:
        self.names, self.error = names, error

    def document(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"name": "the first"}

    def config(self) -> dict[str, Any]:
        return {"lr": 0.1}

    def series(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.names]

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        for name in selection.names or self.names:
            if name not in self.names:
                raise KeyError(name)
            yield SeriesPoints(name, "f8", [0], [0], [0.5])
        if self.error is not None:
            raise self.error


def unknown(name: str, *names: str) -> str:
    with pytest.raises(MetricNotFoundError) as told:
        list(NamedSource(Source(*names), FIRST, None).points(Selection((name,))))
    return str(told.value)


def test_an_unknown_metric_names_the_run_and_the_metrics_like_it():
    begin = f"the run team/mnist/the first ({UUID}) has no metric"
    assert unknown("los", "loss", "accuracy") == f"{begin} 'los'; did you mean 'loss'?"
    assert unknown("x", "loss", "steplog/config") == f"{begin} 'x'; it has 'loss'"
    assert unknown("x") == f"{begin} 'x'; it has none"
    many = [f"layer/{number}" for number in range(30)]
    assert unknown("x", *many) == f"{begin} 'x'; it has {', '.join(map(repr, many[:8]))} and 22 more"
    assert "\x1b" not in unknown("\x1b[2J", "\x1b[3J")
    assert isinstance(MetricNotFoundError(), LookupError)


def test_what_is_there_passes_as_it_is():
    source = NamedSource(Source("loss"), FIRST, None)
    assert (source.document(), source.config()) == ({"name": "the first"}, {"lr": 0.1})
    assert [part.name for part in source.points(Selection())] == ["loss"]


@apart
def test_a_server_that_is_away_or_rejects_the_key_is_named_with_the_run(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    client = steplog.TellurioClient("http://127.0.0.1:9")
    away = NamedSource(Source("loss", error=ServerUnavailableError("http://127.0.0.1:9: refused")), FIRST, client)
    with pytest.raises(
        ServerUnavailableError, match=rf"^the run {PLACE} cannot be read: http://127\.0\.0\.1:9: refused$"
    ):
        away.document()
    found = []
    with pytest.raises(ServerUnavailableError, match=r"^the run team/mnist/the first"):
        found.extend(away.points(Selection()))
    rejected = NamedSource(Source(error=InvalidAPIKeyError("no")), FIRST, client)
    with pytest.raises(
        InvalidAPIKeyError, match=rf"^the run {PLACE}: http://127\.0\.0\.1:9 rejects the API key; type: "
    ):
        rejected.document()
    gone = NamedSource(Source(error=RunNotFoundError("no")), FIRST, client)
    with pytest.raises(RunNotFoundError, match=rf"^http://127\.0\.0\.1:9 has no run {PLACE} any more$"):
        gone.document()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.mark.slow
@apart
def test_a_deleted_run_is_said_to_be_in_the_trash_with_what_waits_here(
    tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
):
    host = Host(tmp_path, server)
    host.configure(monkeypatch)
    run = steplog.init("team", host.project, "the first")
    run.log("loss", 0.5)
    run.flush()
    path = f"/team/projects/{host.project}/runs/{run.uuid}/"
    assert server.ask("DELETE", path).status_code == 204
    for step in range(1234):
        run.log("loss", 0.5, step)
    gone = NamedSource(
        Source(error=RunNotFoundError("no")),
        Named(str(run.uuid), "the first", "", "team", host.project),
        steplog.TellurioClient(server.url),
    )
    with pytest.raises(RunNotFoundError) as told:
        gone.document()
    trash = "; it is in the trash there, type: steplog restore 'the first'"
    here = "; 1,234 values of it wait on this machine, type: steplog export --here 'the first'"
    place = f"team/{host.project}/the first ({run.uuid})"
    assert str(told.value) == f"{server.url} has no run {place} any more{trash}{here}"
    assert json.loads(host.run("-m", "steplog", "ls", "--here", "--json").out)["waiting"][0]["pending"] == 1234
