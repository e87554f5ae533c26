"""The marks: two copies, of which one is always whole, and windows that count what was sent twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from steplog.journal import cursor
from steplog.journal.cursor import CURSOR_BYTES, WINDOW, Cursor

NUMBERS = st.integers(0, 2**64 - 1)
WINDOWS = st.integers(0, 2**WINDOW - 1) | st.sampled_from([1, 1 << (WINDOW - 1), 2**WINDOW - 1])
MARKS = st.builds(
    Cursor,
    NUMBERS,
    NUMBERS,
    st.booleans(),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    sent=WINDOWS,
    settled=WINDOWS,
    begin=st.integers(0, 2**47 - 1),
    reach=st.integers(0, 2**16 - 1),
)


@given(st.lists(MARKS, min_size=1, max_size=5))
def test_what_was_stored_last_is_loaded(stored):
    memory = bytearray(CURSOR_BYTES)
    for one in stored:
        cursor.store(memory, one)
        assert cursor.load(memory) == one


def test_fresh_memory_holds_fresh_marks():
    assert cursor.load(bytearray(CURSOR_BYTES)) == Cursor()
    assert cursor.load(bytearray(10)) == Cursor()


@pytest.mark.parametrize("stores", [0, 1, 2, 3])
def test_a_death_at_any_byte_of_a_store_leaves_the_marks_before_it(stores):
    """Whatever of the store is there, in whatever order the bytes went."""
    memory = bytearray(CURSOR_BYTES)
    for number in range(stores):
        cursor.store(memory, Cursor(delivered=number + 1, sent=1 << number))
    before = Cursor(delivered=stores, sent=1 << (stores - 1)) if stores else Cursor()
    after = Cursor(delivered=2**40, records=2**50, sent=2**WINDOW - 1, settled=3)
    done = bytearray(memory)
    cursor.store(done, after)
    changed = [index for index in range(CURSOR_BYTES) if done[index] != memory[index]]
    for cut in range(CURSOR_BYTES):
        assert cursor.load(done[:cut] + memory[cut:]) == (before if changed[-1] >= cut else after)
        assert cursor.load(memory[:cut] + done[cut:]) == (before if changed[0] < cut else after)


@given(MARKS, MARKS, st.integers(0, CURSOR_BYTES * 8 - 1))
def test_a_flipped_bit_leaves_one_of_the_two_last_marks(first, second, bit):
    memory = bytearray(CURSOR_BYTES)
    cursor.store(memory, first)
    cursor.store(memory, second)
    memory[bit // 8] ^= 1 << bit % 8
    assert cursor.load(memory) in (first, second)


@given(MARKS, st.binary(min_size=CURSOR_BYTES, max_size=CURSOR_BYTES))
def test_whatever_was_there_what_is_stored_is_loaded(one, junk):
    memory = bytearray(junk)
    cursor.store(memory, one)
    assert cursor.load(memory) == one


class Model:
    """The window as plain sets of positions."""

    def __init__(self) -> None:
        self.delivered = 0
        self.ambiguous: set[int] = set()
        self.sent: set[int] = set()
        self.settled: set[int] = set()

    def send(self, positions: list[int]) -> None:
        waiting = set(positions) - self.settled
        self.ambiguous |= self.sent & waiting
        self.sent |= waiting

    def refuse(self, position: int) -> None:
        if position not in self.ambiguous:
            self.sent.discard(position)

    def settle(self, position: int) -> None:
        self.settled.add(position)
        while self.delivered in self.settled:
            self.delivered += 1

    def matches(self, found: Cursor) -> bool:
        def bits(positions: set[int]) -> int:
            return sum(1 << position - self.delivered for position in positions if position >= self.delivered)

        return (found.delivered, found.ambiguous, found.sent, found.done) == (
            self.delivered,
            len(self.ambiguous),
            bits(self.sent - self.settled),
            bits(self.settled),
        )


STEPS = st.lists(
    st.tuples(st.just("send"), st.lists(st.integers(0, 40), unique=True, max_size=6))
    | st.tuples(st.sampled_from(["settle", "refuse"]), st.integers(0, 40)),
    max_size=60,
)


@given(STEPS, st.integers(0, 1000))
def test_the_windows_behave_as_sets_of_positions(steps, start):
    found, model = Cursor(delivered=start), Model()
    model.delivered = start
    memory = bytearray(CURSOR_BYTES)
    for what, argument in steps:
        base = model.delivered
        if what == "send":
            positions = [base + offset for offset in argument]
            found = found.with_sent(positions)
            model.send(positions)
        elif what == "refuse":
            found = found.not_stored(base + argument)
            model.refuse(base + argument)
        else:
            found = found.with_settled(base + argument)
            model.settle(base + argument)
        assert model.matches(found)
        cursor.store(memory, found)
        assert cursor.load(memory) == found


@pytest.mark.parametrize("settled", [[0], [3, 1, 0, 2], list(range(WINDOW)), list(reversed(range(WINDOW)))], ids=len)
def test_delivered_moves_over_everything_that_is_settled_from_below(settled):
    found = Cursor(delivered=100)
    for position in settled:
        found = found.with_settled(100 + position)
    assert (found.delivered, found.settled) == (100 + len(settled), 0)


def test_what_went_out_in_a_range_without_an_answer_is_ambiguous_once_it_goes_alone():
    found = Cursor(delivered=100, reach=3)
    for position in (100, 101, 100, 103, 103):
        found = found.with_sent([position])
    assert found.ambiguous == 3  # 100 and 101, once each, and 103, which was sent twice
    found = found.with_settled(100).with_settled(101)
    assert (found.delivered, found.reach) == (102, 1)
    found = found.with_sent([102, 104]).with_settled(102).with_settled(103).with_settled(104)
    assert (found.delivered, found.reach, found.ambiguous) == (105, 0, 4)


def test_the_other_fields_stay_as_they_are():
    before = Cursor(5, 6, True, 7, 8, 9, 10)
    assert replace(before.with_settled(9), settled=0) == before
    assert replace(before.with_sent([9]), sent=0) == before
