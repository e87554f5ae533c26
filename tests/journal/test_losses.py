"""The ledger of loss: what is stored survives a kill at any byte, is counted once, and is never silently wrong."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.appends import KINDS, chosen
from journal.spooled import LOCK, SPOOL_BYTES, Machine, deliver_all
from steplog.journal import losses
from steplog.journal.append import Segment
from steplog.journal.directories import JournalRoots
from steplog.journal.losses import LOSSES_BYTES, LOSSES_NAME, Losses, LossLedger
from steplog.journal.memory import Block, MemoryPool
from steplog.journal.open_journal import open_journal
from steplog.journal.reserved import RUN_NAME
from steplog.journal.spooling import Disk

POSITIONS = st.integers(0, 2**62)
USED_BITS = 8 * len(losses.encode(Losses(dropped={"memory full": 1}), 1))
LOSSES = st.builds(
    Losses,
    dropped=st.dictionaries(st.text(max_size=20), st.integers(1, 2**62), max_size=8),
    lost=st.none() | POSITIONS,
    private=st.lists(st.tuples(POSITIONS, POSITIONS), max_size=48).map(tuple),
    closed=st.none() | POSITIONS,
    hidden=st.booleans(),
    settled=st.booleans(),
)


@given(st.lists(LOSSES, min_size=1, max_size=4))
def test_what_was_stored_last_is_what_the_next_process_finds(found: list[Losses]):
    memory = bytearray(LOSSES_BYTES)
    for one in found:
        LossLedger(memory).store(**{field: getattr(one, field) for field in Losses.__struct_fields__})
    assert LossLedger(memory).losses == found[-1]


def test_a_kill_at_any_byte_of_a_store_leaves_the_losses_before_or_after_it():
    memory = bytearray(LOSSES_BYTES)
    stages = [Losses()]
    for calls in range(1, 4):
        before = bytes(memory)
        LossLedger(memory).store(dropped={"memory full": calls})
        stages.append(Losses(dropped={"memory full": calls}))
        changed = [index for index in range(LOSSES_BYTES) if before[index] != memory[index]]
        for cut in changed:
            torn = memory[: cut + 1] + before[cut + 1 :]
            assert LossLedger(bytearray(torn)).losses in stages[-2:], (calls, cut)


@given(st.integers(0, USED_BITS - 1), st.integers(0, USED_BITS - 1))
def test_damage_to_one_copy_leaves_the_other_and_to_both_is_an_unknown_loss(first: int, second: int):
    memory = bytearray(LOSSES_BYTES)
    ledger = LossLedger(memory)
    for calls in (1, 2):
        ledger.store(dropped={"memory full": calls})
    second += LOSSES_BYTES * 4
    for bit, left in ((first, {1, 2}), (second, {None})):
        memory[bit // 8] ^= 1 << bit % 8
        found = LossLedger(memory).losses
        assert found.lost is None or found.dropped["memory full"] in left, bit
    assert LossLedger(memory).losses.lost is None


def test_a_ledger_of_an_unknown_version_reads_as_unknown_losses_and_is_left_as_it_is(memory: Path, tmp_path: Path):
    machine = Machine(JournalRoots(memory, tmp_path / "spool", "0" * 16))
    machine.log(10)
    machine.die()
    assert machine.own.directory is not None
    path = machine.own.directory / LOSSES_NAME
    data = bytearray(path.read_bytes())
    data[3] = data[LOSSES_BYTES // 2 + 3] = losses._VERSION + 1
    path.write_bytes(data)
    with machine.later() as opened:
        assert len(deliver_all(opened)) == 10
        assert opened.journal.ledger.losses.lost is None
    assert path.read_bytes() == data


def test_too_many_reasons_for_one_copy_are_counted_as_one():
    memory = bytearray(LOSSES_BYTES)
    LossLedger(memory).store(dropped={f"reason {number:04}": number for number in range(1000)})
    assert LossLedger(memory).losses.dropped == {"other": sum(range(1000))}


def test_a_newer_field_or_reason_does_not_hide_the_known_ones():
    known = msgspec.to_builtins(Losses(dropped={"struck by lightning": 3}, lost=2))
    data = losses.encode(msgspec.convert(known, Losses), 1)
    text = msgspec.msgpack.encode(known | {"newer": [1, 2]})
    body = losses._BODY.pack(1, len(text)) + text
    newer = losses._HEAD.pack(b"SLL", 1, zlib.crc32(body)) + body
    assert len(newer) > len(data)
    assert losses.decode(newer)[1] == losses.decode(data)[1] == Losses(dropped={"struck by lightning": 3}, lost=2)


class Turns(MemoryPool):
    """Shared memory that fails for a while: which of the next segments are private is told by ``private``."""

    private: tuple[bool, ...] = ()

    def allocate(self, size: int) -> Block | None:
        first, self.private = self.private[:1], self.private[1:]
        return self._anonymous(size) if first == (True,) else super().allocate(size)

    def segment_bytes(self) -> int:
        return 1024


def machine_with(roots: JournalRoots, *private: bool) -> Machine:
    """A writer whose next segments are in private memory where it says so."""
    machine = Machine(roots)
    machine.own.writer.pool.__class__ = Turns
    machine.own.writer._spares.clear()
    machine.own.writer.pool.private = private  # type: ignore[attr-defined]
    return machine


def chain(machine: Machine) -> Iterator[Segment]:
    segment = machine.own.writer.head
    while True:
        yield segment
        if 0 not in segment.successor:
            return
        segment = segment.successor[0]


def claimed(segment: Segment) -> int:
    end = segment.end()
    return segment.claimed() if end is None else end


def private(machine: Machine) -> list[Segment]:
    return [segment for segment in chain(machine) if segment.block.path is None]


def fill(machine: Machine, segments_max: int) -> None:
    while len(list(chain(machine))) < segments_max:
        machine.log()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    with chosen(request.param):
        yield str(request.param)


@pytest.mark.parametrize("which", [(True,), (False, True), (True, False), (True, True, False, True)])
def test_what_goes_with_private_memory_is_counted_once_and_as_announced_at_most(
    roots: JournalRoots, kind: str, which: tuple[bool, ...]
):
    machine = machine_with(roots, *which)
    fill(machine, len(which) + 1)
    machine.log(5)
    true, last = sum(map(claimed, private(machine))), machine.own.writer.append.segment
    kept = sum(claimed(segment) for segment in chain(machine)) - true
    most = true + (last.header.capacity - claimed(last) if last in private(machine) else 0)
    assert machine.own.at_risk() == true
    machine.die()
    for _ in range(2):  # the second one finds it counted
        with machine.later() as opened:
            deliver_all(opened)
            assert opened.journal.ledger.losses.lost == most
            assert opened.journal.cursor.records + opened.journal.cursor.abandoned == kept


def test_private_memory_is_announced_before_a_claim_there_can_be_made(roots: JournalRoots, kind: str):
    machine = machine_with(roots, True, True, True)
    announced = []
    make = machine.own.writer.on_private

    def announce(base: int, end: int) -> None:
        before = machine.own.writer.append.segment
        assert before.header.base < base, "the segment is in use already"
        make(base, end)
        assert machine.own.directory is not None
        stored = LossLedger(bytearray((machine.own.directory / LOSSES_NAME).read_bytes())).losses
        announced.append(stored.private[-1])

    machine.own.writer.on_private = announce
    fill(machine, 4)
    spans = [(segment.header.base, segment.header.base + segment.header.capacity) for segment in private(machine)]
    assert announced == spans


def test_what_became_durable_or_delivered_before_the_kill_is_not_lost(roots: JournalRoots):
    machine = machine_with(roots, True, True)
    fill(machine, 2)
    machine.log(10)
    machine.spool(everything=True)
    machine.log(3)
    assert machine.own.at_risk() == 3
    machine.die()
    with machine.later() as opened:
        found = deliver_all(opened)
        assert (
            found.items()
            >= {at: item for at, item in machine.logged.items() if at < opened.journal.cursor.durable}.items()
        )
        assert len(machine.logged) - len(found) == 3
        lost = opened.journal.ledger.losses.lost
        assert lost is not None
        assert 3 <= lost <= machine.own.writer.append.segment.header.capacity


def test_what_steplog_adds_of_its_own_in_private_memory_is_no_value_at_risk(roots: JournalRoots):
    """The line at a run's end counted one more as lost, where the run was described late."""
    machine = machine_with(roots, True)
    fill(machine, 2)
    before = machine.own.at_risk()
    machine.own.writer.append.log(RUN_NAME, {"host": "a"})
    machine.log(2)
    assert machine.own.at_risk() == before + 2
    assert machine.own.private() == before + 3


