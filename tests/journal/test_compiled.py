"""The append in C and the one in Python are one specification: the same calls leave the same records."""

from __future__ import annotations

import inspect
import math
import random
import struct
import time
from itertools import pairwise
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.raw import Ticks, needs_c, outcome, records, segments, writer_of
from steplog.journal import compiled, slot


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


NAMES = st.sampled_from(["loss", "accuracy", "größe", Text("loss"), "", 7, None, "x" * 300, "\ud800", b"loss", [1]])
INTEGERS = st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, -(2**63) + 1, -(2**63), 2**63, 10**30])
VALUES = st.one_of(
    st.floats(),
    INTEGERS,
    st.sampled_from([True, None, "text", Real(0.5), Whole(3), object(), {"a": math.nan}, "x" * 2000]),
    st.sampled_from([numpy.float32(0.1), numpy.int64(5), numpy.array(2.0), numpy.arange(3)]),
)
STEPS = st.one_of(st.none(), INTEGERS, st.sampled_from([True, Whole(4), numpy.int64(9), 1.0, "1"]))
CALLS = st.lists(st.tuples(NAMES, VALUES, STEPS), max_size=20)


@needs_c
@given(calls=CALLS)
def test_any_call_has_the_same_outcome_and_leaves_the_same_record_in_both(calls):
    left = []
    for kind in ("c", "pure"):
        writer = writer_of(kind, clock=Ticks())
        for name in ("loss", "accuracy"):
            writer.append.log(name, 0.0)
        outcomes = [outcome(writer.append.log, *call) for call in calls]
        left.append((outcomes, [record[:4] for record in records(writer.head)]))
    assert left[0] == left[1]


class Items(dict):
    pass


KEYS = st.one_of(st.sampled_from(["loss", "accuracy", "new", Text("loss")]), NAMES.filter(lambda name: name != [1]))
FEW = st.dictionaries(st.sampled_from(["loss", "accuracy"]), st.floats() | INTEGERS, max_size=3)
METRICS = st.one_of(FEW, st.dictionaries(KEYS, VALUES, max_size=4), FEW.map(Items))


@needs_c
@given(calls=st.lists(st.tuples(METRICS, st.sampled_from(["none", "value", "step", "both"]), STEPS), max_size=8))
def test_a_mapping_has_the_same_outcome_and_leaves_the_same_records_in_both(calls):
    left = []
    for kind in ("c", "pure"):
        writer = writer_of(kind)
        for name in ("loss", "accuracy"):
            writer.append.log(name, 0.0)
        outcomes = []
        for metrics, how, step in calls:
            given = {"none": {}, "value": {"value": step}, "step": {"step": step}, "both": {"value": 1, "step": step}}
            before = len(records(writer.head))
            outcomes.append(outcome(writer.append.log, metrics, **given[how]))
            assert len({record[4] for record in records(writer.head)[before:]}) <= 1
        left.append((outcomes, [record[:4] for record in records(writer.head)]))
    assert left[0] == left[1]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000])
def test_a_mapping_of_any_size_is_recorded_across_the_end_of_a_segment(kind, count):
    writer = writer_of(kind, segment_bytes=128 * 1024)
    metrics = {f"metric/{index}": index / 3 for index in range(count)}
    calls = 9000 // count
    for step in range(calls):
        writer.append.log(metrics, step)
    found = [(record[0], struct.unpack("<d", record[2])[0], record[3]) for record in records(writer.head)]
    assert found == [(name, value, step) for step in range(calls) for name, value in metrics.items()]
    assert len(list(segments(writer.head))) > 1


@needs_c
@given(seed=st.integers(0, 2**32))
def test_a_plain_record_has_the_same_bytes_in_both(seed):
    memory = []
    for kind in ("c", "pure"):
        source, writer = random.Random(seed), writer_of(kind, clock=Ticks())
        for step in range(200):
            value = source.choice([source.gauss(0, 1), source.randrange(-(2**63), 2**63), math.inf])
            writer.append.log(source.choice("abc"), value, source.choice([None, step]))
        memory.append(bytes(writer.head.memory))
    assert memory[0] == memory[1]


def test_arguments_go_by_place_and_by_name(kind):
    writer = writer_of(kind)
    log, used = writer.append.log, []
    writer.use_client = used.append
    log("a", 0.0)
    log("a", 1.0, 5)
    log("a", 2.0, step=6)
    log("a", value=3.0, step=7)
    log(value=4.0, name="a")
    log("a", 5.0, None, None)
    log("a", 6.0, 8, "client")
    log(client="another", step=9, value=7.0, name="a")
    assert [(r[3] if r[3] != slot.NO_STEP else None) for r in records(writer.head)] == [
        None,
        5,
        6,
        7,
        None,
        None,
        8,
        9,
    ]
    assert [struct.unpack("<d", r[2])[0] for r in records(writer.head)] == [float(i) for i in range(8)]
    assert used == ["client", "another"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), {}),
        (("a",), {}),
        ((), {"value": 1.0}),
        (("a", 1.0), {"value": 2.0}),
        (("a", 1.0), {"stepp": 2}),
        (("a", 1.0, None, None, None), {}),
        (("a", 1.0, None, None, None), {"step": 1}),
    ],
)
def test_a_call_that_does_not_fit_the_signature_is_a_type_error(kind, arguments, named):
    writer = writer_of(kind)
    writer.append.log("a", 0.0)
    with pytest.raises(TypeError, match=r"log\(\)"):
        writer.append.log(*arguments, **named)
    assert len(records(writer.head)) == 1


