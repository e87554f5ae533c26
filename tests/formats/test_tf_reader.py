"""Event files as columns: what is read by shape and by stretch is what the general parser says, to the first damage."""

from __future__ import annotations

import io
import itertools
import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from formats import events
from formats.events import START, event, histogram, image, record, scalar, tensor, text, training, version
from formats.slow_reading import Row, rows_of, same, slowly
from steplog.formats.tfevents import reader as tf_reader
from steplog.formats.tfevents.event import time_of
from steplog.formats.tfevents.reader import EventFile


def in_parts(data: bytes, size: int):
    """A ``read`` that gives less than it is asked for, as a pipe does."""
    file = io.BytesIO(data)
    return lambda wanted: file.read(min(wanted, size))


def read(data: bytes, size: int = 1 << 30) -> tuple[list[Row], EventFile]:
    file = EventFile(in_parts(data, size))
    return rows_of(file), file


finite = st.floats(width=32)
walls = st.sampled_from((START, START + 1e-6, 0.0, -1.0, 1e300, math.nan, 2**30 - 1e-6, 2.0**31))
steps = st.sampled_from((0, 1, 126, 127, 128, 16383, 16384, 2**40, 2**62, -1, 2**63 - 1))


@st.composite
def loops(draw: st.DrawFn) -> list[bytes]:
    """A training loop's records: some tags at each step, for a while."""
    tags = draw(st.lists(st.sampled_from(("a", "b", "cc", "loss/train", "é")), min_size=1, max_size=4))
    first, count = draw(steps), draw(st.integers(1, 60))
    return training(tags, range(first, min(first + count, 2**63)))


@st.composite
def others(draw: st.DrawFn) -> list[bytes]:
    """A record of another kind, or one of two values."""
    value, step, wall = draw(finite), draw(steps), draw(walls)
    part = draw(
        st.sampled_from(
            (
                text("note", "hello"),
                histogram("weights"),
                image("sample"),
                scalar("once", value),
                tensor("tf2", 1, struct.pack("<f", value), "scalars"),
                tensor("tf2/more", 1, struct.pack("<f", value)),
                tensor("double", 2, struct.pack("<d", value), "scalars"),
                tensor("integer", 9, struct.pack("<q", -7), "scalars"),
            )
        )
    )
    return [event(part, step=step, wall=wall)] if draw(st.booleans()) else [event(part, scalar("b", value), step=step)]


files = st.lists(st.one_of(loops(), others()), min_size=1, max_size=6).map(
    lambda parts: b"".join(record(data) for data in [version(), *itertools.chain(*parts)])
)


@settings(max_examples=40, deadline=None)
@given(files, st.sampled_from((61, 999, 1 << 30)))
def test_fast_reading_gives_what_the_parser_gives(data, size):
    rows, file = read(data, size)
    assert same(rows, slowly(data)[0])
    assert file.damage is None


@settings(max_examples=40, deadline=None)
@given(files, st.data())
def test_a_changed_byte_ends_reading_where_it_is(data, draw):
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[place] ^= draw.draw(st.integers(1, 255))
    rows, file = read(bytes(changed))
    expected, end = slowly(bytes(changed))
    assert same(rows, expected)
    assert (file.damage is None) == (end == len(data))
    if file.damage is not None:
        assert file.damage.endswith(f"at byte {end}")


@settings(max_examples=30, deadline=None)
@given(files, st.data())
@example(b"".join(map(record, training(["a"], range(100)))), None)
def test_a_file_that_has_grown_begins_with_the_same_records(data, draw):
    cut = len(data) // 2 if draw is None else draw.draw(st.integers(0, len(data)))
    before, file = read(data[:cut])
    after, _ = read(data)
    assert same(after[: len(before)], before)
    assert file.damage is None or file.damage.startswith("it ends within a record, at byte ")


def test_a_loop_is_read_in_stretches_and_each_byte_of_them_is_checked(monkeypatch):
    """Each byte of a record in the middle is damaged once: nothing of this record comes, and all before it."""
    taken = []
    whole = tf_reader.read_stretch
    monkeypatch.setattr(tf_reader, "read_stretch", lambda *args: taken.append(whole(*args)) or taken[-1])
    records = [record(data) for data in [version(), *training(["loss", "lr"], range(200, 260))]]
    rows, _ = read(b"".join(records))
    assert len(rows) == 120
    assert sum(len(column.values) for columns in taken for column in columns) >= 110
    damaged, begin = 80, sum(map(len, records[:80]))
    for place in range(len(records[damaged])):
        changed = bytearray(b"".join(records))
        changed[begin + place] ^= 0x40
        found, file = read(bytes(changed))
        assert same(found, rows[: damaged - 1])
        assert file.damage is not None


