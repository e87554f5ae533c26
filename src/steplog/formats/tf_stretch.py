"""A stretch of an event file in which the same pattern of records comes again and again, read as columns. Pure.

A training loop writes the same tags at each step, so that the file repeats itself every ``period`` bytes but for
times, steps, values and checksums. Here all bytes at one place of the pattern are one *plane*, ``file[place::period]``:
what is to repeat is compared by plane, checksums are taken by plane (``crc32c_of_planes``), and numbers are unpacked by
plane. That is several times as fast as a loop over the records.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from steplog.formats.crc32c import PLANES_MAX, crc32c_of_planes, lanes, lanes_of_planes, masked_lanes
from steplog.formats.tf_shapes import FREE_BYTES, WALL_BYTES, Shape

__all__ = ["HEAD_BYTES", "TAIL_BYTES", "Column", "Placed", "array_of", "read_stretch"]

HEAD_BYTES = 12  # length and its checksum
TAIL_BYTES = 4  # the checksum of the data
_MORE = bytes(range(0x80, 0x100))  # a varint's bytes but the last
_LAST = bytes(range(0x80))


class Placed(NamedTuple):
    """A record of the pattern: where it begins, counted from the pattern's beginning, and what it is.

    Attributes:
        length: of its data.
        step: bytes of its step with its tag.
    """

    begin: int
    length: int
    step: int
    shape: Shape


class Column(NamedTuple):
    """One record of the pattern, of all repetitions.

    Attributes:
        times: the bits of their doubles, uint64.
        steps: int64.
        values: double or int64.
    """

    name: str
    times: array[int]
    steps: array[int]
    values: array[float] | array[int]


def read_stretch(
    file: bytes, begin: int, pattern: Sequence[Placed], period: int, most: int, least: int = 1
) -> list[Column]:
    """The columns of the pattern at ``begin``, where it is known to be, and of its repetitions, ``most`` in all.

    They end before the first repetition that is different, or has a wrong checksum. Nothing if fewer than ``least``
    are left, which is known sooner.
    """
    count = most
    planes: list[list[bytes]] = []
    for record in pattern:
        first = begin + record.begin
        varying = _varying(record)
        whole = HEAD_BYTES + record.length + TAIL_BYTES
        if record.length > PLANES_MAX:
            return []
        record_planes = []
        for place in range(whole):
            plane = file[first + place : first + place + (count - 1) * period + 1 : period]
            allowed = varying.get(place, plane[:1])
            if allowed:
                count -= len(plane.lstrip(allowed))
                if count < least:
                    return []
            record_planes.append(plane)
        planes.append(record_planes)
    planes = [[plane[:count] for plane in record_planes] for record_planes in planes]
    count = min(_right(record_planes, count) for record_planes in planes)
    if count < least:
        return []
    columns: list[Column] = []
    stepped: tuple[list[bytes], array[int]] = ([], array("q", bytes(8 * count)))
    for record, record_planes in zip(pattern, planes, strict=True):
        cut = [plane[:count] for plane in record_planes]
        data = cut[HEAD_BYTES:]
        steps = data[WALL_BYTES + 1 : WALL_BYTES + record.step]
        if steps != stepped[0]:
            stepped = steps, _varints(steps, count)
        number = record.length - record.shape.tail
        columns.append(
            Column(
                record.shape.name,
                _numbers("Q", data[1:WALL_BYTES], count),
                stepped[1],
                _values(record.shape.number.format[1:], data[number : number + record.shape.number.size], count),
            )
        )
    return columns


def _varying(record: Placed) -> dict[int, bytes]:
    """Places that need not repeat, and the bytes that they may have; empty: any."""
    places = dict.fromkeys(range(HEAD_BYTES + 1, HEAD_BYTES + WALL_BYTES), b"")
    step = HEAD_BYTES + WALL_BYTES
    if record.step:
        places |= dict.fromkeys(range(step + 1, step + record.step - 1), _MORE)
        places[step + record.step - 1] = _LAST
    end = HEAD_BYTES + record.length
    for tail, size in (record.shape.tail, record.shape.number.size), (record.shape.free, FREE_BYTES):
        if tail:
            places |= dict.fromkeys(range(end - tail, end - tail + size), b"")
    return places | dict.fromkeys(range(end, end + TAIL_BYTES), b"")


def _right(planes: Sequence[bytes], count: int) -> int:
    """How many of the records have the right checksum, from the first on."""
    found = masked_lanes(crc32c_of_planes(planes[HEAD_BYTES:-TAIL_BYTES]), count)
    stored = lanes_of_planes(planes[-TAIL_BYTES:], count)
    wrong = found ^ stored
    return count if not wrong else ((wrong & -wrong).bit_length() - 1) // 64


def _varints(planes: Sequence[bytes], count: int) -> array[int]:
    encoded = lanes_of_planes(planes, count)
    values = 0
    for byte in range(len(planes)):
        values |= encoded >> byte & lanes(0x7F << 7 * byte, count)
    return array_of("q", values.to_bytes(8 * count, "little"))


def _values(code: str, planes: Sequence[bytes], count: int) -> array[float] | array[int]:
    numbers = _numbers(code, planes, count)
    return array("d", numbers) if code == "f" else numbers


def _numbers(code: str, planes: Sequence[bytes], count: int) -> array[Any]:
    size = len(planes)
    joined = bytearray(size * count)
    for byte, plane in enumerate(planes):
        joined[byte::size] = plane
    return array_of(code, joined)


def array_of(code: str, data: bytes | bytearray) -> array[Any]:
    """An array of numbers that are given as little-endian bytes."""
    numbers = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
