"""Code that runs inside a call of the compiled append, and takes away what the call has looked at.

Nobody does this by accident: private attributes are replaced. But it must not be a way to crash the interpreter, and a
value must not get another name. ``scripts/sanitize`` runs these tests under the address sanitizer.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from journal.appends import SMALL
from journal.appends import writer_of as small_writer_of
from journal.raw import Stub, needs_c, records, writer_of
from steplog.journal import compiled, slot

pytestmark = needs_c
FLOAT = slot.KIND_FLOAT << 48
SLOTS = 4


class Trap(str):
    """A name that does something when it is compared, and is equal or not."""

    __slots__ = ("equal", "spring")
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        self.spring()
        return self.equal


class Rig:
    """An append over a segment that has one name, with a trap in it, and what it left."""

    def __init__(self, name: str = "loss", clock: Any = time.time_ns, equal: bool = True) -> None:
        self.slow: list[tuple[Any, ...]] = []
        self.memory = bytearray(SLOTS * slot.SLOT_BYTES)
        self.room = compiled._append.Room(self.memory, 0)
        self.trap = Trap(name)
        self.trap.equal, self.trap.spring = equal, lambda: None
        self.names: dict[Any, int] = {self.trap: FLOAT | 1}
        self.append: Any = compiled._append.Append(
            Stub(self.names, self.room), lambda *call: self.slow.append(call), clock
        )

    def fresh(self, text: str = "loss") -> str:
        """The name as another object, so that it has to be looked up."""
        return "".join(list(text))

    def written(self) -> list[int]:
        """The numbers of the names in the slots."""
        words = [self.memory[at : at + 4] for at in range(24, len(self.memory), slot.SLOT_BYTES)]
        return [int.from_bytes(word, "little") for word in words if any(word)]


def swap_for_one_without_room(rig: Rig) -> None:
    rig.append.segment = Stub({}, lambda: 0)
    gc.collect()


def swap_the_room_alone(rig: Rig) -> None:
    rig.append.segment = Stub(rig.names, None)
    rig.room = None
    gc.collect()


def swap_for_other_names(rig: Rig) -> None:
    rig.append.segment = Stub({"loss": FLOAT | 9}, rig.room)


def swap_and_free(rig: Rig) -> None:
    rig.append.segment = Stub({}, compiled._append.Room(bytearray(64), 0))
    rig.room = None
    rig.names = {}
    gc.collect()


def shut(rig: Rig) -> None:
    rig.append.segment.claim.shut()


def clear_names(rig: Rig) -> None:
    rig.append.segment.names.clear()
    gc.collect()


def fill_names(rig: Rig) -> None:
    rig.append.segment.names.update({f"name {number}": FLOAT | number for number in range(100)})


def log_again(rig: Rig) -> None:
    rig.trap.spring = lambda: None
    for _ in range(2 * SLOTS):
        rig.append.log(rig.fresh(), 0.5)


def drop_the_append(rig: Rig) -> None:
    rig.append = None
    gc.collect()


def swap_the_clock(rig: Rig) -> None:
    def clock() -> int:
        swap_for_one_without_room(rig)
        return 7

    rig.append.clock = clock


ATTACKS = [
    swap_for_one_without_room,
    swap_the_room_alone,
    swap_for_other_names,
    swap_and_free,
    shut,
    clear_names,
    fill_names,
    log_again,
    drop_the_append,
    swap_the_clock,
]


@pytest.mark.slow
@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("many", [False, True], ids=["a metric", "a mapping"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_name_that_takes_away_the_segment_crashes_nothing(attack: Callable[[Rig], None], many: bool, equal: bool):
    """The segment that came instead had no room, and the call wrote where there was none."""
    rig = Rig(equal=equal)
    rig.trap.spring = lambda: attack(rig)
    log = rig.append.log
    if many:
        log({rig.fresh(): 1.0, rig.fresh("loss "): 2.0}, step=3)
    else:
        log(rig.fresh(), 1.0, 3)
    rig.trap.spring = lambda: None
    log(rig.fresh(), 1.0)
    assert set(rig.written()) <= {1, 9}


def test_a_value_never_gets_the_number_of_a_name_in_another_segment():
    """A slot of the new segment had the number that the name had in the old one."""
    rig = Rig()
    rig.trap.spring = lambda: swap_for_other_names(rig)
    rig.append.log(rig.fresh(), 1.0)
    rig.append.log(rig.fresh(), 2.0)
    assert [call[:2] for call in rig.slow] == [("loss", 1.0)]
    assert rig.written() == [9]


@pytest.mark.slow
@pytest.mark.parametrize("attack", [*ATTACKS[:4], shut, clear_names, drop_the_append])
@pytest.mark.parametrize("then", ["a clock of the program's", "time.time_ns"])
def test_a_clock_that_takes_away_the_segment_crashes_nothing(attack: Callable[[Rig], None], then: str):
    """A clock that made way for time.time_ns was taken for it, and the segment was not looked at again."""

    class Time:
        def __index__(self) -> int:
            if then == "time.time_ns" and rig.append is not None:
                rig.append.clock = time.time_ns
            if rig.append is not None:
                attack(rig)
            return 7

    rig = Rig(clock=Time)
    log = rig.append.log
    log(rig.fresh(), 1.0)
    log({rig.fresh(): 1.0})
    assert set(rig.written()) <= {1, 9}


def test_a_mapping_that_is_changed_while_it_is_recorded_crashes_nothing():
    rig = Rig(equal=False)
    metrics: dict[str, float] = {rig.fresh(): 1.0, rig.fresh("a"): 2.0}

    def change() -> None:
        metrics.clear()
        metrics.update({f"name {number}": float(number) for number in range(1000)})

    rig.trap.spring = change
    rig.append.log(metrics)
    rig.trap.equal, rig.trap.spring = True, metrics.clear
    rig.append.log(metrics)
    assert rig.written() in ([], [1])


@pytest.mark.parametrize("start", [sys.maxsize, sys.maxsize - 7, sys.maxsize // 2 + 1])
def test_slots_that_begin_beyond_any_memory_are_refused(start):
    """Claims there added up to more than a number of the processor holds."""
    with pytest.raises(ValueError, match="eight"):
        compiled._append.Room(bytearray(8), start)


class Ending:
    """A value that ends its writer, and lets go of everything, when it is asked for a number."""

    ndim = 0

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def item(self) -> float:
        writer = self.writer
        writer.append.log("inner", 2.0)
        writer.end(lambda *call: None)
        writer.head = writer.append.segment
        gc.collect()
        return 1.5

    __float__ = item

    def __index__(self) -> int:
        return int(self.item())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["value", "step", "in a list"])
def test_a_value_that_ends_its_writer_crashes_nothing(place):
    for segment_bytes in (1024, 1 << 16):
        writer = writer_of("c", segment_bytes=segment_bytes)
        writer.append.log("loss", 1.0)
        log = writer.append.log
        ending = Ending(writer)
        arguments: dict[str, tuple[Any, ...]] = {
            "value": ("loss", ending),
            "step": ("loss", 1.0, ending),
            "in a list": ("loss", [ending]),
        }
        log(*arguments[place])
        log("loss", 2.0)


def test_threads_that_swap_and_close_segments_while_others_log_crash_nothing():
    rig, over = Rig(), threading.Event()
    segments = [Stub({"loss": FLOAT | number}, compiled._append.Room(bytearray(640), 0)) for number in range(1, 9)]

    def swap() -> None:
        for number in range(3000):
            rig.append.segment = segments[number % 8]
            if number % 5 == 0:
                segments[number % 8].claim.shut()
                segments[number % 8] = Stub({"loss": FLOAT | 1}, compiled._append.Room(bytearray(640), 0))
        over.set()

    def log() -> None:
        while not over.is_set():
            rig.append.log(rig.fresh(), 1.0)
            rig.append.log({rig.fresh(): 1.0, "x": 2})

    rig.append.slow = lambda *call: None
    threads = [threading.Thread(target=target) for target in (swap, log, log)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_name_of_a_class_of_its_own_that_re_enters_leaves_whole_records():
    writer = small_writer_of("c", SMALL)
    name = Trap("loss")
    name.equal = True
    name.spring = lambda: writer.append.log("inner", 1.0)
    for step in range(50):
        writer.append.log("loss", 1.0, step)
        with contextlib.suppress(TypeError):
            writer.append.log(name, 2.0, step)
    assert {record[0] for record in records(writer.head)} <= {"loss", "inner"}
