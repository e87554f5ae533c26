"""A run in the trash is nowhere else, comes back as far as there is room for it, and is removed after a day."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from server.batches import held, range_of
from server.stores import add, ann, listed, new_project, new_run
from steplog.server.records.batch import from_range
from steplog.server.store_types import Creation, DeletedError, MissingError


def in_hours(hours: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=hours)


def reap(store, at: datetime | None = None) -> None:
    while store.reap(at).result():
        pass


def refuse_reads(store, run) -> None:
    """Who has found the run before it was deleted hears that it is gone, not that it is empty."""
    for read in (
        lambda: store.point_count(run),
        lambda: store.metrics(run, 0, 9),
        lambda: store.series(run),
        lambda: store.curve(run, "a", 10, None, None),
    ):
        with pytest.raises(MissingError):
            read()


def test_a_run_in_the_trash_is_there_and_nowhere_else(store):
    project = new_project(store)
    run, kept = new_run(store, project), new_run(store, project)
    add(store, run, range_of([("a", 1)]))
    store.discard_run(project, run.uuid).result()
    assert [each.uuid for each in store.runs(project)] == [kept.uuid]
    assert store.run("team", "mnist", run.uuid) is None
    (found,) = store.trash(project)
    assert (found.uuid, found.name, found.deleted is not None) == (run.uuid, run.name, True)
    assert store.trash(project, 1) == store.trash(project, 0, 0) == []
    for refused in (
        store.add_batch(run, from_range(range_of([("a", 2)], first=1))),
        store.edit_run(run, {}, "FAILED"),
        store.hear(run),
        store.begin_generation(run, "m", "2026-01-01T00:00:00.000000Z"),
        store.discard_run(project, run.uuid),
    ):
        assert isinstance(refused.exception(), MissingError)
    refuse_reads(store, run)


def test_a_restored_run_is_as_it_was_and_goes_on(store):
    project, records = new_project(store), [("a", 1), ("b", b"[]"), ("a", 2)]
    run = new_run(store, project, Creation("n", key="id:x"))
    add(store, run, range_of(records[:2]))
    before = store.run("team", "mnist", run.uuid)
    store.discard_run(project, run.uuid).result()
    restored = store.restore_run(project, run.uuid).result()
    assert (restored.name, restored.key, restored.deleted) == ("n", "x", None)
    assert (restored.status, restored.generation, restored.seen) == (before.status, 1, before.seen)
    assert store.restore_run(project, run.uuid).result() == restored, "one that is not in it stays as it is"
    assert add(store, run, range_of(records)).accepted == 1, "its marks are as they were"
    assert listed(store, run) == held(records)


def test_a_restored_run_gives_way_to_who_has_its_name_or_its_id_now(store):
    project = new_project(store)
    run = new_run(store, project, Creation("n", key="id:x"))
    store.discard_run(project, run.uuid).result()
    successor = new_run(store, project, Creation("n", key="id:x"))
    assert (successor.name, successor.uuid != run.uuid) == ("n", True)
    restored = store.restore_run(project, run.uuid).result()
    assert (restored.name, restored.key) == ("n_1", None)


def test_a_batch_that_comes_after_the_deletion_is_refused(store):
    """Its request found the run before it was deleted; the store knew it by then."""
    project = new_project(store)
    run = new_run(store, project)
    add(store, run, range_of([("a", 1)]))
    batch = from_range(range_of([("a", 2)], first=1))
    store.discard_run(project, run.uuid).result()
    assert isinstance(store.add_batch(run, batch).exception(), MissingError)
    store.restore_run(project, run.uuid).result()
    assert store.add_batch(run, batch).result().accepted == 1


def test_a_batch_beside_the_deletion_is_stored_before_it_or_refused(store):
    project = new_project(store)
    run = new_run(store, project)
    add(store, run, range_of([("a", 1)]))
    batch = from_range(range_of([("a", 2)], first=1))
    deleted, added = store.discard_run(project, run.uuid), store.add_batch(run, batch)
    assert deleted.exception() is None
    is_refused = isinstance(added.exception(), MissingError)
    store.restore_run(project, run.uuid).result()
    assert store.add_batch(run, batch).result().accepted == is_refused
    assert store.point_count(run) == 2


def test_a_run_is_removed_after_a_day_in_the_trash_and_not_before(store):
    project = new_project(store)
    run, kept = new_run(store, project), new_run(store, project)
    for each in (run, kept):
        add(store, each, range_of([("a", 1), ("b", 2)]))
    store.discard_run(project, run.uuid).result()
    reap(store, in_hours(23.9))
    assert [each.uuid for each in store.trash(project)] == [run.uuid]
    reap(store, in_hours(24.1))
    assert store.trash(project) == []
    with pytest.raises(MissingError):
        store.restore_run(project, run.uuid).result()
    refuse_reads(store, run)
    assert listed(store, kept) == held([("a", 1), ("b", 2)])


@pytest.mark.parametrize("in_trash", [False, True])
def test_a_run_that_is_deleted_for_good_has_no_way_back(store, in_trash):
    project = new_project(store)
    run = new_run(store, project)
    add(store, run, range_of([("a", 1)]))
    if in_trash:
        store.discard_run(project, run.uuid).result()
    store.discard_run(project, run.uuid, now=True).result()
    for _ in range(2):  # before the reaper and after it
        assert (store.runs(project), store.trash(project)) == ([], [])
        for refused in (store.restore_run(project, run.uuid), store.discard_run(project, run.uuid, now=True)):
            assert isinstance(refused.exception(), MissingError)
        reap(store)
    refuse_reads(store, run)


def test_a_random_key_of_a_deleted_run_makes_none_for_thirty_days_and_an_id_does(store):
    user, project = ann(store), new_project(store)
    for key in ("r1", "id:a"):
        run, _ = store.create_run(project, user, Creation(key=key)).result()
        store.discard_run(project, run.uuid).result()
    assert store.create_run(project, user, Creation(key="id:a")).result()[1]
    reap(store, in_hours(24 * 30 - 0.1))
    assert isinstance(store.create_run(project, user, Creation(key="r1")).exception(), DeletedError)
    reap(store, in_hours(24 * 30 + 0.1))
    assert store.create_run(project, user, Creation(key="r1")).result()[1]


def test_runs_of_another_project_are_not_deleted_or_restored_through_this_one(store):
    project, other = new_project(store), new_project(store, "other")
    run = new_run(store, project)
    for now in (False, True):
        assert isinstance(store.discard_run(other, run.uuid, now).exception(), MissingError)
    store.discard_run(project, run.uuid).result()
    assert isinstance(store.restore_run(other, run.uuid).exception(), MissingError)
    assert store.trash(other) == []
