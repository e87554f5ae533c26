"""A history has every point of the metrics that are asked for, as of its start, metric after metric."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from server.batches import BEGAN_NS, held, range_of
from server.stores import add, new_run
from steplog.records.points import Points
from steplog.server.store_types import HistoryQuery, MissingError, UnknownMetricError

MORE = [("b", True), ("a", 0.5), ("new", 1)]


def rows(parts: Iterable[tuple[str, Points]]) -> list[tuple[str, Any, int]]:
    return [
        (name, value, step) for name, points in parts for value, step in zip(points.values(), points.steps, strict=True)
    ]


def filled(store: Any, run: Any, sizes: Iterable[int]) -> list[Any]:
    """Stepless points of three metrics, and some with steps; as they were sent."""
    source, sent = random.Random(5), []
    for size in sizes:
        part = [(source.choice("abc"), source.choice([0.25, 7, True]), source.choice([None, 3])) for _ in range(size)]
        add(store, run, range_of(part, first=len(sent)))
        sent += part
    return sent


def expected(sent: list[Any], names: Iterable[str] | None = None) -> list[tuple[str, Any, int]]:
    listed = [(row["name"], row["value"], row["step"]) for row in held(sent)]
    in_order = dict.fromkeys(name for name, _, _ in listed) if names is None else names
    return [row for name in in_order for row in listed if row[0] == name]


@pytest.mark.parametrize("sizes", [[40] * 9, pytest.param([3000, 1, 5, 900, 4000], marks=pytest.mark.slow)], ids=len)
def test_all_points_come_and_what_is_sent_meanwhile_does_not(store, pack, sizes):
    run = new_run(store)
    sent = filled(store, run, sizes)
    parts = store.history(run, HistoryQuery())
    found = [next(parts)]
    add(store, run, range_of(MORE, first=len(sent)))
    pack(store, run)
    found += parts
    assert rows(found) == expected(sent)
    assert rows(store.history(run, HistoryQuery())) == expected([*sent, *MORE])


def test_only_the_metrics_steps_and_times_that_are_asked_for_come(store, pack):
    run = new_run(store)
    sent = filled(store, run, [60, 60])
    whole = expected(sent)
    for packed in (False, True):
        if packed:
            pack(store, run)
        some = store.history(run, HistoryQuery(["c", "a"]))
        assert rows(some) == expected(sent, "ca")
        within = store.history(run, HistoryQuery(low=3, high=8))
        assert rows(within) == [row for row in whole if 3 <= row[2] <= 8]
        last = store.history(run, HistoryQuery(["b"], low=3, last=4))
        assert rows(last) == [row for row in whole if row[0] == "b" and row[2] >= 3][-4:]
        (_, points), *_ = store.history(run, HistoryQuery(["a"], from_ns=BEGAN_NS + 9, to_ns=BEGAN_NS + 30))
        times = [BEGAN_NS + at % 60 for at, record in enumerate(sent) if record[0] == "a"]
        assert list(points.times) == [time for time in times if 9 <= time - BEGAN_NS <= 30]


@pytest.mark.parametrize("packed", ["before", "between", "never"])
def test_a_history_goes_on_after_what_has_come_of_each_metric(store, pack, packed):
    """As of when it began, whatever has come since; and of what has come since, by the counts alone."""
    run = new_run(store)
    sent = filled(store, run, [60, 60])
    if packed == "before":
        pack(store, run)
    begun = store.history(run, HistoryQuery(last=30))
    assert begun.arrivals == len(sent)
    whole, (first, *_) = rows(begun), rows(store.history(run, HistoryQuery(last=30)))
    add(store, run, range_of(MORE, first=len(sent)))
    if packed == "between":
        pack(store, run)
    for came in (0, 1, 30, 47, len(whole)):
        counts = Counter(name for name, _, _ in whole[:came])
        again = store.history(run, HistoryQuery("abc", last=30, skips=counts, arrivals=begun.arrivals))
        found = rows(again)
        assert [row for name in dict.fromkeys(row[0] for row in whole) for row in found if row[0] == name] == whole[
            came:
        ]
    counts = Counter(name for name, _, _ in sent)
    new = rows(store.history(run, HistoryQuery(skips=counts)))
    assert sorted(row[:2] for row in new) == sorted(MORE)
    assert rows(store.history(run, HistoryQuery([first[0]], skip=10**9))) == []


TEXTS = ['"A cat sat"', '"Zwölf Kater\\n und \\u00dcbermut"', '{"answer": "no Cat", "n": 0.25}', '["\\u00fcber", null]']
VALUES = [*(text.encode() for text in TEXTS), 0.25, 7, True, math.nan, b"null"]
FOUND = {  # places in VALUES
    "cat": {0, 2},
    "CAT SAT": {0},
    "Übermut": {1},
    "über": {1, 3},
    "kater\n und": {1},
    '"answer": "no cat"': {2},
    "0.25": {2, 4},
    "null": {3, 8},
    "nan": {7},
    "true": {6},
    "dog": set(),
}


@pytest.mark.parametrize("text", FOUND)
def test_only_points_with_the_text_in_their_value_come(store, pack, text):
    run = new_run(store)
    source, sent = random.Random(text), []
    for _ in range(3):
        part = [(source.choice("ab"), source.randrange(len(VALUES))) for _ in range(60)]
        add(
            store,
            run,
            range_of([(name, VALUES[at], len(sent) + n) for n, (name, at) in enumerate(part)], first=len(sent)),
        )
        sent += part
    steps = {
        name: [step for step, (each, at) in enumerate(sent) if each == name and at in FOUND[text]] for name in "ab"
    }
    for packed in (False, True):
        if packed:
            pack(store, run)
        for more, part in (({}, slice(None)), ({"last": 5}, slice(-5, None)), ({"skip": 2, "limit": 3}, slice(2, 5))):
            found = store.history(run, HistoryQuery(["a", "b"], contains=text, **more))
            listed: dict[str, list[int]] = {"a": [], "b": []}
            for name, _, step in rows(found):
                listed[name].append(step)
            assert listed == {name: each[part] for name, each in steps.items()}
        bounded = HistoryQuery(["a"], 30, 90, contains=text)
        assert [step for *_, step in rows(store.history(run, bounded))] == [n for n in steps["a"] if 30 <= n <= 90]


def test_a_metric_without_points_that_match_comes_and_one_that_is_not_there_is_named(store):
    run = new_run(store)
    filled(store, run, [30])
    assert [(name, len(points.kinds)) for name, points in store.history(run, HistoryQuery(["a"], low=99))] == [("a", 0)]
    with pytest.raises(UnknownMetricError, match="'d'"):
        store.history(run, HistoryQuery(["a", "d"]))


def test_a_run_that_is_deleted_meanwhile_ends_its_history_with_an_error(store):
    run = new_run(store)
    filled(store, run, [30])
    project = store.project("team", "mnist")
    parts, points = store.history(run, HistoryQuery()), store.metric_slices(run, 0, 30)
    store.discard_run(project, run.uuid).result()
    for reading in (parts, points):
        with pytest.raises(MissingError):
            list(reading)
    with pytest.raises(MissingError):
        store.history(run, HistoryQuery())
    store.restore_run(project, run.uuid).result()
    assert len(rows(store.history(run, HistoryQuery()))) == 30
