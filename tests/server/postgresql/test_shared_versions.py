"""Several servers over one database have the same versions, and what one has changed shows at every other."""

from __future__ import annotations

import psycopg
import pytest

import polling
from server.batches import range_of
from server.store.test_versions import OF_POINTS, OF_RUNS, version
from server.stores import add, new_project, new_run
from steplog.server.postgresql import versions

SHOWN_S = 1.0 + 0.5


@pytest.mark.parametrize("change", OF_RUNS)
def test_a_change_of_a_run_shows_at_once_at_another_server(stores, change):
    here, there = stores
    run = new_run(here)
    project = here.project("team", "mnist")
    columns = ("name", "loss.last", "config.lr")
    before = [version(there, project, each) for each in columns]
    assert before == [version(here, project, each) for each in columns]
    OF_RUNS[change](here, run)
    assert not set(before) & {version(there, project, each) for each in columns}


@pytest.mark.parametrize("change", OF_POINTS)
def test_points_show_within_a_second_at_another_server(stores, change):
    here, there = stores
    run = new_run(here)
    project = here.project("team", "mnist")
    before, names = version(there, project), there.column_names_version(project)
    OF_POINTS[change](here, run)
    polling.wait_until(lambda: version(there, project) != before, SHOWN_S)
    assert there.column_names_version(project) != names
    assert there.points_version(run) == here.points_version(run)


@pytest.mark.parametrize("change", OF_POINTS)
def test_points_show_at_once_at_the_server_that_took_them(stores, change):
    here, _ = stores
    run = new_run(here)
    project = here.project("team", "mnist")
    seen = {version(here, project)}
    for _ in range(3):
        OF_POINTS[change](here, run)
        assert version(here, project) not in seen
        seen.add(version(here, project))


def test_a_version_stays_as_long_as_nothing_changes(opened, url):
    """Also where another server begins to serve, and the rows that count changes are folded."""
    store = opened()
    run = new_run(store)
    project = store.project("team", "mnist")
    for number in range(20):
        add(store, run, range_of([("loss", 0.5)], first=number))
        store.versions.tell()
    before = version(store, project)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(versions.FOLD)
        (rows,) = connection.execute("SELECT count(*) FROM changes").fetchone()
    assert (version(store, project), rows) == (before, 2)


def test_a_server_that_starts_tells_that_points_may_have_come(opened):
    """One that was killed has not told of its last ones."""
    store = opened()
    new_run(store)
    project = store.project("team", "mnist")
    before, of_runs = version(store, project), version(store, project, "name")
    opened()
    polling.wait_until(lambda: version(store, project) != before)
    assert version(store, project, "name") == of_runs


def test_points_that_could_not_be_told_of_are_told_once_they_can_be(stores, url):
    here, there = stores
    run = new_run(here)
    project = here.project("team", "mnist")
    before = version(there, project)
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE changes RENAME TO away")
        connection.commit()
        add(here, run, range_of([("loss", 0.5)]))
        with pytest.raises(psycopg.Error):
            here.versions.tell()
        connection.execute("ALTER TABLE away RENAME TO changes")
    polling.wait_until(lambda: version(there, project) != before, SHOWN_S)


def test_a_server_that_stops_tells_of_its_last_points(opened):
    here, there = opened(), opened()
    run, other = new_run(here), new_project(here, "other")
    project = here.project("team", "mnist")
    before = version(there, project), version(there, other)
    add(here, run, range_of([("loss", 0.5)]))
    here.close()
    assert version(there, project) != before[0]
    assert version(there, other) == before[1]
