"""Points are read as they came, in slices, as series and as curves, while others write."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.batches import BEGAN_NS, held, range_of
from server.stores import add, listed, new_run

BEGAN = "2023-11-14T22:13:20.000000Z"


@pytest.mark.parametrize(
    "sizes",
    [
        [75] * 20,
        *(
            pytest.param(sizes, marks=pytest.mark.slow)
            for sizes in ([1] * 300, [1, 5000, 1, 30] * 10, [17, 300, 2] * 30)
        ),
    ],
    ids=lambda sizes: f"{len(sizes)} of {sizes[0]}",
)
def test_points_come_in_order_of_arrival_whatever_the_sizes_of_batches(store, sizes):
    run, records, first = new_run(store), [], 0
    source = random.Random(7)
    for size in sizes:
        part = [(f"m{(first + at) % 3}", source.choice([0.5, at, True, b'{"k":[]}'])) for at in range(size)]
        add(store, run, range_of(part, first=first))
        records += part
        first += size
    assert listed(store, run) == held(records)
    assert [series.count for series in store.series(run)] == [
        sum(1 for name, _ in records if name == series) for series in ("m0", "m1", "m2")
    ]


def test_a_slice_has_the_points_of_those_arrivals(store):
    run = new_run(store)
    records = [(f"m{at % 7}", at) for at in range(500)]
    for first in range(0, 500, 40):
        add(store, run, range_of(records[first : first + 40], first=first))
    for first, end in ((0, 500), (0, 1), (37, 43), (120, 399), (499, 500), (499, 900), (7, 7), (500, 600)):
        assert [point.value for point in store.metrics(run, first, end)] == list(range(first, min(end, 500)))


def test_a_run_without_points_is_read_as_such(store):
    run = new_run(store)
    assert (store.point_count(run), store.metrics(run, 0, 9), store.series(run)) == (0, [], [])
    assert store.curve(run, "a", 10, None, None) is None


def test_series_have_the_totals_of_all_their_points(store):
    run, expected = new_run(store), []
    source = random.Random(11)
    for number in range(3):
        records = [("a", source.uniform(-1, 1), source.randrange(-5, 99)) for _ in range(200)]
        records += [("b", b'"x"'), ("c", 7)]
        add(store, run, range_of(records, first=202 * number))
        expected += records
    a, b, c = store.series(run)
    values, steps = [r[1] for r in expected if r[0] == "a"], [r[2] for r in expected if r[0] == "a"]
    assert (a.name, a.count, a.low, a.high, a.last) == ("a", 600, min(values), max(values), values[-1])
    assert (a.first_step, a.last_step, a.max_step) == (steps[0], steps[-1], max(steps))
    assert a.last_time == BEGAN
    assert (b.name, b.count, bytes(b.last), b.low, b.high) == ("b", 3, b'"x"', None, None)
    assert (c.name, c.count, c.low, c.high, c.last, c.last_step) == ("c", 3, 7, 7, 7, 2)


def test_series_are_in_order_of_first_arrival(store):
    run = new_run(store)
    add(store, run, range_of([("z", 1), ("a", 1)]))
    add(store, run, range_of([("m", 1), ("a", 2), ("b", 1)], first=2))
    assert [each.name for each in store.series(run)] == ["z", "a", "m", "b"]


def test_a_curve_that_fits_has_every_point(store):
    run = new_run(store)
    records = [("a", float(at), at) for at in range(100)]
    for first in range(0, 100, 30):
        add(store, run, range_of(records[first : first + 30], first=first))
    buckets = store.curve(run, "a", 100, None, None)
    assert [(each.step, each.low, each.high, each.last, each.count) for each in buckets] == [
        (at, float(at), float(at), float(at), 1) for at in range(100)
    ]
    part = store.curve(run, "a", 100, 20, 29)
    assert [each.step for each in part] == list(range(20, 30))
    reduced = store.curve(run, "a", 10, None, None)
    assert len(reduced) <= 10
    assert (sum(each.count for each in reduced), reduced[-1].last) == (100, 99.0)
    assert (min(each.low for each in reduced), max(each.high for each in reduced)) == (0.0, 99.0)
    assert store.curve(run, "b", 10, None, None) is None


def test_whoever_reads_while_others_write_sees_a_beginning_of_what_was_written(store):
    """Never a point without those before it, and never fewer than a moment ago."""
    run, records = new_run(store), [(f"m{at % 50}", at) for at in range(1000)]

    def write() -> None:
        for first in range(0, 1000, 50):
            add(store, run, range_of(records[first : first + 50], first=first))

    before, reads = 0, 0
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        while not writing.done() or reads < 3:
            found = [point.value for point in store.metrics(run, 0, 1000)]
            assert found == list(range(len(found)))
            assert len(found) >= before
            assert len(found) % 50 == 0, "a batch is there whole or not at all"
            counts = [each.count for each in store.series(run)]
            assert sum(counts) >= len(found)
            assert len(set(counts)) <= 1, "of one batch each name has one point"
            before, reads = len(found), reads + 1
    assert listed(store, run) == held(records)


def test_times_are_those_of_the_records(store):
    run = new_run(store)
    add(store, run, range_of([("a", 1)], began_ns=BEGAN_NS))
    add(store, run, range_of([("a", 2)], first=1, began_ns=1_767_229_200 * 10**9))
    assert store.series(run)[0].last_time == "2026-01-01T01:00:00.000000Z"
