"""The slot's 32 bytes, and what is read from many of them at once."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.journal import slot
from strategies import ENTRIES, INT64, LOGGED, Logged, range_of, slot_of

SLOTS = st.binary(max_size=12 * 32).map(lambda data: data[: len(data) // 32 * 32])


def pack(pack_into, *fields) -> bytes:
    target = bytearray(b"\xaa" * 48)
    pack_into(target, 8, *fields)
    assert target[:8] == target[40:] == b"\xaa" * 8, "packed outside of the slot"
    return bytes(target[8:40])


def test_a_float_slot_has_exactly_the_bytes_of_the_specification():
    packed = pack(slot.pack_float, 7, 0.5, 1_700_000_000_000_000_000, slot.key_of(0x01020304, slot.KIND_FLOAT))
    assert packed.hex(" ", 8) == "0700000000000000 000000000000e03f 00002a36fe9c9717 0403020100000100"


def test_a_slot_without_a_step_holds_the_minimum_of_int64():
    packed = pack(slot.pack_int, slot.NO_STEP, -2, 0, slot.key_of(1, slot.KIND_INT))
    assert packed.hex(" ", 8) == "0000000000000080 feffffffffffffff 0000000000000000 0100000000000200"


def test_a_payload_slot_holds_offset_and_length():
    packed = pack(slot.pack_payload, 0, 0x11223344, 5, 0, slot.key_of(2, slot.KIND_JSON))
    assert packed.hex(" ", 8) == "0000000000000000 4433221105000000 0000000000000000 0200000000000400"
    assert slot.unpack_payload(packed, 0) == (0x11223344, 5)


@pytest.mark.parametrize(
    ("kind", "number"),
    [("NONE", 0), ("FLOAT", 1), ("INT", 2), ("BOOL", 3), ("JSON", 4), ("TOMBSTONE", 255)],
)
def test_a_kind_keeps_its_number_for_ever(kind, number):
    assert getattr(slot, f"KIND_{kind}") == number


@given(LOGGED, st.integers(0, 2**32 - 1))
def test_every_packed_slot_follows_the_specification(logged, name):
    step = slot.NO_STEP if logged.step is None else logged.step
    key = slot.key_of(name, logged.kind)
    if logged.kind == slot.KIND_NONE:
        packed = bytes(32)
    elif logged.kind == slot.KIND_FLOAT:
        packed = pack(slot.pack_float, step, logged.value, logged.time_ns, key)
    elif logged.kind == slot.KIND_JSON:
        packed = pack(slot.pack_payload, step, 9, len(logged.value), logged.time_ns, key)
    else:
        packed = pack(slot.pack_int, step, logged.value, logged.time_ns, key)
    assert packed == slot_of(logged, name, offset=9)
    assert slot.kinds_of(packed) == bytes([logged.kind])


@given(INT64)
def test_a_step_that_int64_cannot_hold_writes_no_kind(step):
    target = bytearray(32)
    with pytest.raises(struct.error):
        slot.pack_int(target, 0, step + 2**64, 0, 0, slot.key_of(1, slot.KIND_INT))
    assert slot.kinds_of(bytes(target)) == b"\0"


@given(SLOTS)
def test_a_plane_holds_one_byte_of_every_slot(slots):
    planes = slot.to_planes(slots)
    count = len(slots) // 32
    assert [planes[byte * count + index] for index in range(count) for byte in range(32)] == list(slots)


@given(SLOTS)
def test_slots_come_back_from_their_planes(slots):
    assert slot.from_planes(slot.to_planes(slots)) == slots


@given(SLOTS)
def test_the_distinct_names_are_those_in_the_slots(slots):
    assert slot.distinct_names(slots) == {name for (name,) in struct.iter_unpack("<24xI4x", slots)}


@given(ENTRIES)
def test_kinds_and_payloads_are_found_by_index(entries):
    slots = range_of("w", 0, entries).slots
    assert list(slot.kinds_of(slots)) == [entry.kind for entry in entries]
    for index, entry in enumerate(entries):
        if entry.kind == slot.KIND_JSON:
            assert slot.unpack_payload(slots, index)[1] == len(entry.value)


def test_a_tombstone_is_a_kind_and_nothing_else():
    assert bytes(30) + b"\xff\0" == slot.TOMBSTONE


@given(st.lists(LOGGED | st.none(), max_size=12))
def test_a_tombstone_becomes_no_record_and_its_neighbours_stay(entries):
    holes = b"".join(slot.TOMBSTONE if entry is None else slot_of(entry, 3) for entry in entries)
    filled = b"".join(slot_of(entry or Logged(slot.KIND_NONE), 3) for entry in entries)
    assert slot.without_tombstones(holes) == filled


def test_slots_without_a_tombstone_are_not_copied():
    slots = slot_of(Logged(slot.KIND_INT, 1), 3)
    assert slot.without_tombstones(slots) is slots
