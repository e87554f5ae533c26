"""The slot: one record in 32 bytes, the same in memory, on disk and on the wire. Pure.

Little-endian::

    offset  size  field
    0       8     step   int64; NO_STEP, its minimum: none was given
    8       8     value  float64; int64; a bool as int64; or a payload's offset and length, uint32 each
    16      8     time   int64, nanoseconds since the epoch, wall clock
    24      4     name   uint32, a number of the writer's; its text is declared beside the slots. From UNCOUNTED on: a
                         record of steplog's own, which is delivered as any other, and is no value of the user's
    28      2     spare  zero
    30      2     kind   what the slot holds, one of the KIND constants; written last

A slot is written once, by one ``pack_into``, which clears it and stores the fields in order. Its last store, the kind,
commits the record: kind zero is not there yet, any other is whole.

Name, spare and kind are packed as one number, the *key*, which saves a tenth of the time.

A tombstone is a claimed slot that will never be filled; readers turn it into kind zero.

Slots compress well as *byte planes*: byte 0 of every slot, then byte 1, …
"""

from __future__ import annotations

import struct
import sys
from array import array

__all__ = [
    "KINDS",
    "KIND_BOOL",
    "KIND_FLOAT",
    "KIND_INT",
    "KIND_JSON",
    "KIND_NONE",
    "KIND_OFFSET",
    "KIND_TOMBSTONE",
    "NAME_HIGH",
    "NO_STEP",
    "SLOT_BYTES",
    "STEP_MAX",
    "TOMBSTONE",
    "UNCOUNTED",
    "distinct_names",
    "emptied",
    "from_planes",
    "key_of",
    "kinds_of",
    "named",
    "names_and_steps",
    "pack_float",
    "pack_int",
    "pack_payload",
    "to_planes",
    "uncounted",
    "unpack_payload",
    "without_tombstones",
]

SLOT_BYTES = 32
KIND_OFFSET = 30  # of the kind's low byte; its high byte is zero in every kind there is
NO_STEP = -(2**63)
STEP_MAX = 2**63 - 1

UNCOUNTED = 1 << 31
NAME_HIGH = 27  # the offset of the name's last byte, which says so
_COUNTED = bytes(range(UNCOUNTED >> 24))
_IS_UNCOUNTED = bytes(ord("0") if byte in _COUNTED else ord("1") for byte in range(256))

KIND_NONE = 0
KIND_FLOAT = 1
KIND_INT = 2
KIND_BOOL = 3
KIND_JSON = 4
KIND_TOMBSTONE = 255
KINDS = bytes((KIND_NONE, KIND_FLOAT, KIND_INT, KIND_BOOL, KIND_JSON))  # that a range may have

# Native packing, where that is little-endian without padding, stores the key as 8 bytes at once: a third less time
# than with "<".
_ORDER = "@" if sys.byteorder == "little" else "<"
pack_float = struct.Struct(f"{_ORDER}qdqQ").pack_into
pack_int = struct.Struct(f"{_ORDER}qqqQ").pack_into
pack_payload = struct.Struct(f"{_ORDER}qIIqQ").pack_into
_PLACE = struct.Struct("<II")

TOMBSTONE = struct.pack("<qqqQ", 0, 0, 0, KIND_TOMBSTONE << 48)
_NO_TOMBSTONES = bytes(0 if kind == KIND_TOMBSTONE else kind for kind in range(256))


def key_of(name: int, kind: int) -> int:
    """The last eight bytes as a number: name, spare, kind."""
    return name | kind << 48


def kinds_of(slots: bytes) -> bytes:
    """The kinds, a byte each."""
    return slots[KIND_OFFSET::SLOT_BYTES]


def uncounted(high: bytes) -> int:
    """Bit set of the slots whose name, of which this is the last byte, is from ``UNCOUNTED`` on; bit 0 is the first."""
    return int(high[::-1].translate(_IS_UNCOUNTED), 2) if high.translate(None, _COUNTED) else 0


def without_tombstones(slots: bytes) -> bytes:
    """With each tombstone as kind zero."""
    kinds = kinds_of(slots)
    if KIND_TOMBSTONE not in kinds:
        return slots
    copy = bytearray(slots)
    copy[KIND_OFFSET::SLOT_BYTES] = kinds.translate(_NO_TOMBSTONES)
    return bytes(copy)


def unpack_payload(slots: bytes, index: int) -> tuple[int, int]:
    """Offset and length of slot ``index``'s payload."""
    return _PLACE.unpack_from(slots, index * SLOT_BYTES + 8)


def emptied(slots: bytes, indices: set[int]) -> bytes:
    """With no record at ``indices``."""
    copy = bytearray(slots)
    for index in indices:
        copy[index * SLOT_BYTES : (index + 1) * SLOT_BYTES] = bytes(SLOT_BYTES)
    return bytes(copy)


def distinct_names(slots: bytes) -> set[int]:
    """Name numbers in ``slots``, zero of empty ones included."""
    numbers = array("I")
    numbers.frombytes(memoryview(slots).cast("I")[6 :: SLOT_BYTES // 4].tobytes())
    if sys.byteorder == "big":
        numbers.byteswap()
    return set(numbers)


def names_and_steps(slots: bytes) -> tuple[list[int], list[int]]:
    """Of each slot the number of its name, and its step."""
    numbers, steps = array("I"), array("q")
    numbers.frombytes(memoryview(slots).cast("I")[6 :: SLOT_BYTES // 4].tobytes())
    steps.frombytes(memoryview(slots).cast("q")[:: SLOT_BYTES // 8].tobytes())
    if sys.byteorder == "big":
        numbers.byteswap()
        steps.byteswap()
    return numbers.tolist(), steps.tolist()


def named(slots: bytes, names: set[int]) -> set[int]:
    """Indices of the slots with one of ``names``."""
    if not names:
        return set()
    return {index for index, (number,) in enumerate(struct.iter_unpack("<24xI4x", slots)) if number in names}


def to_planes(slots: bytes) -> bytes:
    """The slots as byte planes."""
    return b"".join([slots[plane::SLOT_BYTES] for plane in range(SLOT_BYTES)])


def from_planes(planes: bytes) -> bytes:
    """The slots again."""
    count = len(planes) // SLOT_BYTES
    slots, nothing = bytearray(len(planes)), bytes(count)
    for place in range(SLOT_BYTES):
        plane = planes[place * count : (place + 1) * count]
        if plane != nothing:
            slots[place::SLOT_BYTES] = plane
    return bytes(slots)
