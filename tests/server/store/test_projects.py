"""Namespaces and projects: made once, listed oldest first, deleted with all that is in them."""

from __future__ import annotations

import pytest

from server.batches import range_of
from server.stores import add, ann, listed, new_project, new_run
from steplog.server.records.batch import from_range
from steplog.server.store_types import Creation, MissingError, ProjectActivity, ProjectRow, TakenError


def reap(store) -> None:
    while store.reap().result():
        pass


def test_a_namespace_is_made_once_and_found_by_its_slug(store):
    assert (store.namespace("team"), store.namespaces()) == (None, [])
    made = store.put_namespace("team").result()
    other = store.put_namespace("other").result()
    assert store.put_namespace("team").result() == made
    assert store.namespace("team") == made
    assert store.namespaces() == [made, other]
    assert (made.slug, made.display_name, made.uuid != other.uuid) == ("team", "team", True)


def test_a_project_is_as_it_was_made(store):
    namespace = store.put_namespace("team").result()
    assert (store.project("team", "mnist"), store.projects(namespace)) == (None, [])
    made = store.add_project(namespace, "mnist", "MNIST ü", "PUBLIC").result()
    assert (made.slug, made.display_name, made.visibility, made.last_run_date) == ("mnist", "MNIST ü", "PUBLIC", None)
    assert store.project("team", "mnist") == made
    assert store.project("other", "mnist") is None
    second = store.add_project(namespace, "second", "second", "TEAM").result()
    assert store.projects(namespace) == [made, second]


def test_two_projects_of_one_slug_are_refused_unless_in_two_namespaces(store):
    made = new_project(store)
    with pytest.raises(TakenError):
        new_project(store)
    other = store.put_namespace("other").result()
    elsewhere = store.add_project(other, "mnist", "mnist", "TEAM").result()
    assert elsewhere.uuid != made.uuid
    assert store.projects(other) == [elsewhere]


def test_of_many_requests_for_one_slug_at_once_one_is_granted(store):
    namespace = store.put_namespace("team").result()
    futures = [store.add_project(namespace, "p", "p", "TEAM") for _ in range(8)]
    errors = [future.exception() for future in futures]
    assert [type(error) for error in errors if error is not None] == [TakenError] * 7
    assert len(store.projects(namespace)) == 1


def test_a_refusal_is_answered_once_what_it_was_refused_for_is_there(store):
    namespace = store.put_namespace("team").result()
    for number in range(20):
        slug = f"p{number}"
        seen: list[ProjectRow | None] = []
        asked = [store.add_project(namespace, slug, slug, "TEAM") for _ in range(8)]
        for future in asked:
            future.add_done_callback(lambda _, slug=slug, seen=seen: seen.append(store.project("team", slug)))
        for future in asked:
            future.exception()
        assert None not in seen


def test_the_last_run_of_a_project_is_the_newest_that_is_not_in_the_trash(store):
    project = new_project(store)
    first, second = new_run(store, project), new_run(store, project)
    assert store.project("team", "mnist").last_run_date == second.date_created
    store.discard_run(project, second.uuid).result()
    assert store.project("team", "mnist").last_run_date == first.date_created


def test_what_goes_on_in_a_project_counts_what_is_not_in_the_trash(store):
    project, empty = new_project(store), new_project(store, "empty")
    namespace = store.namespace("team")
    assert store.activity(namespace)[empty.id] == ProjectActivity(0, 0, None)
    first, second, third = (new_run(store, project) for _ in range(3))
    store.edit_run(second, {}, "COMPLETED").result()
    seen = store.hear(first).result().seen
    assert store.activity(namespace)[project.id] == ProjectActivity(3, 2, seen)
    store.discard_run(project, first.uuid).result()
    assert store.activity(namespace)[project.id] == ProjectActivity(2, 1, third.seen)
    store.edit_run(third, {}, "FAILED").result()
    activity = store.activity(namespace)[project.id]
    assert (activity.runs, activity.running, activity.seen is None) == (2, 0, False), "its newest run was heard of"
    assert store.activity(store.put_namespace("other").result()) == {}


def test_a_deleted_project_is_gone_with_its_runs_and_no_other_is_touched(store):
    project = new_project(store, "gone")
    run, kept = new_run(store, project), new_run(store)
    in_trash = new_run(store, project)
    for each in (run, kept, in_trash):
        add(store, each, range_of([("a", 1), ("b", b"[]"), ("steplog/config", b'{"lr": 1}')]))
    store.discard_run(project, in_trash.uuid).result()
    store.delete_project(project).result()
    for _ in range(2):  # before the reaper and after it
        assert store.project("team", "gone") is None
        assert [each.slug for each in store.projects(store.namespace("team"))] == ["mnist"]
        assert store.run("team", "gone", run.uuid) is None
        assert (store.runs(project), store.trash(project)) == ([], [])
        for refused in (
            store.add_batch(run, from_range(range_of([("a", 1)], first=3))),
            store.edit_run(run, {}, "FAILED"),
            store.hear(run),
            store.begin_generation(run, "m", "2026-01-01T00:00:00.000000Z"),
            store.create_run(project, ann(store), Creation()),
            store.discard_run(project, run.uuid),
            store.restore_run(project, in_trash.uuid),
        ):
            assert isinstance(refused.exception(), MissingError)
        reap(store)
    assert len(listed(store, kept)) == 3
    assert [series.count for series in store.series(kept)] == [1, 1, 1]
    assert list(store.configs([kept])[kept.id].values) == ["lr"]


def test_a_new_project_of_the_slug_of_a_deleted_one_sees_nothing_of_it(store):
    project = new_project(store)
    run = new_run(store, project, Creation("n", key="r1"))
    add(store, run, range_of([("a", 1)]))
    store.delete_project(project).result()
    again = new_project(store)
    assert again.uuid != project.uuid
    assert (store.runs(again), store.trash(again)) == ([], [])
    assert store.run("team", "mnist", run.uuid) is None
    with pytest.raises(MissingError):
        store.restore_run(again, run.uuid).result()
    made, new = store.create_run(again, ann(store), Creation("n", key="r1")).result()
    assert (made.uuid != run.uuid, made.name, new) == (True, "n", True)
    reap(store)
    assert [each.uuid for each in store.runs(again)] == [made.uuid]
