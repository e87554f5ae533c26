"""Each filter in docs/api.md means what the page says, in Python and in the database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from docs.examples import ROOT
from server.store.engines import ENGINES
from server.stores import new_project
from steplog.filters import matches, parse_filter
from steplog.records.run_fields import changes_of
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.records.totals import Totals
from steplog.server.sql.table import put_lasts
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store import Store
from steplog.server.store_types import Creation, TableQuery

PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
FILTERS = PAGE[PAGE.index("\n## Filters\n") : PAGE.index("\n## Tables\n")]
EXAMPLE: dict[str, Any] = json.loads(
    FILTERS[FILTERS.index('```text\n{\n  "run"') + 8 : FILTERS.index("\n```\n\n<!-- filters -->")]
)
ROWS = re.findall(r"^\| `(.+)` \| .+ \| (yes|no) \|$", FILTERS, re.MULTILINE)
NOON = datetime(2026, 11, 2, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """With the run of the page."""
    opened = ENGINES[request.param](tmp_path_factory.mktemp("filters"))()
    assert isinstance(opened, (SqliteStore, PostgresqlStore))
    run, metrics = EXAMPLE["run"], EXAMPLE["metrics"]
    user = opened.add_user(run["user"]["username"]).result()
    made, _ = opened.create_run(new_project(opened), user, Creation(name=run["name"])).result()
    fields = {name: run[name] for name in ("job_type", "started", "description", "notes")}
    fields |= {name: json.dumps(run[name]) for name in ("tags", "report")}
    opened.edit_run(made, fields).result()
    config = changes_of([("steplog/config", 1, 0, json.dumps(run["config"]).encode())])
    opened.add_metric(made, None, changes=config).result()
    totals = {
        name: Totals(
            metric["count"],
            last=f'"{metric["last"]}"' if isinstance(metric["last"], str) else metric["last"],
            low=metric["min"],
            high=float(metric["max"].lower()) if isinstance(metric["max"], str) else metric["max"],
        )
        for name, metric in metrics.items()
    }

    opened.database.write(put_lasts, made.id, totals.items()).result()
    yield opened
    opened.close()


def test_the_page_has_examples():
    assert len(ROWS) > 20
    assert {answer for _, answer in ROWS} == {"yes", "no"}
    assert FILTERS.count("\n| `") == len(ROWS)


@pytest.mark.parametrize(("text", "answer"), ROWS)
def test_a_filter_of_the_page_matches_as_it_says(store, text, answer):
    conditions = parse_filter(text)
    assert matches(conditions, EXAMPLE["run"], EXAMPLE["metrics"], NOON) is (answer == "yes")
    project = store.project("team", "mnist")
    query = TableQuery(conditions, (), 10, "2026-11-02T12:00:00.000000Z")
    assert len(store.table(project, query).rows) == (answer == "yes")
