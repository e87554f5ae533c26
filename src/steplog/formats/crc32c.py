"""CRC-32C (Castagnoli, RFC 3720), and its masked form in TFRecord and LevelDB files. Pure.

Python's own libraries have no CRC-32C, and a loop takes 60 ns a byte. ``crc32c_of_planes`` takes the checksums of many
messages of one length at once: plane ``i`` holds byte ``i`` of each message. A CRC is linear, so that each byte gives
its part by its value and its distance from the end alone; a table maps a whole plane, and long integers add the parts
by ``^``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

__all__ = ["PLANES_MAX", "crc32c", "crc32c_of_planes", "lanes", "lanes_of_planes", "masked", "masked_lanes"]

PLANES_MAX = 512
_POLYNOMIAL = 0x82F63B78  # reversed
_ALL = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8
_LANE_BYTES = 8


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The checksum; of ``b"123456789"`` 0xE3069283."""
    return _checksum(data, _ALL) ^ _ALL


def _checksum(data: Iterable[int], state: int) -> int:
    table = _TABLE
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state


def masked(checksum: int) -> int:
    """As it is stored beside the data that it covers."""
    return ((checksum >> 15 | checksum << 17 & _ALL) + _MASK_DELTA) & _ALL


@functools.lru_cache(maxsize=PLANES_MAX)
def _tables(distance: int) -> tuple[bytes, bytes, bytes, bytes]:
    """What a byte adds to the checksum, by its value and how many bytes follow; one table a byte of the checksum."""
    return tuple(bytes(part >> shift & 0xFF for part in _parts(distance)) for shift in (0, 8, 16, 24))  # type: ignore[return-value]


@functools.lru_cache(maxsize=PLANES_MAX)
def _parts(distance: int) -> tuple[int, ...]:
    return _TABLE if distance == 0 else tuple(_TABLE[part & 0xFF] ^ part >> 8 for part in _parts(distance - 1))


@functools.lru_cache(maxsize=64)
def lanes(value: int, count: int) -> int:
    """The value, ``count`` times, in lanes of 64 bits."""
    return int.from_bytes(value.to_bytes(_LANE_BYTES, "little") * count, "little")


def lanes_of_planes(planes: Sequence[bytes], count: int) -> int:
    """Integers of up to eight bytes, given as planes, the lowest byte first, as lanes of 64 bits."""
    joined = bytearray(_LANE_BYTES * count)
    for byte, plane in enumerate(planes):
        joined[byte::_LANE_BYTES] = plane
    return int.from_bytes(joined, "little")


def crc32c_of_planes(planes: Sequence[bytes]) -> int:
    """The checksums of messages of one length, as lanes of 64 bits; 1 to ``PLANES_MAX`` planes, a message or more."""
    count = len(planes[0])
    constant = bytearray(len(planes))
    sums = [0, 0, 0, 0]
    for position, plane in enumerate(planes):
        if plane.count(plane[0]) == count:
            constant[position] = plane[0]
            continue
        for byte, table in enumerate(_tables(len(planes) - 1 - position)):
            sums[byte] ^= int.from_bytes(plane.translate(table), "little")
    varying = lanes_of_planes([part.to_bytes(count, "little") for part in sums], count)
    return varying ^ lanes(crc32c(constant), count)


def masked_lanes(checksums: int, count: int) -> int:
    """``masked``, of lanes of 64 bits."""
    low = lanes(_ALL, count)
    return ((checksums >> 15 | checksums << 17) & low) + lanes(_MASK_DELTA, count) & low
