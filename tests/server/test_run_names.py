"""A run's name, its suffix and its slug: which are free, found by slug, and what that costs as a project grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.stores import ann, new_project
from steplog.server.sql import runs
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation, MissingError, ProjectRow

NAMES = st.sampled_from(["a", "a_1", "a_2", "a_1_1", "b", "a_01", "a_0"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), NAMES),
        st.tuples(st.just("rename"), NAMES, st.integers(0, 30)),
        st.tuples(st.just("discard"), st.integers(0, 30)),
        st.tuples(st.just("restore"), st.integers(0, 30)),
    ),
    max_size=40,
)
_numbers = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path_factory.mktemp("names") / "a.db")
    yield opened
    opened.close()


def free(name: str, taken: set[str]) -> str:
    """The name, or the one with the smallest number that is free."""
    return name if name not in taken else next(n for k in count(1) if (n := f"{name}_{k}") not in taken)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS)
def test_a_taken_name_gets_the_smallest_number_that_is_free(store, steps):
    project = new_project(store, f"names-{next(_numbers)}")
    alive: dict[str, str] = {}
    trashed: dict[str, str] = {}
    for what, *details in steps:
        if what == "create":
            run, _ = store.create_run(project, ann(store), Creation(name=details[0])).result()
            assert run.name == free(details[0], set(alive.values()))
            alive[run.uuid] = run.name
        elif what == "rename" and alive:
            uuid = list(alive)[details[1] % len(alive)]
            others = {name for other, name in alive.items() if other != uuid}
            run = store.run("team", project.slug, uuid)
            assert run is not None
            alive[uuid] = store.edit_run(run, {"name": details[0]}).result().name
            assert alive[uuid] == free(details[0], others)
        elif what == "discard" and alive:
            uuid = list(alive)[details[0] % len(alive)]
            store.discard_run(project, uuid).result()
            trashed[uuid] = alive.pop(uuid)
        elif what == "restore" and trashed:
            uuid = list(trashed)[details[0] % len(trashed)]
            name = store.restore_run(project, uuid).result().name
            assert name == free(trashed.pop(uuid), set(alive.values()))
            alive[uuid] = name
        for uuid, name in alive.items():
            assert uuid in [run.uuid for run in store.runs_by_slug(project, name.replace("_", "-"))]
        for uuid, name in trashed.items():
            assert uuid in [run.uuid for run in store.runs_by_slug(project, name.replace("_", "-"), in_trash=True)]


def test_a_new_project_does_not_count_on_from_a_deleted_one(store):
    project = new_project(store, "first")
    for _ in range(3):
        store.create_run(project, ann(store), Creation(name="a")).result()
    store.delete_project(project).result()
    while store.reap().result():
        pass
    again = new_project(store, "second")
    assert again.id == project.id, "what this is about"
    made = [store.create_run(again, ann(store), Creation(name="a")).result()[0].name for _ in range(3)]
    assert made == ["a", "a_1", "a_2"]


def cost(store: SqliteStore, job: Callable[..., Any], *arguments: Any) -> int:
    """How many instructions SQLite executes for it, not the first time, which reads the schema."""

    def counted(connection: sqlite3.Connection) -> int:
        steps = [0]
        job(connection, *arguments)

        def step() -> None:
            steps[0] += 1

        connection.set_progress_handler(step, 1)
        try:
            job(connection, *arguments)
        finally:
            connection.set_progress_handler(None, 1)
        return steps[0]

    return store.database.write(counted).result()


def grown(store: SqliteStore, slug: str, number: int) -> ProjectRow:
    project = new_project(store, slug)
    for _ in range(number):
        store.create_run(project, ann(store), Creation(name="sweep")).result()
    return project


def test_what_a_run_costs_does_not_grow_with_the_runs_that_are_not_shown(store):
    small, large = grown(store, "small", 20), grown(store, "large", 400)
    asked: list[tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = [
        (runs.free_name, (small.id, "sweep"), (large.id, "sweep")),
        (runs.by_slug, (small.id, "sweep-7"), (large.id, "sweep-7")),
        (runs.in_project, (small.id, 0, 5), (large.id, 0, 5)),
        (
            runs.made_after,
            (small.id, store.runs(small)[9].uuid, 5),
            (large.id, store.runs(large)[389].uuid, 5),
        ),
    ]
    for job, of_few, of_many in asked:
        assert cost(store, job, *of_many) <= 1.1 * cost(store, job, *of_few) + 20, job


def test_a_page_of_runs_begins_after_a_run_whatever_came_and_went(store):
    project = grown(store, "pages", 6)
    uuids = [run.uuid for run in store.runs(project)]
    store.discard_run(project, uuids[2]).result()
    store.discard_run(project, uuids[4]).result()
    assert [run.uuid for run in store.runs_after(project, uuids[2])] == [uuids[3], uuids[5]]
    assert [run.uuid for run in store.runs_after(project, uuids[0], 2)] == [uuids[1], uuids[3]]
    assert store.runs_after(project, uuids[5]) == []
    with pytest.raises(MissingError):
        store.runs_after(new_project(store, "elsewhere"), uuids[0])
