"""The cursor: how far a journal is delivered and durable, and its counts. Pure.

::

    marks   two copies, dropped u64
    copy    magic b"SLM1", CRC-32 u32 of the rest, sequence u64, delivered u64, durable u64, begin, stock and reach u64,
            records u64, rejected u64, ambiguous u64, abandoned u64, oldest u64, sent 512 bytes, settled 512 bytes

The copies are written in turn, so that a kill leaves one; the newer whole one counts. Only the holder of the run's lock
writes them. ``dropped`` was the writer's before there was a ledger of loss; it is read where that is missing.

A stock server takes records one by one, out of order. Two bits for each of the ``WINDOW`` positions from delivered on
are stored before the request, so that what may have arrived twice is counted once, across deaths::

    sent  settled
    0     0        waiting
    1     0        sent, outcome unknown
    1     1        sent again after that: ambiguous
    0     1        needs no more sending
"""

from __future__ import annotations

import struct
import zlib

import msgspec
from msgspec.structs import replace

from steplog.journal.segment import Memory

__all__ = ["CURSOR_BYTES", "WINDOW", "Cursor", "dropped", "encode", "load", "newest", "store"]

WINDOW = 4096
_MAGIC = b"SLM1"
_HEAD = struct.Struct("<4sI")
_FIELDS = struct.Struct(f"<QQQQQQQQ{WINDOW // 8}s{WINDOW // 8}s")
_SEQUENCE = struct.Struct("<Q")
_COPY_BYTES = _HEAD.size + _SEQUENCE.size + _FIELDS.size
_DROPPED = slice(2 * _COPY_BYTES, 2 * _COPY_BYTES + 8)
CURSOR_BYTES = _DROPPED.stop
_REACH_SHIFT = 48  # so that begin is below 2**47


class Cursor(msgspec.Struct, frozen=True):
    """What is stored of a journal."""

    delivered: int = 0  # everything below is on the server
    durable: int = 0  # everything below is on disk
    stock: bool = False  # bit 0 of begin: something went to a stock server; stays
    records: int = 0  # delivered
    rejected: int = 0  # refused for good
    ambiguous: int = 0  # possibly delivered twice
    abandoned: int = 0  # claimed, never written
    oldest: int = 0  # given up for want of room (``on_full``)
    sent: int = 0  # bit sets: bit 0 is position ``delivered``
    settled: int = 0
    begin: int = 0  # everything below is delivered or given up
    reach: int = 0  # upper 16 bits of begin: positions from delivered on sent in ranges without an answer

    @property
    def done(self) -> int:
        """Bit set of the positions that need no more sending."""
        return self.settled & ~self.sent

    def with_sent(self, positions: list[int]) -> Cursor:
        """These positions are about to be sent; if sent before, they count as ambiguous, once."""
        bits = sum(1 << (position - self.delivered) for position in positions) & ~self.done
        again = (self.sent | (1 << self.reach) - 1) & bits & ~self.settled
        ambiguous = self.ambiguous + again.bit_count()
        return replace(self, sent=self.sent | bits, settled=self.settled | again, ambiguous=ambiguous)

    def not_stored(self, position: int) -> Cursor:
        """An answer says that the request with this position changed nothing."""
        bit = 1 << (position - self.delivered)
        return self if self.settled & bit else replace(self, sent=self.sent & ~bit)

    def with_settled(self, position: int) -> Cursor:
        """This position is settled; ``delivered`` moves over what is done."""
        bit = 1 << (position - self.delivered)
        sent, settled = self.sent & ~bit, self.settled | bit
        done = settled & ~sent
        run = (~done & (done + 1)).bit_length() - 1  # how many of the lowest bits are set
        return replace(self, sent=sent, settled=settled).moved(self.delivered + run)

    def moved(self, delivered: int) -> Cursor:
        """Everything below is delivered."""
        step = delivered - self.delivered
        sent, settled, reach = self.sent >> step, self.settled >> step, max(0, self.reach - step)
        return replace(self, delivered=delivered, sent=sent, settled=settled, reach=reach)


def load(memory: Memory) -> Cursor:
    """The newer whole copy, or a fresh cursor."""
    found = newest(bytes(memory[: 2 * _COPY_BYTES]))
    return Cursor() if found is None else found[1]


def newest(data: bytes) -> tuple[int, Cursor] | None:
    """Sequence number and cursor of the newest whole copy in ``data``."""
    copies = (_decode(data[place : place + _COPY_BYTES]) for place in range(0, len(data), _COPY_BYTES))
    return max(filter(None, copies), key=lambda copy: copy[0], default=None)


def store(memory: Memory, cursor: Cursor) -> None:
    """Overwrite the older copy."""
    first = _sequence(bytes(memory[:_COPY_BYTES])) or 0
    second = _sequence(bytes(memory[_COPY_BYTES : 2 * _COPY_BYTES])) or 0
    begin = 0 if first <= second else _COPY_BYTES
    memory[begin : begin + _COPY_BYTES] = encode(cursor, max(first, second) + 1)


def dropped(memory: Memory) -> int:
    """Calls dropped for want of room, of a writer without a ledger of loss."""
    return int.from_bytes(memory[_DROPPED], "little")


def encode(cursor: Cursor, sequence: int) -> bytes:
    """One copy."""
    begin = cursor.reach << _REACH_SHIFT | 2 * cursor.begin | cursor.stock
    counts = cursor.records, cursor.rejected, cursor.ambiguous, cursor.abandoned, cursor.oldest
    bits = cursor.sent.to_bytes(WINDOW // 8, "little"), cursor.settled.to_bytes(WINDOW // 8, "little")
    data = _SEQUENCE.pack(sequence) + _FIELDS.pack(cursor.delivered, cursor.durable, begin, *counts, *bits)
    return _HEAD.pack(_MAGIC, zlib.crc32(data)) + data


def _decode(data: bytes) -> tuple[int, Cursor] | None:
    sequence = _sequence(data)
    if sequence is None:
        return None
    fields = _FIELDS.unpack_from(data, _HEAD.size + _SEQUENCE.size)
    delivered, durable, begin, records, rejected, ambiguous, abandoned, oldest = fields[:-2]
    sent, settled = (int.from_bytes(bits, "little") for bits in fields[-2:])
    begin, reach = begin & (1 << _REACH_SHIFT) - 1, begin >> _REACH_SHIFT
    counts = records, rejected, ambiguous, abandoned, oldest
    return sequence, Cursor(delivered, durable, bool(begin & 1), *counts, sent, settled, begin >> 1, reach)


def _sequence(data: bytes) -> int | None:
    if len(data) < _COPY_BYTES:
        return None
    magic, check = _HEAD.unpack_from(data)
    if magic != _MAGIC or zlib.crc32(data[_HEAD.size :]) != check:
        return None
    return int(_SEQUENCE.unpack_from(data, _HEAD.size)[0])
