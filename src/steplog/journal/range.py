"""The range: records ``[first, end)`` of one writer, the unit of disk and wire. Pure.

A record's identity is (run, writer, position). Positions without a record are empty slots, of kind zero.

The *body* is one MessagePack map::

    v         1
    writer    the writer's id, [A-Za-z0-9_-]{1,64}
    first     the first position
    end       one after the last position
    names     {number in the slots: name}, of the names used
    slots     end - first slots, as byte planes (see slot)
    payloads  the slots' payloads, in order

A slot's payload offset means nothing here; its length does. ``encode`` deflates the body (zlib, RFC 1950, HTTP's
"deflate"). ``decode`` takes hostile input, and bounds every length before it allocates.

Limits: 1 MiB of slots and payloads (``RANGE_BYTES_MAX``), which a single record's payload may take alone; names of 1 to
256 bytes of UTF-8; ``_BODY_BYTES_MAX`` in all.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot

__all__ = [
    "NAME_BYTES_MAX",
    "POSITION_MAX",
    "RANGE_BYTES_MAX",
    "VERSION",
    "Range",
    "VersionError",
    "decode",
    "encode",
    "encode_planes",
]

VERSION = 1
RANGE_BYTES_MAX = 1024 * 1024
NAME_BYTES_MAX = 256
_BODY_BYTES_MAX = 2 * 1024 * 1024 - 4096  # inflated, names and all; with it a frame stays below 2 MiB
_DEFLATE_LEVEL = 1
POSITION_MAX = 2**63 - 1
_WRITER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class VersionError(FormatError):
    """A version unknown to this code."""


_IS_EMPTY = bytes(ord("1") if kind == slot.KIND_NONE else ord("0") for kind in range(256))


class Range(msgspec.Struct, frozen=True):  # noqa: PLW1641 - a dict has no hash
    """Positions ``[first, end)`` of ``writer``, with names and payloads."""

    writer: str
    first: int
    end: int
    names: dict[int, str]
    slots: bytes
    payloads: bytes
    deflated: bytes | None = None  # as decoded: a frame is sent as it is

    def __eq__(self, other: object) -> bool:
        """Of what it says, however it came."""
        if not isinstance(other, Range):
            return NotImplemented
        return msgspec.structs.astuple(self)[:-1] == msgspec.structs.astuple(other)[:-1]

    @property
    def records(self) -> int:
        """How many positions carry a record."""
        kinds = slot.kinds_of(self.slots)
        return len(kinds) - kinds.count(slot.KIND_NONE)

    @property
    def empty(self) -> int:
        """Bit set of those without one; bit 0 is ``first``."""
        kinds = slot.kinds_of(self.slots)
        return int(kinds[::-1].translate(_IS_EMPTY), 2) if slot.KIND_NONE in kinds else 0

    @property
    def uncounted(self) -> int:
        """Bit set of the records that are no values of the user's."""
        is_any = any(number >= slot.UNCOUNTED for number in self.names)
        return slot.uncounted(self.slots[slot.NAME_HIGH :: slot.SLOT_BYTES]) if is_any else 0

    def payload_spans(self) -> Iterator[tuple[int, int, int]]:
        """``(index, start, end)`` in ``payloads`` of each slot with a payload."""
        kinds = slot.kinds_of(self.slots)
        start = 0
        index = kinds.find(slot.KIND_JSON)
        while index >= 0:
            end = start + slot.unpack_payload(self.slots, index)[1]
            yield index, start, end
            start = end
            index = kinds.find(slot.KIND_JSON, index + 1)

    def part(self, first: int, end: int) -> Range:
        """The part ``[first, end)``."""
        low, high = first - self.first, end - self.first
        spans = [(a, b) for index, a, b in self.payload_spans() if low <= index < high]
        slots = self.slots[low * slot.SLOT_BYTES : high * slot.SLOT_BYTES]
        payloads = self.payloads[spans[0][0] : spans[-1][1]] if spans else b""
        return Range(self.writer, first, end, self._names_in(slots), slots, payloads)

    def without(self, position: int) -> Range:
        """With no record at ``position``."""
        index = position - self.first
        slots = slot.emptied(self.slots, {index})
        payloads = [self.payloads[start:end] for at, start, end in self.payload_spans() if at != index]
        return Range(self.writer, self.first, self.end, self._names_in(slots), slots, b"".join(payloads))

    def _names_in(self, slots: bytes) -> dict[int, str]:
        used = slot.distinct_names(slots)
        return {number: name for number, name in self.names.items() if number in used}


