"""What a write has returned is there once the store is opened again; a closed store refuses what it is told."""

from __future__ import annotations

from server.batches import held, range_of
from server.stores import add, ann, listed, new_project, new_run
from steplog.server.keys import hash_key
from steplog.server.records.batch import from_range
from steplog.server.store_types import BatchResult, Creation, StoreBusyError


def test_a_store_that_is_opened_again_goes_on_where_it_was(open_store):
    records = [("a", 0.25), ("b", 7), ("a", 0.5)] * 100
    store = open_store()
    instance, run = store.instance, new_run(store)
    add(store, run, range_of(records[:200]))
    store = open_store()
    assert add(store, run, range_of(records)) == BatchResult(100, 200)
    assert (listed(store, run), store.instance) == (held(records), instance)


def test_everything_is_there_after_a_store_was_opened_again(open_store):
    store = open_store()
    project, user = new_project(store), ann(store)
    run, _ = store.create_run(
        project, user, Creation("n", key="id:a", maker="m", began="2026-01-01T00:00:00Z")
    ).result()
    gone = new_run(store, project, Creation("gone", key="r1"))
    key = store.issue_key("ann", hash_key("key"), "ci").result()
    add(store, run, range_of([("a", 1), ("steplog/config", b'{"lr":1}'), ("steplog/run", b'{"notes":"n"}')]))
    store.begin_generation(run, "second", "2026-01-02T00:00:00Z").result()
    store.discard_run(project, gone.uuid).result()

    def everything() -> list[object]:
        (each,) = store.runs(project)
        configs = {name: bytes(value) for name, value in store.configs([each])[each.id].values.items()}
        found = [store.namespaces(), store.projects(store.namespace("team")), each, configs, store.trash(project)]
        return [*found, store.keys_of_hashes([key.hash]), listed(store, each), store.series(each)]

    before = everything()
    store = open_store()
    assert everything() == before
    assert store.create_run(project, user, Creation(key="id:a", maker="m")).result() == (before[2], False)
    assert store.begin_generation(run, "second", "2026-01-02T00:00:00Z").result() == (2, False)


def test_a_close_finishes_what_was_asked_for_and_refuses_what_comes_later(open_store):
    store = open_store()
    run = new_run(store)
    futures = [store.add_batch(run, from_range(range_of([("a", at)], first=at))) for at in range(50)]
    store.close()
    assert [future.result() for future in futures] == [BatchResult(1, 0)] * 50
    store.close()
    late = store.add_batch(run, from_range(range_of([("a", 50)], first=50)))
    assert isinstance(late.exception(), StoreBusyError)
    store = open_store()
    assert listed(store, run) == held([("a", at) for at in range(50)])


def test_what_a_write_has_returned_the_next_read_sees(store):
    run = new_run(store)
    for at in range(50):
        add(store, run, range_of([("a", at)], first=at))
        assert store.point_count(run) == at + 1
        assert store.metrics(run, at, at + 1)[0].value == at
        assert store.series(run)[0].count == at + 1
