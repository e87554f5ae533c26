"""A record that is set aside is on the disk, whatever the disk did before it took it."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import pytest

from delivery.parts import Book
from steplog.delivery.quarantine import QuarantineFile
from steplog.delivery.tickets import Quarantine
from steplog.journal.range import Range
from steplog.testing.failing_files import FailingFiles

WRITER = "0" * 32


@pytest.fixture
def files() -> Iterator[FailingFiles]:
    failing = FailingFiles()
    yield failing
    failing.close_all()


def records(number: int) -> list:
    journal = Book().write(number).journal
    return [journal.read(position, position + 1) for position in range(number)]


def opened(directory: Path, files: FailingFiles | None = None) -> QuarantineFile:
    file = QuarantineFile(directory, files)
    file.open()
    return file


def put(file: QuarantineFile, record: Range) -> bool:
    """Whether the record is safe, once the disk has taken what is owed or has not."""
    file.put(Quarantine(record, "no"))
    assert record.first not in file.positions(WRITER)
    (written,) = file.write(nullcontext())
    assert written.record is record
    assert (record.first in file.positions(WRITER)) is written.safe
    return written.safe


def lines(root: Path) -> list[int]:
    """The positions in the file as a person reads it, all of whose lines are whole."""
    path = root / "run" / "quarantine"
    return [json.loads(line)["position"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_what_was_said_to_be_safe_survives_a_power_cut_whichever_operation_failed(tmp_path, files, error, forever):
    for failing in count(1):
        root = tmp_path / f"{error}-{failing}"
        root.mkdir(mode=0o700)
        (root / "run").mkdir(mode=0o700)
        file = opened(root / "run", files)
        before = files.failed
        files.fail(failing, error, forever=forever, short=True)
        safe = {record.first for record in records(3) if put(file, record)}
        files.heal()
        again = opened(root / "run", files)  # a later process, that reads before it writes
        there = again.positions(WRITER)
        assert safe <= there
        assert all(put(again, record) for record in records(6) if record.first not in there)
        assert not files.synced_again
        files.power_cut(root)
        found = lines(root)
        assert set(found) == set(range(6))
        assert len(found) == len(set(found)), "a record is there once"
        assert opened(root / "run").positions(WRITER) == set(found)
        if files.failed == before:
            assert failing > 10, "it has failed at each operation before"
            return


def test_a_line_that_was_cut_short_does_not_swallow_the_next(tmp_path):
    first, second, third = records(3)
    assert put(opened(tmp_path), first)
    path = tmp_path / "quarantine"
    for cut in range(1, path.stat().st_size + 1):
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:cut])
        later = opened(tmp_path)
        assert put(later, second)
        assert put(later, third)
        assert opened(tmp_path).positions(WRITER) == {0, 1, 2}
        path.write_bytes(whole)


def test_what_a_process_left_unsynced_is_not_taken_for_safe(tmp_path, files):
    (tmp_path / "run").mkdir(mode=0o700)
    assert put(opened(tmp_path / "run"), records(1)[0])  # by a process whose syncs this disk has not seen
    files.fail(error=errno.EIO, only={"sync"})
    assert opened(tmp_path / "run", files).positions(WRITER) == set()
    later = opened(tmp_path / "run", files)
    assert later.positions(WRITER) == {0}
    files.power_cut(tmp_path)
    assert lines(tmp_path) == [0]
