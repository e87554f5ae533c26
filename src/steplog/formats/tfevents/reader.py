"""An event file of TensorBoard, read as columns.

The file is one of TFRecords, one after the other: u64 length, u32 masked CRC-32C of these 8 bytes, data, u32 masked
CRC-32C of the data; little-endian.

1. Records come in the order of the file, so that a file that has grown begins with the same records.
2. Reading ends before the first record whose length, checksum or structure is wrong, or that is cut, as in TensorBoard;
   ``damage`` says where. Records of media, and that give nothing, are not checked beyond ``_UNCHECKED_BYTES``, since
   that takes long.
3. ``EventParser`` alone knows what a record says. Records of a known shape are read without it, repeating patterns by
   ``read_stretch``; both give what it gives.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from steplog.errors import FormatError
from steplog.formats.crc32c import PLANES_MAX, crc32c, crc32c_of_planes, lanes_of_planes, masked, masked_lanes
from steplog.formats.imported import BATCH_RECORDS, RecordBatch
from steplog.formats.protobuf import read_varint
from steplog.formats.tfevents.event import EventParser, time_of
from steplog.formats.tfevents.shapes import WALL, WALL_BYTES, Shape, Shapes, step_bytes
from steplog.formats.tfevents.stretch import HEAD_BYTES, TAIL_BYTES, Placed, array_of, read_stretch

__all__ = ["EventFile", "Head", "MediaPlace", "read_head"]

_HEAD = struct.Struct("<QI")
_BITS = struct.Struct("<xQ")
_HEAD_RECORDS = 64
_HEAD_RECORD_BYTES_MAX = 1 << 30  # so much is allocated before it is read
_CHUNK_BYTES = 1 << 20
_UNCHECKED_BYTES = 1 << 16
_REPEATS_MIN = 16  # below, a stretch costs more than it saves
_REPEATS_MAX = 1 << 14
_SHUN_MAX = 256
_TOGETHER_MIN = 24  # from so many records of one length on, checksums are taken together

# Times of 2004 to 2038: doubles of one exponent, so that their lower bits are a number of units of 2⁻²² s.
_EXPONENT_MASK, _EXPONENT = 0xFFF << 52, (1023 + 30) << 52


# Where it begins in the buffer, the length of its data, bytes of its step, shape, step, the bits of its time, value.
_Single = tuple[int, int, int, Shape, int, int, Any]


class MediaPlace(NamedTuple):
    """Where a content is: in the record that begins with its data at ``offset`` and has ``length`` bytes."""

    offset: int
    length: int
    id: str
    type: str
    suffix: str
    time_ns: int


class EventFile:
    """One reading of one event file, given as a ``read(size)`` that returns b"" at its end.

    Attributes:
        left_out: how many of each kind of thing were no points, so far.
        damage: why reading ended early, if it did.
        is_cut: it ended within a record, of which the rest may come yet.
        info: the JSON of a run, if an export wrote it.
        config: hyperparameters.
        wall_time: of the first record, s.
        media: where the contents of values are, each once, so far.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.left_out: Counter[str] = Counter()
        self.damage: str | None = None
        self.is_cut = False
        self.info: bytes | None = None
        self.config: dict[str, Any] = {}
        self.wall_time: float | None = None
        self.media: dict[str, MediaPlace] = {}
        self._read = read
        self._parser = EventParser()
        self._shapes = Shapes(self._parser)
        self._lengths: dict[int, int] = {}  # checksums of the lengths so far
        self._buffer, self._offset = b"", 0  # offset: of the buffer in the file
        self._names: list[str] = []
        self._steps = array("q")
        self._bits = array("Q")  # of the times as doubles
        self._values: array[float] | list[Any] = array("d")  # a list where there are others than floats
        self._unchecked: list[tuple[int, int, int]] = []  # where in the buffer, length, number of its row
        self._singles: list[_Single] = []  # records that follow one another, and are not in the columns yet
        self._latest: dict[Shape, int] = {}  # the latest of each shape in them
        self._repeats = 2 * _REPEATS_MIN  # how many repetitions are tried at once
        self._shunned: dict[Shape, int] = {}  # recurrences of a shape that are passed over yet
        self._shun: dict[Shape, int] = {}  # how many after the next one that brings nothing
        self._step, self._step_value = b"-", 0  # of the latest record: its field and what follows; its step

    def batches(self) -> Iterator[RecordBatch]:
        """All that is in the file, once."""
        more = True
        while more and not self._ended():
            chunk = self._read(max(_CHUNK_BYTES, len(self._buffer)))
            more = bool(chunk)
            self._buffer += chunk
            position = self._scan()
            self._settle()
            self._check()
            self._buffer, self._offset = self._buffer[position:], self._offset + position
            whole = len(self._names)
            if more and not self._ended():
                whole -= whole % BATCH_RECORDS
            for begin in range(0, whole, BATCH_RECORDS):
                yield self._batch(begin, min(begin + BATCH_RECORDS, whole))
            self._cut(0, whole)
        if not self._ended() and self._buffer:
            self.damage, self.is_cut = f"it ends within a record, at byte {self._offset}", True

    def content(self, record: bytes, id_: str) -> bytes | None:
        """The content of this id in a record that has been read; None: it is another record by now."""
        return next((each.data for each in self._parser.parse(record).contents if each.id == id_), None)

    def _ended(self) -> bool:
        return self.damage is not None

    def _batch(self, begin: int, end: int) -> RecordBatch:
        return RecordBatch(
            self._names[begin:end], self._steps[begin:end], _times(self._bits[begin:end]), self._values[begin:end]
        )

    def _cut(self, begin: int, end: int) -> None:
        """Take out these rows."""
        del self._names[begin:end], self._steps[begin:end], self._bits[begin:end], self._values[begin:end]
        if isinstance(self._values, list) and all(type(value) is float for value in self._values):
            self._values = array("d", self._values)

    def _add_values(self, values: Sequence[Any]) -> None:
        if isinstance(self._values, array) and not _are_floats(values):
            self._values = self._values.tolist()
        self._values.extend(values)

    def _settle(self) -> None:
        """Move the single records to the columns."""
        if self._singles:
            begins, lengths, _, shapes, steps, bits, values = zip(*self._singles, strict=True)
            row = len(self._names)
            self._unchecked += zip(begins, lengths, range(row, row + len(begins)), strict=True)
            self._names += [shape.name for shape in shapes]
            self._steps.extend(steps)
            self._bits.extend(bits)
            self._add_values(values)
            self._singles = []
            self._latest = {}

    def _scan(self) -> int:
        """Take the buffer's whole records; where the first that is not whole begins."""
        buffer, position, end = self._buffer, 0, len(self._buffer)
        lengths = self._lengths
        while position + HEAD_BYTES <= end:
            length, checksum = _HEAD.unpack_from(buffer, position)
            if lengths.get(length) != checksum and not self._right_length(length, checksum):
                self._end(position, "the checksum of a length is wrong")
                return position
            stop = position + HEAD_BYTES + length
            if stop + TAIL_BYTES > end:
                break
            data = buffer[position + HEAD_BYTES : stop]
            size = len(self._step) - 1 if data.startswith(self._step, WALL_BYTES) else self._take_step(data)
            shape = self._shapes.of(data, WALL_BYTES + size) if size >= 0 and data[0] == WALL else None
            if shape is None:
                if not self._take_other(position, data):
                    return position
            else:
                before = self._latest.get(shape)
                if before is not None and self._singles[before][2] == size:
                    if self._shunned.get(shape):
                        self._shunned[shape] -= 1
                    elif after := self._take_stretch(before, position):
                        position = after
                        continue
                self._latest[shape] = len(self._singles)
                (bits,) = _BITS.unpack_from(data)
                (value,) = shape.number.unpack_from(data, length - shape.tail)
                self._singles.append((position, length, size, shape, self._step_value, bits, value))
            position = stop + TAIL_BYTES
        return position

    def _right_length(self, length: int, checksum: int) -> bool:
        if masked(crc32c(length.to_bytes(8, "little"))) != checksum:
            return False
        self._lengths[length] = checksum
        return True

    def _take_step(self, data: bytes) -> int:
        """Bytes of the record's step, as ``step_bytes`` has them."""
        size = step_bytes(data)
        if size >= 0:
            self._step = data[WALL_BYTES : WALL_BYTES + size + 1]
            self._step_value = read_varint(self._step, 1)[0] if size else 0
        return size

    def _take_other(self, position: int, data: bytes) -> bool:
        """A record that takes the parser; False: it is damaged."""
        self._settle()
        try:
            event = self._parser.parse(data)
        except FormatError as error:
            self._end(position, str(error))
            return False
        for content in event.contents:
            place = self._offset + position + HEAD_BYTES, len(data)
            found = MediaPlace(*place, content.id, content.type, content.suffix, time_of(event.wall_time))
            self.media.setdefault(content.id, found)
        if (event.points and not event.contents) or len(data) <= _UNCHECKED_BYTES:
            stored = self._buffer[position + HEAD_BYTES + len(data) : position + HEAD_BYTES + len(data) + TAIL_BYTES]
            if masked(crc32c(data)) != int.from_bytes(stored, "little"):
                self._end(position, "the checksum of a record is wrong")
                return False
        if self.wall_time is None:
            self.wall_time = event.wall_time
        if self.info is None:
            self.info = event.info
        self.config.update(event.config)
        self.left_out.update(event.left_out)
        for name, value in event.points:
            self._names.append(name)
            self._steps.append(event.step)
            self._bits.append(int.from_bytes(struct.pack("<d", event.wall_time), "little"))
            self._add_values((value,))
        if len(event.points) == 1 and not event.contents:
            self._shapes.learn(data)
        return True

    def _take_stretch(self, first: int, position: int) -> int:
        """Repetitions of what comes from the single record ``first`` on, and comes again here; where they end, or 0."""
        begin = self._singles[first][0]
        period = position - begin
        most = min((len(self._buffer) - begin) // period, self._repeats)
        if most < _REPEATS_MIN:
            return 0
        placed = [Placed(at - begin, length, size, shape) for at, length, size, shape, *_ in self._singles[first:]]
        shape = placed[0].shape
        columns = read_stretch(self._buffer, begin, placed, period, most, _REPEATS_MIN)
        if not columns:
            self._shunned[shape] = self._shun.get(shape, 1)
            self._shun[shape] = min(2 * self._shunned[shape], _SHUN_MAX)
            self._repeats = 2 * _REPEATS_MIN
            return 0
        self._shun.pop(shape, None)
        count = len(columns[0].times) - 1  # the first is among the columns already
        self._repeats = min(4 * self._repeats, _REPEATS_MAX) if count == most - 1 else 2 * _REPEATS_MIN
        self._settle()
        width = len(columns)
        self._names += [column.name for column in columns] * count
        self._steps += _woven([column.steps for column in columns])
        self._bits += _woven([column.times for column in columns])
        if all(column.values.typecode == "d" for column in columns):
            self._add_values(_woven([column.values for column in columns]))
        else:
            values: list[Any] = [0] * (width * count)
            for number, column in enumerate(columns):
                values[number::width] = column.values[1:]
            self._add_values(values)
        return position + count * period

    def _check(self) -> None:
        """The checksums of the records that were taken one by one; what follows the first wrong one goes."""
        groups: dict[int, list[tuple[int, int]]] = {}
        for begin, length, row in self._unchecked:
            groups.setdefault(length, []).append((begin + HEAD_BYTES, row))
        self._unchecked = []
        wrong = [found for length, records in groups.items() for found in self._wrong(length, records)]
        if wrong:
            begin, row = min(wrong)
            self._end(begin - HEAD_BYTES, "the checksum of a record is wrong")
            self._cut(row, len(self._names))

    def _wrong(self, length: int, records: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the records, all of one length, whose checksum is wrong."""
        size = length + TAIL_BYTES
        if len(records) >= _TOGETHER_MIN and length <= PLANES_MAX:
            joined = b"".join([self._buffer[begin : begin + size] for begin, _ in records])
            planes = [joined[place::size] for place in range(size)]
            found = masked_lanes(crc32c_of_planes(planes[:length]), len(records))
            if found == lanes_of_planes(planes[length:], len(records)):
                return []
        return [
            (begin, row)
            for begin, row in records
            if masked(crc32c(self._buffer[begin : begin + length]))
            != int.from_bytes(self._buffer[begin + length : begin + size], "little")
        ]

    def _end(self, position: int, reason: str) -> None:
        self.damage = f"{reason}, at byte {self._offset + position}"


def _are_floats(values: Sequence[Any]) -> bool:
    return values.typecode == "d" if isinstance(values, array) else all(type(value) is float for value in values)


def _woven(columns: Sequence[array[Any]]) -> array[Any]:
    """The columns without their first rows, row after row."""
    width, count = len(columns), len(columns[0]) - 1
    rows = array(columns[0].typecode, bytes(8 * width * count))
    for number, column in enumerate(columns):
        rows[number::width] = column[1:]
    return rows


def _times(bits: array[int]) -> array[int]:
    """``time_of`` of doubles, given as their bits; in lanes of 128 bits, where all are of ``_EXPONENT``."""
    count = len(bits)
    spread = array("Q", bytes(16 * count))
    spread[::2] = bits
    doubles = int.from_bytes(spread.tobytes(), sys.byteorder)
    if sys.byteorder == "big" or doubles & _wide(_EXPONENT_MASK, count) != _wide(_EXPONENT, count):
        return array("q", (time_of(struct.unpack("<d", each.to_bytes(8, "little"))[0]) for each in bits))
    units = doubles - _wide(_EXPONENT - (1 << 52), count)
    times = (units * 1_000_000_000 + _wide(1 << 21, count) >> 22) & _wide((1 << 64) - 1, count)
    return array_of("q", times.to_bytes(16 * count, "little"))[::2]


@functools.lru_cache(maxsize=16)
def _wide(value: int, count: int) -> int:
    """The value, ``count`` times, in lanes of 128 bits."""
    return int.from_bytes(value.to_bytes(16, "little") * count, "little")


class Head(NamedTuple):
    """How a file begins.

    Attributes:
        wall_time: of the first record, s.
        began: the earliest time, s; a program may give its points times of its own.
        info: what an export says of its run.
        first_tag: of the first point.
        first: a hash of the first record that says more than the version; "" without one.
        is_damaged: it does not begin with a record, nor with the beginning of one.
    """

    wall_time: float | None = None
    began: float | None = None
    info: bytes | None = None
    first_tag: str | None = None
    first: str = ""
    is_damaged: bool = False


def read_head(read: Callable[[int], bytes]) -> Head:
    """Look at the first records of a file, ``_HEAD_RECORDS`` at most."""
    found, parser = Head(), EventParser()
    for number in range(_HEAD_RECORDS):
        head = read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            break
        length, checksum = _HEAD.unpack(head)
        if masked(crc32c(head[:8])) != checksum or length > _HEAD_RECORD_BYTES_MAX:
            found = found._replace(is_damaged=number == 0)
            break
        data = read(length + TAIL_BYTES)
        if len(data) < length + TAIL_BYTES:
            break
        try:
            event = parser.parse(data[:length])
        except FormatError:
            break
        if found.wall_time is None:
            found = found._replace(wall_time=event.wall_time)
        if event.wall_time > 0:
            found = found._replace(began=min(event.wall_time, found.began or event.wall_time))
        if not found.first and (event.points or event.left_out or event.config or event.info is not None):
            found = found._replace(first=hashlib.blake2b(data, digest_size=12).hexdigest())
        if event.info is not None or event.points:
            return found._replace(info=event.info, first_tag=event.points[0][0] if event.points else None)
    return found
