"""The ledger of loss: what one writer did not take, and what is gone, or may yet go, with private memory.

::

    losses  two copies of 2,048 bytes, written in turn; the newer whole one counts
    copy    magic b"SLL", version u8, CRC-32 u32 of the rest, sequence u64, length u32, a MessagePack map; zero

    map     dropped  {reason: calls not taken}
            lost     values gone, at most; nil: unknown
            private  [[base, end], …]: segments in private memory that may be lost, each with one after its last slot
            closed   the position at which the writer ended; nil: it may still append, or was killed
            hidden   all of the memory is private, and the ledger too: only its copy on disk survives
            settled  the writer is dead, and ``lost`` is counted
            files    files taken: values that are more than JSON, and what was saved
            at_risk  of these, those in private memory, which a kill loses

In shared memory it lies beside the cursor, mapped: a store is no system call, and survives a kill. On disk it is one
copy, replaced as a whole, beside the journal's frames. Little-endian; what a map has besides is skipped.

1. The writer's process stores while it lives, then whoever holds its ``alive``.
2. Private memory is announced before a claim there is possible, so a kill takes no more than what is announced.
3. ``lost`` is counted once, in the same store that says so. It is an upper bound: how many of the last segment's slots
   were claimed, and whether the last request arrived, died with the process.
4. An unknown version, or damage to both copies, is an unknown loss: ``lost`` is None.
"""

from __future__ import annotations

from struct import Struct
from typing import Annotated
from zlib import crc32

import msgspec
from msgspec.msgpack import encode as pack
from msgspec.structs import replace

from steplog.journal.late import lasting
from steplog.journal.segment import Memory
from steplog.reentrant_lock import ReentrantLock

__all__ = ["LOSSES_BYTES", "LOSSES_NAME", "LossLedger", "Losses", "decode", "encode"]

LOSSES_NAME = "losses"
LOSSES_BYTES = 4096
_COPY_BYTES = LOSSES_BYTES // 2
_MAGIC, _VERSION = b"SLL", 1
_HEAD = Struct("<3sBI")
_BODY = Struct("<QI")
_MAP_BYTES_MAX = _COPY_BYTES - _HEAD.size - _BODY.size
_PRIVATE_MAX = 48  # segments that are told apart; of more, the oldest count as one
_OTHER = "other"  # the reason, where there are too many to be told apart
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Losses(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of a writer's losses."""

    dropped: dict[str, _Count] = {}
    lost: _Count | None = 0
    private: tuple[tuple[_Count, _Count], ...] = ()
    closed: _Count | None = None
    hidden: bool = False
    settled: bool = False
    files: _Count = 0
    at_risk: _Count = 0

    @lasting
    def but(self, **changes: object) -> Losses:
        """A copy with changes."""
        return replace(self, **changes)


_UNKNOWN = Losses(lost=None)


@lasting
def encode(losses: Losses, sequence: int) -> bytes:
    """One copy."""
    text = pack(losses)
    if len(text) > _MAP_BYTES_MAX:
        text = pack(losses.but(dropped={_OTHER: sum(losses.dropped.values())}))
    data = _BODY.pack(sequence, len(text)) + text
    return _HEAD.pack(_MAGIC, _VERSION, crc32(data)) + data


class LossLedger:
    """One writer's losses, in ``memory``. ``dropped``, if given, is the writer's own count: each store copies it.

    The lock is held for microseconds, and a signal handler may come back in.
    """

    def __init__(self, memory: Memory, dropped: dict[str, int] | None = None) -> None:
        self._memory = memory
        self._dropped = dropped
        self._sequence, self._losses = decode(bytes(memory[:LOSSES_BYTES]))
        self._lock = ReentrantLock()

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever stored."""
        return self._sequence == 0

    @property
    def losses(self) -> Losses:
        """As they are now; those of another process as it stored them last."""
        if self._dropped is not None:
            return _without_zeros(self._now())
        self._sequence, self._losses = decode(bytes(self._memory[:LOSSES_BYTES]))
        return self._losses

    def store(self, **changes: object) -> None:
        """Store the changes, and what was dropped by now."""
        with self._lock:
            self._losses = self._losses.but(**changes)
            self.store_dropped()

    @lasting
    def store_dropped(self) -> None:
        """Store what was dropped by now; called in ``log``, as late as that may be."""
        with self._lock:
            while True:
                losses = self._losses
                self._sequence += 1
                place, copy = self._sequence % 2 * _COPY_BYTES, encode(self._now(), self._sequence)
                self._memory[place : place + len(copy)] = copy
                if self._losses is losses:  # no signal handler has stored meanwhile
                    return

    def _now(self) -> Losses:
        return self._losses if self._dropped is None else self._losses.but(dropped=self._dropped.copy())

    def announce(self, base: int, end: int) -> None:
        """Positions ``[base, end)`` may be claimed in private memory from now on."""
        with self._lock:
            known = self._losses.private
            if len(known) >= _PRIVATE_MAX:
                known = ((known[0][0], known[1][1]), *known[2:])
            self.store(private=(*known, (base, end)))

    def forget_private(self, below: int) -> None:
        """What lies below this position is delivered or durable."""
        with self._lock:
            kept = tuple(stretch for stretch in self._losses.private if stretch[1] > below)
            if kept != self._losses.private:
                self.store(private=kept)

    def take(self, data: bytes) -> None:
        """Replace everything with what is stored in ``data``, if that is anything."""
        sequence, losses = decode(data)
        if sequence:
            self._losses = losses
            self.store()

    def move(self, memory: Memory) -> None:
        """Store it here from now on."""
        self._memory = memory
        self.store()


def decode(data: bytes) -> tuple[int, Losses]:
    """Sequence number and losses of the newest whole copy; 0 where nothing was ever stored."""
    copies = [data[place : place + _COPY_BYTES] for place in range(0, max(1, len(data)), _COPY_BYTES)]
    found = [copy for copy in map(_decoded, copies) if copy is not None]
    if found:
        return max(found, key=lambda copy: copy[0])
    never = not data[:_COPY_BYTES].strip(b"\0")  # the first store goes to the second place, and may be cut short
    return (0, Losses()) if never else (1, _UNKNOWN)


def _decoded(copy: bytes) -> tuple[int, Losses] | None:
    start = _HEAD.size + _BODY.size
    if len(copy) < start:
        return None
    magic, version, check = _HEAD.unpack_from(copy)
    sequence, length = _BODY.unpack_from(copy, _HEAD.size)
    if magic != _MAGIC or crc32(copy[_HEAD.size : start + length]) != check:
        return None
    if version != _VERSION:
        return sequence, _UNKNOWN
    try:
        return sequence, _without_zeros(msgspec.msgpack.decode(copy[start : start + length], type=Losses))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return sequence, _UNKNOWN


def _without_zeros(losses: Losses) -> Losses:
    return losses.but(dropped={reason: calls for reason, calls in losses.dropped.items() if calls})
