"""Where records go when a segment has no room: the next one, and what happens when there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.appends import SMALL, TINY, Blocks, end_of, holes, records, segments, told, writer_of
from steplog.journal import slot
from steplog.journal.append import Segment
from steplog.journal.segment import SegmentView, read_header
from steplog.journal.writer import Writer


def real(writer: Writer) -> list[Segment]:
    return [segment for segment in segments(writer.head) if segment.header.capacity]


def bases(writer: Writer) -> list[int]:
    return [segment.header.base for segment in real(writer)]


def test_slots_that_are_full_go_on_in_the_next_segment_without_a_gap(kind):
    writer = writer_of(kind, TINY)
    for step in range(1000):
        writer.append.log("loss", float(step), step)
    assert [record.position for record in records(writer.head)] == list(range(1000))
    assert told(writer.head) == [("loss", float(step), step) for step in range(1000)]
    assert {end_of(segment) for segment in real(writer)[:-1]} == {writer.head.header.capacity}


def test_the_preparer_of_segments_is_told_of_a_used_up_one_once_it_is_replaced(kind):
    writer = writer_of(kind, TINY)
    seen: list[Segment] = []
    writer.on_successor = lambda: seen.append(writer.append.segment)
    for step in range(1000):
        writer.append.log("loss", float(step), step)
    assert seen == real(writer)[1:]


def test_a_segment_knows_how_many_of_its_slots_are_claimed_written_or_not(kind):
    writer = writer_of(kind, TINY)
    segment = writer.append.segment
    counts = [segment.claimed()]
    for value in (1.5, 3, "text"):
        writer.append.log("loss", value)
        counts.append(segment.claimed())
    segment.claim()
    counts.append(segment.claimed())
    assert counts == [0, 1, 2, 3, 4]
    assert (segment.view().written(), segment.view().holes(4)) == (3, [3])
    while writer.append.segment is segment:
        writer.append.log("loss", 0.5)
    segment.claim()
    assert segment.claimed() == segment.header.capacity


def test_a_look_at_a_segment_reads_no_unclaimed_slot_and_no_slot_twice(kind):
    class Watched(bytearray):
        touched: list[int]

        def __getitem__(self, index):
            if isinstance(index, slice) and index.step == slot.SLOT_BYTES:
                self.touched += range(*index.indices(len(self)))
            return super().__getitem__(index)

    writer = writer_of(kind, SMALL)
    segment = writer.append.segment
    view = SegmentView(memory := Watched(segment.memory), segment.header, segment.claimed)
    for count in (5, 3):
        for _ in range(count):
            writer.append.log("loss", 0.5)
        memory[:], memory.touched = segment.memory, []
        assert view.readable(0, segment.header.capacity) == view.written() == segment.claimed()
        assert len(memory.touched) == count


def test_each_segment_in_use_says_so_in_its_header(kind):
    writer = writer_of(kind, TINY)
    for step in range(100):
        writer.append.log("loss", float(step))
    for segment in real(writer):
        assert read_header(segment.memory) == segment.header
        assert segment.header.writer == writer.id


def test_names_are_carried_over_so_that_each_segment_can_be_read_alone(kind):
    writer = writer_of(kind, SMALL)
    names = [f"metric {number}" for number in range(20)]
    for step in range(100):
        for name in names:
            writer.append.log(name, float(step))
    assert len(real(writer)) > 3
    for segment in real(writer):
        read = segment.view().read(0, end_of(segment))
        assert read.unreadable == 0
        assert set(read.names.values()) == set(names)


def test_a_full_byte_region_goes_on_in_the_next_segment(kind):
    writer = writer_of(kind, TINY)
    for number in range(500):
        writer.append.log("note", "x" * 30, number)
    assert told(writer.head) == [("note", "x" * 30, number) for number in range(500)]
    assert len(real(writer)) > 10


@pytest.mark.parametrize("size", [64, 127, 128, 129, 1000, 1023, 1024, 100_000, 1_000_000])
def test_a_value_that_fits_no_usual_segment_gets_one_of_its_own_size(kind, size):
    writer = writer_of(kind, TINY)
    for step in range(3):
        writer.append.log("loss", float(step))
        writer.append.log("note", "x" * size, step)
    assert [record.value for record in records(writer.head)] == [0.0, "x" * size, 1.0, "x" * size, 2.0, "x" * size]
    assert max(len(segment.memory) for segment in real(writer)) < 2 * TINY + 4 * size


def test_no_two_segments_begin_at_one_position_even_if_a_first_value_does_not_fit(kind):
    """Readers know segments by their base; of two with the same one, the records of one were lost."""
    writer = writer_of(kind, TINY)
    writer.append.log("config", "x" * 5000)
    writer.append.log("config", "y" * 50_000)
    writer.append.log("loss", 1.0)
    assert [record.value for record in records(writer.head)] == ["x" * 5000, "y" * 50_000, 1.0]
    assert len(set(bases(writer))) == len(real(writer)) >= 3
    assert holes(writer.head) == []


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_any_number_of_names_can_be_used(kind, count):
    writer = writer_of(kind, SMALL)
    for number in range(count):
        writer.append.log(f"metric {number}", float(number))
    for number in range(0, count, count // 100):
        writer.append.log(f"metric {number}", float(number))
    found = told(writer.head)
    assert len(found) == count + 100
    assert all(name == f"metric {int(value)}" for name, value, _ in found)


def test_a_number_is_one_name_in_all_segments(kind):
    writer = writer_of(kind, TINY)
    for number in range(200):
        writer.append.log(f"metric {number % 37}", float(number))
        writer.append.log(f"metric {number}", number)
    names: dict[int, str] = {}
    for segment in real(writer):
        for number, name in segment.view().read(0, end_of(segment)).names.items():
            assert names.setdefault(number, name) == name


CALLS = st.lists(
    st.tuples(
        st.integers(0, 30).map(lambda number: f"metric {number}" * (number % 5 + 1)),
        st.floats(allow_nan=False) | st.integers() | st.text(max_size=400) | st.lists(st.booleans(), max_size=5),
    ),
    max_size=80,
)


@given(CALLS, st.sampled_from([512, TINY, 4096]))
def test_whatever_the_mix_every_record_is_read_in_order(calls, size):
    writer = writer_of("pure", size)
    for name, value in calls:
        writer.append.log(name, value)
    assert [(name, value) for name, value, _ in told(writer.head)] == calls
    assert len(set(bases(writer))) == len(real(writer))


# -- memory that is out -----------------------------------------------------------------------------------------------


def test_without_memory_calls_are_counted_as_dropped_and_no_position_is_used(kind):
    writer = writer_of(kind, TINY, bytes_max=2 * TINY)
    capacity = writer.head.header.capacity
    for step in range(200):
        writer.append.log("loss", float(step), step)
    assert [record.step for record in records(writer.head)] == list(range(2 * capacity))
    assert writer.dropped == {"memory full": 200 - 2 * capacity, "finished": 0}


def test_when_there_is_memory_again_the_journal_goes_on_where_it_was(kind):
    writer = writer_of(kind, TINY, bytes_max=2 * TINY)
    capacity = writer.head.header.capacity
    for step in range(100):
        writer.append.log("loss", float(step), step)
    for round_ in range(3):
        writer.pool.bytes_max += TINY
        writer.prepare()
        for step in range(1000 * round_, 1000 * round_ + 100):
            writer.append.log("loss", float(step), step)
    taken = [*range(2 * capacity), *(1000 * round_ + step for round_ in range(3) for step in range(capacity))]
    found = records(writer.head)
    assert [record.step for record in found] == taken
    assert [record.position for record in found] == list(range(5 * capacity))
    assert writer.dropped["memory full"] == 400 - 5 * capacity


def test_without_any_memory_from_the_first_call_on_it_begins_when_there_is_some(kind):
    writer = writer_of(kind, TINY, bytes_max=0)
    writer.append.log("loss", 1.0)
    assert writer.dropped["memory full"] == 1
    writer.pool.bytes_max = TINY
    writer.prepare()
    writer.append.log("loss", 2.0)
    assert told(writer.head) == [("loss", 2.0, None)]


@pytest.mark.parametrize(("name", "step"), [(5, None), ("", None), ("loss", 2**63), ("loss", "1")])
def test_a_mistake_raises_also_while_memory_is_out(kind, name, step):
    writer = writer_of(kind, TINY, bytes_max=0)
    with pytest.raises((TypeError, ValueError)):
        writer.append.log(name, 1.0, step)
    assert writer.dropped["memory full"] == 0


def test_a_value_too_large_for_what_is_left_is_dropped_and_smaller_ones_go_on(kind):
    writer = writer_of(kind, TINY, bytes_max=4 * TINY)
    writer.append.log("note", "x" * 10_000)
    assert writer.dropped["memory full"] == 1
    writer.prepare()
    writer.append.log("loss", 1.0)
    assert told(writer.head) == [("loss", 1.0, None)]


def test_after_a_value_that_was_too_large_the_next_call_finds_memory_by_itself(kind):
    """All calls were dropped until the keeper came by."""
    writer = writer_of(kind, TINY, bytes_max=4 * TINY)
    writer.append.log("note", "x" * 10_000)
    for step in range(2 * writer.head.header.capacity + 20):
        writer.append.log("loss", float(step), step)
    assert writer.dropped["memory full"] == 1
    assert len(records(writer.head)) == 2 * writer.head.header.capacity + 20


# -- segments that were made ahead of time ----------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(TINY, 64 * TINY), (64 * TINY, TINY), (SMALL, 512 * 1024), (512 * 1024, SMALL)])
def test_a_spare_of_another_size_than_is_usual_by_now_serves_as_well(kind, sizes):
    """A small spare with the region of a large segment had no slots, and every call raised struct.error."""
    writer = writer_of(kind, sizes[0])
    writer.prepare()
    assert isinstance(writer.pool, Blocks)
    writer.pool.size = sizes[1]
    steps = range(3 * writer.head.header.capacity)
    for step in steps:
        writer.append.log("loss", float(step), step)
    assert [record.step for record in records(writer.head)] == list(steps)
    assert {len(segment.memory) for segment in real(writer)[:2]} == {sizes[0]}


def test_a_spare_that_is_too_small_waits_for_the_next_time(kind):
    writer = writer_of(kind, TINY)
    writer.prepare()
    writer.append.log("note", "x" * 5000)
    for step in range(500):
        writer.append.log("loss", float(step))
    assert len(records(writer.head)) == 501
    sizes = [len(segment.memory) for segment in real(writer)]
    assert sizes[1] > 5000
    assert writer.pool.used_bytes() == sum(sizes)  # and none was lost


def test_spares_are_used_before_memory_is_made(kind):
    writer = writer_of(kind, TINY)
    writer.prepare(3)
    writer.prepare(3)
    assert writer.pool.used_bytes() == 4 * TINY
    for step in range(4 * writer.head.header.capacity):
        writer.append.log("loss", float(step))
    assert writer.pool.used_bytes() == 4 * TINY