class _Version(msgspec.Struct):
    v: int


class _Body(_Version):
    writer: str
    first: int
    end: int
    names: dict[int, str]
    slots: bytes
    payloads: bytes


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Body).decode
_unpack_version = msgspec.msgpack.Decoder(_Version).decode


def encode(records: Range) -> bytes:
    """The deflated body."""
    if records.deflated is not None:
        return records.deflated
    places = records.writer, records.first, records.end
    return encode_planes(*places, records.names, slot.to_planes(records.slots), records.payloads)


def encode_planes(writer: str, first: int, end: int, names: dict[int, str], planes: bytes, payloads: bytes) -> bytes:
    """The deflated body of a range whose slots are byte planes already."""
    body = _Body(VERSION, writer, first, end, names, planes, payloads)
    return zlib.compress(_pack(body), _DEFLATE_LEVEL)


def decode(deflated: bytes, *, checked: bool = False) -> Range:
    """The range in a deflated body. Raises FormatError, VersionError.

    ``checked``: it was decoded before, so that the checksum of the body says that of its records, too.
    """
    body = _inflate(deflated)
    try:
        version = _unpack_version(body).v
        if version != VERSION:
            raise VersionError(f"the range is of version {version}; version {VERSION} is known here")
        fields = _unpack(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not the body of a range: {error}") from None
    count = fields.end - fields.first
    if not _WRITER.fullmatch(fields.writer):
        raise FormatError("the writer's id is not of [A-Za-z0-9_-]{1,64}")
    if not 0 <= fields.first <= fields.end <= POSITION_MAX or len(fields.slots) != count * slot.SLOT_BYTES:
        raise FormatError(f"{len(fields.slots)} bytes of slots for the positions {fields.first} to {fields.end}")
    if count > 1 and len(fields.slots) + len(fields.payloads) > RANGE_BYTES_MAX:
        raise FormatError(f"more than {RANGE_BYTES_MAX} bytes of slots and payloads")
    slots = slot.from_planes(fields.slots)
    records = Range(fields.writer, fields.first, fields.end, fields.names, slots, fields.payloads, deflated)
    if not checked:
        _check_records(records)
    return records


def _inflate(deflated: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(deflated, _BODY_BYTES_MAX)
    except zlib.error as error:
        raise FormatError(f"not deflated: {error}") from None
    if not stream.eof or stream.unused_data:
        raise FormatError("the deflated body is cut, too long, or followed by something else")
    return body


def _check_records(records: Range) -> None:
    kinds = slot.kinds_of(records.slots)
    if kinds.translate(None, slot.KINDS):
        raise FormatError("a slot of an unknown kind")
    if any(records.slots[plane :: slot.SLOT_BYTES].strip(b"\0") for plane in (28, 29, 31)):
        raise FormatError("a slot whose spare bytes are not zero")
    lengths = set(map(len, records.names.values()))  # a character has at most four bytes
    if lengths and not (min(lengths) and 4 * max(lengths) <= NAME_BYTES_MAX):
        for name in records.names.values():
            if not 0 < len(name.encode("utf-8", "surrogatepass")) <= NAME_BYTES_MAX:
                raise FormatError(f"a name that is empty or longer than {NAME_BYTES_MAX} bytes")
    unknown = slot.distinct_names(records.slots) - records.names.keys()
    if unknown - {0} or any(kinds[index] != slot.KIND_NONE for index in slot.named(records.slots, unknown)):
        raise FormatError("a slot whose name is not declared")
    spans = [end for _, _, end in records.payload_spans()]
    if (spans[-1] if spans else 0) != len(records.payloads):
        raise FormatError("the payloads are not as long as the slots say")
