"""Event files for tests, built field by field; nothing here is taken from steplog."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

START = 1_795_756_477.25


def slow_crc(data: bytes) -> int:
    """CRC-32C, bit by bit, and masked."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    state ^= 0xFFFFFFFF
    return ((state >> 15 | state << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = b""
    while value > 127:
        encoded += bytes((value & 127 | 128,))
        value >>= 7
    return encoded + bytes((value,))


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(content)) + content


def record(data: bytes, crc: int | None = None) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", slow_crc(head)) + data + struct.pack("<I", slow_crc(data) if crc is None else crc)


def event(*parts: bytes, step: int = 0, wall: float = START) -> bytes:
    """The data of a record; ``parts`` are values, as ``scalar`` gives."""
    counted = number(2, step) if step else b""
    return b"\x09" + struct.pack("<d", wall) + counted + (message(5, *(message(1, part) for part in parts)))


def version(wall: float = START) -> bytes:
    return b"\x09" + struct.pack("<d", wall) + message(3, b"brain.Event:2")


def scalar(tag: str, value: float) -> bytes:
    return message(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def metadata(plugin: str, content: bytes = b"") -> bytes:
    return message(9, message(1, message(1, plugin.encode()), message(2, content)))


def tensor(tag: str, dtype: int, content: bytes, plugin: str = "", field: int = 4) -> bytes:
    """As TensorFlow 2 writes it: the metadata come last."""
    held = message(8, number(1, dtype), message(2), message(field, content))
    return message(1, tag.encode()) + held + (metadata(plugin) if plugin else b"")


def text(tag: str, *texts: str) -> bytes:
    shape = message(2, message(2, number(1, len(texts))))
    held = message(8, number(1, 7), shape, *(message(8, each.encode()) for each in texts))
    return message(1, tag.encode()) + held + metadata("text")


def histogram(tag: str) -> bytes:
    return message(1, tag.encode()) + message(5, b"\x09" + bytes(8))


def image(tag: str) -> bytes:
    return message(1, tag.encode()) + message(4, number(1, 4), number(2, 4))


def hparams(**values: float | str | bool) -> bytes:
    def held(value: float | str | bool) -> bytes:
        if isinstance(value, bool):
            return number(4, value)
        return message(3, value.encode()) if isinstance(value, str) else b"\x11" + struct.pack("<d", value)

    entries = [message(1, message(1, key.encode()), message(2, held(value))) for key, value in values.items()]
    content = message(3, *entries)
    return message(1, b"_hparams_/session_start_info") + metadata("hparams", content)


def training(tags: Iterable[str], steps: range) -> list[bytes]:
    """Records of a loop that writes each tag at each step."""
    return [
        event(scalar(tag, math.sin(step + place)), step=step, wall=START + step + place / 16)
        for step in steps
        for place, tag in enumerate(tags)
    ]