def test_both_show_the_same_signature(kind):
    names = list(inspect.signature(writer_of(kind).append.log).parameters)
    assert names == ["name", "value", "step", "client"]


def test_the_attributes_can_be_replaced_and_read(kind):
    append = writer_of(kind).append
    for attribute in ("segment", "slow", "clock"):
        assert getattr(append, attribute) is not None
        setattr(append, attribute, getattr(append, attribute))
    calls: list[Any] = []
    append.slow = lambda *call: calls.append(call)
    append.log("new", 1.0, step=3)
    assert calls == [("new", 1.0, 3, None)]


@needs_c
def test_an_attribute_of_the_compiled_one_cannot_be_deleted():
    append = writer_of("c").append
    for attribute in ("segment", "slow", "clock"):
        with pytest.raises(AttributeError):
            delattr(append, attribute)
        assert getattr(append, attribute) is not None


def test_the_environment_decides_for_the_next_writer(monkeypatch):
    for text, pure in [("1", True), ("true", True), ("0", False), ("", False), ("off", False)]:
        monkeypatch.setenv("STEPLOG_PURE", text)
        expected = "pure" if pure or not compiled._built else "c"
        assert compiled.append_type().kind == expected


def test_why_the_append_is_not_the_compiled_one_is_said(monkeypatch):
    monkeypatch.delenv("STEPLOG_PURE", raising=False)
    assert compiled.why_pure() == (
        None if compiled._built else "not compiled" if not compiled._free_threaded else "free-threaded"
    )
    monkeypatch.setattr(compiled, "_free_threaded", False)
    monkeypatch.setattr(compiled, "_built", False)
    assert (compiled.why_pure(), compiled.append_type().kind) == ("not compiled", "pure")
    monkeypatch.setenv("STEPLOG_PURE", "1")
    assert (compiled.why_pure(), compiled.append_type().kind) == ("asked for", "pure")
    monkeypatch.setattr(compiled, "_free_threaded", True)  # nothing else is right there
    assert (compiled.why_pure(), compiled.append_type().kind) == ("free-threaded", "locked")


SLACK_NS = 100_000  # of the compiled one, which looks at the processor's counter between looks at the clock


@pytest.mark.slow
def test_time_comes_from_the_wall_clock(kind):
    writer = writer_of(kind, segment_bytes=1 << 25)
    cursor = [time.time_ns()]
    while cursor[-1] < cursor[0] + 300_000_000:  # long enough to measure the counter twice
        for step in range(100):
            writer.append.log("a", 0.5, step)
        cursor.append(time.time_ns())
    stamps = [record[4] for record in records(writer.head)]
    slack = SLACK_NS if kind == "c" else 0
    for index, (before, after) in enumerate(pairwise(cursor)):
        for stamp in stamps[100 * index : 100 * index + 100]:
            assert before - slack <= stamp <= after + slack


def test_a_rare_call_has_the_time_of_the_clock_itself(kind):
    writer = writer_of(kind)
    for step in range(1000):
        writer.append.log("a", 0.5, step)
    for step in range(20):
        due = time.monotonic() + 0.003
        while time.monotonic() < due:
            pass
        before = time.time_ns()
        writer.append.log("b", 0.5, step)
        after = time.time_ns()
        assert before <= records(writer.head)[-1][4] <= after


def test_a_clock_that_logs_itself_leaves_both_records(kind):
    writer = writer_of(kind, segment_bytes=16 * 1024)  # the inner calls fill some

    def clock() -> int:
        writer.append.clock = lambda: 7
        for step in range(1000):
            writer.append.log("inner", 0.5, step)
        return 7

    writer.append.log("a", 0.0)
    writer.append.clock = clock
    writer.append.log("a", 1.0)
    assert [(r[0], r[4]) for r in records(writer.head)][1:] == [("inner", 7)] * 1000 + [("a", 7)]


def test_a_clock_that_raises_passes_through_and_leaves_nothing(kind):
    writer = writer_of(kind)
    writer.append.log("a", 0.0)
    writer.append.clock = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        writer.append.log("a", 1.0)
    assert writer.head.view().written() == 1


def test_a_clock_that_ends_the_writer_has_the_call_refused(kind):
    writer, refused = writer_of(kind), []
    writer.append.log("a", 0.0)

    def clock() -> int:
        writer.end(lambda *call: refused.append(call))
        return 5

    writer.append.clock = clock
    writer.append.log("a", 1.0, 2)
    assert refused == [("a", 1.0, 2)]
    assert len(records(writer.head)) == 1
