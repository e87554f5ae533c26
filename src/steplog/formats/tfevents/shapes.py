"""Records of an event file that differ from each other in time, step and value alone. Pure.

Nearly all records of a training are of this form, ``L`` bytes long:

    0        9 bytes   09, wall_time as a double
    9        1 + s     10, step as a varint; neither if the step is 0
    9+1+s    L-10-s    the summary: 2a, its length, …, one float or double, the rest

The summary without its number is the record's *shape*: it determines the name and where the number is. A shape is
learned from the general parser, which must give two other numbers back that are put in the same place. So nothing is
known here of how a summary is built, but that an exact number follows the float that it stands for (``event``): the
float's four bytes say nothing then, and are *free*.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from steplog.errors import FormatError
from steplog.formats.protobuf import read_varint, varint
from steplog.formats.tfevents.event import EXACT_FLOAT, EXACT_INT, EventParser

__all__ = ["FREE_BYTES", "WALL", "WALL_BYTES", "Shape", "Shapes", "step_bytes"]

WALL_BYTES = 9  # with its tag
WALL = 0x09
_STEP, _SUMMARY = 0x10, 0x2A
_STEP_BYTES_MAX = 8  # of the varint: steps below 2⁵⁶
_LESSONS_MAX = 4096  # a file whose records defy learning is not asked for ever
_PROBES = {float: (1.5, -2.25), int: (3, -5)}
_CODES = {float: "fd", int: "q"}
FREE_BYTES = 4  # a float
_EXACT_TAGS = tuple(varint(field << 3 | 1) for field in (EXACT_FLOAT, EXACT_INT))
_FREE_BEFORE = FREE_BYTES + len(_EXACT_TAGS[0])  # how far before an exact number the float begins


@dataclass(frozen=True, eq=False)
class Shape:
    """What a record says beside its time, step and number.

    Attributes:
        tail: where the number begins, counted from the record's end.
        number: a float, a double, or an integer.
        free: where four bytes begin that say nothing, counted from the record's end; 0: nowhere.
    """

    name: str
    tail: int
    number: struct.Struct
    free: int


def step_bytes(data: bytes) -> int:
    """Bytes of tag and step, from ``WALL_BYTES`` on; 0 without a step; -1: no record of this form."""
    if len(data) <= WALL_BYTES or data[0] != WALL:
        return -1
    if data[WALL_BYTES] != _STEP:
        return 0 if data[WALL_BYTES] == _SUMMARY else -1
    for size, byte in enumerate(data[WALL_BYTES + 1 : WALL_BYTES + 1 + _STEP_BYTES_MAX], 2):
        if byte < 0x80:
            return size if data[WALL_BYTES + size : WALL_BYTES + size + 1] == b"\x2a" else -1
    return -1


class Shapes:
    """The shapes of one file that have been learned."""

    def __init__(self, parser: EventParser) -> None:
        self._parser = parser
        self._shapes: list[tuple[dict[bytes, Shape], int, int, int]] = []  # those of one tail, size, and free place
        self._lessons = 0

    def of(self, data: bytes, summary: int) -> Shape | None:
        """The shape of a record whose summary begins there."""
        for shapes, tail, size, free in self._shapes:
            key = data[summary:-tail]
            if free:
                key = data[summary:-free] + data[FREE_BYTES - free : -tail]
            if size < tail:
                key += data[size - tail :]
            shape = shapes.get(key)
            if shape is not None:
                return shape
        return None

    def learn(self, data: bytes) -> None:
        """From a record that the parser took."""
        size = step_bytes(data)
        self._lessons += 1
        if size < 0 or self._lessons > _LESSONS_MAX:
            return
        summary = WALL_BYTES + size
        try:
            length, begin = read_varint(data, summary + 1)
            if begin + length == len(data):
                self._learn(data, summary)
        except FormatError:
            return

    def _learn(self, data: bytes, summary: int) -> None:
        points = self._parser.parse(data).points
        if len(points) != 1 or type(points[0][1]) not in _PROBES:
            return
        name, value = points[0]
        for code in _CODES[type(value)]:
            try:
                packed = struct.pack(f"<{code}", value)
            except (OverflowError, struct.error):
                continue
            at = data.rfind(packed, summary)
            free = at - _FREE_BEFORE if data[: max(at, 0)].endswith(_EXACT_TAGS) else -1
            for begin in (free, -1):
                if at >= 0 and all(self._gives(data, at, code, begin, name, p) for p in _PROBES[type(value)]):
                    self._add(
                        Shape(name, len(data) - at, struct.Struct(f"<{code}"), len(data) - begin if begin >= 0 else 0),
                        data,
                        summary,
                    )
                    return

    def _gives(self, data: bytes, at: int, code: str, free: int, name: str, probe: float) -> bool:
        changed = bytearray(data)
        struct.pack_into(f"<{code}", changed, at, probe)
        if free >= 0:
            struct.pack_into("<f", changed, free, -probe)
        event = self._parser.parse(bytes(changed))
        return event.points == [(name, probe)] and not event.left_out

    def _add(self, shape: Shape, data: bytes, summary: int) -> None:
        place = (shape.tail, shape.number.size, shape.free)
        if place not in [tuple(known) for _, *known in self._shapes]:
            self._shapes.append(({}, *place))
        constant = bytearray(data)
        at = len(data) - shape.tail
        del constant[at : at + shape.number.size]
        if shape.free:
            free = len(data) - shape.free
            del constant[free : free + FREE_BYTES]
        for shapes, *known in self._shapes:
            if tuple(known) == place:
                shapes[bytes(constant[summary:])] = shape
