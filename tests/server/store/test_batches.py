"""Each record of a writer is stored once, in order, whatever is sent again, split, merged or sent at once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batches import NONE, held, range_of
from server.stores import add, listed, new_project, new_run
from steplog.server.records.batch import from_range
from steplog.server.store_types import BatchResult, GapError, MissingError

KINDS = [0.5, 7, True, b"null", b'"text"', b'{"a":[1]}', float("nan"), float("-inf"), -(2**63), 2**63 - 1]


def mark_of(store: Any, run: Any, writer: str = "w") -> int:
    """What a range that begins beyond any mark is told."""
    with pytest.raises(GapError) as caught:
        add(store, run, range_of([], first=2**40, writer=writer))
    return caught.value.mark


def test_the_same_batch_again_is_answered_as_duplicates_and_stored_once(store):
    run, records = new_run(store), [("a", 0.5), NONE, ("b", 1)]
    assert add(store, run, range_of(records)) == BatchResult(2, 0)
    assert add(store, run, range_of(records)) == BatchResult(0, 2)
    assert listed(store, run) == held(records)


def test_of_a_batch_that_reaches_below_the_mark_only_the_rest_is_stored(store):
    run, records = new_run(store), [("a", 0.5), ("b", b'"x"'), ("a", 1.5), ("b", b"[1]"), ("a", 2.5)]
    add(store, run, range_of(records[:3]))
    assert add(store, run, range_of(records)) == BatchResult(2, 3)
    assert listed(store, run) == held(records)


def test_a_range_beyond_the_mark_is_refused_with_the_mark_and_nothing_is_stored(store):
    run = new_run(store)
    assert mark_of(store, run) == 0
    add(store, run, range_of([("a", 1)]))
    with pytest.raises(GapError) as caught:
        add(store, run, range_of([("a", 1)], first=2))
    assert caught.value.mark == 1
    assert listed(store, run) == held([("a", 1)])


def test_writers_of_a_run_have_a_mark_each_and_runs_have_their_own(store):
    run, other = new_run(store), new_run(store)
    add(store, run, range_of([("a", 1)] * 3, writer="one"))
    add(store, run, range_of([("a", 2)] * 2, writer="two"))
    add(store, other, range_of([("a", 3)], writer="one"))
    assert [mark_of(store, run, writer) for writer in ("one", "two", "three")] == [3, 2, 0]
    assert mark_of(store, other, "one") == 1
    assert [point["value"] for point in listed(store, run)] == [1, 1, 1, 2, 2]


def test_positions_without_a_record_are_covered(store):
    run = new_run(store)
    assert add(store, run, range_of([NONE] * 5)) == BatchResult(0, 0)
    assert add(store, run, range_of([("a", 1)], first=5)) == BatchResult(1, 0)
    assert add(store, run, range_of([], first=6)) == BatchResult(0, 0)
    assert mark_of(store, run) == 6


def test_values_of_each_kind_come_back_as_they_were(store):
    run, records = new_run(store), [("a", value) for value in KINDS]
    assert add(store, run, range_of(records)) == BatchResult(len(KINDS), 0)
    assert listed(store, run) == held(records)


def test_a_name_of_any_characters_is_one_name(store):
    run, records = new_run(store), [("a/ü b", 1), ("a/Ü b", 2), ("a/ü b ", 3), ("%_\\'\"", 4)]
    add(store, run, range_of(records))
    assert listed(store, run) == held(records)
    assert [each.name for each in store.series(run)] == [name for name, _ in records]


def test_a_number_may_stand_for_another_name_in_the_next_range(store):
    """A writer of ours never does that; another client might."""
    run = new_run(store)
    add(store, run, range_of([("a", 1), ("b", 2)]))
    add(store, run, range_of([("b", 3), ("c", 4)], first=2))
    assert listed(store, run) == held([("a", 1), ("b", 2), ("b", 3), ("c", 4)])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 30), max_size=40), st.lists(st.integers(0, 30), max_size=40), st.randoms())
def test_however_ranges_are_cut_and_repeated_each_record_is_there_once(store, firsts, ends, randomness):
    entries: list[Any] = [
        NONE if randomness.random() < 0.1 else (randomness.choice("abc"), randomness.choice([0.5, 7, True, b"null"]))
        for _ in range(30)
    ]
    run, mark = new_run(store), 0
    for first, end in [*zip(firsts, ends, strict=False), (0, 30)]:
        if first > end:
            continue
        records = range_of(entries[first:end], first=first)
        if first > mark:
            with pytest.raises(GapError) as caught:
                add(store, run, records)
            assert caught.value.mark == mark
        else:
            stored = sum(record is not NONE for record in entries[max(first, mark) : end])
            sent = sum(record is not NONE for record in entries[first:end])
            assert add(store, run, records) == BatchResult(stored, sent - stored)
            mark = max(mark, end)
    assert listed(store, run) == held(entries)


def test_writes_are_made_in_the_order_in_which_they_were_called(store):
    run = new_run(store)
    records = [("a", number) for number in range(100)]
    futures = [
        store.add_batch(run, from_range(range_of([record], first=first))) for first, record in enumerate(records)
    ]
    assert [future.result() for future in futures] == [BatchResult(1, 0)] * 100
    assert listed(store, run) == held(records)


def test_the_same_batches_from_many_threads_are_stored_once(store):
    """A client that sends again while its first request is still on its way."""
    run, writers = new_run(store), [f"w{number}" for number in range(3)]
    records = {writer: [(writer, number) for number in range(60)] for writer in writers}

    def deliver(writer: str) -> tuple[int, int]:
        accepted = duplicates = 0
        for first in range(0, 60, 5):
            result = add(store, run, range_of(records[writer][first : first + 10], first=first, writer=writer))
            accepted, duplicates = accepted + result.accepted, duplicates + result.duplicates
        return accepted, duplicates

    with ThreadPoolExecutor(9) as threads:
        counts = list(threads.map(deliver, writers * 3))
    assert sum(accepted for accepted, _ in counts) == 180
    assert sum(accepted + duplicates for accepted, duplicates in counts) == 9 * 115
    found = listed(store, run)
    for writer in writers:
        assert [point for point in found if point["name"] == writer] == held(records[writer])
    assert [mark_of(store, run, writer) for writer in writers] == [60] * 3


def test_a_refused_batch_takes_no_other_with_it(store):
    run, gone = new_run(store), new_run(store, new_project(store, "gone"))
    store.delete_project(store.project("team", "gone")).result()
    records = [from_range(range_of([("a", at)], first=at)) for at in range(50)]
    futures = [(store.add_batch(run, batch), store.add_batch(gone, batch)) for batch in records]
    assert all(good.result() == BatchResult(1, 0) for good, _ in futures)
    assert all(isinstance(bad.exception(), MissingError) for _, bad in futures)


def test_many_runs_names_and_writers_do_not_mix(store):
    source = random.Random(3)
    runs = [new_run(store) for _ in range(4)]
    sent: dict[tuple[int, str], list[Any]] = {}
    order: dict[int, list[Any]] = {number: [] for number in range(4)}
    for _ in range(60):
        number, writer = source.randrange(4), source.choice("xy")
        before = sent.setdefault((number, writer), [])
        part = [(f"m{source.randrange(40)}", source.choice(KINDS)) for _ in range(source.randrange(60))]
        assert add(store, runs[number], range_of(part, first=len(before), writer=writer)).duplicates == 0
        before += part
        order[number] += part
    for number, run in enumerate(runs):
        assert listed(store, run) == held(order[number])
