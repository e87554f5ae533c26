"""A run on a stock server is read by the list of its metrics alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

import steplog
from server.process import KEY, ServerProcess
from steplog.errors import InvalidAPIKeyError, RunNotFoundError, ServerUnavailableError
from steplog.reading.points import Selection
from steplog.reading.stock_source import StockSource

LOGGED = [
    ("steplog/config", {"lr": 0.1, "gone": 1}, None),
    ("loss", 0.5, None),
    ("loss", 0.25, None),
    ("loss", "NaN", 7),
    ("loss", "-Infinity", None),
    ("count", 3, 10),
    ("count", 2**40, 5),
    ("note", {"a": [1]}, None),
    ("flag", True, None),
    ("steplog/config/removed", ["gone"], None),
    ("steplog/config", {"seed": 1}, None),
    ("mixed", 1, None),
    ("mixed", 2.5, None),
    ("large", 2**70, None),
]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "team", "--stock") as started:
        yield started


@pytest.fixture
def client(stock: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> steplog.TellurioClient:
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    return steplog.TellurioClient(stock.url)


@pytest.fixture
def source(stock: ServerProcess, client: steplog.TellurioClient) -> StockSource:
    path = stock.new_run()
    for name, value, step in LOGGED:
        body = {"name": name, "value": value} | ({} if step is None else {"step": step})
        assert stock.ask("POST", f"{path}metrics/", json=body).status_code == 201
    return StockSource(client, "team", "mnist", path.split("/")[-2])


def points_in(source: StockSource, *names: str, **chosen: Any) -> dict[str, tuple[str, list[Any]]]:
    """The kind, and the (step, value) pairs, of each metric."""
    found = {}
    for part in source.points(Selection(names or None, **chosen)):
        assert part.times is None
        values = [json.loads(value) for value in part.values] if part.kind == "json" else list(part.values)
        assert part.name not in found
        found[part.name] = part.kind, list(zip(part.steps, values, strict=True))
    return found


def test_points_have_the_servers_steps_and_types_and_no_times(source: StockSource):
    found = points_in(source)
    kind, loss = found.pop("loss")
    assert (kind, loss[:2], loss[3]) == ("f8", [(0, 0.5), (1, 0.25)], (8, -math.inf))
    assert loss[2][0] == 7
    assert math.isnan(loss[2][1])
    assert found.pop("steplog/config")[0] == found.pop("steplog/config/removed")[0] == "json"
    assert found == {
        "count": ("i8", [(10, 3), (5, 2**40)]),
        "note": ("json", [(0, {"a": [1]})]),
        "flag": ("json", [(0, True)]),
        "mixed": ("json", [(0, 1), (1, 2.5)]),
        "large": ("json", [(0, 2**70)]),
    }


def test_a_selection_cuts_by_step_and_from_the_end(source: StockSource):
    assert points_in(source, "count", "mixed", start=1) == {
        "count": ("i8", [(10, 3), (5, 2**40)]),
        "mixed": ("f8", [(1, 2.5)]),
    }
    assert points_in(source, "count", end=7, last=5) == {"count": ("i8", [(5, 2**40)])}
    assert points_in(source, "loss", last=3, skip={"loss": 2})["loss"][1] == [(8, -math.inf)]
    assert points_in(source, "count", start=99) == {"count": ("f8", [])}
    with pytest.raises(KeyError, match="los"):
        points_in(source, "count", "los")


def test_document_config_and_totals_come_from_the_lists(source: StockSource):
    document = source.document()
    assert (document["status"], document["project"]["slug"], "config" in document) == ("RUNNING", "mnist", False)
    assert source.config() == {"lr": 0.1, "seed": 1}
    rows = {row["name"]: row for row in source.series()}
    assert list(rows) == ["steplog/config", "loss", "count", "note", "flag", "steplog/config/removed", "mixed", "large"]
    assert rows["loss"] == {
        "name": "loss",
        "count": 4,
        "first_step": 0,
        "last_step": 8,
        "max_step": 8,
        "last": "-Infinity",
        "min": "-Infinity",
        "max": 0.5,
        "last_time": None,
    }
    assert (rows["flag"]["min"], rows["flag"]["last"], rows["note"]["max"]) == (1, True, None)


def test_a_run_that_is_not_there_is_said_with_server_and_place(client: steplog.TellurioClient, stock: ServerProcess):
    stock.new_run()
    source = StockSource(client, "team", "mnist", "11111111-2222-4333-8444-555555555555")
    words = f"{stock.url} has no run 11111111-2222-4333-8444-555555555555 in team/mnist"
    for call in (source.document, source.series, source.config):
        with pytest.raises(RunNotFoundError, match=words):
            call()


def test_a_wrong_key_and_a_server_that_is_away_are_told_apart(stock: ServerProcess, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_API_KEY", "wrong")
    with pytest.raises(InvalidAPIKeyError, match="rejects the API key"):
        StockSource(steplog.TellurioClient(stock.url), "team", "mnist", "u").document()
    with pytest.raises(ServerUnavailableError):
        StockSource(steplog.TellurioClient("http://127.0.0.1:9"), "team", "mnist", "u").document()
