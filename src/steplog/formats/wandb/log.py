"""The log of records in wandb's ``run-<id>.wandb`` files. Pure.

    ":W&B" e1 be 00, then LevelDB's log: blocks of 32 KiB (the first with these seven bytes) of fragments
    fragment   u32 CRC-32 of type and data, u16 length, u8 type, data; little-endian
    type       1 a whole record, 2 its first fragment, 3 one between, 4 the last

https://github.com/google/leveldb/blob/main/doc/log_format.md, but with zlib's CRC-32, not masked. A fragment does not
cross the end of a block, and what is too short for one there is zeros.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

__all__ = ["MAGIC", "WandbLog"]

MAGIC = b":W&B\xe1\xbe\x00"
_BLOCK_BYTES = 32 * 1024
_FRAGMENT = struct.Struct("<IHB")
_WHOLE, _FIRST, _BETWEEN, _LAST = 1, 2, 3, 4


class WandbLog:
    """One reading of a log.

    Attributes:
        damage: why reading ended early, if it did.
        is_cut: it ended within a record, of which the rest may come yet.
    """

    def __init__(self) -> None:
        self.damage: str | None = None
        self.is_cut = False

    def records(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """The records up to the first that is damaged or cut; ``read`` returns fewer bytes only at the end."""
        offset, begun, parts = 0, 0, list[bytes]()
        while block := read(_BLOCK_BYTES):
            place = len(MAGIC) if offset == 0 else 0
            if offset == 0 and block[:place] != MAGIC:
                self.damage = "it is of another version or no file of wandb's, at byte 0"
                return
            while _BLOCK_BYTES - place >= _FRAGMENT.size and place < len(block):
                end = place + _FRAGMENT.size
                if end > len(block):
                    break
                checksum, length, kind = _FRAGMENT.unpack_from(block, place)
                end += length
                if end > len(block):
                    break
                data = block[place + _FRAGMENT.size : end]
                if zlib.crc32(data, zlib.crc32(bytes((kind,)))) != checksum:
                    self.damage = f"the checksum of a record is wrong, at byte {offset + place}"
                    return
                if not _WHOLE <= kind <= _LAST or (kind in (_WHOLE, _FIRST)) == bool(parts):
                    self.damage = f"a record's fragments are out of order, at byte {offset + place}"
                    return
                begun = begun if parts else offset + place
                parts.append(data)
                if kind in (_WHOLE, _LAST):
                    yield b"".join(parts)
                    parts = []
                place = end
            else:
                offset += len(block)
                continue
            self._cut(begun if parts else offset + place)
            return
        if parts:
            self._cut(begun)

    def _cut(self, place: int) -> None:
        self.damage, self.is_cut = f"it ends within a record, at byte {place}", True
