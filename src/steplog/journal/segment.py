"""The segment: a fixed stretch of one writer's journal, in memory that outlives the process. Pure.

::

    offset      size           what
    0           64             header
    64          region         byte region: names and payloads, in granules of 16 bytes
    64 + region 32 * capacity  slot region, to the end of the memory

    header      magic b"SLSG", version u16, spare u16, capacity u32, region u32, writer 16 bytes,
                base u64, CRC-32 u32 of all that; zero to 64
    entry       tag u32, length u32, CRC-32 u32 of tag, length and text; text; zero to a granule

Little-endian. The magic is written last and read first: it puts the segment into use. Slots come last, so that
``pack_into`` itself refuses one beyond the end.

*Base* is the position of the first slot. A segment ends where the next begins, or at its capacity if less.

A tag is a name's number, or PAYLOAD. Entries come before the slots that need them. A segment declares all names that it
uses: it can be read, moved, damaged or deleted alone. Threads write entries side by side: a granule that begins none is
skipped.

Memory may be damaged, and is checked before use.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import NAME_BYTES_MAX

__all__ = [
    "GRANULE_BYTES",
    "HEADER_BYTES",
    "PAYLOAD",
    "VERSION",
    "Header",
    "Memory",
    "Records",
    "SegmentView",
    "entry",
    "granules",
    "read_header",
    "write_header",
]

VERSION = 1
HEADER_BYTES = 64
GRANULE_BYTES = 16
PAYLOAD = 0xFFFFFFFF
_MAGIC = b"SLSG"
_GAP_BYTES = 4096
_HEADER = struct.Struct("<4sHHII16sQ")
_CHECK = struct.Struct("<I")
_ENTRY = struct.Struct("<III")
_TAG_AND_LENGTH = struct.Struct("<II")


class Memory(Protocol):
    """Bytes read and written in place: a mapping, a bytearray."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> bytes | bytearray: ...
    def __setitem__(self, key: slice, value: bytes, /) -> None: ...


class Header(msgspec.Struct, frozen=True):
    """A segment's header."""

    writer: bytes
    base: int
    capacity: int
    region: int

    @property
    def size(self) -> int:
        """Bytes of the whole segment."""
        return HEADER_BYTES + self.region + self.capacity * slot.SLOT_BYTES


class Records(msgspec.Struct, frozen=True):
    """Slots copied from a segment, with names and payloads."""

    slots: bytes
    names: dict[int, str]
    payloads: list[bytes]
    unreadable: int  # damaged slots, or with a damaged name or payload; empty in ``slots``


def write_header(memory: Memory, header: Header) -> None:
    """Put a segment into use, its base valid; may be repeated."""
    fields = _HEADER.pack(_MAGIC, VERSION, 0, header.capacity, header.region, header.writer, header.base)
    memory[len(_MAGIC) : _HEADER.size + _CHECK.size] = fields[len(_MAGIC) :] + _CHECK.pack(zlib.crc32(fields))
    memory[0 : len(_MAGIC)] = _MAGIC


def read_header(memory: Memory, size: int | None = None) -> Header | None:
    """The header of a segment of ``size`` bytes, once in use. Raises FormatError if damaged, cut or newer."""
    size = len(memory) if size is None else size
    if not memory[0 : len(_MAGIC)].strip(b"\0"):
        return None
    data = bytes(memory[0 : _HEADER.size + _CHECK.size])
    if len(data) < _HEADER.size + _CHECK.size:
        raise FormatError("the segment is cut short")
    magic, version, _, capacity, region, writer, base = _HEADER.unpack_from(data)
    if magic != _MAGIC or _CHECK.unpack_from(data, _HEADER.size)[0] != zlib.crc32(data[: _HEADER.size]):
        raise FormatError("the segment's header is damaged or not ours")
    if version != VERSION:
        raise FormatError(f"the segment is of version {version}; version {VERSION} is known here")
    header = Header(writer, base, capacity, region)
    if header.size != size:
        raise FormatError(f"the segment has {size} bytes, and its header says {header.size}")
    return header


def entry(tag: int, text: bytes) -> bytes:
    """An entry, padded to whole granules."""
    check = zlib.crc32(text, zlib.crc32(_TAG_AND_LENGTH.pack(tag, len(text))))
    return (_ENTRY.pack(tag, len(text), check) + text).ljust(granules(len(text)) * GRANULE_BYTES, b"\0")


def granules(length: int) -> int:
    """Granules of an entry with ``length`` bytes of text."""
    return (_ENTRY.size + length + GRANULE_BYTES - 1) // GRANULE_BYTES


