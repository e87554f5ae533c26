"""Frames in a file: what is whole is read, and the file ends at the first that is not."""

from __future__ import annotations

import random
import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.errors import FormatError
from steplog.journal import frame, slot
from steplog.journal import range as ranges
from strategies import RANGES, Logged, range_of, slot_of, whole_frames

RANGES_OF_A_FILE = [
    range_of("w1", 0, [Logged(slot.KIND_FLOAT, 0.25, 1, 10, "loss"), Logged(slot.KIND_NONE)]),
    range_of("w1", 2, [Logged(slot.KIND_JSON, b'"text"', None, 11, "note")]),
    range_of("w2", 7, [Logged(slot.KIND_BOOL, True, 2, 12, "ok"), Logged(slot.KIND_INT, -1, 3, 13, "n")]),
]
FRAMES = [frame.encode(ranges.encode(records)) for records in RANGES_OF_A_FILE]
FILE = b"".join(FRAMES)


def read(data: bytes) -> list[ranges.Range]:
    return [frame.decode(data[start:end]) for start, end in whole_frames(data)]


@given(st.binary(max_size=100))
def test_a_frame_is_magic_length_body_and_crc(body):
    head = b"SLF1" + struct.pack("<I", len(body)) + body
    assert frame.encode(body) == head + struct.pack("<I", zlib.crc32(head))


@given(st.lists(RANGES, max_size=4))
def test_the_frames_of_a_file_come_back_in_order(records):
    assert read(b"".join(frame.encode(ranges.encode(one)) for one in records)) == records


def test_a_file_that_is_cut_ends_at_its_last_whole_frame():
    ends = [0]
    for one in FRAMES:
        ends.append(ends[-1] + len(one))
    for length in range(len(FILE) + 1):
        whole = sum(end <= length for end in ends) - 1
        assert whole_frames(FILE[:length]) == list(pairwise(ends[: whole + 1]))


def test_a_flipped_bit_ends_the_file_before_its_frame():
    position = 0
    for index, one in enumerate(FRAMES):
        for bit in range(8 * len(one)):
            damaged = bytearray(FILE)
            damaged[position + bit // 8] ^= 1 << bit % 8
            assert read(bytes(damaged)) == RANGES_OF_A_FILE[:index]
        position += len(one)


def test_a_flipped_bit_makes_a_single_frame_a_format_error():
    for bit in range(8 * len(FRAMES[1])):
        damaged = bytearray(FRAMES[1])
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            frame.decode(bytes(damaged))


@given(st.binary(max_size=60))
def test_what_is_no_frame_ends_the_file(rest):
    assert read(FILE + rest) == RANGES_OF_A_FILE


@pytest.mark.parametrize(
    "rest", [bytes(4096), FRAMES[0][1:], b"SLF2" + FRAMES[0][4:], b"SLF1\xff\xff\xff\xff" + bytes(64)]
)
def test_zeros_a_shifted_frame_another_version_and_a_lying_length_end_the_file(rest):
    assert read(FILE + rest) == RANGES_OF_A_FILE


def test_a_whole_frame_of_another_version_ends_the_file():
    other = b"SLF2" + FRAMES[0][4:-4]
    assert read(FILE + other + struct.pack("<I", zlib.crc32(other)) + FRAMES[0]) == RANGES_OF_A_FILE


@pytest.mark.parametrize("wrong", [b"", FRAMES[0][:-1], FRAMES[0] + b"\0", FRAMES[0] + FRAMES[1]])
def test_a_single_frame_is_whole_and_alone(wrong):
    with pytest.raises(FormatError, match="whole frame"):
        frame.decode(wrong)


def test_a_whole_frame_around_what_is_no_range_is_a_format_error():
    framed = frame.encode(b"not deflated")
    assert whole_frames(framed) == [(0, len(framed))]
    with pytest.raises(FormatError):
        frame.decode(framed)


@pytest.mark.parametrize(("more", "frames"), [(0, 1), (1, 0)])
def test_a_frame_longer_than_the_limit_is_not_read(more, frames):
    body = bytes(frame.FRAME_BYTES_MAX - 12 + more)
    assert len(whole_frames(frame.encode(body))) == frames


def test_the_largest_body_fits_into_a_frame_even_if_nothing_in_it_can_be_deflated():
    noise = random.Random(5).randbytes(ranges._BODY_BYTES_MAX - 200)
    largest = ranges.Range("w", 0, 1, {0: "n"}, slot_of(Logged(slot.KIND_JSON, noise), 0), noise)
    framed = frame.encode(ranges.encode(largest))
    assert len(framed) <= frame.FRAME_BYTES_MAX
    assert read(framed) == [largest]
