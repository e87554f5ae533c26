"""A power cut at any operation: what ``durable`` says is on disk then, under its name, with its manifest.

The model of the disk: a file has the contents of its last sync, a directory the entries of its last sync; everything
else is gone. A real disk may keep more than that, which the last test lets it do.
"""

from __future__ import annotations

import contextlib
import errno
import random
import shutil

import pytest

from journal.spooled import Machine, deliver_all, read_all
from steplog.journal.directories import JournalRoots
from steplog.testing.failing_files import FailingFiles

LIVES = 80


class PowerCutError(BaseException):
    """Nothing more happens on this machine."""


def life(machine: Machine, source: random.Random) -> None:
    """A run whose server comes and goes, on a disk that fails now and then."""
    for _ in range(source.randint(3, 25)):
        machine.log(source.randint(1, 150))
        if source.random() < 0.3:
            machine.ack(machine.journal.cursor.delivered + source.randint(1, 300))
        if source.random() < 0.15:
            assert isinstance(machine.files, FailingFiles)
            only = source.choice((None, {"sync"}, {"write"}))
            at = source.randint(1, 12) if only is None else source.randint(1, 3)
            machine.files.fail(at, source.choice((errno.EIO, errno.ENOSPC)), short=True, only=only)
        machine.spool(everything=source.random() < 0.4)


def cut_at(files: FailingFiles, operation: int) -> None:
    def stall(name: str) -> None:
        if len(files.operations) >= operation:
            raise PowerCutError

    files.stall = stall


def check(machine: Machine, files: FailingFiles, label: object) -> None:
    cursor = machine.journal.cursor
    files.stall = lambda name: None
    machine.lose_memory()
    files.power_cut(machine.roots.spool)
    files.close_all()
    promised = {at: item for at, item in machine.logged.items() if cursor.delivered <= at < cursor.durable}
    if not promised:
        return
    assert (machine.paths.spool / "manifest").read_bytes() == b"the run's", label
    with machine.later() as opened:
        found = deliver_all(opened)
        # The promise is of what is not delivered; of what is, nothing is counted as lost either.
        assert opened.journal.cursor.abandoned == 0, label
    assert found.items() >= promised.items(), (label, len(found), len(promised))
    assert found.items() <= machine.logged.items(), label


@pytest.mark.parametrize("seed", range(LIVES))
def test_after_a_power_cut_nothing_that_was_durable_is_missing(roots: JournalRoots, seed: int):
    source, files = random.Random(seed), FailingFiles()
    machine = Machine(roots, files)
    (machine.paths.spool / "manifest").write_bytes(b"the run's")
    cut_at(files, source.randint(5, 250))
    with contextlib.suppress(PowerCutError):
        life(machine, source)
    check(machine, files, seed)


def test_after_a_power_cut_at_every_operation_nothing_that_was_durable_is_missing(roots: JournalRoots):
    for operation in range(1, 300):
        files = FailingFiles()
        machine = Machine(roots, files)
        (machine.paths.spool / "manifest").write_bytes(b"the run's")
        cut_at(files, operation)
        whole = True
        try:
            for turn in range(3):
                machine.log(100)
                machine.spool(everything=True)
                machine.ack(100 * turn + 50)
                machine.spool(everything=True)
        except PowerCutError:
            whole = False
        check(machine, files, operation)
        if whole:
            assert operation > 40
            return
    pytest.fail("the life has no end")


@pytest.mark.parametrize("seed", range(20))
def test_what_a_disk_keeps_beyond_that_is_no_danger(roots: JournalRoots, seed: int):
    """The contents are cut anywhere behind what was synced, or zero there."""
    source, files = random.Random(seed), FailingFiles()
    machine = Machine(roots, files)
    (machine.paths.spool / "manifest").write_bytes(b"the run's")
    cut_at(files, source.randint(20, 200))
    with contextlib.suppress(PowerCutError):
        life(machine, source)
    files.stall = lambda name: None
    cursor = machine.journal.cursor
    kept = files.contents(machine.paths.spool)
    machine.lose_memory()
    for path in machine.spool_directory.glob("*.spool"):
        data = path.read_bytes()
        safe = len(kept.get(path, b""))
        paths = source.randint(min(safe, len(data)), len(data))
        path.write_bytes(data[:paths] + bytes(source.choice((0, len(data) - paths))))
    files.close_all()
    promised = {at: item for at, item in machine.logged.items() if cursor.delivered <= at < cursor.durable}
    with machine.later() as opened:
        found = read_all(opened.journal)
    assert found.items() >= promised.items()
    assert found.items() <= machine.logged.items()
    shutil.rmtree(machine.paths.spool)
