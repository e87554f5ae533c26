"""What a Range asks for, and what a Content-Range says."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.server import byte_ranges
from steplog.server.byte_ranges import PART_BYTES_MAX, SIZE_MAX, ContentPart, RangeError, asked_range, sent_part

TAG = '"abc"'


def test_the_examples_are_right():
    assert doctest.testmod(byte_ranges).failed == 0


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=5-", (5, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=90-500", (90, 100)),
        ("BYTES= 0-0 ", (0, 1)),
        ("bytes=99-99", (99, 100)),
        ("bytes=0-9999999999999999999", (0, 100)),
    ],
)
def test_a_range_is_cut_at_the_end(asked, expected):
    assert asked_range(asked, None, TAG, 100) == expected


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-2,4-5",
        "items=0-1",
        "bytes=9-2",
        "bytes=0-1\n",
        "bytes=٣-٤",
    ],
)
def test_several_ranges_and_what_cannot_be_read_ask_for_all(asked):
    assert asked_range(asked, None, TAG, 100) is None


@pytest.mark.parametrize(
    ("asked", "size"),
    [("bytes=100-", 100), ("bytes=200-300", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-1", 0)],
)
def test_a_range_that_has_no_byte_is_an_error(asked, size):
    with pytest.raises(RangeError, match=f"{size} bytes"):
        asked_range(asked, None, TAG, size)


@pytest.mark.parametrize(
    ("if_range", "counts"),
    [
        (TAG, True),
        (f" {TAG} ", True),
        ('"other"', False),
        (f"W/{TAG}", False),
        ("Fri, 27 Nov 2026 18:00:00 GMT", False),
    ],
)
def test_a_range_counts_for_the_same_content_alone(if_range, counts):
    assert (asked_range("bytes=1-2", if_range, TAG, 100) == (1, 3)) is counts


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("bytes 0-0/1", ContentPart(0, 1, 1)),
        ("bytes */0", ContentPart(0, 0, 0, True)),
        ("bytes */77", ContentPart(0, 0, 77, True)),
        (f"bytes 1-{PART_BYTES_MAX}/{SIZE_MAX}", ContentPart(1, PART_BYTES_MAX + 1, SIZE_MAX)),
    ],
)
def test_a_part_is_read(said, part):
    assert sent_part(said) == part


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "bytes 0-9",
        "bytes 0-9/*",
        "bytes 0-9/9",
        "bytes 9-0/10",
        "bytes 0-0/0",
        "bytes -1-5/10",
        "bytes */-1",
        "bytes */9007199254740992",
        "bytes */9223372036854775808",
        "bytes 0-1/99999999999999999999",
        f"bytes 0-{PART_BYTES_MAX}/{SIZE_MAX}",
        "items 0-1/2",
        "bytes 0-1/2, bytes 0-1/2",
        "bytes ٣-٤/7",
    ],
)
def test_what_is_no_part_of_a_content_is_an_error(said):
    with pytest.raises(RangeError):
        sent_part(said)


@given(st.text(max_size=60), st.text(max_size=20), st.integers(0, 2**60))
def test_no_head_raises_anything_else(text, if_range, size):
    for asked in (text, f"bytes={text}"):
        try:
            found = asked_range(asked, if_range, TAG, size)
        except RangeError:
            continue
        assert found is None or 0 <= found[0] < found[1] <= size
    for said in (text, f"bytes {text}"):
        try:
            part = sent_part(said)
        except RangeError:
            continue
        assert 0 <= part.first <= part.end <= part.size
