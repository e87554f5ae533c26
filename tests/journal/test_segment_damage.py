"""A segment with any bit flipped, any stretch zeroed, or anything else in it: never a wrong record, never an error.

A slot in memory carries no check. So a flipped bit there may give a wrong number, step or time, or another name of the
same segment, and no more than that.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.appends import Record, decoded
from steplog.errors import FormatError
from steplog.journal import range as ranges
from steplog.journal import segment, slot
from steplog.journal.segment import HEADER_BYTES, PAYLOAD, Header, SegmentView, entry, read_header
from strategies import Logged, slot_of

WRITER = bytes(range(16))
NAMES = {1: "loss", 2: "accuracy, of the validation set", 3: "note"}
TEXTS = [b'"a text that is longer than a granule"', b"[1,2]", b"null"]


def sample() -> tuple[bytearray, Header]:
    entries = [entry(number, name.encode()) for number, name in NAMES.items()]
    roots = []
    for text in TEXTS:
        roots.append(len(b"".join(entries)))
        entries.append(entry(PAYLOAD, text))
    slots = [
        slot_of(Logged(slot.KIND_FLOAT, 0.25, 1, 10), 1),
        slot_of(Logged(slot.KIND_INT, 7, 2, 11), 2),
        slot_of(Logged(slot.KIND_JSON, TEXTS[0], 3, 12), 3, roots[0]),
        slot.TOMBSTONE,
        slot_of(Logged(slot.KIND_BOOL, True, None, 13), 2),
        slot_of(Logged(slot.KIND_JSON, TEXTS[1], 4, 14), 3, roots[1]),
        slot_of(Logged(slot.KIND_JSON, TEXTS[2], 5, 15), 1, roots[2]),
        slot_of(Logged(slot.KIND_FLOAT, -1.5, 6, 16), 1),
    ]
    header = Header(WRITER, 100, len(slots) + 2, 320)
    memory = bytearray(header.size)
    segment.write_header(memory, header)
    memory[HEADER_BYTES : HEADER_BYTES + len(b"".join(entries))] = b"".join(entries)
    memory[HEADER_BYTES + 320 : HEADER_BYTES + 320 + 32 * len(slots)] = b"".join(slots)
    return memory, header


MEMORY, HEADER = sample()
SLOTS_START = HEADER_BYTES + HEADER.region
COUNT = 8


def read(memory: bytearray) -> tuple[dict[int, Record], int]:
    """The records by position, and how many slots could not be read; they make a range that the server takes."""
    header = read_header(memory)
    assert header is not None
    view = SegmentView(memory, header)
    view.holes(COUNT), view.readable(0, COUNT), view.written()
    found = view.read(0, COUNT)
    part = ranges.Range("w", header.base, header.base + COUNT, found.names, found.slots, b"".join(found.payloads))
    assert ranges.decode(ranges.encode(part)) == part
    records: list[Record] = []
    for record in decoded(header.base, _without_odd_bools(found.slots), found.names, iter(found.payloads)):
        records.append(record)
    return {record.position: record for record in records}, found.unreadable


def _without_odd_bools(slots: bytes) -> bytes:
    """A flipped bit can make a bool of any number, which whoever reads it takes for true."""
    copy = bytearray(slots)
    for index in range(len(slots) // 32):
        if copy[index * 32 + 30] == slot.KIND_BOOL:
            copy[index * 32 + 8 : index * 32 + 16] = (any(copy[index * 32 + 8 : index * 32 + 16])).to_bytes(8, "little")
    return bytes(copy)


WHOLE, _ = read(MEMORY)


def test_the_whole_segment_reads_as_it_was_written():
    values = ["a text that is longer than a granule", [1, 2], None]
    assert [(record.name, record.value, record.step) for record in WHOLE.values()] == [
        ("loss", 0.25, 1),
        (NAMES[2], 7, 2),
        ("note", values[0], 3),
        (NAMES[2], True, None),
        ("note", values[1], 4),
        ("loss", values[2], 5),
        ("loss", -1.5, 6),
    ]


def flipped(bit: int) -> bytearray:
    memory = bytearray(MEMORY)
    memory[bit // 8] ^= 1 << bit % 8
    return memory


def test_a_flipped_bit_in_names_or_payloads_costs_their_records_and_changes_none():
    for bit in range(HEADER_BYTES * 8, SLOTS_START * 8):
        records, unreadable = read(flipped(bit))
        assert len(records) + unreadable == len(WHOLE)
        assert records.items() <= WHOLE.items()


def test_a_flipped_bit_in_a_slot_changes_that_slot_alone():
    for bit in range(SLOTS_START * 8, (SLOTS_START + 32 * COUNT) * 8):
        position = HEADER.base + (bit // 8 - SLOTS_START) // 32
        field = (bit // 8 - SLOTS_START) % 32
        records, unreadable = read(flipped(bit))
        assert {at: record for at, record in records.items() if at != position} == {
            at: record for at, record in WHOLE.items() if at != position
        }
        now, before = records.get(position), WHOLE.get(position)
        if now is None or before is None:
            assert unreadable <= 1
            continue
        assert now.name in NAMES.values()
        if now.name != before.name:
            assert 24 <= field < 28
        if now.step != before.step:
            assert field < 8
        if now.value != before.value:
            assert 8 <= field < 16 or field == 30
        if isinstance(before.value, (str, list)) and field != 30:
            assert now.value == before.value


def test_a_flipped_bit_in_the_header_refuses_the_segment():
    for bit in range(44 * 8):
        with pytest.raises(FormatError):
            read(flipped(bit))


def test_a_zeroed_stretch_costs_what_was_in_it():
    for start in range(HEADER_BYTES, len(MEMORY), 32):
        for length in (32, 64, 4096):
            memory = bytearray(MEMORY)
            memory[start : start + length] = bytes(len(memory[start : start + length]))
            records, _ = read(memory)
            for position, record in records.items():
                assert record == WHOLE[position]


def shuffled(seed: int) -> bytearray:
    source, memory = random.Random(seed), bytearray(MEMORY)
    for _ in range(source.randrange(1, 20)):
        start = source.randrange(HEADER_BYTES, len(memory))
        chunk = source.choice(
            [source.randbytes(source.randrange(1, 64)), memory[HEADER_BYTES:][: source.randrange(200)]]
        )
        memory[start : start + len(chunk)] = chunk[: len(memory) - start]
    return memory


@given(st.integers(0, 2**32))
def test_a_region_and_slots_full_of_other_bytes_are_no_error(seed):
    records, unreadable = read(shuffled(seed))
    assert len(records) + unreadable <= COUNT


@given(st.binary(max_size=600), st.integers(0, 19), st.integers(0, 8))
def test_arbitrary_bytes_under_a_valid_header_are_no_error(data, units, capacity):
    header = Header(WRITER, 2**40, capacity, 16 * units)
    memory = bytearray(header.size)
    memory[HEADER_BYTES : HEADER_BYTES + len(data)] = data[: len(memory) - HEADER_BYTES]
    segment.write_header(memory, header)
    view = SegmentView(memory, header)
    found = view.read(0, capacity)
    assert len(found.slots) == 32 * capacity
    part = ranges.Range("w", header.base, header.base + capacity, found.names, found.slots, b"".join(found.payloads))
    assert ranges.decode(ranges.encode(part)) == part
    assert view.readable(0, capacity) <= view.written() <= capacity or not view.written()


@given(st.data())
def test_no_read_goes_out_of_bounds(data):
    """A memory that says so when it is asked for what it has not."""

    class Guarded(bytearray):
        def __getitem__(self, key: Any) -> Any:
            if isinstance(key, slice):
                start, stop, step = key.start or 0, key.stop, key.step or 1
                assert 0 <= start <= len(self) + 31 * (step == 32)
                assert stop is None or start <= stop or stop == 0
            return super().__getitem__(key)

    memory = Guarded(shuffled(data.draw(st.integers(0, 2**32))))
    view = SegmentView(memory, HEADER)
    start = data.draw(st.integers(0, COUNT))
    assert len(view.read(start, data.draw(st.integers(start, COUNT))).slots) % 32 == 0
