"""A server's ``table/`` and what is evaluated here give the same answer to the same query."""

from __future__ import annotations

import json
import math
import random
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import postgresql
from server.batches import range_of
from server.process import KEY, ServerProcess
from steplog import TellurioClient
from steplog.reading.rows import Candidate, chosen
from steplog.reading.server_project import ServerProject
from steplog.reading.table_query import Row, TableQuery, query_of

RUNS = 40
LONG = "long " * 60  # more than a server keeps of a metric's last value
VALUES = [0.5, -1, 7, 7.0, math.inf, -math.inf, math.nan, True, False, b'"NaN"', b'"a text"', b'"b"', b"null", b"[1,2]"]
VALUES += [b'{"a": 1}', 2**53, 2**53 + 1, 2**63 - 1, -0.0, b'"5"', 1e300, b'"z\xc3\xa9"', json.dumps(LONG).encode()]
ENTRIES = [0.1, 7, -3, "0.1", "adam", "sgd", None, True, False, [1, 2], {}, "", "NaN", 2**63, 10**25, "x" * 1100]
ENTRIES += ["x" * 1024, ["y" * 1100], {"name": "adam", "lr": 7}, {"name": None, "a.b": {"c d": "x"}}]
KEYS = ["lr", "optim", "a.b", "note"]
METRICS = ["loss", "train/loss", "p(a<b)"]
CONFIG = ["config.lr", "config.optim", "config.optim.name", 'config.optim."a.b"."c d"', 'config."a.b"', "config.none"]
TOTALS = [
    f"{name}.{total}" for name in ("loss", "train/loss", '"p(a<b)"', "none") for total in ("last", "min", "count")
]
OF_RUNS = ["name", "status", "id", "group", "description", "notes", "job_type", "user", "started", "ended", "duration"]
OF_RUNS += ["lost", "seen", "last_point", "generation"]
TEXTS = ["run-3", "run", "RUNNING", "FAILED", "id-2", "a", "b", "me", ""]
COMPARED = [0.5, 7, -1, 0.1, "0.1", "5", "a text", "adam", "x", True, False, None, "NaN", "Infinity", 2**53, 1e300, 0]
COMPARED += [LONG, "x" * 1024]
DATES = ["2026-11-01", "2026-11-01T00:00:05Z", "2026-10-31T23:59:59.5Z"]


def fill(server: ServerProcess, source: random.Random) -> None:
    """Runs of all kinds: of each another set of fields, config entries and metrics."""
    server.ask("POST", "/me/projects/", json={"display_name": "mixed", "visibility": "TEAM"})
    for number in range(RUNS):
        keys = {"Idempotency-Key": f'"id:id-{number}"'} if number % 3 else {}
        body = {"name": f"run-{number}"}
        made = server.ask("POST", "/me/projects/mixed/runs/", json=body, headers=keys)
        path = f"/me/projects/mixed/runs/{made.json()['uuid']}/"
        fields: dict[str, Any] = {"tags": source.choice([[], ["a"], ["a", "b"], ["debug-a"]])}
        fields |= {"group": source.choice([None, "a", "b", ""]), "job_type": source.choice([None, "a"])}
        fields |= {
            "description": source.choice([None, "a", "b" * 300]),
            "notes": source.choice([None, "b" * 256 + "x"]),
        }
        lost = {"dropped": {"oldest": 3}, "abandoned": 0, "lost": source.choice([0, 4, None]), "rejected": 0}
        fields |= {"report": lost} if number % 3 == 0 else {}
        fields |= {"started": f"2026-11-01T00:00:0{source.randrange(10)}.250000Z"}
        fields |= {"status": source.choice(["RUNNING", "COMPLETED", "CRASHED", "FAILED"])}
        if fields["status"] != "RUNNING":
            fields["ended"] = f"2026-11-01T00:01:{source.randrange(60):02}.500000Z"
        assert server.ask("PATCH", path, json=fields).status_code == 200
        config = {key: source.choice(ENTRIES) for key in source.sample(KEYS, source.randrange(len(KEYS) + 1))}
        records: list[Any] = [("steplog/config", json.dumps(config).encode())]
        for name in source.sample(METRICS, source.randrange(len(METRICS) + 1)):
            records += [(name, source.choice(VALUES)) for _ in range(source.randint(1, 3))]
        assert server.send(path, range_of(records)).status_code == 200
    deleted = server.ask("GET", "/me/projects/mixed/runs/?limit=1&after=11").json()[0]["uuid"]
    assert server.ask("DELETE", f"/me/projects/mixed/runs/{deleted}/").status_code == 204


