"""The segment as bytes: header, entries and slots, as its docstring draws them."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.errors import FormatError
from steplog.journal import segment, slot
from steplog.journal.segment import HEADER_BYTES, PAYLOAD, Header, SegmentView, entry, granules, read_header
from strategies import NAMES, Logged, slot_of

WRITER = bytes(range(16))
SIZE = HEADER_BYTES + 256 + 8 * 32
HEADER = Header(WRITER, 7, 8, 256)


def memory_of(header: Header = HEADER) -> bytearray:
    memory = bytearray(header.size)
    segment.write_header(memory, header)
    return memory


def fill(memory: bytearray, entries: list[bytes], slots: list[bytes], header: Header = HEADER) -> SegmentView:
    region = b"".join(entries)
    memory[HEADER_BYTES : HEADER_BYTES + len(region)] = region
    start = HEADER_BYTES + header.region
    memory[start : start + 32 * len(slots)] = b"".join(slots)
    return SegmentView(memory, header)


def float_slot(value: float, name: int = 1, step: int | None = None) -> bytes:
    return slot_of(Logged(slot.KIND_FLOAT, value, step, 5), name)


def json_slot(text: bytes, offset: int, name: int = 1) -> bytes:
    return slot_of(Logged(slot.KIND_JSON, text, None, 5), name, offset)


# -- header -----------------------------------------------------------------------------------------------------------


def test_a_header_is_what_the_specification_says():
    memory = memory_of()
    fields = struct.pack("<4sHHII16sQ", b"SLSG", 1, 0, 8, 256, WRITER, 7)
    assert bytes(memory[:44]) == fields + struct.pack("<I", zlib.crc32(fields))
    assert not any(memory[44:])


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**63), st.integers(0, 50), st.integers(0, 20))
def test_a_header_comes_back_as_it_was(writer, base, capacity, units):
    header = Header(writer, base, capacity, units * 16)
    assert read_header(memory_of(header)) == header


def test_a_segment_that_was_prepared_is_not_in_use():
    assert read_header(bytearray(SIZE)) is None
    assert read_header(bytearray()) is None


def test_a_header_counts_once_its_magic_is_there_which_comes_last():
    """Another process may look at any moment, and took a header that was half written for a damaged one, for good."""

    class Steps(bytearray):
        states: list[bytes]

        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            self.states.append(bytes(self))

    memory = Steps(SIZE)
    memory.states = []
    segment.write_header(memory, HEADER)
    assert [read_header(bytearray(state)) for state in memory.states] == [None, HEADER]
    memory.states.clear()
    segment.write_header(memory, HEADER)  # again, as whoever follows does
    assert [read_header(bytearray(state)) for state in memory.states] == [HEADER, HEADER]


def test_a_segment_that_is_cut_is_a_format_error():
    for length in range(1, SIZE):
        with pytest.raises(FormatError):
            read_header(memory_of()[:length])


def test_a_segment_that_is_longer_than_it_says_is_a_format_error():
    with pytest.raises(FormatError, match="bytes"):
        read_header(memory_of() + bytes(32))


def test_a_flipped_bit_in_the_header_is_a_format_error():
    for bit in range(44 * 8):
        memory = memory_of()
        memory[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            read_header(memory)


def test_a_newer_version_is_told_apart():
    fields = struct.pack("<4sHHII16sQ", b"SLSG", 2, 0, 8, 256, WRITER, 7)
    with pytest.raises(FormatError, match="version 2"):
        read_header(bytearray((fields + struct.pack("<I", zlib.crc32(fields))).ljust(SIZE, b"\0")))


@given(st.binary(min_size=1, max_size=200))
def test_arbitrary_bytes_are_a_format_error_or_not_in_use(data):
    if not data[:4].strip(b"\0"):
        assert read_header(bytearray(data)) is None
    else:
        with pytest.raises(FormatError):
            read_header(bytearray(data))


# -- entries ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 2**32 - 1), st.binary(max_size=100))
def test_an_entry_is_tag_length_crc_and_text_in_whole_granules(tag, text):
    data = entry(tag, text)
    head = struct.pack("<II", tag, len(text))
    assert data[: 12 + len(text)] == head + struct.pack("<I", zlib.crc32(head + text)) + text
    assert len(data) == 16 * granules(len(text))
    assert len(data) - 12 - len(text) < 16
    assert not any(data[12 + len(text) :])


@given(
    st.dictionaries(st.integers(1, 2**32 - 2), NAMES, max_size=6), st.lists(st.integers(0, 3), min_size=6, max_size=6)
)
def test_names_are_found_whatever_is_still_missing_between_them(names, gaps):
    header = Header(WRITER, 0, 8, 2048)
    region = b""
    for gap, (number, name) in zip(gaps, names.items(), strict=False):
        region += bytes(16 * gap) + entry(number, name.encode())
    view = fill(memory_of(header), [region], [float_slot(0.5, number) for number in names], header)
    records = view.read(0, len(names))
    assert (records.names, records.unreadable) == (names, 0)


def test_a_name_that_comes_into_a_gap_later_is_found():
    memory = memory_of()
    view = fill(memory, [bytes(32), entry(2, b"second")], [float_slot(1.0, 2)])
    assert view.read(0, 1).names == {2: "second"}
    fill(memory, [entry(1, b"the first one")], [float_slot(1.0, 2), float_slot(2.0, 1)])
    assert view.read(0, 2).names == {1: "the first one", 2: "second"}


def test_a_gap_that_stays_is_stepped_over_by_each_read():
    header = Header(WRITER, 0, 8, 1 << 20)
    view = fill(memory_of(header), [entry(1, b"one"), bytes(1 << 19), entry(2, b"two")], [float_slot(1.0, 3)], header)
    for _ in range(20):
        assert view.read(0, 1).unreadable == 1
    fill(view.memory, [entry(1, b"one"), bytes(1 << 18), entry(3, b"three")], [float_slot(1.0, 3)], header)
    assert view.read(0, 1).names == {3: "three"}


@pytest.mark.parametrize("text", [b"", b"n" * 257, b"\xff", b"loss\xed\xa0\x80"])
def test_an_entry_that_is_no_name_declares_none(text):
    """The server would refuse the whole range for it."""
    records = fill(memory_of(Header(WRITER, 0, 8, 512)), [entry(1, text)], [float_slot(1.0)], Header(WRITER, 0, 8, 512))
    read = records.read(0, 1)
    assert (read.names, read.unreadable, read.slots) == ({}, 1, bytes(32))


def test_payloads_come_in_the_order_of_their_slots():
    entries = [entry(1, b"note"), entry(PAYLOAD, b'"a"'), entry(PAYLOAD, b'"bb"'), entry(PAYLOAD, b"null")]
    roots = [len(b"".join(entries[:index])) for index in range(4)]
    slots = [
        json_slot(b"null", roots[3]),
        float_slot(1.0),
        json_slot(b'"a"', roots[1]),
        json_slot(b'"bb"', roots[2]),
    ]
    records = fill(memory_of(), entries, slots).read(0, 4)
    assert (records.payloads, records.unreadable) == ([b"null", b'"a"', b'"bb"'], 0)


# -- slots ------------------------------------------------------------------------------------------------------------


def test_readable_written_and_holes_are_told_by_the_kinds():
    tomb = slot.TOMBSTONE
    view = fill(memory_of(), [entry(1, b"n")], [float_slot(1.0), tomb, bytes(32), float_slot(2.0), bytes(32)])
    assert view.kinds(0, 8) == bytes((1, 255, 0, 1, 0, 0, 0, 0))
    assert view.kinds(3, 8) == bytes((1, 0, 0, 0, 0))
    assert [view.readable(start, 8) for start in range(6)] == [2, 2, 2, 4, 4, 5]
    assert view.readable(0, 1) == 1
    assert view.readable(5, 3) == 5
    assert view.written() == 4
    assert view.holes(8) == [2, 4, 5, 6, 7]
    assert view.holes(4) == [2]
    assert view.holes(2) == []


def test_a_tombstone_and_a_hole_are_no_records():
    view = fill(memory_of(), [entry(1, b"n")], [float_slot(1.0), slot.TOMBSTONE, bytes(32), float_slot(2.0)])
    read = view.read(0, 4)
    assert read.slots == float_slot(1.0) + bytes(64) + float_slot(2.0)
    assert (read.names, read.unreadable) == ({1: "n"}, 0)


def test_a_slot_of_no_known_kind_is_unreadable_and_does_not_spoil_the_others():
    """One flipped bit there had the server refuse the range, and a spool file of it unreadable, with all records."""
    for offset, value in ((30, 9), (30, 254), (31, 1), (28, 1), (29, 128)):
        bad = bytearray(float_slot(3.0))
        bad[offset] = value
        read = fill(memory_of(), [entry(1, b"n")], [float_slot(1.0), bytes(bad), float_slot(2.0)]).read(0, 3)
        assert (read.slots, read.unreadable) == (float_slot(1.0) + bytes(32) + float_slot(2.0), 1)


def test_a_record_without_a_name_beside_an_empty_slot_is_unreadable():
    """Zero is what an empty slot has there, and so was taken for no name at all; the server refused the range."""
    read = fill(memory_of(), [entry(1, b"n")], [float_slot(1.0), bytes(32), float_slot(2.0, 0)]).read(0, 3)
    assert (read.slots, read.unreadable) == (float_slot(1.0) + bytes(64), 1)


@pytest.mark.parametrize(
    "paths",
    [0, 8, 16, 17, 32, 33, 240, 256, 512, 2**31, 2**32 - 64, 2**32 - 1],
)
def test_a_payload_that_is_not_where_the_slot_says_is_unreadable(paths):
    entries = [entry(1, b"note"), entry(PAYLOAD, b'"text"')]
    assert len(entries[0]) == 16
    read = fill(memory_of(), entries, [float_slot(1.0), json_slot(b'"text"', paths)]).read(0, 2)
    if paths == 16:
        assert (read.payloads, read.unreadable) == ([b'"text"'], 0)
    else:
        assert (read.payloads, read.unreadable, read.slots[32:]) == ([], 1, bytes(32))
