"""A point that came without a step has the next one of its name: 0, then one above the largest so far."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batches import held, range_of
from server.stores import add, listed, new_run
from steplog.journal import slot

STEPS = st.one_of(st.none(), st.integers(-3, 12), st.sampled_from([slot.NO_STEP + 1, 2**53]))


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
