"""What a writer had claimed and not written when it died is counted once, wherever it is by then."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from journal.spooled import LOCK, SPOOL_BYTES, Machine
from steplog.journal.directories import JournalRoots
from steplog.journal.files import Files
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.spool import Spool
from steplog.journal.spooling import Disk
from steplog.testing.failing_files import FailingFiles

HOLES = 7


@pytest.fixture
def dead(roots: JournalRoots) -> Machine:
    """A writer that died with holes below, between and above its segments."""
    machine = Machine(roots, memory_bytes=1 << 20)
    for _ in range(HOLES):
        machine.log(700)
        machine.own.writer.append.segment.claim()
        machine.log(1)
    machine.die()
    return machine


@contextmanager
def adopted(machine: Machine, files: Files | None = None) -> Iterator[OpenJournal]:
    """The journal as the next agent has it, until that dies."""
    opened = open_journal(machine.paths, machine.journal.writer, Disk(SPOOL_BYTES, files))
    assert opened is not None
    yield opened
    opened.release()
    opened.spooling.spool._close()


def deliver(opened: OpenJournal, most: int = 1 << 62) -> None:
    journal = opened.journal
    end = min(journal.written(), most)
    while journal.cursor.delivered < end:
        first = journal.cursor.delivered
        batch = journal.read(first, min(end, journal.readable(first, end - first)))
        journal.ack(batch.end, batch.records)


def told(opened: OpenJournal) -> tuple[int, int]:
    return opened.journal.cursor.records, opened.journal.cursor.abandoned


WAYS: dict[str, Callable[[OpenJournal], None]] = {
    "from memory": lambda opened: deliver(opened),
    "from disk": lambda opened: (opened.spool(LOCK, False), deliver(opened))[1],
    "first part from memory": lambda opened: (deliver(opened, 2000), opened.spool(LOCK, False), deliver(opened))[2],
    "first part of it again": lambda opened: (
        opened.spool(LOCK, False),
        deliver(opened, 3000),
        opened.spool(LOCK, False),
        deliver(opened),
    )[3],
}


@pytest.mark.parametrize("way", WAYS)
def test_holes_are_counted_once_wherever_they_are_when_they_are_passed(dead: Machine, way: str):
    """Those that had gone to disk with what lies around them were not counted."""
    with adopted(dead) as opened:
        WAYS[way](opened)
        assert told(opened) == (dead.calls, HOLES)


def test_holes_on_disk_are_counted_before_anything_is_delivered(dead: Machine):
    with adopted(dead) as opened:
        opened.spool(LOCK, False)
        assert told(opened) == (0, HOLES)
    with adopted(dead) as opened:
        assert told(opened) == (0, HOLES)
        deliver(opened)
        assert told(opened) == (dead.calls, HOLES)


def test_a_death_between_the_disk_and_the_marks_counts_them_once(dead: Machine, monkeypatch: pytest.MonkeyPatch):
    synced = Spool.sync

    def dies(self: Spool) -> None:
        synced(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, adopted(dead) as opened:
        patch.setattr(Spool, "sync", dies)
        with pytest.raises(KeyboardInterrupt):
            opened.spool(LOCK, False)
    with adopted(dead) as opened:
        assert told(opened) == (0, 0)
        opened.spool(LOCK, False)
        assert told(opened) == (0, HOLES)
        deliver(opened)
        assert told(opened) == (dead.calls, HOLES)


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_disk_that_fails_in_between_does_not_have_them_counted_twice(dead: Machine, operation: str):
    files = FailingFiles()
    with adopted(dead, files) as opened:
        for at in (1, 2, 3):
            files.fail(at, errno.EIO, only={operation})
            opened.spool(LOCK, False)
        files.heal()
        opened.spool(LOCK, False)
        assert told(opened) == (0, HOLES)
        deliver(opened)
        assert told(opened) == (dead.calls, HOLES)
    files.close_all()


def test_a_spool_file_that_is_lost_while_memory_has_it_counts_them_once(dead: Machine):
    with adopted(dead) as opened:
        opened.spooling.write(LOCK, everything=False)
        opened.spooling.write(LOCK, everything=False)
        assert told(opened) == (0, HOLES)
        for path in dead.spool_directory.glob("*.spool"):
            path.unlink()
        opened.spool(LOCK, False)
        assert opened.journal.cursor.durable == opened.journal.written()
        assert told(opened) == (0, HOLES)
        deliver(opened)
        assert told(opened) == (dead.calls, HOLES)
