"""The version of a table tells whether it is still what it was, and other projects' runs do not change it."""

from __future__ import annotations

import pytest

from server.batches import range_of
from server.store.engines import restore, settle
from server.stores import add, ann, new_project, new_run, says
from steplog.filters import parse_fields, parse_filter
from steplog.records.run_fields import changes_of
from steplog.server.records.batch import SinglePoint
from steplog.server.store_types import Creation, ProjectRow, TableQuery

NOW = "2026-11-03T00:00:00.000000Z"
CONFIG = changes_of([("steplog/config", 1, 0, b'{"lr": 1}')])


def query(columns: str = "name,loss.last", where: str = "") -> TableQuery:
    return TableQuery(parse_filter(where), parse_fields(columns), 10, NOW)


def version(store, project: ProjectRow, columns: str = "name,loss.last") -> str | None:
    return store.table_version(project, query(columns))


OF_RUNS = {
    "made": lambda store, run: new_run(store, store.project("team", "mnist")),
    "edited": lambda store, run: store.edit_run(run, {"notes": "x"}).result(),
    "ended": lambda store, run: store.edit_run(run, {}, "COMPLETED", 1).result(),
    "resumed": lambda store, run: store.begin_generation(run, "maker", NOW).result(),
    "deleted": lambda store, run: store.discard_run(store.project("team", "mnist"), run.uuid).result(),
    "restored": lambda store, run: store.restore_run(store.project("team", "mnist"), run.uuid).result(),
    "configured": lambda store, run: store.add_metric(run, None, changes=CONFIG).result(),
    "renamed by a record": lambda store, run: add(store, run, range_of([says({"name": "other"})])),
}
OF_POINTS = {
    "a batch": lambda store, run: add(store, run, range_of([("loss", 0.5)])),
    "a point": lambda store, run: store.add_metric(run, SinglePoint("loss", b"0.5", 1, 1)).result(),
    "heard of": lambda store, run: store.hear(run).result(),
}


@pytest.mark.parametrize("change", OF_RUNS)
def test_a_table_has_another_version_once_a_run_has_changed(store, change):
    run = new_run(store)
    project = store.project("team", "mnist")
    before = [version(store, project, columns) for columns in ("name", "loss.last", "config.lr")]
    OF_RUNS[change](store, run)
    after = [version(store, project, columns) for columns in ("name", "loss.last", "config.lr")]
    assert not set(before) & set(after)
    assert after == [version(store, project, columns) for columns in ("name", "loss.last", "config.lr")]


@pytest.mark.parametrize("change", OF_POINTS)
def test_points_change_the_version_of_tables_that_show_them(store, change):
    run = new_run(store)
    project = store.project("team", "mnist")
    shown = ["name,loss.last", "seen", "last_point"]
    before = [version(store, project, columns) for columns in shown]
    where, names = store.table_version(project, query("name", "loss.last<1")), version(store, project, "name,config.lr")
    columns = store.column_names_version(project)
    OF_POINTS[change](store, run)
    settle(store)
    assert not set(before) & {version(store, project, columns) for columns in shown}
    assert where != store.table_version(project, query("name", "loss.last<1"))
    assert columns != store.column_names_version(project)
    assert names == version(store, project, "name,config.lr")


@pytest.mark.parametrize("change", [*OF_RUNS, *OF_POINTS])
def test_runs_are_counted_anew_once_the_count_may_be_another(store, change):
    runs = [new_run(store) for _ in range(3)]
    store.discard_run(store.project("team", "mnist"), runs[2].uuid).result()
    project = store.project("team", "mnist")
    wheres = [
        "",
        "status=RUNNING",
        "notes=x",
        "config.lr=1",
        "loss.last<1",
        "name~other",
        "generation=2",
        "loss.last!=1",
    ]
    queries = [TableQuery(parse_filter(where), (), 10, NOW, counted=True) for where in wheres]
    for _ in range(2):
        for query in queries:
            page = store.table(project, query)
            assert page.count == len(page.rows)
    (OF_RUNS | OF_POINTS)[change](store, runs[0])
    settle(store)
    for query in queries:
        page = store.table(project, query)
        assert page.count == len(page.rows)


def test_other_projects_do_not_change_the_version(store):
    run, project = new_run(store), store.project("team", "mnist")
    add(store, run, range_of([("loss", 0.5)]))
    settle(store)
    before, names = version(store, project), store.column_names_version(project)
    other = new_run(store, new_project(store, "other"), Creation("elsewhere"))
    add(store, other, range_of([says({"lr": 1}, "config"), ("loss", 0.5)]))
    store.edit_run(other, {}, "FAILED", 1).result()
    store.discard_run(store.project("team", "other"), other.uuid).result()
    store.delete_project(store.project("team", "other")).result()
    settle(store)
    assert (version(store, project), store.column_names_version(project)) == (before, names)


def test_a_duration_has_a_version_unless_a_run_goes_on(store):
    project = new_project(store)
    assert version(store, project, "duration") is not None
    run = new_run(store, project)
    assert version(store, project, "duration") is None
    assert store.table_version(project, query("name", "duration>7")) is None
    store.edit_run(run, {}, "COMPLETED", 1).result()
    ended = version(store, project, "duration")
    assert ended is not None
    store.create_run(project, ann(store), Creation()).result()
    assert version(store, project, "duration") is None


def test_a_database_that_was_restored_has_other_versions(open_store):
    """What changed since the copy was made is counted again, from where the copy is."""
    store = open_store()
    run = new_run(store)
    project = store.project("team", "mnist")
    before = version(store, project), store.points_version(run), version(store, project, "name")
    restore(store)
    store = open_store()
    assert not set(before) & {version(store, project), store.points_version(run), version(store, project, "name")}
