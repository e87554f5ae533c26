"""A point that came without a step has the next one of its name: 0, then one above the largest so far."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batches import held, range_of
from server.stores import add, listed, new_run
from steplog.journal import slot
from steplog.records.run_fields import changes_of
from steplog.server.records.batch import SinglePoint

STEPS = st.one_of(st.none(), st.integers(-3, 12), st.sampled_from([slot.NO_STEP + 1, 2**53]))


def add_metric(store, run, name: str, value: bytes, step: int | None = None) -> int | None:
    """Add a point as a request would bring it."""
    point = SinglePoint(name, value, step, time.time_ns())
    return store.add_metric(run, point, store.number(run, point)).result()


def steps_of(store, run) -> list[int]:
    return [point["step"] for point in listed(store, run)]


def test_steps_go_on_above_the_largest_so_far(store):
    run = new_run(store)
    records = [("a", 1), ("a", 2, 10), ("a", 3), ("a", 4, 3), ("a", 5), ("b", 6, -7), ("b", 7)]
    add(store, run, range_of(records))
    add(store, run, range_of([("a", 8), ("b", 9)], first=len(records)))
    assert steps_of(store, run) == [0, 10, 11, 3, 12, -7, 0, 13, 1]


def test_writers_of_a_run_number_a_name_together(store):
    run = new_run(store)
    for first in range(3):
        for writer in "xy":
            add(store, run, range_of([("a", 0.5)], first=first, writer=writer))
    assert steps_of(store, run) == [0, 1, 2, 3, 4, 5]


def test_after_the_largest_step_each_missing_one_is_the_largest(store):
    """Nothing that is valid is refused for what arrived before it."""
    run, end = new_run(store), slot.STEP_MAX
    add(store, run, range_of([("a", 1, end - 1), ("a", 2)]))
    add(store, run, range_of([("a", 3), ("a", 4, 5), ("a", 5)], first=2))
    assert store.add_metric(run, SinglePoint("a", b"6", None, 0)).result() == end
    assert steps_of(store, run) == [end - 1, end, end, 5, end, end]


def test_a_single_point_is_numbered_with_those_of_batches_and_answered(store):
    run = new_run(store)
    assert add_metric(store, run, "a", b"0.5") == 0
    add(store, run, range_of([("a", 1, 7), ("b", 1)]))
    assert [add_metric(store, run, name, b"[1]") for name in ("a", "b", "c")] == [8, 1, 0]
    assert add_metric(store, run, "a", b"1", 3) == 3
    add(store, run, range_of([("a", 1)], first=2))
    assert steps_of(store, run) == [0, 7, 0, 8, 1, 0, 3, 9]
    assert [point["value"] for point in listed(store, run)] == [0.5, 1, 1, b"[1]", b"[1]", b"[1]", 1, 1]


def test_single_points_that_come_at_once_have_a_step_each(store):
    run = new_run(store)
    with ThreadPoolExecutor(8) as threads:
        steps = list(threads.map(lambda _: add_metric(store, run, "a", b"1"), range(40)))
    assert sorted(steps) == list(range(40))
    assert sorted(steps_of(store, run)) == list(range(40))


def test_a_point_whose_number_another_has_got_meanwhile_gets_the_next(store):
    run, point = new_run(store), SinglePoint("a", b'"x"', None, time.time_ns())
    numbered = store.number(run, point)
    assert store.add_metric(run, point, numbered).result() == 0
    add(store, run, range_of([("a", 1, 9)]))
    assert store.add_metric(run, point, numbered).result() == 10
    assert steps_of(store, run) == [0, 9, 10]


def test_a_single_point_that_says_something_of_the_run_is_applied(store):
    run = new_run(store)
    changes = changes_of([("steplog/run", time.time_ns(), 0, b'{"notes": "n"}')])
    assert store.add_metric(run, None, changes=changes).result() is None
    assert store.run("team", "mnist", run.uuid).notes == "n"
    assert (store.point_count(run), store.series(run)) == (0, [])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.just(0.5), STEPS), max_size=40),
    st.lists(st.integers(1, 9), max_size=20),
)
def test_however_they_are_split_into_batches_the_steps_are_the_same(store, records, sizes):
    run, first = new_run(store), 0
    for size in [*sizes, 40]:
        add(store, run, range_of(records[first : first + size], first=first))
        first = min(first + size, len(records))
    assert listed(store, run) == held(records)
    following = held([*records, ("a", 0.5), ("b", 0.5)])[-2:]
    add(store, run, range_of([("a", 0.5), ("b", 0.5)], first=first))
    assert listed(store, run)[-2:] == following
