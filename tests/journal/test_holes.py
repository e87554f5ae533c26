"""A hole gets a tombstone once nobody can fill it any more, and never before."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from journal.appends import SMALL, TINY, Reader, holes, records, segments, told, writer_of
from journal.tracing import AtBytecode
from steplog.journal.holes import HoleWatch, threads_inside
from steplog.journal.writer import Writer


class Parked:
    """A thread that stands still at a bytecode of its call, until it is let go on, or made to leave."""

    def __init__(self, call: Callable[[], object], at: int) -> None:
        self.arrived, self.let_go = threading.Event(), threading.Event()
        self.leave = False
        self._thread = threading.Thread(target=self._run, args=(call, at))
        self._thread.start()

    def _run(self, call: Callable[[], object], at: int) -> None:
        try:
            AtBytecode(at, self._stand_still).during(call)
        except KeyboardInterrupt:
            pass
        finally:
            self.arrived.set()

    def _stand_still(self) -> None:
        self.arrived.set()
        assert self.let_go.wait(30)
        if self.leave:
            raise KeyboardInterrupt

    def go_on(self, leave: bool = False) -> None:
        self.leave = leave
        self.let_go.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def behind_a_claim(*call: object, way: str = "log") -> tuple[Writer, Parked]:
    """A writer, and a call of another thread that has claimed a position and has not written it."""
    for at in range(1, 1000):
        writer = writer_of("pure", SMALL)
        writer.append.log("probe", 0.0)
        log = writer.append.log if way == "log" else partial(writer._slow, client=None)
        parked = Parked(lambda log=log: log(*call), at)
        assert parked.arrived.wait(30)
        writer.append.log("probe", 0.0)
        if holes(writer.head):
            return writer, parked
        parked.go_on()
    raise AssertionError("it claims nothing")


# The slow way is where the compiled append goes, of which there is no frame on the stack.
CALLS = [
    *[("log", ("probe", value, 7)) for value in (1.5, 3, "text")],
    *[("slow", ("probe", 3, 7)), ("slow", ({"probe": 3, "other": "text"}, 7, None))],
]


@pytest.mark.parametrize(("way", "call"), CALLS)
def test_a_slot_whose_thread_is_still_in_log_is_not_closed_and_gets_its_record(way, call):
    writer, parked = behind_a_claim(*call, way=way)
    watch = HoleWatch(writer)
    assert len(holes(writer.head)) == 1
    for _ in range(20):
        watch.look()
        writer.append.log("probe", 0.0)
    assert (watch.closed, len(holes(writer.head))) == (0, 1)
    parked.go_on()
    for _ in range(3):
        watch.look()
    assert (watch.closed, holes(writer.head)) == (0, [])
    assert [value for _, value, step in told(writer.head) if step == 7][:1] == [call[1] if way == "log" else 3]


@pytest.mark.parametrize(("way", "call"), CALLS)
def test_a_slot_whose_thread_left_with_an_exception_is_closed(way, call):
    """Where the call itself knows its slot, it closes it; else the watch does."""
    writer, parked = behind_a_claim(*call, way=way)
    watch = HoleWatch(writer)
    parked.go_on(leave=True)
    for _ in range(2):
        watch.look()
    assert holes(writer.head) == []
    assert all(step != 7 for _, _, step in told(writer.head))


def test_a_slot_that_a_thread_holds_keeps_the_reader_before_it():
    writer, parked = behind_a_claim("probe", 1.5, 7)
    reader, watch = Reader.of(writer), HoleWatch(writer)
    (hole,) = holes(writer.head)
    for number in range(2000):  # some segments more
        writer.append.log("probe", float(number))
        watch.look()
        reader.read()
    assert reader.journal.cursor.delivered == hole
    parked.go_on()
    while reader.read():
        pass
    # Its segment is gone meanwhile: a tombstone in the slot that it has, and the record at the end.
    assert [record.value for record in reader.found if record.step == 7] == [1.5]
    assert reader.journal.cursor.delivered == reader.journal.written()


def test_holes_in_many_segments_are_closed_together(kind):
    writer = writer_of(kind, TINY)
    watch = HoleWatch(writer)
    for _ in range(20):
        for number in range(10):
            writer.append.log("loss", float(number))
        writer.append.segment.claim()  # as of a call that an interrupt ended between its claim and its store
        for number in range(20):
            writer.append.log("loss", float(number))
    assert len(holes(writer.head)) == 20
    watch.look()
    watch.look()
    assert (watch.closed, holes(writer.head)) == (20, [])
    assert len(records(writer.head)) == 600


def test_the_last_slot_is_no_hole_before_something_is_written_above_it(kind):
    writer = writer_of(kind, TINY)
    writer.append.log("probe", 0.0)
    watch = HoleWatch(writer)
    writer.append.segment.claim()
    for _ in range(4):
        watch.look()
    assert watch.closed == 0
    writer.append.log("probe", 1.0)
    for _ in range(2):
        watch.look()
    assert watch.closed == 1


def test_the_number_that_closed_a_segment_is_not_taken_for_a_hole(kind):
    """It looked like one while the next segment was made, and with a tombstone in it a reader that still took the old
    segment for the last one went past the first record of the next one, which was lost."""
    writer = writer_of(kind, TINY)
    watch = HoleWatch(writer)
    writer.append.log("loss", 1.0)
    first = writer.append.segment
    make = writer.pool.allocate

    def slowly(size: int) -> Any:
        first.write_tombstone(first.claim())  # a call of another thread finds no slots, and closes its own
        watch.look()
        return make(size)

    writer.pool.allocate = slowly  # type: ignore[method-assign]
    writer.append.log("note", "x" * 500)
    for _ in range(4):
        watch.look()
    assert len(segments(writer.head)) == 2
    assert first.view().kinds(0, first.header.capacity)[first.end() or 0] == 0
    assert told(writer.head) == [("loss", 1.0, None), ("note", "x" * 500, None)]


def test_a_rotation_by_the_end_of_a_run_is_in_the_way_of_closing_as_well(kind):
    """end() claims too, outside of log()."""
    writer = writer_of(kind, TINY)
    watch, looked = HoleWatch(writer), []
    writer.append.log("loss", 1.0)
    first = writer.append.segment

    inherit = type(first).inherit

    class Slow(type(first)):  # type: ignore[misc]
        __slots__ = ()

        def inherit(self, before: Any) -> None:
            inherit(self, before)
            first.write_tombstone(first.claim())
            for _ in range(4):
                watch.look()
                looked.append(first.view().kinds(0, first.header.capacity)[1])

    writer._segment_type = Slow
    writer._link_next(first, lambda base: writer._segment(base, 0))  # type: ignore[arg-type, return-value]
    assert looked == [0, 0, 0, 0]
    for _ in range(4):
        watch.look()
    assert first.view().kinds(0, first.header.capacity)[1] == 0


def test_a_thread_whose_stack_is_cut_short_counts_as_inside():
    def deep(left: int) -> set[int]:
        return threads_inside() if left == 0 else deep(left - 1)

    assert threading.get_ident() not in deep(10)
    assert threading.get_ident() in deep(120)


def test_without_descriptors_no_hole_is_closed_and_nothing_raised(kind):
    def none_left() -> set[int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    writer = writer_of(kind, TINY)
    watch = HoleWatch(writer, none_left)
    writer.append.segment.claim()
    writer.append.log("probe", 1.0)
    for _ in range(3):
        watch.look()
    assert (watch.closed, len(holes(writer.head))) == (0, 1)


@pytest.mark.parametrize("value", [1.5, 3, "text"])
def test_a_thread_in_a_call_counts_as_inside_beside_a_hundred_others(value):
    """Of those beyond a hundred only the innermost frame is known, which was looked for in that of a float alone."""
    writer, gate, over = writer_of("pure", TINY), threading.Lock(), threading.Event()
    writer.append.log("probe", 0.0)
    gate.acquire()
    writer.append.segment.claim = gate.acquire  # as a claim that takes its time
    inside = threading.Thread(target=lambda: writer.append.log("probe", value))
    others = [threading.Thread(target=over.wait) for _ in range(110)]
    for thread in (inside, *others):
        thread.start()
    try:
        assert inside.ident in threads_inside()
    finally:
        writer.append.segment.claim = lambda: 1 << 40  # beyond the end: the call goes on elsewhere
        gate.release()
        over.set()
        for thread in (inside, *others):
            thread.join(30)
