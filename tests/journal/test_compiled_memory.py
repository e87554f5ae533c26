"""What the compiled append holds: memory for as long as it can write there, references for as long as a call."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import weakref
from typing import Any

import pytest

from journal.raw import Stub, Ticks, needs_c, outcome, records, segments, writer_of
from steplog.journal import compiled, slot


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


def killed_at_a_page(shared: mmap.mmap, page: int, start: int, metrics: dict[str, float]) -> bytes:
    """What memory has of slots from ``start`` on, after a process that logs is killed by its first store to a page."""
    pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            room = compiled._append.Room(shared, start)
            names = {name: slot.key_of(1 + number, slot.KIND_FLOAT) for number, name in enumerate(metrics)}
            append = compiled._append.Append(Stub(names, room), lambda *call: None, time.time_ns)
            address = ctypes.addressof(ctypes.c_char.from_buffer(shared))
            protected = ctypes.c_void_p(address + page * mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE)
            assert ctypes.CDLL(None).mprotect(*protected, mmap.PROT_READ) == 0
            append.log(metrics, step=7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSEGV
    return shared[start : start + slot.SLOT_BYTES * len(metrics)]


@needs_c
def test_the_kind_of_a_slot_is_stored_last_and_slots_one_after_the_other():
    """A slot that lies across two pages, of which one takes no store: what a reader sees if the writer dies there."""
    before = mmap.PAGESIZE - 24  # of a slot's 32 bytes the last eight are in the second page: name and kind
    value = struct.pack("<qd", 7, 0.5)
    left = killed_at_a_page(mmap.mmap(-1, 2 * mmap.PAGESIZE), 0, before, {"loss": 0.5})
    assert left == bytes(32)
    left = killed_at_a_page(mmap.mmap(-1, 2 * mmap.PAGESIZE), 1, before, {"loss": 0.5})
    assert (left[:16], left[16:24] != bytes(8), left[24:]) == (value, True, bytes(8))
    left = killed_at_a_page(mmap.mmap(-1, 2 * mmap.PAGESIZE), 1, mmap.PAGESIZE - 32, {"loss": 0.5, "accuracy": 1.0})
    assert (left[:16], left[24:32] != bytes(8), left[32:]) == (value, True, bytes(32))


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
    writer = writer_of(kind, segment_bytes=1 << 22)  # the next one would hold the names too
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
            log({name: value, "other": step}, step=step)
            log({name: large}, step)
            assert outcome(log, name, value, stop=step) is not None
            assert (outcome(log, name, value, large) is None) == (round_ == 1)
        after = [sys.getrefcount(thing) for thing in things]
        changes = [b - a for a, b in zip(before[:-1], after[:-1], strict=True)]
        assert changes[1:] == [0, 0, 0]
        assert abs(changes[0]) <= 1  # the name's text is remembered, or another's in its place
        # None is everybody's; it moves a little.
        assert abs(after[-1] - before[-1]) < 100
        if round_ == 0:
            writer.end(refuse)
    assert refused[0] >= 4000


def test_names_that_were_looked_up_are_let_go_with_the_segment(kind):
    writer = writer_of(kind, segment_bytes=1 << 22)
    names = ["".join(("met", f"ric {number}")) for number in range(200)]
    before = [sys.getrefcount(name) for name in names]
    for _ in range(3):
        for index in range(len(names)):
            writer.append.log(names[index], 0.5)
    writer.end(lambda *call: None)
    writer.head = writer.append.segment
    gc.collect()
    assert [sys.getrefcount(name) for name in names] == before


def test_a_name_is_its_text_wherever_it_lies(kind):
    """Names that were remembered by their address were taken for others that came to lie there."""
    writer = writer_of(kind, segment_bytes=1 << 22)
    for number in range(20_000):
        writer.append.log("".join(("met", f"ric {number % 67}")), float(number % 67), number)
    found = records(writer.head)
    assert len(found) == 20_000
    assert all(name == f"metric {step % 67}" for name, _, _, step, _ in found)


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