class SegmentView:
    """Reads a segment while its writer may append."""

    def __init__(self, memory: Memory, header: Header, claimed: Callable[[], int] | None = None) -> None:
        self.memory = memory
        self.header = header
        # Slots beyond the claimed ones are not looked at: each look takes a cache line from the writer.
        self._claimed = claimed or (lambda: header.capacity)
        self._filled = 0  # all slots below are written, and stay so
        self._slots_start = HEADER_BYTES + header.region
        self._names: dict[int, str] = {}
        self._scanned = HEADER_BYTES

    def kinds(self, start: int, end: int) -> bytes:
        """Kinds of the slots ``[start, end)``."""
        return self._bytes(slot.KIND_OFFSET, start, end)

    def _bytes(self, offset: int, start: int, end: int) -> bytes:
        """The byte at ``offset`` of each of the slots ``[start, end)``."""
        first = self._slots_start + offset
        return bytes(self.memory[first + start * slot.SLOT_BYTES : first + end * slot.SLOT_BYTES : slot.SLOT_BYTES])

    def uncounted(self, start: int, end: int) -> int:
        """How many of the slots ``[start, end)`` are no values of the user's."""
        return slot.uncounted(self._bytes(slot.NAME_HIGH, start, end)).bit_count()

    def readable(self, start: int, end: int) -> int:
        """Index up to which slots from ``start`` on are written, ``end`` at most."""
        known, end = max(start, self._filled), max(start, min(end, self._claimed()))
        if known >= end:
            return end
        kinds = self.kinds(known, end)
        gap = kinds.find(slot.KIND_NONE)
        reached = known + (len(kinds) if gap < 0 else gap)
        if start <= self._filled:
            self._filled = reached
        return reached

    def written(self) -> int:
        """One after the last written slot."""
        filled = self._filled
        return filled + len(self.kinds(filled, self._claimed()).rstrip(b"\0"))

    def holes(self, end: int) -> list[int]:
        """Slots below ``end`` that are claimed and not written."""
        first = self.readable(self._filled, end)
        kinds = self.kinds(first, end)
        return [first + index for index, kind in enumerate(kinds) if kind == slot.KIND_NONE]

    def read(self, start: int, end: int) -> Records:
        """Copy the slots ``[start, end)``, which are readable, with all they need."""
        first = self._slots_start + start * slot.SLOT_BYTES
        slots = slot.without_tombstones(bytes(self.memory[first : first + (end - start) * slot.SLOT_BYTES]))
        kinds = slot.kinds_of(slots)
        used = slot.distinct_names(slots)
        names = self._resolve(used - {0})
        nameless = slot.named(slots, used - names.keys())  # what is no record has no name either
        bad = _damaged(slots, kinds) | {index for index in nameless if kinds[index] != slot.KIND_NONE}
        payloads: list[bytes] = []
        index = kinds.find(slot.KIND_JSON)
        while index >= 0:
            if index not in bad:
                if (payload := self._payload(*slot.unpack_payload(slots, index))) is not None:
                    payloads.append(payload)
                else:
                    bad.add(index)
            index = kinds.find(slot.KIND_JSON, index + 1)
        if bad or nameless:
            slots = slot.emptied(slots, bad | nameless)
        return Records(slots, names, payloads, len(bad))

    def _resolve(self, used: set[int]) -> dict[int, str]:
        if not used <= self._names.keys():
            self._scan_names()
        return {number: self._names[number] for number in used if number in self._names}

    def _scan_names(self) -> None:
        """Read the entries since the last scan; gaps are looked at again."""
        place, unbroken = self._scanned, True
        while place < self._slots_start:
            if (found := self._entry(place)) is None:
                if unbroken:
                    self._scanned, unbroken = place, False
                place = self._after_gap(place)
                continue
            tag, text = found
            if tag != PAYLOAD and (name := _name_in(text)) is not None:
                self._names[tag] = name
            place += granules(len(text)) * GRANULE_BYTES
        if unbroken:
            self._scanned = place

    def _after_gap(self, place: int) -> int:
        """Where the next entry may begin, a granule further at least."""
        zeros = bytes(self.memory[place : min(place + _GAP_BYTES, self._slots_start)])
        empty = len(zeros) - len(zeros.lstrip(b"\0"))
        return place + max(GRANULE_BYTES, empty - empty % GRANULE_BYTES)

    def _payload(self, offset: int, length: int) -> bytes | None:
        found = self._entry(HEADER_BYTES + offset) if offset % GRANULE_BYTES == 0 else None
        return found[1] if found is not None and found[0] == PAYLOAD and len(found[1]) == length else None

    def _entry(self, place: int) -> tuple[int, bytes] | None:
        if place + _ENTRY.size > self._slots_start:
            return None
        head = self.memory[place : place + _ENTRY.size]
        tag, length, check = _ENTRY.unpack(head)
        end = place + _ENTRY.size + length
        if tag == 0 or end > self._slots_start:
            return None
        text = bytes(self.memory[place + _ENTRY.size : end])
        return (tag, text) if zlib.crc32(text, zlib.crc32(head[:8])) == check else None


def _name_in(text: bytes) -> str | None:
    with suppress(UnicodeDecodeError):
        return text.decode() if 0 < len(text) <= NAME_BYTES_MAX else None
    return None


def _damaged(slots: bytes, kinds: bytes) -> set[int]:
    """Slots that no writer leaves so: the server would refuse the range."""
    spare = [slots[plane :: slot.SLOT_BYTES] for plane in (28, 29, 31)]
    if not kinds.translate(None, slot.KINDS) and not any(plane.strip(b"\0") for plane in spare):
        return set()
    each = enumerate(zip(kinds, *spare, strict=True))
    return {index for index, (kind, *rest) in each if kind not in slot.KINDS or any(rest)}
