"""The marks: how far a writer's journal is delivered and durable, and what it came to.

A small memory of two copies, written in turn: whoever is killed in the middle of one leaves the other, and the reader
takes the newer of those whose check holds. Only the process that holds the run's lock writes them. Behind them stands
how many calls found no room, which the writer counts itself, as it drops them.

::

    copy    magic b"SLM1", CRC-32 u32 of the rest, sequence u64, delivered u64, durable u64, begin, stock and reach u64,
            records u64, rejected u64, ambiguous u64, abandoned u64, oldest u64, sent 512 bytes, settled 512 bytes

    dropped u64 behind both copies

*delivered* and *durable* are positions: everything below is on the server, on the disk. *begin* is one, too: below
it nothing is in the journal any more, delivered or given up. *stock*, the lowest bit of its number, is 1 once anything
went to a stock server, and never turns back. *reach*, the upper 16 bits, is how many positions from *delivered* on went
out in ranges to which no answer came: should the server turn into a stock one, they were sent before. For a stock
server, which takes records one by one and out of order, the windows hold a bit each for the ``WINDOW`` positions from
*delivered* on. What the two bits of a position say is stored before the request, so that after a death what may have
arrived twice is known, and counted once::

    sent  settled
    0     0        waits
    1     0        was sent, and no answer says what became of it
    1     1        was sent again after that: ambiguous
    0     1        needs no more sending

The five counts are of records: delivered, refused for good, possibly delivered twice, claimed but never written, and
given up because there was no room (``on_full``).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

from steplog.journal.segment import Memory

__all__ = [
    "COPY_BYTES",
    "CURSOR_BYTES",
    "WINDOW",
    "Cursor",
    "decode",
    "dropped",
    "encode",
    "load",
    "store",
    "store_dropped",
]

WINDOW = 4096
_MAGIC = b"SLM1"
_HEAD = struct.Struct("<4sI")
_FIELDS = struct.Struct(f"<QQQQQQQQ{WINDOW // 8}s{WINDOW // 8}s")
_SEQUENCE = struct.Struct("<Q")
COPY_BYTES = _HEAD.size + _SEQUENCE.size + _FIELDS.size
_DROPPED = slice(2 * COPY_BYTES, 2 * COPY_BYTES + 8)
CURSOR_BYTES = _DROPPED.stop
_REACH_SHIFT = 48  # so that begin is below 2**47


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is known of a writer's journal; ``sent`` and ``settled`` are bit sets, bit 0 is position ``delivered``."""

    delivered: int = 0
    durable: int = 0
    stock: bool = False
    records: int = 0
    rejected: int = 0
    ambiguous: int = 0
    abandoned: int = 0
    oldest: int = 0
    sent: int = 0
    settled: int = 0
    begin: int = 0
    reach: int = 0

    @property
    def done(self) -> int:
        """The positions that need no more sending, as a bit set."""
        return self.settled & ~self.sent

    def with_sent(self, positions: list[int]) -> Cursor:
        """The same, with these positions about to be sent; each that was sent before counts as ambiguous, once."""
        bits = sum(1 << (position - self.delivered) for position in positions) & ~self.done
        again = (self.sent | (1 << self.reach) - 1) & bits & ~self.settled
        return replace(
            self, sent=self.sent | bits, settled=self.settled | again, ambiguous=self.ambiguous + again.bit_count()
        )

    def not_stored(self, position: int) -> Cursor:
        """The same, with an answer that says that the request with this position has changed nothing."""
        bit = 1 << (position - self.delivered)
        return self if self.settled & bit else replace(self, sent=self.sent & ~bit)

    def with_settled(self, position: int) -> Cursor:
        """The same, with one more position that needs no more sending; delivered moves over what is settled."""
        bit = 1 << (position - self.delivered)
        sent, settled = self.sent & ~bit, self.settled | bit
        done = settled & ~sent
        run = (~done & (done + 1)).bit_length() - 1  # how many of the lowest bits are set
        return replace(self, sent=sent, settled=settled).moved(self.delivered + run)

    def moved(self, delivered: int) -> Cursor:
        """The same, with everything below this position delivered."""
        step = delivered - self.delivered
        return replace(
            self,
            delivered=delivered,
            sent=self.sent >> step,
            settled=self.settled >> step,
            reach=max(0, self.reach - step),
        )


def load(memory: Memory) -> Cursor:
    """The newer of the two copies that is whole; fresh marks where neither is."""
    found = [copy for copy in map(decode, _both(memory)) if copy is not None]
    return max(found, key=lambda copy: copy[0])[1] if found else Cursor()


def store(memory: Memory, cursor: Cursor) -> None:
    """Write the copy that is older."""
    sequences = [_sequence(copy) or 0 for copy in _both(memory)]
    older = sequences.index(min(sequences))
    memory[older * COPY_BYTES : (older + 1) * COPY_BYTES] = encode(cursor, max(sequences) + 1)


def dropped(memory: Memory) -> int:
    """How many calls the writer has dropped because there was no room."""
    return int.from_bytes(memory[_DROPPED], "little")


def store_dropped(memory: Memory, calls: int) -> None:
    """Say it; for the writer's own process."""
    memory[_DROPPED] = calls.to_bytes(8, "little")


def encode(cursor: Cursor, sequence: int) -> bytes:
    """One copy of the marks."""
    data = _SEQUENCE.pack(sequence) + _FIELDS.pack(
        cursor.delivered,
        cursor.durable,
        cursor.reach << _REACH_SHIFT | 2 * cursor.begin | cursor.stock,
        cursor.records,
        cursor.rejected,
        cursor.ambiguous,
        cursor.abandoned,
        cursor.oldest,
        cursor.sent.to_bytes(WINDOW // 8, "little"),
        cursor.settled.to_bytes(WINDOW // 8, "little"),
    )
    return _HEAD.pack(_MAGIC, zlib.crc32(data)) + data


def decode(data: bytes) -> tuple[int, Cursor] | None:
    """The sequence number and the marks of one copy; None where it is not whole."""
    sequence = _sequence(data)
    if sequence is None:
        return None
    fields = _FIELDS.unpack_from(data, _HEAD.size + _SEQUENCE.size)
    delivered, durable, begin, records, rejected, ambiguous, abandoned, oldest, sent, settled = fields
    cursor = Cursor(
        delivered,
        durable,
        bool(begin & 1),
        records,
        rejected,
        ambiguous,
        abandoned,
        oldest,
        int.from_bytes(sent, "little"),
        int.from_bytes(settled, "little"),
        (begin & (1 << _REACH_SHIFT) - 1) >> 1,
        begin >> _REACH_SHIFT,
    )
    return sequence, cursor


def _sequence(data: bytes) -> int | None:
    """The sequence number of one copy; None where it is not whole."""
    if len(data) < COPY_BYTES:
        return None
    magic, check = _HEAD.unpack_from(data)
    if magic != _MAGIC or zlib.crc32(data[_HEAD.size :]) != check:
        return None
    (sequence,) = _SEQUENCE.unpack_from(data, _HEAD.size)
    return int(sequence)


def _both(memory: Memory) -> list[bytes]:
    return [bytes(memory[place : place + COPY_BYTES]) for place in (0, COPY_BYTES)]