def test_a_writer_that_ended_in_private_memory_lost_exactly_what_is_not_on_disk(roots: JournalRoots):
    machine = machine_with(roots, True)
    fill(machine, 2)
    machine.log(5)
    true = machine.own.at_risk()
    machine.own.writer.end(lambda name, value, step: None)
    machine.own.close_ledger()
    machine.die()
    with machine.later() as opened:
        deliver_all(opened)
        assert opened.journal.ledger.losses.lost == true > 5


def test_dropped_calls_are_known_to_whoever_finds_the_journal_after_a_kill(roots: JournalRoots):
    machine = Machine(roots, memory_bytes=64 * 1024)
    machine.log(6000)
    machine.die()
    with machine.later() as opened:
        assert opened.journal.ledger.losses.dropped == {"memory full": 6000 - len(machine.logged)}
        assert len(deliver_all(opened)) == len(machine.logged) < 5000


def test_the_ledger_goes_to_disk_with_the_journal_and_survives_the_loss_of_memory(roots: JournalRoots):
    machine = Machine(roots, memory_bytes=64 * 1024)
    machine.log(6000)
    machine.spool(everything=True)
    dropped = 6000 - len(machine.logged)
    machine.lose_memory()
    with machine.later() as opened:
        deliver_all(opened)
        found = opened.journal.ledger.losses
        assert found.dropped == {"memory full": dropped}
        assert found.lost is None  # of the second before the power went nobody knows


