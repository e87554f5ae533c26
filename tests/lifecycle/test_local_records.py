"""What of a journal cannot be read is left out with a word, and never because this process has no descriptor."""

from __future__ import annotations

import errno
import logging
from typing import cast

import pytest

from server.batches import range_of
from steplog.journal.cursor import Cursor
from steplog.journal.journal import Journal
from steplog.journal.range import Range
from steplog.lifecycle.local_records import ranges_of


class _Extent:
    def __init__(self, base: int) -> None:
        self.base = base


class _Extents:
    def __init__(self, *bases: int) -> None:
        self._bases = bases

    def extents(self) -> list[_Extent]:
        return [_Extent(base) for base in self._bases]


class Unreadable:
    """A journal of ten positions, in frames of two; those from 4 to 6 fail with this error so many times."""

    writer = "0123456789abcdef"
    cursor = Cursor()
    memory, disk = _Extents(), _Extents(0, 2, 4, 6, 8)

    def __init__(self, number: int, times: int) -> None:
        self.number, self.times = number, times

    def written(self) -> int:
        return 10

    def readable(self, first: int, most: int) -> int:
        return first + 2

    def read(self, first: int, end: int) -> Range:
        if first == 4 and self.times:
            self.times -= 1
            raise OSError(self.number, "the disk's words")
        return range_of([("a", at) for at in range(first, end)], first)


def firsts(journal: Unreadable) -> list[int]:
    given = cast(Journal, journal)
    return [records.first for records in ranges_of(given, lambda: given)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EAGAIN])
def test_a_frame_is_read_again_and_then_left_out(number: int, caplog: pytest.LogCaptureFixture):
    assert firsts(Unreadable(number, 1)) == [0, 2, 4, 6, 8]
    assert caplog.messages == []
    assert firsts(Unreadable(number, 2)) == [0, 2, 6, 8]
    said = "the records 4 to 5 of a process (01234567); they are left out: [Errno"
    assert [said in message for message in caplog.messages] == ([] if number == errno.EAGAIN else [True])


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_a_descriptor_it_is_an_error_and_no_gap(number: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OSError, match="the disk's words"):
        firsts(Unreadable(number, 1))
    assert caplog.messages == []
