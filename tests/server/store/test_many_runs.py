"""Histories, tables and curves: what of many points and runs is read at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from server.batches import BEGAN_NS, range_of
from server.stores import add, new_project, new_run
from steplog.filters import parse_field, parse_fields, parse_filter
from steplog.server.records.curve_query import CurveAnswer, CurveQuery
from steplog.server.store_types import Creation, HistoryQuery, MissingError, TableQuery

NOW = "2026-06-01T00:00:00.000000Z"


def history(store, run, **query: Any) -> dict[str, list[tuple[Any, int]]]:
    """The values and steps of each metric."""
    found: dict[str, list[tuple[Any, int]]] = {}
    for name, points in store.history(run, HistoryQuery(**query)):
        found.setdefault(name, []).extend(zip(points.values(), points.steps, strict=True))
    return found


def fill(store, run, points: int = 300) -> dict[str, list[tuple[Any, int]]]:
    """Two metrics in batches of 40, the second at every third step; and what a history must have."""
    records = [(name, float(step), step) for step in range(points) for name in ("ab" if step % 3 == 0 else "a")]
    for first in range(0, len(records), 40):
        add(store, run, range_of(records[first : first + 40], first=first, began_ns=BEGAN_NS + first))
    return {each: [(value, step) for name, value, step in records if name == each] for each in "ab"}


def table(store, project, where: str = "", sort: str | None = None, **query: Any) -> list[dict[str, Any]]:
    """The rows of a table, page by page."""
    columns, rows, after = parse_fields("name, config.lr, loss.last, loss.count"), [], None
    while True:
        asked = TableQuery(
            parse_filter(where), columns, 2, NOW, None if sort is None else parse_field(sort), after=after, **query
        )
        page = store.table(project, asked)
        rows += [[row.cells.get(column) for column in columns] for row in page.rows]
        after = page.end
        if after is None:
            return rows


def named(answer: CurveAnswer) -> list[tuple[str, str]]:
    """The run and the metric of each bucket."""
    series = [(answer.runs[run], answer.names[name]) for run, name in answer.series]
    return [series[place] for place in answer.columns["series"]]


def test_a_history_has_every_point_of_its_metrics(store):
    run = new_run(store)
    expected = fill(store, run)
    assert history(store, run) == expected
    assert history(store, run, names=["b"]) == {"b": expected["b"]}


def test_a_history_keeps_to_steps_times_and_the_last_ones(store):
    run = new_run(store)
    expected = fill(store, run)
    assert history(store, run, low=10, high=20) == {
        name: [point for point in points if 10 <= point[1] <= 20] for name, points in expected.items()
    }
    assert history(store, run, names=["a"], last=7) == {"a": expected["a"][-7:]}
    assert history(store, run, names=["b"], low=100, last=2) == {"b": expected["b"][-2:]}
    first = history(store, run, names=["a"], to_ns=BEGAN_NS + 39)["a"]
    assert first == expected["a"][: len(first)]
    assert len(first) == 30
    assert history(store, run, names=["a"], from_ns=BEGAN_NS + 10**9) == {"a": []}


def test_a_history_of_a_run_that_is_gone_or_of_no_metric_is_refused(store):
    run = new_run(store)
    add(store, run, range_of([("a", 1)]))
    with pytest.raises(MissingError):
        history(store, run, names=["none"])
    store.discard_run(store.project("team", "mnist"), run.uuid).result()
    with pytest.raises(MissingError):
        history(store, run)


def test_the_version_of_points_changes_when_points_arrive_and_not_else(store):
    run, other = new_run(store), new_run(store)
    add(store, run, range_of([("a", 1)]))
    version = store.points_version(run)
    add(store, other, range_of([("a", 1)]))
    add(store, run, range_of([("a", 1)]))
    store.hear(run).result()
    assert store.points_version(run) == version
    add(store, run, range_of([("a", 2)], first=1))
    assert store.points_version(run) != version


def test_slices_have_all_points_once_though_others_arrive_meanwhile(store):
    run = new_run(store)
    fill(store, run)
    count = store.point_count(run)
    values = []
    for part in store.metric_slices(run, 0, count):
        values += [point.value for point in part]
        add(store, run, range_of([("late", 1.0)], writer=f"w{len(values)}"))
    assert len(values) == count
    assert values == [point.value for point in store.metrics(run, 0, count)]


def test_runs_are_listed_from_one_on_though_it_is_in_the_trash(store):
    made = [new_run(store) for _ in range(5)]
    project = store.project("team", "mnist")
    assert [run.uuid for run in store.runs_after(project, made[1].uuid)] == [run.uuid for run in made[2:]]
    store.discard_run(project, made[1].uuid).result()
    store.discard_run(project, made[3].uuid).result()
    assert [run.uuid for run in store.runs_after(project, made[1].uuid, 1)] == [made[2].uuid]
    assert [run.uuid for run in store.runs_after(project, made[2].uuid)] == [made[4].uuid]
    with pytest.raises(MissingError):
        store.runs_after(project, "none")


def test_a_table_has_config_and_metrics_of_runs(store, pack):
    """Shown is what has arrived; conditions and orders are of what is packed."""
    project = new_project(store)
    for number in range(5):
        run = new_run(store, project, Creation(f"run {number}"))
        lr = (f"steplog/{'config' if number else 'run'}", b'{"lr": %d}' % number if number else b"{}")
        add(store, run, range_of([lr, ("loss", 9.0 - number), ("loss", 5.0 - number)]))
    new_run(store, new_project(store, "other"), Creation("elsewhere"))
    newest_first = [[f"run {n}", n or None, 5.0 - n, 2] for n in (4, 3, 2, 1, 0)]
    assert table(store, project) == newest_first
    for run in store.runs(project):
        pack(store, run)
    assert table(store, project) == newest_first
    assert table(store, project, sort="loss.last") == newest_first
    assert table(store, project, sort="loss.last", descending=True) == newest_first[::-1]
    assert table(store, project, "loss.last<3 and config.lr!=4") == [newest_first[1]]
    assert table(store, project, 'name="run 0"') == [newest_first[4]]
    assert store.table(project, TableQuery((), (), 1, NOW, counted=True)).count == 5
    first = store.runs(project)[0]
    store.discard_run(project, first.uuid).result()
    assert table(store, project) == newest_first[:4]
    assert list(store.column_names(project, "los", 9).metrics) == ["loss"]
    assert list(store.column_names(project, "lr", 9).config) == ["lr"]


def test_curves_of_many_runs_share_a_grid_and_a_poll_gets_what_has_changed(store):
    project = new_project(store)
    runs = [new_run(store, project) for _ in range(3)]
    for run in runs[:2]:
        fill(store, run)
    uuids = [run.uuid for run in runs]
    query = CurveQuery(uuids, ["a", "b", "none"], buckets=100)
    answer = store.curves(project, query)
    counts: Counter[tuple[str, str]] = Counter()
    for series, count in zip(named(answer), answer.columns["count"], strict=True):
        counts[series] += count
    assert counts == {(run, name): count for run in uuids[:2] for name, count in (("a", 300), ("b", 100))}
    assert (answer.is_reset, answer.missing) == (True, [])
    again = store.curves(project, CurveQuery(uuids, ["a", "b", "none"], buckets=100, since=(answer.answered,)))
    assert (again.is_reset, list(again.columns["series"])) == (False, [])
    add(store, runs[1], range_of([("a", 7.0, 299)], writer="late"))
    later = store.curves(project, CurveQuery(uuids, ["a", "b", "none"], buckets=100, since=(again.answered,)))
    assert not later.is_reset
    assert set(named(later)) == {(uuids[1], "a")}
    assert later.columns["last"][-1] == 7.0
    store.discard_run(project, runs[0].uuid).result()
    assert store.curves(project, query).missing == [uuids[0]]
