"""The append in C and the one in Python are one specification: the same calls leave the same records."""

from __future__ import annotations

import contextlib
import gc
import inspect
import math
import mmap
import os
import random
import signal
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.journal import compiled, slot
from steplog.journal.append import Segment
from steplog.journal.memory import MemoryPool
from steplog.journal.writer import Writer

needs_c = pytest.mark.skipif(not compiled._built, reason="the extension is not built here (no C compiler)")
KINDS = [pytest.param("c", marks=needs_c), "pure"]


class Ticks:
    """A clock that counts, so that records say when their call looked at it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def writer_of(kind: str, *, segment_bytes: int = 1 << 19, clock: Callable[[], int] = time.time_ns) -> Writer:
    pool = MemoryPool(None, None, 1 << 30)
    pool.segment_bytes = lambda: segment_bytes  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPLOG_PURE", "1" if kind == "pure" else "0")
        writer = Writer(pool, b"w" * 16, value_bytes_max=1000, clock=clock)
    assert writer.append.kind == kind
    return writer


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def segments(first: Segment) -> Iterator[tuple[Segment, int]]:
    """Each segment and how many of its slots count."""
    segment: Segment | None = first
    while segment is not None:
        following = segment.successor.get(0)
        count = segment.view().written() if following is None else following.header.base - segment.header.base
        yield segment, min(count, segment.header.capacity)
        segment = following


def records(first: Segment) -> list[tuple[str, int, bytes, int, int]]:
    """Name, kind, value, step and time of each record, in the order of their positions."""
    found = []
    for segment, end in segments(first):
        read = segment.view().read(0, end)
        assert read.unreadable == 0
        payloads = iter(read.payloads)
        for step, value, stamp, name, spare, kind in struct.iter_unpack("<q8sqIHH", read.slots):
            if kind != slot.KIND_NONE:
                assert spare == 0
                value = next(payloads) if kind == slot.KIND_JSON else value
                found.append((read.names[name], kind, value, step, stamp))
    return found


# -- one specification ----------------------------------------------------------------------------------------------


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


def outcome(call: Callable[..., None], *arguments: Any, **named: Any) -> tuple[str, str] | None:
    try:
        call(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - whatever it is, both raise it
        return type(error).__name__, str(error)
    return None


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


# -- the clock ------------------------------------------------------------------------------------------------------


def test_time_comes_from_the_wall_clock(kind):
    writer = writer_of(kind)
    before = time.time_ns()
    for step in range(3):
        writer.append.log("a", 0.5, step)
    stamps = [record[4] for record in records(writer.head)]
    assert before <= stamps[0] <= stamps[1] <= stamps[2] <= time.time_ns()


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


# -- threads, signals, forks ------------------------------------------------------------------------------------------


def test_threads_that_log_through_many_segments_lose_nothing_and_keep_their_order(kind):
    writer = writer_of(kind, segment_bytes=16 * 1024)
    calls, threads = 20_000, 4
    go = threading.Barrier(threads)

    def work(thread: int) -> None:
        go.wait()
        name = f"thread-{thread}"
        for step in range(calls):
            # Every third by the slow path, which claims from the same counter in Python.
            writer.append.log(name, step % 2 == 0 if step % 3 == 0 else float(step), step)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        [worker.start() for worker in workers]
        [worker.join() for worker in workers]
    finally:
        sys.setswitchinterval(interval)
    steps: dict[str, list[int]] = {f"thread-{thread}": [] for thread in range(threads)}
    for record in records(writer.head):
        steps[record[0]].append(record[3])
    assert len(list(segments(writer.head))) > 100
    assert steps == {name: list(range(calls)) for name in steps}


def test_a_call_is_recorded_or_refused_never_both_while_another_thread_ends_and_reopens(kind):
    writer = writer_of(kind)
    refused: list[int] = []
    stop = threading.Event()
    turns = [0]

    def toggle() -> None:
        while not stop.is_set():
            writer.end(lambda name, value, step: refused.append(step))
            time.sleep(0.0002)
            writer.reopen()
            time.sleep(0.0002)
            turns[0] += 1

    thread = threading.Thread(target=toggle)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    step, deadline = 0, time.monotonic() + 20
    try:
        thread.start()
        while (step < 20_000 or turns[0] < 20 or not refused) and time.monotonic() < deadline:
            writer.append.log("a", 0.5, step)
            step += 1
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    recorded = [record[3] for record in records(writer.head)]
    assert sorted(recorded + refused) == list(range(step))
    assert recorded
    assert refused


class Alarms:
    """Signals that interrupt one thread; ``handled`` counts them. Some raise, but only where ``inside`` says so."""

    def __init__(self, work: Callable[[int], None], raise_every: int, interval_s: float) -> None:
        self.handled = 0
        self.inside = False
        self._work = work
        self._raise_every = raise_every
        self._interval_s = interval_s

    def _handle(self, number: int, frame: object) -> None:
        self.handled += 1
        inside, self.inside = self.inside, False  # a handler that interrupts another one does not raise
        self._work(self.handled)
        if inside and self.handled % self._raise_every == 0:
            raise InterruptedError
        self.inside = inside

    def __enter__(self) -> Alarms:
        gc.collect()
        gc.disable()  # an exception that is raised in a finalizer goes nowhere
        self._before = signal.signal(signal.SIGALRM, self._handle)
        signal.setitimer(signal.ITIMER_REAL, self._interval_s, self._interval_s)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        gc.enable()


def test_signals_whose_handlers_log_and_raise_leave_no_wrong_record(kind):
    writer = writer_of(kind, segment_bytes=16 * 1024)
    returned: list[int] = []
    step = 0
    with Alarms(lambda count: writer.append.log("handler", float(count), count), 3, 0.0005) as alarms:
        while alarms.handled < 300:
            step += 1
            try:
                alarms.inside = True
                writer.append.log("main", float(step), step)
                returned.append(step)
                alarms.inside = False
            except InterruptedError:
                pass
    found = records(writer.head)
    by_handler = [record[3] for record in found if record[0] == "handler"]
    by_main = [record[3] for record in found if record[0] == "main"]
    assert sorted(by_handler) == list(range(1, alarms.handled + 1))  # handlers interrupt each other too
    assert set(returned) <= set(by_main)
    assert by_main == sorted(set(by_main))
    for record in found:
        assert struct.unpack("<d", record[2])[0] == record[3]


@needs_c
def test_the_compiled_one_leaves_no_hole_whatever_interrupts_it():
    writer = writer_of("c")
    writer.append.log("a", 0.0)

    def work() -> None:  # a function: CPython 3.13 does not cover the jump at the end of a loop inside of a try
        alarms.inside = True
        while alarms.inside:
            writer.append.log("a", 1.0)

    with Alarms(lambda count: None, 1, 0.0002) as alarms:
        while alarms.handled < 300:
            with contextlib.suppress(InterruptedError):
                work()
    assert not [hole for segment, end in segments(writer.head) for hole in segment.view().holes(end)]


def test_a_forked_child_writes_nothing_into_its_parents_memory(kind):
    writer = writer_of(kind)
    writer.append.log("a", 0.0)
    memory = writer.head.memory
    before = bytes(memory)
    pid = os.fork()
    if pid == 0:
        refused: list[Any] = []
        try:
            writer.forked(lambda *call: refused.append(call))
            for step in range(3):
                writer.append.log("a", 1.0, step)
        finally:
            os._exit(len(refused))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert bytes(memory) == before


def test_a_writer_that_takes_over_after_a_fork_serves_the_same_bound_method(kind):
    first = writer_of(kind)
    log = first.append.log
    log("a", 1.0)
    first.forked(lambda *call: None)
    second = Writer(MemoryPool(None, None), b"v" * 16, value_bytes_max=1000, append=first.append)
    log("a", 2.0)
    log("a", 3.0)
    assert [struct.unpack("<d", record[2])[0] for record in records(second.head)] == [2.0, 3.0]
    assert type(second.head) is first.append.segment_type


# -- memory -----------------------------------------------------------------------------------------------------------


@needs_c
def test_memory_stays_mapped_while_it_can_be_written_to_and_no_longer():
    writer = writer_of("c")
    writer.append.log("a", 0.0)
    memory = writer.head.memory
    assert isinstance(memory, mmap.mmap)
    with pytest.raises(BufferError):
        memory.close()
    writer.end(lambda *call: None)
    memory.close()
    writer.append.log("a", 1.0)


@needs_c
def test_a_segment_that_is_closed_is_never_written_to_again():
    memory = bytearray(64 + 128 + 32 * 10)
    room = compiled._append.Room(memory, 64 + 128)
    append = compiled._append.Append(Stub({"a": slot.key_of(1, slot.KIND_FLOAT)}, room), lambda *call: None, Ticks())
    append.log("a", 1.0)
    assert room() == 64 + 128 + 32
    room.shut()
    before = bytes(memory)
    append.log("a", 2.0)
    assert bytes(memory) == before
    assert room() == 64 + 128 + 64
    memory.clear()  # nobody holds it any more
    room.shut()
    append.log("a", 3.0)


class Stub:
    """A segment as the compiled append sees it."""

    def __init__(self, names: Any, claim: Any) -> None:
        self.names = names
        self.claim = claim


@needs_c
def test_the_last_slot_is_written_and_none_after_it():
    for spare in (0, 8, 31):
        memory = bytearray(32 * 3 + spare)
        room = compiled._append.Room(memory, 0)
        slow: list[Any] = []
        append = compiled._append.Append(Stub({"a": 1}, room), lambda *call, to=slow: to.append(call), Ticks())
        for step in range(5):
            append.log("a", 1.0, step)
        assert [call[2] for call in slow] == [3, 4]
        assert bytes(memory[96:]) == bytes(spare)


@needs_c
def test_hostile_segments_and_arguments_are_refused_without_harm():
    room_type, append_type = compiled._append.Room, compiled._append.Append
    with pytest.raises(ValueError, match="eight"):
        room_type(bytearray(100), 3)
    with pytest.raises(ValueError, match="eight"):
        room_type(bytearray(100), -8)
    for arguments in ((b"read-only", 0), ("text", 0), (bytearray(8),), ()):
        with pytest.raises((TypeError, BufferError)):
            room_type(*arguments)
    with pytest.raises(TypeError):
        room_type(bytearray(64), 0)(1)
    with pytest.raises(AttributeError):
        append_type(object(), print, Ticks())
    slow: list[Any] = []
    room = room_type(bytearray(64), 0)
    for names, claim in (([], room), ({}, object()), ({"a": "no key"}, room), ({"a": 2**70}, room)):
        append = append_type(Stub(names, claim), lambda *call: slow.append(call), Ticks())
        append.log("a", 1.0)
    assert len(slow) == 4
    room_type(bytearray(0), 0)
    room_type(bytearray(8), 2**40)


@needs_c
def test_a_name_whose_comparison_takes_the_segment_away_does_no_harm():
    room = compiled._append.Room(bytearray(320), 0)
    append: Any = None

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            append.segment = Stub({}, None)
            gc.collect()
            return False

    slow: list[Any] = []
    append = compiled._append.Append(Stub({Key("a"): 1}, room), lambda *call: slow.append(call), Ticks())
    append.log("a", 1.0)
    del room
    append.log("a", 1.0)
    assert len(slow) == 2


def test_a_writer_that_is_gone_frees_its_memory(kind):
    writer = writer_of(kind)
    for step in range(10):
        writer.append.log("a", 0.5, step)
    memory = weakref.ref(writer.head.memory)
    append_log = writer.append.log
    del writer, append_log
    gc.collect()
    assert memory() is None


@needs_c
def test_a_cycle_through_the_append_alone_is_collected():
    memory = bytearray(320)
    append = compiled._append.Append(Stub({}, compiled._append.Room(memory, 0)), print, Ticks())
    append.slow = append.log
    append.clock = append.log
    del append
    gc.collect()
    memory.clear()  # raises BufferError while somebody holds it


def test_a_call_keeps_no_reference_to_what_it_was_given(kind):
    writer = writer_of(kind)
    log, refused = writer.append.log, [0]

    def refuse(name: object, value: object, step: object) -> None:
        refused[0] += 1

    name, value, step, large = "na" + "me" * 3, 0.1 + random.random(), 10**9 + 7, 10**30
    log(name, value)
    things = (name, value, step, large, None)
    for round_ in range(2):
        before = [sys.getrefcount(thing) for thing in things]
        for _ in range(1000):
            log(name, value, step)
            log(name, step, step=step)
            log(name, large, None)
            log(name=name, value=value, step=None)
            assert outcome(log, name, value, stop=step) is not None
            assert (outcome(log, name, value, large) is None) == (round_ == 1)
        after = [sys.getrefcount(thing) for thing in things]
        # None is everybody's; it moves a little.
        assert [b - a for a, b in zip(before[:-1], after[:-1], strict=True)] == [0, 0, 0, 0]
        assert abs(after[-1] - before[-1]) < 100
        if round_ == 0:
            writer.end(refuse)
    assert refused[0] >= 4000


def test_segments_and_what_they_hold_are_given_back(kind):
    writer = writer_of(kind, segment_bytes=16 * 1024)
    writer.append.log("a", 0.5)
    for step in range(5000):
        writer.append.log("a", 0.5, step)
    kept = [weakref.ref(segment.memory) for segment, _ in segments(writer.head)]
    writer.head = writer.append.segment
    gc.collect()
    assert len(kept) > 5
    assert [memory() is not None for memory in kept] == [False] * (len(kept) - 1) + [True]
