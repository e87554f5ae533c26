"""What an event file says by the general parser alone, record by record: what any faster reading must give."""

from __future__ import annotations

import struct
from typing import Any

from formats.events import slow_crc
from steplog.errors import FormatError
from steplog.formats.imported import BATCH_RECORDS
from steplog.formats.tfevents.event import EventParser, time_of
from steplog.formats.tfevents.reader import EventFile

Row = tuple[str, int, int, Any]


def rows_of(file: EventFile) -> list[Row]:
    batches = list(file.batches())
    assert all(len({len(column) for column in batch}) == 1 for batch in batches)
    assert all(0 < len(batch.names) <= BATCH_RECORDS for batch in batches)
    return [row for batch in batches for row in zip(*batch, strict=True)]


def slowly(data: bytes) -> tuple[list[Row], int]:
    """What a loop over the records gives by the parser alone; how many bytes of the file are right."""
    rows: list[Row] = []
    parser, begin = EventParser(), 0
    while begin < len(data):
        head, end = data[begin : begin + 12], begin + 12
        if len(head) < 12 or slow_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
            break
        end += struct.unpack("<Q", head[:8])[0]
        content, stored = data[begin + 12 : end], data[end : end + 4]
        if len(stored) < 4:
            break
        try:
            said = parser.parse(content)
        except FormatError:
            break
        if slow_crc(content) != struct.unpack("<I", stored)[0]:
            break
        rows += [(name, said.step, time_of(said.wall_time), value) for name, value in said.points]
        begin = end + 4
    return rows, begin


def same(found: list[Row], expected: list[Row]) -> bool:
    return repr(found) == repr(expected)  # NaN is NaN, -0.0 is not 0.0, 1 is not 1.0