class Both:
    """The project as the server's tables have it, and as it is evaluated here."""

    def __init__(self, url: str) -> None:
        client = TellurioClient(url)
        client.login(KEY)
        self.project = ServerProject(client, "me", "mixed")
        listed = self.project.listed()
        assert listed is not None
        assert len(listed) == RUNS - 1
        whole = {run["uuid"]: self.project.whole(run, {"config", "metric"}) for run in listed}
        self.candidates = [Candidate(run, partial(_given, whole[run["uuid"]])) for run in reversed(listed)]

    def check(self, query: TableQuery) -> int:
        """Both answers are the same; returns how many rows they have."""
        now = datetime.now(timezone.utc)
        here = chosen(self.candidates, query, now)
        there = self.project.rows(query, now, read=lambda: pytest.fail("the server has tables"))
        assert there is not None
        assert [row["uuid"] for row in here] == [row["uuid"] for row in there], query
        for mine, its in zip(here, there, strict=True):
            assert _told(mine) == _told(its), query
        return len(here)


def _given(whole: Any, _kinds: set[str]) -> Any:
    return whole


def _told(row: Row) -> dict[str, Any]:
    """A row as JSON tells it; a duration, of which the other clock knows another, without its end."""
    told: dict[str, Any] = json.loads(json.dumps(row, allow_nan=False))
    if told.get("duration", 0) > 1000:
        told["duration"] = math.inf
    return {name: (isinstance(value, bool), value) for name, value in told.items()}


def a_query(source: random.Random) -> TableQuery:
    def condition() -> list[Any]:
        operator = source.choice(["=", "!=", "<", "<=", ">", ">="])
        kind = source.randrange(7)
        if kind == 0:
            return [source.choice(OF_RUNS[:8]), source.choice([operator, "~"]), source.choice(TEXTS)]
        if kind == 1:
            return [source.choice(["started", "ended", "last_point"]), operator, source.choice(DATES)]
        if kind == 2:
            return ["tag", source.choice(["=", "!=", "~"]), source.choice(["a", "b", "debug", "c"])]
        if kind == 3:
            return [source.choice(["group", "ended", "id", "lost", "notes"]), operator, None]
        if kind == 6:
            return [source.choice(["lost", "generation"]), operator, source.choice([0, 1, 3.0, 7])]
        if kind == 4:
            return [source.choice(CONFIG + TOTALS), "~", source.choice(["a", "", "NaN", "5", "x"])]
        return [source.choice(CONFIG + TOTALS), operator, source.choice(COMPARED)]

    columns = source.sample(OF_RUNS + CONFIG + TOTALS + ["tag"], source.randint(1, 8))
    sort = source.choice([None, *OF_RUNS, *CONFIG, *TOTALS, *TOTALS])
    direction = source.choice(["", "-"])
    where = [condition() for _ in range(source.choice([0, 0, 1, 1, 2]))]
    return query_of(where, columns, sort and direction + sort, source.choice([None, None, 1, 7]))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9))])
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_server_and_its_reader_give_the_same_answers(
    tmp_path: Path, seed: int, engine: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "client"))
    source = random.Random(seed)
    directory = tmp_path / "server"
    directory.mkdir()
    store = postgresql.new_database() if engine == "postgresql" else None
    with ServerProcess(directory, "--user", "me", store=store) as server:
        fill(server, source)
        both = Both(server.url)
        found = [both.check(a_query(source)) for _ in range(150 if seed else 40)]
        assert max(found) == RUNS - 1
        assert any(0 < count < RUNS - 1 for count in found)
