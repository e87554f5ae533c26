"""What records say about a run is applied with them, once, in whatever order they arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batches import BEGAN_NS, held, range_of
from server.stores import add, config, listed, new_project, new_run, now, says
from steplog.errors import FormatError
from steplog.journal.range import encode
from steplog.server.records.batch import from_range
from steplog.server.store_types import BatchResult

NUMBERS = itertools.count()


def test_a_writer_stays_in_the_generation_in_which_the_server_first_heard_of_it(open_store):
    store = open_store()
    run = new_run(store)
    add(store, run, range_of([("a", 1)], writer="early"), 1)
    add(store, run, range_of([says({"lr": 2}, "config")], writer="late"), 2)
    store = open_store()
    add(store, run, range_of([says({"lr": 1}, "config")], 1, "early", BEGAN_NS + 10**9), 3)
    assert config(store, run) == {"lr": 2}


def test_a_later_change_of_a_writer_counts_though_its_clock_was_set_back(open_store):
    store = open_store()
    run, hour = new_run(store), 3600 * 10**9
    add(store, run, range_of([says({"lr": 1, "seed": 1}, "config"), says({"group": "a"})], 0, "w", BEGAN_NS + hour))
    add(store, run, range_of([says({"lr": 2}, "config"), says({"lr": 3}, "config")], 2, "w", BEGAN_NS))
    add(store, run, range_of([says({"seed": 9, "lr": 9}, "config")], 0, "between", BEGAN_NS + hour // 2))
    assert (config(store, run), now(store, run).group) == ({"lr": 3, "seed": 1}, "a")
    store = open_store()
    add(store, run, range_of([says({"group": "b"}), says(["lr"], "config/removed")], 4, "w", BEGAN_NS - hour))
    assert (config(store, run), now(store, run).group) == ({"seed": 1}, "b")


def test_config_is_merged_by_key_and_stays_a_metric(store):
    run = new_run(store)
    records = [
        says({"lr": 0.1, "model": {"depth": 3, "width": 1}, "seed": 1}, "config"),
        ("loss", 0.5),
        says({"model": {"depth": 4}, "seed": None}, "config"),
        says(["lr", "missing"], "config/removed"),
        says([1], "config"),
        ("steplog/config", 0.5),
    ]
    assert add(store, run, range_of(records)) == BatchResult(6, 0)
    assert config(store, run) == {"model": {"depth": 4}, "seed": None}
    assert listed(store, run) == held(records)


def test_of_a_record_with_a_bad_field_the_rest_is_applied_and_nothing_is_refused(store):
    run = new_run(store)
    records = [says({"tags": "x", "group": "g", "started": 7, "name": ""}), says(7), ("steplog/run", 0.5), ("a", 1)]
    assert add(store, run, range_of(records)) == BatchResult(4, 0, run.name)
    told = now(store, run)
    assert (told.tags, told.group, told.started, told.name) == (None, "g", None, run.name)
    assert listed(store, run) == held([("a", 1)])


def test_a_batch_is_applied_at_once_though_it_is_packed_later(store, pack):
    run = new_run(store)
    many = [(f"m{number}", float(number), 1) for number in range(300)]
    entry = ("steplog/config", b'{"lr": 1}', 1)
    records = [*many[:100], says({"group": "g"}), *many[100:], entry, ("steplog/config/removed", b'["x"]', 1)]
    sent = range_of(records)
    assert add(store, run, sent) == BatchResult(303, 0, run.name)
    assert (now(store, run).group, config(store, run)) == ("g", {"lr": 1})
    add(store, run, range_of([says({"group": "h"}), says({"lr": 2}, "config")], 303, began_ns=BEGAN_NS + 999))
    pack(store, run)
    later = [("steplog/config", b'{"lr": 2}', None)]
    assert listed(store, run) == held([*many, entry, records[-1], *later])
    assert (now(store, run).group, config(store, run)) == ("h", {"lr": 2}), "packing has applied them again"


def test_a_batch_that_reaches_below_the_mark_applies_the_rest(store):
    run = new_run(store)
    records = [says({"group": "a"}), ("loss", 1.0), says({"notes": "n"}), ("loss", 2.0), says({"group": "b"})]
    add(store, run, range_of(records[:2]))
    assert add(store, run, range_of(records)) == BatchResult(3, 2, run.name)
    told = now(store, run)
    assert (told.group, told.notes) == ("b", "n")
    assert listed(store, run) == held([records[1], records[3]])


def test_a_batch_that_is_refused_changes_nothing_of_the_run(store):
    run = new_run(store)
    bad = range_of([says({"group": "g", "name": "x"}), says({"lr": 1}, "config"), ("a", b"{")])
    with pytest.raises(FormatError, match="record 2 of the range: not JSON"):
        add(store, run, bad)
    assert (now(store, run).group, now(store, run).name, config(store, run)) == (None, run.name, {})
    assert add(store, run, bad.without(2)).accepted == 2
    assert (now(store, run).group, now(store, run).name, config(store, run)) == ("g", "x", {"lr": 1})


HOSTS = st.lists(
    st.tuples(
        st.integers(1, 3),  # generation
        st.integers(-5, 5),  # how far its clock is off
        st.lists(
            st.one_of(
                st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3).map(lambda v: says(v, "config")),
                st.lists(st.sampled_from("abc"), max_size=2).map(lambda v: says(v, "config/removed")),
                st.sampled_from(["x", "y", "z"]).map(lambda v: says({"group": v, "notes": v})),
                st.sampled_from(["x", "y"]).map(lambda v: says({"tags": [v], "name": f"name {v}"})),
                st.just(("loss", 0.5)),
            ),
            max_size=5,
        ),
    ),
    min_size=3,
    max_size=3,
)


@pytest.mark.slow
@given(HOSTS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_three_hosts_end_in_the_same_run_in_whatever_order_they_arrive(store, hosts, chance):
    ends = []
    for _ in range(3):
        run = new_run(store, new_project(store, f"p{next(NUMBERS)}"))
        sent = [0] * len(hosts)
        while any(sent[at] < len(records) for at, (_, _, records) in enumerate(hosts)):
            at = chance.randrange(len(hosts))
            generation, skew, records = hosts[at]
            first = chance.randint(0, sent[at])  # some of it again
            end = chance.randint(sent[at], len(records))
            part = range_of(records, 0, f"host{at}", BEGAN_NS + skew).part(first, end)
            body = encode(part)
            store.add_batch(run, from_range(part, body), generation).result()
            sent[at] = end
        told = now(store, run)
        name = told.name if told.name.startswith("name ") else None
        ends.append((name, told.group, told.notes, told.tags, config(store, run)))
    assert ends[0] == ends[1] == ends[2]
