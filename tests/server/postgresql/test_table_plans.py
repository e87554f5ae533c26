"""How PostgreSQL reads a page of a table: by an index, whatever the number of runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import postgresql
from server.batches import range_of
from server.stores import add, new_project, new_run
from steplog.filters import parse_field, parse_filter
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.sql import table_query
from steplog.server.sql.connection import Connection, Cursor, Values
from steplog.server.store_types import TableQuery

RUNS = 4000
NOW = "2026-11-03T00:00:00.000000Z"
FILL = [
    """
    INSERT INTO runs (id, uuid, project, "user", date_created, date_updated, status, name)
        SELECT number, 'uuid ' || number, project, "user", date_created, date_updated, 'COMPLETED', 'run ' || number
        FROM runs CROSS JOIN generate_series(1000, 999 + ?) AS numbers (number)
    """,
    """
    INSERT INTO lasts (project, name, run, count, last)
        SELECT project, names.name, id, 1, CAST(ROW(0, id, NULL) AS cell)
        FROM runs CROSS JOIN (VALUES ('acc'), ('loss')) AS names (name)
    """,
    "INSERT INTO configs (project, key, run, value) SELECT project, 'lr', id, CAST(ROW(0, id, NULL) AS cell) FROM runs",
    "ANALYZE",
]


class _Explaining:
    """A connection that keeps how its statements about values are run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.plans: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, values: Values = ()) -> Cursor:
        if "AS found" in statement:
            explained = self._connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).fetchone()[0]
            self.plans.append((json.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"])
        return self._connection.execute(statement, values)


@pytest.fixture(scope="module", params=["all are packed", "a run goes on"])
def store(request: pytest.FixtureRequest) -> Iterator[PostgresqlStore]:
    opened = PostgresqlStore(postgresql.new_database())
    run = new_run(opened, new_project(opened))
    with opened.database.borrow() as connection:
        for statement in FILL:
            connection.execute(statement, (RUNS,) if "?" in statement else ())
    if request.param == "a run goes on":
        add(opened, run, range_of([("loss", 0.5), ("acc", 0.25)]))
    yield opened
    opened.close()


def _rows(plan: dict[str, Any]) -> Iterator[int]:
    yield plan["Actual Rows"] * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from _rows(part)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["loss.last", "config.lr"])
@pytest.mark.parametrize("where", ["", "acc.last>=0 and config.lr>0"])
def test_a_page_in_order_of_values_reads_no_more_than_it_shows(store, where, sort, descending):
    project = store.project("team", "mnist")
    conditions = parse_filter(where) if where else ()
    query = TableQuery(conditions, (), 10, NOW, parse_field(sort), descending)
    with store.database.snapshot() as connection:
        explaining = _Explaining(connection)
        page = table_query.page(explaining, project.id, query)
    assert len(page.rows) == 10
    assert explaining.plans
    assert max(rows for plan in explaining.plans for rows in _rows(plan)) < 100, json.dumps(explaining.plans, indent=1)
