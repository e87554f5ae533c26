"""Records of steplog's own among the values: delivered as these, and in no count of them, in memory and on disk."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from delivery.parts import Book
from journal.spooled import Machine
from steplog.journal import range as ranges
from steplog.journal import slot
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.directories import JournalRoots
from steplog.journal.journal import Journal
from steplog.journal.reserved import RESERVED, RUN_NAME
from steplog.journal.sources import DirectorySource
from steplog.journal.spool import Spool

NOTHING = DirectorySource(None)


def written() -> Book:
    """Values 1 to 6, one of JSON, and three records of steplog's own: at the positions 0, 3 and 7."""
    book = Book()
    log = book.writer.append.log
    for value in ({"own": 1}, 1.0, 2.0, {"own": 2}, {"a": 3}, 4, True, {"own": 3}, 6.0):
        log(RUN_NAME if isinstance(value, dict) and "own" in value else "loss", value, None)
    return book


def test_names_from_2_to_the_31_on_mark_a_record_as_no_value():
    keys = [slot.key_of(number, slot.KIND_INT) for number in (1, slot.UNCOUNTED | 1, 0, slot.UNCOUNTED | 2**20)]
    slots = b"".join(struct.pack("<qqqQ", step, 0, 0, key) for step, key in enumerate(keys, -1))
    assert slot.uncounted(slots[slot.NAME_HIGH :: slot.SLOT_BYTES]) == 0b1010
    assert slot.names_and_steps(slots) == ([1, slot.UNCOUNTED | 1, 0, slot.UNCOUNTED | 2**20], [-1, 0, 1, 2])


def test_a_census_has_all_records_and_values_are_those_of_the_user():
    journal = written().journal
    assert (journal.census(0, 9), journal.values(0, 9), journal.uncounted(0, 9)) == (9, 6, 3)
    assert [journal.values(at, at + 1) for at in range(9)] == [0, 1, 1, 0, 1, 1, 1, 0, 1]


def test_a_range_keeps_which_records_are_steplogs_own_when_it_is_cut_and_sent():
    batch = written().journal.read(0, 9)
    assert batch.uncounted == 0b010001001
    assert ranges.decode(ranges.encode(batch)).uncounted == 0b010001001
    assert batch.part(2, 9).uncounted == 0b0100010
    assert batch.without(3).uncounted == 0b010000001
    assert {name for number, name in batch.names.items() if number >= slot.UNCOUNTED} <= RESERVED


def test_frames_on_disk_tell_the_same_without_being_read(tmp_path: Path):
    memory = tmp_path / "memory"
    memory.mkdir(mode=0o700)
    machine = Machine(JournalRoots(memory, tmp_path / "disk", "0" * 16))
    log = machine.own.writer.append.log
    for value in (1.0, {"own": 1}, 2.0):
        log("loss" if isinstance(value, float) else RUN_NAME, value)
    machine.spool(everything=True)
    assert machine.journal.cursor.durable == 3
    on_disk = Spool(machine.spool_directory, machine.journal.writer)
    for journal in (machine.journal, Journal(machine.journal.writer, NOTHING, bytearray(CURSOR_BYTES), bool, on_disk)):
        assert (journal.census(0, 3), journal.values(0, 3)) == (3, 2)


@pytest.mark.parametrize("delivered", [0, 4])
def test_giving_up_the_oldest_counts_values_alone(delivered: int):
    journal = written().journal
    if delivered:
        journal.ack(delivered, 4, uncounted=2)
        assert journal.cursor.records == 2
    journal.give_up(9, ())
    assert (journal.cursor.records + journal.cursor.oldest, journal.cursor.abandoned) == (6, 0)