def test_a_loop_that_logs_some_tags_more_often_than_others_is_read_in_stretches(monkeypatch):
    """The short pattern never comes often enough, and must not hide the long one."""
    taken = []
    whole = tf_reader.read_stretch
    monkeypatch.setattr(tf_reader, "read_stretch", lambda *args: taken.append(whole(*args)) or taken[-1])
    loop = []
    for step in range(1000, 1600):
        loop += training(["loss"], range(step, step + 1))
        loop += training(["lr"], range(step, step + 1)) if step % 6 == 0 else []
    data = b"".join(map(record, loop))
    rows, _ = read(data)
    assert same(rows, slowly(data)[0])
    assert sum(len(column.values) for columns in taken for column in columns) > 0.8 * len(loop)


def test_values_of_every_kind_of_tensor_are_read():
    parts = (
        (tensor("float", 1, struct.pack("<f", 0.5), "scalars"), 0.5),
        (tensor("floats", 1, struct.pack("<f", 0.5), "scalars", field=5), 0.5),
        (tensor("double", 2, struct.pack("<d", 0.1), "scalars", field=6), 0.1),
        (tensor("half", 19, b"\x80\x70", "scalars", field=13), 0.5),
        (tensor("half content", 19, struct.pack("<e", 0.5), "scalars"), 0.5),
        (tensor("int32", 3, events.varint(-3), "scalars", field=7), -3),
        (tensor("int64", 9, struct.pack("<q", -(2**60)), "scalars"), -(2**60)),
        (tensor("uint64", 23, events.varint(2**64 - 1), "scalars", field=17), 2**64 - 1),
        (tensor("bool", 10, b"\x01", "scalars", field=11), True),
        (text("note", "hello"), "hello"),
        (text("table", "a", "b"), ["a", "b"]),
    )
    rows, file = read(b"".join(record(event(part, step=5)) for part, _ in parts))
    assert [(step, value) for _, step, _, value in rows] == [(5, value) for _, value in parts]
    assert [type(value) for *_, value in rows] == [type(value) for _, value in parts]
    assert not file.left_out


def test_the_metadata_of_a_tags_first_event_count_for_the_later_ones():
    """TensorBoard's own writers leave them out afterwards."""
    first = tensor("pr", 1, struct.pack("<f", 1), "pr_curves")
    rows, file = read(b"".join(record(event(part)) for part in (first, tensor("pr", 1, struct.pack("<f", 2)))))
    assert rows == []
    assert file.left_out == {"values of the plugin pr_curves": 2}


def test_what_is_no_point_is_counted_by_its_kind():
    parts = [histogram("w"), image("i"), histogram("v"), message_of_audio(), tensor("t", 1, bytes(8))]
    graph = b"\x09" + struct.pack("<d", START) + events.message(4, b"graph")
    rows, file = read(b"".join(map(record, [*(event(part) for part in parts), graph])))
    assert rows == []
    assert file.left_out == {"histograms": 2, "images": 1, "audio clips": 1, "tensors": 1, "graphs": 1}


def message_of_audio() -> bytes:
    return events.message(1, b"a") + events.message(6, b"")


def test_a_large_record_that_gives_nothing_is_not_checked():
    """An image of a megabyte takes as long as 20,000 points."""
    large = event(image("i") + events.message(99, bytes(70_000)))
    after = record(event(scalar("a", 1)))
    rows, file = read(record(large, crc=0) + after)
    assert (len(rows), file.damage, file.left_out) == (1, None, {"images": 1})
    rows, file = read(record(event(image("i")), crc=0) + after)
    assert (len(rows), file.damage) == (0, "the checksum of a record is wrong, at byte 0")


def test_hyperparameters_become_the_config():
    rows, file = read(record(event(events.hparams(lr=0.1, layers=3.0, opt="adam", amp=True))))
    assert rows == []
    assert file.config == {"lr": 0.1, "layers": 3, "opt": "adam", "amp": True}
    assert type(file.config["layers"]) is int


def test_a_time_is_the_nearest_nanosecond_so_that_it_gives_the_double_back():
    for wall in (START, START + 1 / 3, math.nextafter(START, 0), 0.1, -1.5, 2.0**31, 4e9 + 1e-6):
        for fast in (read(record(event(scalar("a", 1), wall=wall)))[0][0][2], time_of(wall)):
            assert fast / 1_000_000_000 == wall
            assert fast == round(wall * 2**30) * 10**9 / 2**30 or abs(fast - wall * 10**9) < 300
    assert time_of(math.inf) == time_of(math.nan) == 0
    assert time_of(1e300) == 2**63 - 1


def test_a_file_without_a_record_says_nothing():
    rows, file = read(b"")
    assert (rows, file.damage, file.wall_time) == ([], None, None)


@pytest.mark.parametrize("zeros", [1, 12, 16, 5000])
def test_zeros_at_the_end_are_no_records(zeros):
    """A file system leaves them behind after a power cut."""
    data = b"".join(map(record, training(["a"], range(5))))
    rows, file = read(data + bytes(zeros))
    assert len(rows) == 5
    assert file.damage is not None
    assert file.damage.endswith(f"at byte {len(data)}")
