"""The body of a range: what comes back, what is refused, and that nothing hostile gets further."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from steplog.errors import FormatError
from steplog.journal import range as ranges
from steplog.journal import slot
from strategies import ENTRIES, RANGES, Logged, range_of, slot_of

SAMPLE = range_of(
    "writer-1",
    40,
    [
        Logged(slot.KIND_FLOAT, float("nan"), 1, 10, "loss"),
        Logged(slot.KIND_NONE),
        Logged(slot.KIND_JSON, b'{"a":1}', None, 11, "note"),
        Logged(slot.KIND_BOOL, True, 2, 12, "loss"),
        Logged(slot.KIND_JSON, b"null", 3, 13, "Ω"),
    ],
    number=5,
)


def body_of(records: ranges.Range, **changed: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "v": 1,
        "writer": records.writer,
        "first": records.first,
        "end": records.end,
        "names": records.names,
        "slots": slot.to_planes(records.slots),
        "payloads": records.payloads,
    }
    return fields | changed


def deflated(body: object) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(body))


def with_slot(index: int, offset: int, byte: int) -> bytes:
    slots = bytearray(SAMPLE.slots)
    slots[index * 32 + offset] = byte
    return slot.to_planes(bytes(slots))


@given(RANGES)
def test_a_range_comes_back_as_it_was(records):
    assert ranges.decode(ranges.encode(records)) == records


@given(RANGES)
def test_the_body_is_the_message_pack_map_of_the_specification(records):
    body = zlib.decompress(ranges.encode(records))
    assert msgspec.msgpack.decode(body, strict=False) == body_of(records)
    assert list(msgspec.msgpack.decode(body, strict=False)) == list(body_of(records))


def test_what_was_read_goes_out_as_it_came_and_a_part_of_it_as_a_body_of_its_own():
    body = zlib.compress(msgspec.msgpack.encode(body_of(SAMPLE)), 9)
    read = ranges.decode(body)
    assert ranges.encode(read) == body != ranges.encode(SAMPLE)
    assert ranges.decode(ranges.encode(read.part(40, 42))) == SAMPLE.part(40, 42)
    assert ranges.decode(ranges.encode(read.without(42))) == SAMPLE.without(42)


@given(ENTRIES)
def test_records_are_counted_without_the_empty_slots(entries):
    assert range_of("w", 0, entries).records == sum(entry.kind != slot.KIND_NONE for entry in entries)


@given(ENTRIES)
def test_payloads_lie_in_the_order_of_their_slots(entries):
    records = range_of("w", 9, entries)
    spans = list(records.payload_spans())
    assert [index for index, _, _ in spans] == [i for i, entry in enumerate(entries) if entry.kind == slot.KIND_JSON]
    assert [records.payloads[a:b] for _, a, b in spans] == [e.value for e in entries if e.kind == slot.KIND_JSON]


@given(st.data(), ENTRIES, st.integers(0, 2**32))
def test_a_part_of_a_range_is_the_range_of_that_part(data, entries, first):
    low = data.draw(st.integers(0, len(entries)))
    high = data.draw(st.integers(low, len(entries)))
    whole = range_of("w", first, entries, number=1)
    part = whole.part(first + low, first + high)
    assert (part.first, part.end) == (first + low, first + high)
    assert part.slots == whole.slots[low * 32 : high * 32]
    assert part.payloads == b"".join(e.value for e in entries[low:high] if e.kind == slot.KIND_JSON)
    assert set(part.names.values()) == {e.name for e in entries[low:high] if e.kind != slot.KIND_NONE}
    assert ranges.decode(ranges.encode(part)) == part


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_format_error(data):
    with pytest.raises(FormatError):
        ranges.decode(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_that_inflate_are_a_format_error(data):
    with pytest.raises(FormatError):
        ranges.decode(zlib.compress(data))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(body_of(SAMPLE), ANY)))
def test_a_map_with_anything_in_its_fields_is_a_valid_range_or_a_format_error(changed):
    try:
        records = ranges.decode(deflated(body_of(SAMPLE) | changed))
    except FormatError:
        return
    assert len(records.slots) == 32 * (records.end - records.first)
    assert ranges.decode(ranges.encode(records)) == records


def test_a_cut_at_any_byte_is_a_format_error():
    whole = ranges.encode(SAMPLE)
    for length in range(len(whole)):
        with pytest.raises(FormatError):
            ranges.decode(whole[:length])


@given(st.binary(min_size=1, max_size=8))
def test_anything_after_the_body_is_a_format_error(rest):
    with pytest.raises(FormatError):
        ranges.decode(ranges.encode(SAMPLE) + rest)
    with pytest.raises(FormatError):
        ranges.decode(zlib.compress(zlib.decompress(ranges.encode(SAMPLE)) + rest))


@given(RANGES, st.data())
def test_a_changed_byte_never_makes_another_range(records, data):
    """Adler-32 covers the content; a header byte or a padding bit of deflate may change and mean the same."""
    body = bytearray(ranges.encode(records))
    index = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.integers(0, 255))
    assume(body[index] != byte)
    body[index] = byte
    with contextlib.suppress(FormatError):
        assert ranges.decode(bytes(body)) == records


@pytest.mark.parametrize(
    "changed",
    [
        {"writer": ""},
        {"writer": "w" * 65},
        {"writer": "../up"},
        {"writer": "w\n"},
        {"writer": "é"},
        {"writer": 7},
        {"first": -1, "end": 4},
        {"first": 41},
        {"first": 45, "end": 40},
        {"end": 2**63},
        {"first": 2**63, "end": 2**63 + 5},
        {"names": {}},
        {"names": SAMPLE.names | {5: ""}},
        {"names": SAMPLE.names | {5: "n" * 257}},
        {"names": SAMPLE.names | {5: "é" * 129}},
        {"names": SAMPLE.names | {5: "𝄞" * 65}},
        {"names": SAMPLE.names | {5: 1}},
        {"names": {"5": "loss", "6": "note", "7": "Ω"}},
        {"names": ["loss"]},
        {"slots": b""},
        {"slots": slot.to_planes(SAMPLE.slots)[:-1]},
        {"slots": slot.to_planes(SAMPLE.slots) + bytes(32)},
        {"slots": "text"},
        {"slots": with_slot(0, 30, 9)},
        {"slots": with_slot(0, 30, slot.KIND_TOMBSTONE)},
        {"slots": with_slot(0, 31, 1)},
        {"slots": with_slot(0, 28, 1)},
        {"slots": with_slot(0, 29, 1)},
        {"slots": with_slot(0, 24, 99)},
        {"slots": with_slot(2, 12, 8)},
        {"slots": with_slot(2, 15, 255)},
        {"slots": with_slot(1, 30, slot.KIND_FLOAT)},
        {"payloads": SAMPLE.payloads[:-1]},
        {"payloads": SAMPLE.payloads + b" "},
        {"payloads": b""},
    ],
    ids=str,
)
def test_a_body_that_does_not_hold_together_is_a_format_error(changed):
    assert ranges.decode(deflated(body_of(SAMPLE))) == SAMPLE
    with pytest.raises(FormatError):
        ranges.decode(deflated(body_of(SAMPLE, **changed)))


@pytest.mark.parametrize("field", list(body_of(SAMPLE)))
def test_a_body_without_one_of_its_fields_is_a_format_error(field):
    body = body_of(SAMPLE)
    del body[field]
    with pytest.raises(FormatError):
        ranges.decode(deflated(body))


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_told_apart_whatever_else_it_holds(version):
    with pytest.raises(ranges.VersionError, match=f"version {version}"):
        ranges.decode(deflated({"v": version, "slots": "in another shape"}))


def test_a_length_beyond_the_body_is_a_format_error():
    head = b"\x82\xa1v\x01\xa5slots"
    for lying in (b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"):
        with pytest.raises(FormatError):
            ranges.decode(zlib.compress(head + lying + b"12345"))


def test_text_that_is_not_utf_8_is_a_format_error():
    body = zlib.decompress(ranges.encode(SAMPLE))
    for text in (b"loss", b"writer-1"):
        with pytest.raises(FormatError):
            ranges.decode(zlib.compress(body.replace(text, b"\xed\xa0\x80" + text[3:])))


def test_deep_nesting_is_a_format_error():
    with pytest.raises(FormatError):
        ranges.decode(zlib.compress(b"\x82\xa1v\x01\xa1x" + b"\x91" * 100_000 + b"\xc0"))


def test_a_bomb_gets_no_more_memory_than_the_largest_body():
    bomb = zlib.compress(bytes(256 * 1024 * 1024), 9)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            ranges.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * ranges._BODY_BYTES_MAX


def test_more_than_a_mebibyte_is_refused_unless_it_is_a_single_record():
    large = Logged(slot.KIND_JSON, b"0" * ranges.RANGE_BYTES_MAX, None, 0, "n")
    assert ranges.decode(ranges.encode(range_of("w", 0, [large]))).records == 1
    with pytest.raises(FormatError):
        ranges.decode(ranges.encode(range_of("w", 0, [large, Logged(slot.KIND_INT, 1, None, 0, "n")])))


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_the_largest_body_is_the_last_that_is_taken(more, fits):
    def packed(size):
        text = b"0" * size
        return msgspec.msgpack.encode(
            body_of(ranges.Range("w", 0, 1, {0: "n"}, slot_of(Logged(slot.KIND_JSON, text), 0), text))
        )

    size = ranges._BODY_BYTES_MAX - len(packed(100_000)) + 100_000 + more
    assert len(packed(size)) == ranges._BODY_BYTES_MAX + more
    if fits:
        assert len(ranges.decode(zlib.compress(packed(size))).payloads) == size
    else:
        with pytest.raises(FormatError):
            ranges.decode(zlib.compress(packed(size)))


@pytest.mark.parametrize("name", ["n" * 256, "é" * 128, "𝄞" * 64])
def test_a_name_may_have_256_bytes_of_utf_8(name):
    named = range_of("w", 0, [Logged(slot.KIND_INT, 1, name=name)])
    assert ranges.decode(ranges.encode(named)).names == named.names


def test_empty_slots_need_no_name_but_a_declared_name_zero_is_no_mistake():
    empty = range_of("w", 0, [Logged(slot.KIND_NONE)] * 3)
    assert ranges.decode(ranges.encode(empty)) == empty
    named = range_of("w", 0, [Logged(slot.KIND_NONE), Logged(slot.KIND_INT, 1, name="n")])
    assert named.names == {0: "n"}
    assert ranges.decode(ranges.encode(named)) == named


def test_a_record_of_an_undeclared_name_zero_beside_empty_slots_is_a_format_error():
    slots = bytes(32) + struct.pack("<qdqQ", 0, 0.0, 0, slot.key_of(0, slot.KIND_FLOAT))
    with pytest.raises(FormatError, match="not declared"):
        ranges.decode(deflated(body_of(ranges.Range("w", 0, 2, {}, slots, b""))))