def test_a_writer_that_ended_and_is_all_on_disk_lost_nothing_with_its_memory(roots: JournalRoots):
    machine = Machine(roots)
    machine.log(100)
    machine.own.writer.end(lambda name, value, step: None)
    machine.own.close_ledger()
    machine.spool(everything=True)
    machine.lose_memory()
    with machine.later() as opened:
        assert len(deliver_all(opened)) == 100
        assert opened.journal.ledger.losses.lost == 0


def test_a_journal_without_a_ledger_has_its_drops_from_beside_the_cursor(roots: JournalRoots):
    machine = Machine(roots)
    machine.log(100)
    assert machine.own.directory is not None
    marks = machine.own.directory / "marks"
    marks.write_bytes(marks.read_bytes()[:-8] + (77).to_bytes(8, "little"))
    machine.calls += 77
    machine.die()
    (machine.own.directory / LOSSES_NAME).unlink()
    with machine.later() as opened:
        assert len(deliver_all(opened)) == 100
        assert opened.journal.ledger.losses == Losses(dropped={"memory full": 77}, settled=True)


def test_memory_that_is_removed_and_made_again_has_the_ledger_again(roots: JournalRoots):
    machine = Machine(roots)
    machine.own.writer.count("memory full")
    assert machine.paths.memory is not None
    shutil.rmtree(machine.paths.memory)
    machine.own.maintain()
    machine.own.writer.count("memory full")
    assert machine.own.directory is not None
    stored = LossLedger(bytearray((machine.own.directory / LOSSES_NAME).read_bytes())).losses
    assert stored.dropped == {"memory full": 2}


@pytest.mark.parametrize("ends", [True, False])
def test_a_writer_in_private_memory_alone_says_on_disk_whether_its_loss_is_known(tmp_path: Path, ends: bool):
    roots = JournalRoots(None, tmp_path / "spool", "0" * 16)
    machine = Machine(roots)
    machine.log(100)
    machine.spool(everything=True)
    machine.log(5)
    assert machine.own.at_risk() == 5
    if ends:
        machine.own.writer.end(lambda name, value, step: None)
        machine.own.close_ledger()
        machine.own.open_journal._store_losses()
    machine.die()
    opened = open_journal(machine.paths, machine.journal.writer, Disk(SPOOL_BYTES))
    assert opened is not None
    assert len(deliver_all(opened)) == 100
    assert opened.journal.ledger.losses.lost == (5 if ends else None)
    opened.spool(LOCK, True)
